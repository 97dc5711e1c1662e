// MMU: linear layers, from weights in memory order to scaled rows: one lane (lm_mmu_lane), a queue, the row scale
// (lm_rows). One command serves both.
//
// Ports are those of the two modules, whose headers say what they mean:
//   act_*                     activations, as in lm_mmu_lane
//   cmd_base .. cmd_mode      of lm_mmu_lane; cmd_kind .. cmd_shift of lm_rows; cmd_blocks, cmd_tokens of both
//   s_*                       weights
//   e_*, b_*, r_*             row exponents, biases, residual
//   m_*                       results
// A command is taken when both have room for it: the lane may run ahead of the row scale by QUEUE blocks (a block and
// vector each), and into the next command when it is done.
//
// Latency: 6 cycles from a block's last beat to its sums, 1 in the queue, 7 + 8 / ROWS - 1 in the row scale. Throughput:
// one beat a cycle as long as a block has at least vectors * 8 / ROWS beats.
module lm_mmu #(
    parameter int ACT_BITS = 5,
    parameter int TOKENS   = 1,
    parameter int DEPTH    = 1024,
    parameter int ROWS     = 1,
    parameter int QUEUE    = 4,
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

    input  logic                   s_valid,
    output logic                   s_ready,
    input  logic [511:0]           s_data,

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
    localparam int CW = 2 + 1 + 18 + (TW + 1) + 28 * TOKENS;   // a command of the row scale

    // A lane that has nothing to do must not leave the row scale waiting for sums.
    wire [17:0] blocks = cmd_groups == '0 ? 18'd0 : cmd_blocks;

    wire lane_ready;
    wire rows_room;
    assign cmd_ready = lane_ready && rows_room;

    wire          sum_valid;
    wire          sum_ready;
    wire [295:0]  sum_data;
    /* verilator lint_off UNUSEDSIGNAL */   // the row scale counts vectors itself; a queue's level is of no use here
    wire [TW-1:0] sum_token;
    wire          sum_last;
    wire [1:0]    command_level;
    wire [$clog2(QUEUE):0] sum_level;
    /* verilator lint_on UNUSEDSIGNAL */
    lm_mmu_lane #(.ACT_BITS(ACT_BITS), .TOKENS(TOKENS), .DEPTH(DEPTH)) lane (
        .clk(clk), .rst_n(rst_n),
        .act_valid(act_valid), .act_token(act_token), .act_addr(act_addr), .act_codes(act_codes),
        .act_scale(act_scale),
        .cmd_valid(cmd_valid && rows_room), .cmd_ready(lane_ready), .cmd_base(cmd_base), .cmd_groups(cmd_groups),
        .cmd_blocks(blocks), .cmd_tokens(cmd_tokens), .cmd_wide(cmd_wide), .cmd_group16(cmd_group16),
        .cmd_mode(cmd_mode),
        .s_valid(s_valid), .s_ready(s_ready), .s_data(s_data),
        .m_valid(sum_valid), .m_ready(sum_ready), .m_data(sum_data), .m_token(sum_token), .m_last(sum_last)
    );

    wire         queued_valid;
    wire         queued_ready;
    wire [295:0] queued_data;
    lm_fifo #(.WIDTH(296), .DEPTH(QUEUE)) sums (
        .clk(clk), .rst_n(rst_n), .s_valid(sum_valid), .s_ready(sum_ready), .s_data(sum_data),
        .m_valid(queued_valid), .m_ready(queued_ready), .m_data(queued_data), .level(sum_level)
    );

    wire          rows_valid;
    wire          rows_ready;
    wire [CW-1:0] rows_command;
    lm_fifo #(.WIDTH(CW), .DEPTH(2)) commands (
        .clk(clk), .rst_n(rst_n), .s_valid(cmd_valid && lane_ready), .s_ready(rows_room),
        .s_data({cmd_kind, cmd_bias, blocks, cmd_tokens, cmd_shift, cmd_factor}),
        .m_valid(rows_valid), .m_ready(rows_ready), .m_data(rows_command), .level(command_level)
    );

    lm_rows #(.TOKENS(TOKENS), .ROWS(ROWS)) rows (
        .clk(clk), .rst_n(rst_n),
        .cmd_valid(rows_valid), .cmd_ready(rows_ready), .cmd_kind(rows_command[CW-1 -: 2]),
        .cmd_bias(rows_command[CW-3]), .cmd_blocks(rows_command[28*TOKENS+TW+1 +: 18]),
        .cmd_tokens(rows_command[28*TOKENS +: TW+1]), .cmd_shift(rows_command[16*TOKENS +: 12*TOKENS]),
        .cmd_factor(rows_command[0 +: 16*TOKENS]),
        .a_valid(queued_valid), .a_ready(queued_ready), .a_data(queued_data),
        .e_valid(e_valid), .e_ready(e_ready), .e_data(e_data),
        .b_valid(b_valid), .b_ready(b_ready), .b_data(b_data),
        .r_valid(r_valid), .r_ready(r_ready), .r_data(r_data),
        .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data), .m_token(m_token), .m_last(m_last)
    );
endmodule
