// The row scale of a linear layer: rowOut = rsh(acc * m, s) + bias, saturated, for blocks of 8 rows from the MMU.
// Formulas: docs/numerics.md, 3.2. Exact: no width here is narrower than any result needs.
//
// Command: one matrix (or part of one), for up to TOKENS vectors. While one runs, the next waits.
//   cmd_kind     0: sat 16 (in_proj)     1: added to the residual, saturated to +-(2^30 - 1) (out_proj)
//                2: sat 32 (lm_head)     3: as 0
//   cmd_blocks   blocks of 8 rows; with none it does nothing    cmd_tokens  vectors, 1 .. TOKENS
//   cmd_bias     rows have biases: one transfer of b_* a block
//   cmd_factor   m of each vector, u16, vector 0 in the low bits
//   cmd_shift    s of each vector without what depends on the row, 12 bits, signed
// Streams, one transfer a block:
//   e_data       bits 8r+7 .. 8r: row exponent rw of row r, int8; bits 71 .. 64: f, int8: what else the block's rows
//                have in common, as f_seg of in_proj. A row is shifted by cmd_shift - rw - f
//   b_data       bits 32r+31 .. 32r: bias of row r
// Streams, one transfer a block and vector, vector 0 first:
//   a_data       sums, bits 37r+36 .. 37r, as lm_mmu_lane gives them
//   r_data       residual, int32 a row, only with kind 1
//   m_data       results, int32 a row (16-bit ones sign-extended); m_token: the vector; m_last: the command's last
// A transfer of a stream is taken when all those that the block needs are there.
//
// ROWS rows a cycle (1, 2, 4 or 8): ROWS multipliers of 37 x 16 bits.
// Latency 7 cycles and 8 / ROWS - 1 more from a block to its result; throughput a block every 8 / ROWS cycles; one idle
// cycle between commands.
module lm_rows #(
    parameter int TOKENS = 1,
    parameter int ROWS   = 1,
    localparam int TW    = TOKENS > 1 ? $clog2(TOKENS) : 1
) (
    input  logic                     clk,
    input  logic                     rst_n,

    input  logic                     cmd_valid,
    output logic                     cmd_ready,
    input  logic [1:0]               cmd_kind,
    input  logic [17:0]              cmd_blocks,
    input  logic [TW:0]              cmd_tokens,
    input  logic                     cmd_bias,
    input  logic [16*TOKENS-1:0]     cmd_factor,
    input  logic [12*TOKENS-1:0]     cmd_shift,

    input  logic                     a_valid,
    output logic                     a_ready,
    input  logic [8*37-1:0]          a_data,

    input  logic                     e_valid,
    output logic                     e_ready,
    input  logic [71:0]              e_data,

    input  logic                     b_valid,
    output logic                     b_ready,
    input  logic [255:0]             b_data,

    input  logic                     r_valid,
    output logic                     r_ready,
    input  logic [255:0]             r_data,

    output logic                     m_valid,
    input  logic                     m_ready,
    output logic [255:0]             m_data,
    output logic [TW-1:0]            m_token,
    output logic                     m_last
);
    localparam int STEPS = 8 / ROWS;
    localparam int SW    = STEPS > 1 ? $clog2(STEPS) : 1;

    // ------------------------------------------------------------------ the command, and where in it we are
    logic                 busy;
    logic [1:0]           kind;
    logic [17:0]          blocks_left;
    logic [TW-1:0]        top_token;
    logic                 has_bias;
    logic [16*TOKENS-1:0] factors;
    logic [12*TOKENS-1:0] shifts;
    logic [TW-1:0]        token;
    logic [SW-1:0]        step;

    logic en;   // the pipeline moves
    wire  adds      = kind == 2'd1;
    wire  take      = en && busy && a_valid && e_valid && (b_valid || !has_bias) && (r_valid || !adds);
    wire  step_end  = step == SW'(STEPS - 1);
    wire  token_end = step_end && token == top_token;
    wire  command_end = token_end && blocks_left == 18'd1;

    assign cmd_ready = !busy;
    assign a_ready   = take && step_end;
    assign r_ready   = take && step_end && adds;
    assign e_ready   = take && token_end;
    assign b_ready   = take && token_end && has_bias;

    always_ff @(posedge clk) begin
        if (!rst_n) busy <= 1'b0;
        else if (cmd_valid && cmd_ready) busy <= cmd_blocks != '0;
        else if (take && command_end) busy <= 1'b0;

        if (cmd_valid && cmd_ready) begin
            kind        <= cmd_kind;
            blocks_left <= cmd_blocks;
            top_token   <= TW'(cmd_tokens - 1'b1);
            has_bias    <= cmd_bias;
            factors     <= cmd_factor;
            shifts      <= cmd_shift;
            token       <= '0;
            step        <= '0;
        end else if (take) begin
            step <= step_end ? '0 : step + 1'b1;
            if (step_end) token <= token_end ? '0 : token + 1'b1;
            if (token_end) blocks_left <= blocks_left - 1'b1;
        end
    end

    // ------------------------------------------------------------------ what travels with the rows, stage 1 .. 6
    // {valid, kind, last of the command, last of the block, vector, step}
    localparam int XW = 5 + TW + SW;
    wire [XW-1:0] x0 = {take, kind, command_end, step_end, token, step};
    logic [XW-1:0] x1, x2, x3, x4, x5, x6;
    always_ff @(posedge clk) begin
        if (en) begin
            x1 <= x0;
            x2 <= x1;
            x3 <= x2;
            x4 <= x3;
            x5 <= x4;
            x6 <= x5;
        end
        if (!rst_n) begin
            x1[XW-1] <= 1'b0;
            x2[XW-1] <= 1'b0;
            x3[XW-1] <= 1'b0;
            x4[XW-1] <= 1'b0;
            x5[XW-1] <= 1'b0;
            x6[XW-1] <= 1'b0;
        end
    end

    // Stage k moves where there are rows.
    wire [6:1] go = {en && x5[XW-1], en && x4[XW-1], en && x3[XW-1], en && x2[XW-1], en && x1[XW-1], take};

    // ------------------------------------------------------------------ ROWS rows
    wire [32*ROWS-1:0] results;   // of stage 6
    for (genvar i = 0; i < ROWS; i++) begin : g_row
        wire [2:0] row = 3'(32'(step) * ROWS + i);

        // 1: operands. s is within +-(2048 + 128 + 128).
        logic signed [36:0] acc1;
        logic signed [16:0] factor1;
        logic signed [13:0] shift1;
        logic signed [32:0] add1;   // bias and residual: below 2^31 + 2^31 in size
        wire signed [13:0] s = 14'($signed(shifts[12*token +: 12])) - 14'($signed(e_data[8*row +: 8]))
                             - 14'($signed(e_data[71:64]));
        wire signed [32:0] bias     = has_bias ? 33'($signed(b_data[32*row +: 32])) : 33'sd0;
        wire signed [32:0] residual = adds ? 33'($signed(r_data[32*row +: 32])) : 33'sd0;
        always_ff @(posedge clk) if (go[1]) begin
            acc1    <= $signed(a_data[37*row +: 37]);
            factor1 <= $signed({1'b0, factors[16*token +: 16]});
            shift1  <= s;
            add1    <= bias + residual;
        end

        // 2, 3: acc * m, below 2^52 in size; a register more for the multiplier to be cut in two.
        // The shift as a right shift of the product with 34 bits below it, 0 .. 87: then everything to the left of
        // 2^33 saturates as it would at any distance, and everything to the right of 2^-54 is 0.
        logic signed [52:0] product2;
        logic signed [52:0] product3;
        logic [6:0]         right2;
        logic [6:0]         right3;
        logic signed [32:0] add2;
        logic signed [32:0] add3;
        wire signed [13:0] right = shift1 + 14'sd33;
        always_ff @(posedge clk) if (go[2]) begin
            product2 <= 53'(acc1) * 53'(factor1);
            right2   <= right < 14'sd0 ? 7'd0 : (right > 14'sd87 ? 7'd87 : right[6:0]);
            add2     <= add1;
        end
        always_ff @(posedge clk) if (go[3]) begin
            product3 <= product2;
            right3   <= right2;
            add3     <= add2;
        end

        // 4: one bit more than the result, for rounding: floor(2x). 5: rounded, and cut to 34 bits: whatever is added
        // to more than that saturates alike.
        logic signed [86:0] twice4;
        logic signed [33:0] scaled5;
        logic signed [32:0] add4;
        logic signed [32:0] add5;
        wire signed [86:0] wide3   = $signed({product3, 34'd0}) >>> right3;
        wire signed [86:0] rounded = (twice4 + 87'sd1) >>> 1;
        wire               fits    = rounded[86:33] == {54{rounded[86]}};
        always_ff @(posedge clk) if (go[4]) begin
            twice4 <= wide3;
            add4   <= add3;
        end
        always_ff @(posedge clk) if (go[5]) begin
            scaled5 <= fits ? rounded[33:0] : {rounded[86], {33{!rounded[86]}}};
            add5    <= add4;
        end

        // 6: sum and saturation.
        localparam logic signed [35:0] TOP16 = 36'sd32767;
        localparam logic signed [35:0] TOP30 = 36'sd1073741823;
        localparam logic signed [35:0] TOP32 = 36'sd2147483647;
        logic [31:0] result6;
        wire [1:0]         kind5 = x5[XW-2 -: 2];
        wire signed [35:0] sum   = 36'(scaled5) + 36'(add5);
        wire signed [35:0] high  = kind5 == 2'd1 ? TOP30 : (kind5 == 2'd2 ? TOP32 : TOP16);
        wire signed [35:0] low   = kind5 == 2'd1 ? -TOP30 : ~high;
        always_ff @(posedge clk) if (go[6]) result6 <= sum > high ? high[31:0] : (sum < low ? low[31:0] : sum[31:0]);
        assign results[32*i +: 32] = result6;
    end

    // ------------------------------------------------------------------ 7: blocks
    wire           valid6     = x6[XW-1];
    wire           block_end6 = x6[TW+SW];
    wire [SW-1:0]  step6      = x6[SW-1:0];
    assign en = !(valid6 && block_end6 && m_valid && !m_ready);

    logic [255:0] gathered;   // the block's rows before its last step
    always_ff @(posedge clk) begin
        if (!rst_n) m_valid <= 1'b0;
        else if (en && valid6 && block_end6) m_valid <= 1'b1;
        else if (m_ready) m_valid <= 1'b0;

        for (int i = 0; i < STEPS; i++)
            if (en && valid6 && step6 == SW'(i)) gathered[32*ROWS*i +: 32*ROWS] <= results;
        if (en && valid6 && block_end6) begin
            m_data                 <= gathered;
            m_data[255 -: 32*ROWS] <= results;
            m_token                <= x6[SW +: TW];
            m_last                 <= x6[TW+SW+1];
        end
    end
endmodule
