// MMU: linear layers, from weights in memory order to scaled rows: LANES lanes (lm_mmu_lane), each with a queue of sums, and
// one row scale (lm_rows). One command serves all.
//
// Ports are those of the two modules, whose headers say what they mean:
//   act_*                     activations, as in lm_mmu_lane; every lane gets them
//   cmd_base .. cmd_mode      of lm_mmu_lane; cmd_kind .. cmd_shift of lm_rows; cmd_tokens of both
//   cmd_blocks                blocks of the command; cmd_share: those of each lane, 18 bits, lane 0 in the low bits
//   cmd_pattern, cmd_length   who has which block: block b is with the lane in byte b mod length of the pattern, length
//                             1 .. PLACES. cmd_share must be what follows from that; a lane that has none does nothing
//   s_*                       weights, a stream a lane, lane 0 in the low bits
//   e_*, b_*, r_*             row exponents, biases, residual, in the order of the blocks
//   m_*                       results, in the same order
// A command is taken when all have room for it: a lane may run ahead of the row scale by QUEUE sums (a block and vector
// each) and those that it holds itself, and into the next command when all lanes are done.
//
// Latency: 6 cycles from a block's last beat to its sums, 1 in the queue, 7 + 8 / ROWS - 1 in the row scale. Throughput:
// one beat a lane and cycle as long as a block has at least LANES * vectors * 8 / ROWS beats.
module lm_mmu #(
    parameter int LANES    = 1,
    parameter int ACT_BITS = 5,
    parameter int TOKENS   = 1,
    parameter int DEPTH    = 1024,
    parameter int ROWS     = 1,
    parameter int QUEUE    = 4,
    parameter int PLACES   = 63,   // below 64
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
    input  logic [17:0]            cmd_blocks,
    input  logic [18*LANES-1:0]    cmd_share,
    input  logic [8*PLACES-1:0]    cmd_pattern,
    input  logic [5:0]             cmd_length,
    input  logic [TW:0]            cmd_tokens,
    input  logic [AW-1:0]          cmd_base,
    input  logic [AW:0]            cmd_groups,
    input  logic                   cmd_wide,
    input  logic                   cmd_group16,
    input  logic [1:0]             cmd_mode,
    input  logic [1:0]             cmd_kind,
    input  logic                   cmd_bias,
    input  logic [16*TOKENS-1:0]   cmd_factor,
    input  logic [12*TOKENS-1:0]   cmd_shift,

    input  logic [LANES-1:0]       s_valid,
    output logic [LANES-1:0]       s_ready,
    input  logic [512*LANES-1:0]   s_data,

    input  logic                   e_valid,
    output logic                   e_ready,
    input  logic [71:0]            e_data,

    input  logic                   b_valid,
    output logic                   b_ready,
    input  logic [255:0]           b_data,

    input  logic                   r_valid,
    output logic                   r_ready,
    input  logic [255:0]           r_data,

    output logic                   m_valid,
    input  logic                   m_ready,
    output logic [255:0]           m_data,
    output logic [TW-1:0]          m_token,
    output logic                   m_last
);
    localparam int LW = LANES > 1 ? $clog2(LANES) : 1;
    localparam int RW = 2 + 1 + 18 + (TW + 1) + 28 * TOKENS;   // a command of the row scale
    localparam int CW = PLACES * LW + 6 + RW;                      // with the pattern, of what comes behind the lanes

    // A lane that has nothing to do must not leave the row scale waiting for sums.
    wire [17:0] blocks = cmd_groups == '0 ? 18'd0 : cmd_blocks;

    wire [LANES-1:0] lane_ready;
    wire             room;
    assign cmd_ready = lane_ready == '1 && room;

    // ------------------------------------------------------------------ lanes and their queues of {last vector, sums}
    wire [LANES-1:0]     queued_valid;
    wire [LANES-1:0]     queued_ready;
    wire [297*LANES-1:0] queued;
    for (genvar l = 0; l < LANES; l++) begin : g_lane
        wire          sum_valid;
        wire          sum_ready;
        wire [295:0]  sum_data;
        wire          sum_last;
        /* verilator lint_off UNUSEDSIGNAL */   // the row scale counts vectors itself; a queue's level is of no use here
        wire [TW-1:0]          sum_token;
        wire [$clog2(QUEUE):0] level;
        /* verilator lint_on UNUSEDSIGNAL */
        lm_mmu_lane #(.ACT_BITS(ACT_BITS), .TOKENS(TOKENS), .DEPTH(DEPTH)) lane (
            .clk(clk), .rst_n(rst_n),
            .act_valid(act_valid), .act_token(act_token), .act_addr(act_addr), .act_codes(act_codes),
            .act_scale(act_scale),
            .cmd_valid(cmd_valid && cmd_ready), .cmd_ready(lane_ready[l]), .cmd_base(cmd_base), .cmd_groups(cmd_groups),
            .cmd_blocks(cmd_share[18*l +: 18]), .cmd_tokens(cmd_tokens), .cmd_wide(cmd_wide), .cmd_group16(cmd_group16),
            .cmd_mode(cmd_mode),
            .s_valid(s_valid[l]), .s_ready(s_ready[l]), .s_data(s_data[512*l +: 512]),
            .m_valid(sum_valid), .m_ready(sum_ready), .m_data(sum_data), .m_token(sum_token), .m_last(sum_last)
        );
        lm_fifo #(.WIDTH(297), .DEPTH(QUEUE)) sums (
            .clk(clk), .rst_n(rst_n), .s_valid(sum_valid), .s_ready(sum_ready), .s_data({sum_last, sum_data}),
            .m_valid(queued_valid[l]), .m_ready(queued_ready[l]), .m_data(queued[297*l +: 297]), .level(level)
        );
    end

    // ------------------------------------------------------------------ commands that wait for the row scale
    wire unused = &{1'b0, cmd_pattern};   // the high bits of a lane's number
    wire [PLACES*LW-1:0] lanes_of;
    for (genvar i = 0; i < PLACES; i++) begin : g_place
        assign lanes_of[LW*i +: LW] = cmd_pattern[8*i +: LW];
    end

    /* verilator lint_off UNUSEDSIGNAL */
    wire [1:0]    waiting;
    /* verilator lint_on UNUSEDSIGNAL */
    wire          rows_valid;
    wire          rows_ready;
    wire [CW-1:0] command;
    lm_fifo #(.WIDTH(CW), .DEPTH(2)) commands (
        .clk(clk), .rst_n(rst_n), .s_valid(cmd_valid && lane_ready == '1), .s_ready(room),
        .s_data({lanes_of, cmd_length - 6'd1, cmd_kind, cmd_bias, blocks, cmd_tokens, cmd_shift, cmd_factor}),
        .m_valid(rows_valid), .m_ready(rows_ready), .m_data(command), .level(waiting)
    );

    // ------------------------------------------------------------------ collector: blocks in the order of the matrix
    logic [PLACES*LW-1:0] pattern;
    logic [5:0]       top_place;
    logic [5:0]       place;
    wire  [LW-1:0]    turn = pattern[LW*place +: LW];

    wire a_ready;
    wire a_valid;
    wire a_last;
    logic [296:0] chosen;
    always_comb begin
        chosen = queued[296:0];
        for (int l = 1; l < LANES; l++) if (turn == LW'(l)) chosen = queued[297*l +: 297];
    end
    assign a_valid = queued_valid[turn];
    assign a_last  = chosen[296];
    for (genvar l = 0; l < LANES; l++) begin : g_turn
        assign queued_ready[l] = a_ready && turn == LW'(l);
    end

    always_ff @(posedge clk) begin
        if (rows_valid && rows_ready) begin
            pattern   <= command[CW-1 -: PLACES*LW];
            top_place <= command[RW +: 6];
            place     <= '0;
        end else if (a_valid && a_ready && a_last) begin
            place <= place == top_place ? '0 : place + 1'b1;
        end
    end

    lm_rows #(.TOKENS(TOKENS), .ROWS(ROWS)) rows (
        .clk(clk), .rst_n(rst_n),
        .cmd_valid(rows_valid), .cmd_ready(rows_ready), .cmd_kind(command[RW-1 -: 2]), .cmd_bias(command[RW-3]),
        .cmd_blocks(command[28*TOKENS+TW+1 +: 18]), .cmd_tokens(command[28*TOKENS +: TW+1]),
        .cmd_shift(command[16*TOKENS +: 12*TOKENS]), .cmd_factor(command[0 +: 16*TOKENS]),
        .a_valid(a_valid), .a_ready(a_ready), .a_data(chosen[295:0]),
        .e_valid(e_valid), .e_ready(e_ready), .e_data(e_data),
        .b_valid(b_valid), .b_ready(b_ready), .b_data(b_data),
        .r_valid(r_valid), .r_ready(r_ready), .r_data(r_data),
        .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data), .m_token(m_token), .m_last(m_last)
    );
endmodule
