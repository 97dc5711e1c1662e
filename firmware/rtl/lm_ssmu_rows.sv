// The rows of in_proj of a token and their constants, each to where it belongs: B, C and x through the convolution, dt to its head, z to the gate.
//
//   rows, constants ──> lm_unpack ──┬─ B, C, x ──> lm_conv ──> bc_*, x_*
//                       taps ───────┘      dt ──> dt_*      z, γ2 ──> z_*
//
// Order of rows (docs/format.md, Row order): B, C, dt, then for h = 0 … H + 5: x of head h if h < H, z of head h - 6 if h >= 6; each part ends with a block of 8.
// begins:      a pulse while not busy; all channels of the token before must have left the convolution. cfg_*: stable while busy.
// cfg_*:       H, P, G · N, E; W and the ring's slot; of x, B and C (x lowest): shift f_seg + fconv - 11, fraction of the result.
// row_*:       beats of 32 rows int16, the token's alone; the last one may be partly filled.
// constant_*:  beats of 4 rows' constants (docs/device.md, Row constants).
// run, first, taps_*, take, raw: lm_taps.
// bc_*, x_*:   int16 after convolution and SiLU: B then C of all groups; x in order of heads.
// dt_*:        dt and {D, ae, am, dt_bias} of the next head; always taken.
// z_*:         {γ2, z} in order of heads, z_count of them at once, 1 to 4, the first lowest.
// Throughput a row a cycle, of z four; latency of B, C and x 8 cycles.
module lm_ssmu_rows (
    input  logic               clk,
    input  logic               rst_n,
    input  logic               begins,
    output logic               busy,
    input  logic [7:0]         cfg_heads,
    input  logic [7:0]         cfg_head_dim,
    input  logic [10:0]        cfg_bc,
    input  logic [13:0]        cfg_inner,
    input  logic [2:0]         cfg_width,
    input  logic [1:0]         cfg_slot,
    input  logic [23:0]        cfg_shift,
    input  logic [14:0]        cfg_fraction,
    input  logic               row_valid,
    output logic               row_ready,
    input  logic [511:0]       row_data,
    input  logic               constant_valid,
    output logic               constant_ready,
    input  logic [511:0]       constant_data,
    output logic               run,
    output logic [13:0]        first,
    input  logic               taps_valid,
    input  logic [47:0]        taps,
    output logic               take,
    output logic [15:0]        raw,
    output logic               bc_valid,
    input  logic               bc_ready,
    output logic               x_valid,
    input  logic               x_ready,
    output logic signed [15:0] conv_data, // of bc and x
    output logic               dt_valid,
    output logic [15:0]        dt_data,
    output logic [69:0]        dt_constants,
    output logic               z_valid,
    input  logic               z_ready,
    output logic [127:0]       z_data,
    output logic [2:0]         z_count
);
    localparam logic [7:0] SKEW = 8'd6; // heads that z lags behind x

    // ------------------------------------------------------------ the next row and its constants
    wire  [6:0]   rows_there;
    wire  [6:0]   rows_pop;
    wire  [63:0]  rows;
    assign raw = rows[15:0];
    lm_unpack #(.WIDTH(16), .ELEMENTS(32), .OUT(4)) u_rows (
        .clk, .rst_n, .clear(1'b0), .s_valid(row_valid), .s_ready(row_ready), .s_data(row_data), .level(rows_there), .data(rows), .pop(rows_pop));
    wire  [3:0]   constants_there;
    wire  [511:0] constants;
    wire          takes; // a row leaves, or four of z
    lm_unpack #(.WIDTH(128), .ELEMENTS(4), .OUT(4)) u_constants (
        .clk, .rst_n, .clear(1'b0), .s_valid(constant_valid), .s_ready(constant_ready), .s_data(constant_data), .level(constants_there),
        .data(constants), .pop(takes ? {1'b0, step} : 4'd0));

    // ------------------------------------------------------------ where it belongs
    localparam logic [2:0] REST = 3'd0, B = 3'd1, C = 3'd2, DT = 3'd3, X = 3'd4, Z = 3'd5, TAIL = 3'd6;
    logic [2:0]   part;
    logic [10:0]  index;              // row of its part
    logic [7:0]   x_heads, z_heads;   // that are over
    logic [4:0]   column;             // row of its beat
    logic [10:0]  length;
    always_comb begin
        case (part)
            B, C:    length = cfg_bc;
            DT:      length = {3'd0, cfg_heads};
            default: length = {3'd0, cfg_head_dim};
        endcase
    end
    wire          real_row = index < length; // the others fill up a block
    // Parts begin on a block, so four of z are always of one beat of constants
    wire  [2:0]   step     = part == Z ? 3'd4 : 3'd1;
    wire  [10:0]  next     = index + {8'd0, step};
    wire          ends     = next[2:0] == 3'd0 && next >= length;
    wire          rows_on  = part != REST && part != TAIL;
    wire          offered  = rows_on && rows_there >= {4'd0, step} && constants_there >= {1'b0, step};
    wire          to_conv  = real_row && (part == B || part == C || part == X);
    wire          to_z     = real_row && part == Z;
    wire          conv_ready;
    wire  [7:0]   x_next = x_heads + 8'd1;
    wire  [7:0]   z_next = z_heads + 8'd1;

    assign busy     = part != REST;
    assign takes    = offered && (to_conv ? taps_valid && conv_ready : to_z ? z_ready : 1'b1);
    assign take     = takes && to_conv;
    // The rest of a token's last beat
    assign rows_pop = part == TAIL ? 7'd32 - {2'd0, column} : takes ? {4'd0, step} : 7'd0;
    assign z_valid  = offered && to_z;
    assign z_count  = next <= length ? 3'd4 : 3'(length - index);
    for (genvar i = 0; i < 4; i++) begin : g_z
        assign z_data[32*i +: 32] = {constants[128*i +: 16], rows[16*i +: 16]};
    end
    assign dt_valid = takes && real_row && part == DT;
    assign dt_data  = raw;
    assign dt_constants = {constants[79:64], constants[21:16], constants[15:0], constants[63:32]};
    // B and C are the ring's last channels, x its first ones
    assign run      = begins || (takes && part == C && ends);
    assign first    = begins ? cfg_inner : 14'd0;

    always_ff @(posedge clk) begin
        if (takes) begin
            column <= column + {2'd0, step};
            index  <= ends ? '0 : next;
            if (ends) case (part)
                B:  part <= C;
                C:  part <= DT;
                DT: part <= X;
                X: begin
                    x_heads <= x_next;
                    if (x_next > SKEW || x_next == cfg_heads) part <= Z;
                end
                default: begin
                    z_heads <= z_next;
                    if (z_next == cfg_heads) part <= column == 5'd28 ? REST : TAIL;
                    else if (x_heads != cfg_heads) part <= X;
                end
            endcase
        end
        if (part == TAIL) part <= REST;
        if (begins) begin
            part    <= B;
            index   <= '0;
            column  <= '0;
            x_heads <= '0;
            z_heads <= '0;
        end
        if (!rst_n) part <= REST;
    end

    // ------------------------------------------------------------ convolution
    wire          conv_valid, is_bc;
    wire  [15:0]  conv_raw;
    wire  [1:0]   kind = part == X ? 2'd0 : part == B ? 2'd1 : 2'd2;
    lm_conv #(.USER(1)) u_conv (
        .clk, .rst_n, .cfg_width, .cfg_slot, .s_valid(offered && to_conv && taps_valid), .s_ready(conv_ready), .s_raw(raw), .s_taps(taps),
        .s_weight(constants[63:0]), .s_bias(constants[95:64]), .s_shift(cfg_shift[8*kind +: 8]), .s_fo(cfg_fraction[5*kind +: 5]),
        .s_user(part != X), .m_valid(conv_valid), .m_ready(is_bc ? bc_ready : x_ready), .m_data(conv_data), .m_raw(conv_raw), .m_user(is_bc));
    assign bc_valid = conv_valid && is_bc;
    assign x_valid  = conv_valid && !is_bc;

    wire unused = &{1'b0, conv_raw, constants};
endmodule
