// HTU: u vectors in memory to rotated ones in memory (docs/device.md). Their headers pass unchanged.
//
//   read ──┬── columns of H_m, eight a beat ──► signs of lm_htu
//          ├── vectors, one word a cycle ──► lm_htu ────────┬──► write
//          └── headers ─────────────────────────────────────┘
//
// start … info: as in every unit, see lm_top. A shape that lm_htu cannot hold, or that is not E, ends the descriptor with SIZE of its count.
// bounded, followed: while bounded, only the first `followed` beats of the u vectors are in memory, in the order in which lm_ssmu_unit writes
//   them: a token's words, then its header. So words are transformed while the SSMU makes the next.
// rd_*: one master: the signs, then words and header of each token. wr_*: one master, likewise.
// Cycles for a token, waiting for memory aside: 3, and those of lm_htu.
module lm_htu_unit #(
    parameter int MAX_INPUTS = 8192, // below 2^14
    parameter int MAX_M      = 64,   // 16, 32 or 64
    parameter int MAX_K      = 7,
    parameter int READERS    = 1,
    parameter int WRITERS    = 1
) (
    input  logic                   clk,
    input  logic                   rst_n,
    input  logic                   start,
    input  logic [511:0]           desc,
    input  logic                   bounded,
    input  logic [31:0]            followed,
    output logic                   done,
    output logic                   error,
    output logic [7:0]             code,
    output logic [63:0]            info,

    output logic [READERS-1:0]     rd_valid,
    input  logic [READERS-1:0]     rd_ready,
    output logic [READERS*64-1:0]  rd_addr,
    output logic [READERS*32-1:0]  rd_beats,
    input  logic [READERS-1:0]     rd_mvalid,
    output logic [READERS-1:0]     rd_mready,
    input  logic [READERS*512-1:0] rd_mdata,
    input  logic [READERS-1:0]     rd_idle,

    output logic [WRITERS-1:0]     wr_valid,
    input  logic [WRITERS-1:0]     wr_ready,
    output logic [WRITERS*64-1:0]  wr_addr,
    output logic [WRITERS*32-1:0]  wr_beats,
    output logic [WRITERS-1:0]     wr_svalid,
    input  logic [WRITERS-1:0]     wr_sready,
    output logic [WRITERS*512-1:0] wr_sdata,
    input  logic [WRITERS-1:0]     wr_idle
);
    `include "lm_device.svh"

    localparam int MA = $clog2(MAX_M);

    localparam logic [2:0] REST = 3'd0, CHECK = 3'd1, SIGNS = 3'd2, COMMAND = 3'd3, WORDS = 3'd4, HEADER = 3'd5;
    logic [2:0] state;
    logic       busy;

    // ------------------------------------------------------------------------------------------------ the descriptor

    logic [31:0] count;
    logic [15:0] blocks, m, k;
    logic [7:0]  tokens;  // not done yet, this one too
    logic [63:0] signs, from, to;

    wire [31:0] size = (32'(blocks[13:0]) * 32'(m[MA:0])) << k[3:0];
    wire        fits = count != 32'd0 && count == size && count <= 32'(MAX_INPUTS) && blocks[15:14] == '0 && tokens != 8'd0
                    && m <= 16'(MAX_M) && k <= 16'(MAX_K);
    wire [31:0] beats = (count + 32'd15) >> 4;  // of a vector, without its header

    // ------------------------------------------------------------------------------------------------ masters' commands

    wire         begins = state == CHECK && fits;
    wire         ask, ask_ready, part_valid;
    wire  [63:0] ask_addr, part_addr;
    wire  [31:0] ask_beats, earlier, part_beats;
    logic [31:0] base;  // beats before the part that is being read
    logic        signs_valid;
    lm_u_parts u_ask (
        .clk, .rst_n, .start(begins), .from, .tokens, .beats, .valid(ask), .ready(ask_ready), .part_addr(ask_addr), .part_beats(ask_beats),
        .earlier);
    lm_stride u_stride (
        .clk, .rst_n, .valid(ask), .ready(ask_ready), .addr(ask_addr), .beats(ask_beats), .stride(8'd1), .bounded,
        .limit(followed > base ? followed - base : 32'd0), .first(8'd0), .c_valid(part_valid), .c_ready(rd_ready[0] && !signs_valid),
        .c_addr(part_addr), .c_beats(part_beats));
    assign rd_valid = signs_valid || part_valid;
    assign rd_addr  = signs_valid ? signs : part_addr;
    assign rd_beats = signs_valid ? (32'(m) + 32'd7) >> 3 : part_beats;

    wire  [31:0] given;
    lm_u_parts u_give (
        .clk, .rst_n, .start(begins), .from(to), .tokens, .beats, .valid(wr_valid[0]), .ready(wr_ready[0]), .part_addr(wr_addr),
        .part_beats(wr_beats), .earlier(given));

    always_ff @(posedge clk) begin
        if (rd_ready[0]) signs_valid <= 1'b0;
        if (ask && ask_ready) base <= earlier;
        if (begins) signs_valid <= m != 16'd1;
        if (!rst_n) signs_valid <= 1'b0;
    end

    // ------------------------------------------------------------------------------------------------ the transform

    logic [13:0]   left;    // words of the vector that have not gone in
    logic [3:0]    lane;
    logic [MA-1:0] column;
    wire           cfg_ready, cfg_bad, s_ready, m_valid, m_last;
    wire [511:0]   w;
    wire           words       = state == WORDS && left != '0;
    wire           last_column = 16'(column) + 16'd1 == m;
    lm_htu #(.MAX_M(MAX_M), .MAX_K(MAX_K)) u_htu (
        .clk, .rst_n, .cfg_valid(state == COMMAND), .cfg_ready, .cfg_bad, .cfg_blocks(blocks[13:0]), .cfg_m(m[MA:0]), .cfg_k(k[3:0]),
        .sign_we(state == SIGNS && rd_mvalid[0]), .sign_addr(column), .sign_data(rd_mdata[{column[2:0], 6'd0} +: MAX_M]),
        .s_valid(words && rd_mvalid[0]), .s_ready, .s_data(rd_mdata[{lane, 5'd0} +: 18]),
        .m_valid, .m_ready(wr_sready[0]), .m_data(w), .m_last);
    wire take = words && rd_mvalid[0] && s_ready;

    // A beat is taken with the last of its words
    assign rd_mready[0] = state == SIGNS ? column[2:0] == 3'd7 || last_column
                        : state == HEADER ? wr_sready[0]
                        : words && s_ready && (lane == 4'd15 || left == 14'd1);
    assign wr_svalid[0] = state == HEADER ? rd_mvalid[0] : m_valid;
    assign wr_sdata     = state == HEADER ? rd_mdata : w;

    // ------------------------------------------------------------------------------------------------ order of things

    always_ff @(posedge clk) begin
        done <= 1'b0;
        case (state)
            REST:
                if (busy && !wr_valid[0] && !rd_valid[0] && rd_idle[0] && wr_idle[0]) begin
                    busy <= 1'b0;
                    done <= 1'b1;
                end
            CHECK: begin
                state  <= !fits ? REST : m != 16'd1 ? SIGNS : COMMAND;
                error  <= !fits;
                column <= '0;
            end
            SIGNS:
                if (rd_mvalid[0]) begin
                    column <= column + 1'b1;
                    if (last_column) state <= COMMAND;
                end
            COMMAND:
                if (cfg_ready) begin
                    state <= WORDS;
                    left  <= count[13:0];
                    lane  <= '0;
                end
            WORDS: begin
                if (take) begin
                    left <= left - 14'd1;
                    lane <= lane + 4'd1;
                end
                if (m_valid && wr_sready[0] && m_last) state <= HEADER;
            end
            HEADER:
                if (rd_mvalid[0] && wr_sready[0]) begin
                    state  <= tokens == 8'd1 ? REST : COMMAND;
                    tokens <= tokens - 8'd1;
                end
            default: ;
        endcase
        if (start) begin
            busy   <= 1'b1;
            state  <= CHECK;
            error  <= 1'b0;
            code   <= LM_STATUS_SIZE[7:0];
            info   <= {32'd0, LM_DESC_COUNT};
            count  <= desc[8*LM_DESC_COUNT +: 32];
            blocks <= desc[8*LM_DESC_HEADS +: 16];
            m      <= desc[8*LM_DESC_INPUTS +: 16];
            k      <= desc[8*LM_DESC_HEAD_DIM +: 16];
            tokens <= desc[8*LM_DESC_TOKENS +: 8];
            from   <= desc[8*LM_DESC_A0 +: 64];
            to     <= desc[8*LM_DESC_A1 +: 64];
            signs  <= desc[8*LM_DESC_A2 +: 64];
        end
        if (!rst_n) begin
            busy  <= 1'b0;
            done  <= 1'b0;
            error <= 1'b0;
            state <= REST;
        end
    end

    wire unused = &{1'b0, desc, cfg_bad, given};
endmodule
