// MMU, one lane: acc = W * v for blocks of 8 rows, from a stream of weights as they lie in memory (docs/format.md), for
// up to TOKENS vectors v at once. Formulas: docs/numerics.md, 3.2. Exact.
//
// Activations (a plain write port; read by commands):
//   act_codes  16 codes v, signed, ACT_BITS each, the first in the low bits; act_scale: their sa (mode 0: ignored)
//   act_addr   group of 16 inputs, 0 .. DEPTH-1; act_token: of which vector. A region that a command reads must not be
//              written until that command's last beat is taken; other regions may, so that vectors take turns.
// Command: one matrix (or part of one). While one runs, the next waits (cmd_ready is low).
//   cmd_base     first group in the activation buffer    cmd_groups  groups of 16 inputs: Kp / 16, even
//   cmd_blocks   results: blocks of 8 rows               cmd_tokens  vectors, 1 .. TOKENS
//   cmd_wide     8-bit weights: each result is made of two blocks, high halves first: (acc_hi << 4) + acc_lo, which
//                takes the 37 bits; a sum of 4-bit weights is int32
//   cmd_group16  weights have a scale per 16 inputs instead of 32: two scale beats a frame instead of one
//   cmd_mode     0: whole: acc += dot * sw (A8)          1: acc += dot * ((sw * sa + 16) >> 5) (A4, A5)
//                2: acc += dot * ((sw * sa + 32) >> 6) (A6)
//   With no groups or no blocks a command does nothing.
// Weights: s_data is one beat of 64 bytes, byte 0 in the low bits: scale beats, then code beats of 8 rows x 16 inputs.
// Sums: one transfer a block and vector, vector 0 first; m_data: row r is bits 37r+36 .. 37r, signed. m_last: the
//   block's last vector.
//
// ACT_BITS must hold the codes: 5 for A4 and A5, 6 for A6 too, 8 for all. TOKENS copies of buffers and multipliers
// share the unpacking of the weights.
//
// Latency: 6 cycles from a block's last beat to its first sum. Throughput: one beat a cycle, for as long as sums are
// taken before the next block ends (TOKENS + 1 cycles); one idle cycle between commands. A lane never waits for a beat
// it has not been given, and s_ready depends on no input in the same cycle.
module lm_mmu_lane #(
    parameter int ACT_BITS = 5,
    parameter int TOKENS   = 1,
    parameter int DEPTH    = 1024,
    localparam int AW      = $clog2(DEPTH),
    localparam int TW      = TOKENS > 1 ? $clog2(TOKENS) : 1
) (
    input  logic                   clk,
    input  logic                   rst_n,

    input  logic                   act_valid,
    input  logic [TW-1:0]          act_token,
    input  logic [AW-1:0]          act_addr,
    input  logic [16*ACT_BITS-1:0] act_codes,
    input  logic [7:0]             act_scale,

    input  logic                   cmd_valid,
    output logic                   cmd_ready,
    input  logic [AW-1:0]          cmd_base,
    input  logic [AW:0]            cmd_groups,
    input  logic [17:0]            cmd_blocks,
    input  logic [TW:0]            cmd_tokens,
    input  logic                   cmd_wide,
    input  logic                   cmd_group16,
    input  logic [1:0]             cmd_mode,

    input  logic                   s_valid,
    output logic                   s_ready,
    input  logic [511:0]           s_data,

    output logic                   m_valid,
    input  logic                   m_ready,
    output logic [8*37-1:0]        m_data,
    output logic [TW-1:0]          m_token,
    output logic                   m_last
);
    localparam int DW = ACT_BITS + 8;   // dot
    localparam int PW = DW + 11;        // dot * scale, 11 bits unsigned

    // ------------------------------------------------------------------ the command, and where in its beats we are
    logic          busy;
    logic [AW-1:0] base;
    logic [AW:0]   groups;
    logic [17:0]   blocks_left;
    logic [TOKENS-1:0] active;  // vectors of the command
    logic          wide;
    logic          group16;
    logic [1:0]    mode;

    logic          codes;       // this beat is codes; else scales
    logic          second;      // of two scale beats
    logic [3:0]    index;       // of the code beat in its frame
    logic [AW:0]   groups_left; // in the block
    logic [AW-1:0] addr;
    logic          low;         // the block of low halves
    logic [1023:0] scales;      // byte 8 * group + row

    logic en;                   // the pipeline moves
    wire  take      = s_valid && s_ready;
    wire  block_end = groups_left == (AW + 1)'(1);

    assign cmd_ready = !busy;
    assign s_ready   = busy && en;

    always_ff @(posedge clk) begin
        if (!rst_n) busy <= 1'b0;
        else if (cmd_valid && cmd_ready) busy <= cmd_groups != '0 && cmd_blocks != '0;
        else if (take && codes && block_end && (low || !wide) && blocks_left == 18'd1) busy <= 1'b0;

        if (cmd_valid && cmd_ready) begin
            base        <= cmd_base;
            groups      <= cmd_groups;
            blocks_left <= cmd_blocks;
            for (int t = 0; t < TOKENS; t++) active[t] <= (TW + 1)'(t) < cmd_tokens;
            wide        <= cmd_wide;
            group16     <= cmd_group16;
            mode        <= cmd_mode;
            codes       <= 1'b0;
            second      <= 1'b0;
            groups_left <= cmd_groups;
            addr        <= cmd_base;
            low         <= 1'b0;
        end else if (take && !codes) begin
            if (second) scales[1023:512] <= s_data;
            else scales[511:0] <= s_data;
            second <= group16 && !second;
            codes  <= !group16 || second;
            index  <= 4'd0;
        end else if (take) begin
            index <= index + 1'b1;
            codes <= index != 4'd15 && !block_end;
            if (block_end) begin
                groups_left <= groups;
                addr        <= base;
                low         <= wide && !low;
                if (low || !wide) blocks_left <= blocks_left - 1'b1;
            end else begin
                groups_left <= groups_left - 1'b1;
                addr        <= addr + 1'b1;
            end
        end
    end

    // ------------------------------------------------------------------ what travels with a beat, stage 1 .. 6
    // {mode, first of a block, first of low halves, last of a result, for which vectors there is a beat}
    localparam int XW = 5 + TOKENS;
    wire [XW-1:0] x0 = {mode, groups_left == groups && !low, groups_left == groups && low, block_end && (low || !wide),
                        take && codes ? active : {TOKENS{1'b0}}};
    logic [XW-1:0] x1, x2, x3, x4, x5;
    always_ff @(posedge clk) begin
        if (en) begin
            x1 <= x0;
            x2 <= x1;
            x3 <= x2;
            x4 <= x3;
            x5 <= x4;
        end
        if (!rst_n) begin
            x1[TOKENS-1:0] <= '0;
            x2[TOKENS-1:0] <= '0;
            x3[TOKENS-1:0] <= '0;
            x4[TOKENS-1:0] <= '0;
            x5[TOKENS-1:0] <= '0;
        end
    end

    // ------------------------------------------------------------------ stage 1: weights as 8 rows of 16 nibbles
    logic [63:0] row_scales;   // byte r: sw of row r
    always_ff @(posedge clk)
        if (en && x0[0]) row_scales <= scales[{group16 ? index : {1'b0, index[3:1]}, 6'd0} +: 64];

    // A row's nibbles in the order of the beat, 2 bytes of every 16; where input i lies among them is IN_BEAT
    for (genvar r = 0; r < 8; r++) begin : g_row
        logic [63:0] w1;
        always_ff @(posedge clk) if (en && x0[0]) begin
            w1 <= {s_data[384+16*r +: 16], s_data[256+16*r +: 16], s_data[128+16*r +: 16], s_data[16*r +: 16]}
                ^ {16{4'd8}};   // stored with +8
        end
    end
    logic [16*ACT_BITS-1:0] act_in_beat;
    for (genvar i = 0; i < 16; i++) begin : g_act
        localparam int IN_BEAT = (i & ~3) + 2 * (i & 1) + (i & 3) / 2;
        assign act_in_beat[ACT_BITS*IN_BEAT +: ACT_BITS] = act_codes[ACT_BITS*i +: ACT_BITS];
    end

    // ------------------------------------------------------------------ stages 1 .. 6 of each vector
    wire last5   = x5[0] && x5[TOKENS];
    wire collect = en && last5;
    for (genvar t = 0; t < TOKENS; t++) begin : g_token
        // Stage k moves where there is a beat for this vector.
        wire [6:1] go = {x5[t], x4[t], x3[t], x2[t], x1[t], x0[t]} & {6{en}};

        logic [16*ACT_BITS+7:0] mem [0:DEPTH-1];
        logic [16*ACT_BITS+7:0] act;   // {sa, codes}
        always_ff @(posedge clk) begin
            if (act_valid && act_token == TW'(t)) mem[act_addr] <= {act_scale, act_in_beat};
            if (go[1]) act <= mem[addr];
        end

        wire [8*37-1:0] sums;
        for (genvar r = 0; r < 8; r++) begin : g_row8
            // Scale: product of both in stage 2, rounded in 3, waits in 4 for the dot product.
            // (p + 2^(s-1)) >> s is (p >> s) + bit s-1 of p; the bits below that are never looked at.
            /* verilator lint_off UNUSEDSIGNAL */
            logic [15:0] product;
            /* verilator lint_on UNUSEDSIGNAL */
            logic [7:0]  sw2;
            logic [10:0] scale3;
            logic [10:0] scale4;
            always_ff @(posedge clk) begin
                if (go[2]) begin
                    sw2     <= row_scales[8*r +: 8];
                    product <= 16'(row_scales[8*r +: 8]) * 16'(act[16*ACT_BITS +: 8]);
                end
                if (go[3]) begin
                    case (x2[TOKENS+4:TOKENS+3])
                        2'd0:    scale3 <= 11'(sw2);
                        2'd1:    scale3 <= product[15:5] + 11'(product[4]);
                        default: scale3 <= 11'(product[15:6]) + 11'(product[5]);
                    endcase
                end
                if (go[4]) scale4 <= scale3;
            end

            wire signed [DW-1:0] dot4;
            lm_dot16 #(.ACT_BITS(ACT_BITS)) dot16 (
                .clk(clk), .en(go[4:2]), .w(g_row[r].w1), .v(act[16*ACT_BITS-1:0]), .dot(dot4)
            );

            logic signed [PW-1:0] part5;
            logic signed [36:0]   acc;
            wire signed [36:0]    old = x5[TOKENS+2] ? 37'sd0 : (x5[TOKENS+1] ? acc <<< 4 : acc);
            wire signed [36:0]    sum = old + 37'(part5);
            always_ff @(posedge clk) begin
                if (go[5]) part5 <= PW'(dot4) * PW'($signed({1'b0, scale4}));
                if (go[6]) acc <= sum;
            end
            assign sums[37*r +: 37] = sum;
        end
    end

    // ------------------------------------------------------------------ sums, one vector after the other
    logic [TOKENS-1:0] full;    // which sums are there
    logic [TW-1:0]     token;
    // The next block may only end when the sums of the last one are gone.
    assign en      = !(last5 && full[0]);
    assign m_valid = full[0];
    assign m_token = token;
    assign m_last  = (full >> 1) == '0;

    for (genvar t = 0; t < TOKENS; t++) begin : g_held
        logic [8*37-1:0] held;   // the first goes out, the others move up
        if (t + 1 < TOKENS) begin : g
            always_ff @(posedge clk) begin
                if (collect) held <= g_token[t].sums;
                else if (m_valid && m_ready) held <= g_held[t+1].held;
            end
        end else begin : g
            always_ff @(posedge clk) if (collect) held <= g_token[t].sums;
        end
    end
    assign m_data = g_held[0].held;

    always_ff @(posedge clk) begin
        if (collect) begin
            full  <= x5[TOKENS-1:0];
            token <= '0;
        end else if (m_valid && m_ready) begin
            full  <= full >> 1;
            token <= token + 1'b1;
        end
        if (!rst_n) full <= '0;
    end
endmodule
