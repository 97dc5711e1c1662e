// HTU, Hadamard transform unit: w = (H_m ⊗ H_2^k) u in each of `blocks` blocks, exact in int32 (docs/numerics.md, 3.4).
//
//   u ──► k butterflies (lm_htu_stage, delays 2^(k-1) … 1) ──┬── m = 1 ─────────────────────────────┬──► packer ──► w
//                                                            └── m > 1: m sums a column (lm_htu_mix) ┘
//
// The words of a block arrive in order, index i·2^k + j. Butterflies turn every row i as it streams by; then the row is added to
// or subtracted from the m rows of sums. With m = 1 the stream is the result, and with k = 0 too it passes by unchanged.
// A size with k > MAX_K goes in as m·2^(k-MAX_K) rows: the matrix H_m ⊗ H_2^(k-MAX_K), loaded as signs, is the same transform.
//
// Interface
//   cfg_*:   one transfer starts a vector of blocks · m · 2^k words, 1 <= m <= MAX_M, k <= MAX_K, blocks >= 1. cfg_bad says that
//            these values are none of that, and then the vector is not started. At most 8192 terms may meet in a sum.
//   sign_*:  column i of H_m, bit r set where H_m[r][i] = -1; m columns, written while the unit is idle (cfg_ready). Kept.
//   s_*:     u, int18, one word a transfer.
//   m_*:     w, int32, 16 words a transfer in order, word l in bits 32l+31..32l; zeros fill the last one up; m_last is with it.
//            Streams: a word moves where valid and ready are high; data is stable while valid waits for ready.
// Cycles, first input to last output of a vector without stalls (measured by tests/rtl/htu.test.ts):
//   m = 1:   E, then 2^k + MAX_K: one word a cycle.
//   m > 1:   a block takes m·2^k cycles in, then 2^k + MAX_K + 5, then m·2^k/16 out (m where k < 4).
//   A word is taken every 3rd cycle where m > 1 and k < 2.
module lm_htu #(
    parameter int MAX_M = 64,  // a multiple of 16
    parameter int MAX_K = 7    // 5 or more
) (
    input  logic                     clk,
    input  logic                     rst_n,
    // command
    input  logic                     cfg_valid,
    output logic                     cfg_ready,
    output logic                     cfg_bad,
    input  logic [13:0]              cfg_blocks,
    input  logic [$clog2(MAX_M):0]   cfg_m,
    input  logic [3:0]               cfg_k,
    // signs of H_m
    input  logic                     sign_we,
    input  logic [$clog2(MAX_M)-1:0] sign_addr,
    input  logic [MAX_M-1:0]         sign_data,
    // u
    input  logic                     s_valid,
    output logic                     s_ready,
    input  logic signed [17:0]       s_data,
    // w
    output logic                     m_valid,
    input  logic                     m_ready,
    output logic [16*32-1:0]         m_data,
    output logic                     m_last
);
    localparam int MA = $clog2(MAX_M);
    localparam int WY = 18 + MAX_K;  // after the butterflies
    localparam int CW = 14 + MAX_K;  // counts words of a vector with m = 1

    // ------------------------------------------------------------------------------------------------ command

    localparam logic [1:0] IDLE = 2'd0, TAKE = 2'd1, GIVE = 2'd2;

    logic [1:0]       state;
    logic             mixed;      // m > 1
    logic [3:0]       k;
    logic [MA-1:0]    last_row;   // m - 1
    logic [13:0]      blocks;     // still to do, this one too
    logic [MAX_K-1:0] last_word;  // 2^k - 1: of a row

    assign cfg_ready = state == IDLE && !m_valid;
    assign cfg_bad   = cfg_blocks == '0 || cfg_m == '0 || cfg_m > (MA + 1)'(MAX_M) || cfg_k > 4'(MAX_K);
    wire start       = cfg_valid && cfg_ready && !cfg_bad;
    wire more_blocks = blocks != 14'd1;
    wire given;       // the last beat of a block's sums goes to the packer
    wire pack_ready;  // which can take words

    // ------------------------------------------------------------------------------------------------ butterflies

    // In a run, words come from outside, then 2^k - 1 of no meaning push the last ones out. A run is a block, or with m = 1
    // the whole vector: rows of one block follow each other like blocks of one row.
    logic          outside, pushing;  // where words come from; neither: all are in
    logic [CW-1:0] word;              // in the row, of those pushed in
    logic [MA-1:0] row_in;
    logic [13:0]   block_in;

    wire                    advance;
    wire                    y_valid;
    wire signed [WY-1:0]    y;
    wire                    take        = outside ? s_valid && advance : pushing && advance;
    wire                    end_of_row  = word == CW'(last_word);
    wire                    end_of_run  = end_of_row && row_in == last_row && (mixed || block_in == 14'd1);
    wire                    start_run   = start || (state == GIVE && given && more_blocks);
    assign s_ready = outside && advance;

    always_ff @(posedge clk) begin
        if (!rst_n) begin
            outside <= 1'b0;
            pushing <= 1'b0;
        end else if (start_run) begin
            outside <= 1'b1;
            pushing <= 1'b0;
        end else if (take) begin
            if (outside && end_of_run) begin
                outside <= 1'b0;
                pushing <= k != 4'd0;
            end else if (pushing && word == CW'(last_word) - 1'b1) pushing <= 1'b0;
        end
        if (start_run) begin
            word   <= '0;
            row_in <= '0;
        end else if (take) begin
            word <= end_of_row ? '0 : word + 1'b1;
            if (end_of_row) row_in <= row_in == last_row ? '0 : row_in + 1'b1;
        end
        if (start) block_in <= cfg_blocks;
        else if (take && end_of_row && row_in == last_row) block_in <= block_in - 1'b1;
    end

    for (genvar s = 0; s <= MAX_K; s++) begin : g_stage
        wire                     valid;
        wire signed [18+s-1:0]   data;
        if (s == 0) begin : g_in
            assign valid = outside ? s_valid : pushing;
            assign data  = s_data;
        end else begin : g_butterfly
            localparam int LOG2 = MAX_K - s;
            lm_htu_stage #(
                .WIDTH(18 + s - 1),
                .LOG2 (LOG2)
            ) u_stage (
                .clk      (clk),
                .rst_n    (rst_n),
                .clear    (start_run),
                .advance  (advance),
                .bypass   (k <= 4'(LOG2)),
                .in_valid (g_stage[s-1].valid),
                .in_data  (g_stage[s-1].data),
                .out_valid(valid),
                .out_data (data)
            );
        end
    end
    assign y_valid = g_stage[MAX_K].valid;
    assign y       = g_stage[MAX_K].data;

    // ------------------------------------------------------------------------------------------------ where words come out

    logic [MAX_K-1:0] column;  // of y
    logic [MA-1:0]    row;
    logic [13:0]      block;
    logic [3:0]       lane;    // of y in its beat, with m = 1
    logic [1:0]       gap;     // cycles until the next y, where sums would still be on their way

    assign pack_ready = !m_valid || m_ready;
    wire y_ready    = mixed ? gap == '0 : pack_ready;
    wire y_take     = y_valid && y_ready && state == TAKE;
    wire row_end    = column == last_word;
    wire last_y     = row_end && row == last_row;
    assign advance  = !y_valid || y_take;

    always_ff @(posedge clk) begin
        if (!rst_n || start_run) begin
            column <= '0;
            row    <= '0;
            gap    <= '0;
        end else if (y_take) begin
            column <= row_end ? '0 : column + 1'b1;
            if (row_end) row <= last_y ? '0 : row + 1'b1;
            gap <= k < 4'd2 ? 2'd2 : 2'd0;
        end else if (gap != '0) gap <= gap - 1'b1;
        if (start) lane <= '0;
        else if (y_take) lane <= lane + 1'b1;
    end

    // ------------------------------------------------------------------------------------------------ sums, and giving them out

    logic             reading;    // rows and chunks are asked for
    logic [MA-1:0]    row_out;
    logic [MAX_K-5:0] chunk;
    logic             draining;   // sums may still be on their way into memory
    logic             asked_last1, asked_last2, asked_last3;
    wire              mix_busy;
    wire              q_valid;
    wire [16*32-1:0]  q;
    wire              r_advance   = !q_valid || pack_ready;
    wire [3:0]        short_mask  = last_word[3:0];
    wire              last_chunk  = chunk == last_word[MAX_K-1:4];
    wire              last_read   = last_chunk && row_out == last_row;
    assign given = q_valid && pack_ready && asked_last3;

    lm_htu_mix #(
        .MAX_M(MAX_M),
        .MAX_K(MAX_K),
        .WIDTH(WY)
    ) u_mix (
        .clk      (clk),
        .rst_n    (rst_n),
        .sign_we  (sign_we),
        .sign_addr(sign_addr),
        .sign_data(sign_data),
        .x_valid  (y_take && mixed),
        .x        (y),
        .x_row    (row),
        .x_column (column),
        .busy     (mix_busy),
        .r_advance(r_advance),
        .r_valid  (reading && !draining),
        .r_row    (row_out),
        .r_chunk  (chunk),
        .lane_mask(short_mask),
        .q_valid  (q_valid),
        .q        (q)
    );

    always_ff @(posedge clk) begin
        if (!rst_n) begin
            reading  <= 1'b0;
            draining <= 1'b0;
        end else begin
            draining <= mix_busy || y_take;
            if (y_take && mixed && last_y) reading <= 1'b1;
            else if (reading && !draining && r_advance && last_read) reading <= 1'b0;
        end
        if (y_take && last_y) begin
            row_out <= '0;
            chunk   <= '0;
        end else if (reading && !draining && r_advance) begin
            chunk <= last_chunk ? '0 : chunk + 1'b1;
            if (last_chunk) row_out <= row_out + 1'b1;
        end
        if (r_advance) begin
            asked_last1 <= last_read;
            asked_last2 <= asked_last1;
            asked_last3 <= asked_last2;
        end
    end

    // ------------------------------------------------------------------------------------------------ state

    wire stream_end = y_take && !mixed && last_y && block == 14'd1;
    always_ff @(posedge clk) begin
        if (!rst_n) state <= IDLE;
        else if (start) state <= TAKE;
        else if (state == TAKE && y_take && last_y && mixed) state <= GIVE;
        else if (stream_end) state <= IDLE;
        else if (state == GIVE && given) state <= more_blocks ? TAKE : IDLE;
        if (start) begin
            mixed     <= cfg_m != (MA + 1)'(1);
            k         <= cfg_k;
            last_row  <= MA'(cfg_m - 1'b1);
            last_word <= MAX_K'((1 << cfg_k) - 1);
            blocks    <= cfg_blocks;
            block     <= cfg_blocks;
        end else begin
            if (state == GIVE && given) blocks <= blocks - 1'b1;
            if (y_take && last_y && !mixed) block <= block - 1'b1;
        end
    end

    // ------------------------------------------------------------------------------------------------ packer

    // Pieces of 1 (m = 1), of 2^k or of 16 words fill a beat; a piece never crosses its end.
    logic [3:0] fill;  // of the beat, where pieces are rows
    wire        piece      = mixed ? q_valid : y_take;
    wire [3:0]  from       = mixed ? fill : lane;
    wire [3:0]  piece_mask = mixed ? short_mask : 4'd0;
    wire [3:0]  to         = from | piece_mask;
    wire        piece_last = mixed ? given && !more_blocks : stream_end;

    always_ff @(posedge clk) begin
        if (!rst_n) begin
            m_valid <= 1'b0;
        end else if (pack_ready) m_valid <= piece && (to == 4'd15 || piece_last);
        if (start) fill <= '0;
        else if (q_valid && pack_ready) fill <= to + 1'b1;
        if (pack_ready && piece) m_last <= piece_last;
    end
    for (genvar l = 0; l < 16; l++) begin : g_pack
        localparam logic [3:0] L = 4'(l);
        always_ff @(posedge clk) begin
            if (pack_ready && piece) begin
                if (((L ^ from) & ~piece_mask) == '0) m_data[32*l+:32] <= mixed ? q[32*l+:32] : 32'(y);
                else if (from == '0) m_data[32*l+:32] <= '0;
            end
        end
    end
endmodule
