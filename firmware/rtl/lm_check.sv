// What may be wrong with a descriptor, before any unit sees it.
//
// desc: 64 bytes, see LM_DESC_*; expected: the sequence number it must have.
// status: LM_STATUS_OK or the first thing that is wrong; info: for a sequence number the expected one, for an opcode or a format what was
// found, else the byte offset of the field at fault. unit: who does it.
// Addresses against the windows are checked by the masters, where every transfer passes. Combinational.
module lm_check #(
    parameter int UNITS        = 7,
    parameter int PRESENT      = 3,
    parameter int TOKENS       = 4,
    parameter int ACT_BITS     = 8,
    parameter int MAX_INPUTS   = 8192,
    parameter int MAX_ROWS     = 1048576,
    parameter int MAX_HEADS    = 128,
    parameter int MAX_HEAD_DIM = 128,
    parameter int MAX_STATE    = 512,
    parameter int MAX_GROUPS   = 16,
    parameter int MAX_COPY     = 67108864,
    parameter int MAX_WORDS    = 64,
    parameter int MAX_TAPS     = 32768,
    parameter int MAX_ORDER    = 64,
    parameter int MAX_LOG2     = 7
) (
    input  logic [511:0] desc,
    input  logic [31:0]  expected,
    output logic [7:0]   status,
    output logic [31:0]  info,
    output logic [7:0]   unit
);
    `include "lm_device.svh"

    wire [7:0]  op        = desc[8*LM_DESC_OPCODE +: 8];
    wire [7:0]  flags     = desc[8*LM_DESC_FLAGS +: 8];
    wire [31:0] sequence_ = desc[8*LM_DESC_SEQUENCE +: 32];
    wire [31:0] count     = desc[8*LM_DESC_COUNT +: 32];
    wire [15:0] inputs    = desc[8*LM_DESC_INPUTS +: 16];
    wire [7:0]  tokens    = desc[8*LM_DESC_TOKENS +: 8];
    wire [7:0]  bits      = desc[8*LM_DESC_FORMAT +: 8];
    wire [63:0] a0        = desc[8*LM_DESC_A0 +: 64];
    wire [63:0] a1        = desc[8*LM_DESC_A1 +: 64];
    wire [5:0]  a2        = desc[8*LM_DESC_A2 +: 6];
    wire [5:0]  a3        = desc[8*LM_DESC_A3 +: 6];
    wire [15:0] heads     = desc[8*LM_DESC_HEADS +: 16];
    wire [15:0] head_dim  = desc[8*LM_DESC_HEAD_DIM +: 16];
    wire [15:0] state     = desc[8*LM_DESC_STATE +: 16];
    wire [7:0]  groups    = desc[8*LM_DESC_GROUPS +: 8];
    wire [7:0]  conv      = desc[8*LM_DESC_CONV +: 8];
    wire [7:0]  route     = desc[8*LM_DESC_ROUTE +: 8];
    wire [7:0]  planes    = desc[8*LM_DESC_PLANES +: 8];
    wire [7:0]  group     = desc[8*LM_DESC_WEIGHT_GROUP +: 8];
    wire [7:0]  stride    = desc[8*LM_DESC_STRIDE +: 8];

    wire multiply = op == LM_OP_MULTIPLY[7:0];
    wire ssm      = op == LM_OP_SSM[7:0];
    wire htu      = op == LM_OP_HTU[7:0];
    wire nqu      = op == LM_OP_NQU[7:0];
    wire embed    = op == LM_OP_EMBED[7:0];
    wire copy     = op == LM_OP_COPY[7:0];
    wire trivial  = op == LM_OP_NOP[7:0] || op == LM_OP_FENCE[7:0];
    wire codes    = multiply || nqu;

    logic [31:0] mix;
    always_comb begin
        mix = LM_CHECK_XOR;
        for (int i = 0; i < 16; i++) mix = mix ^ desc[32*i +: 32];
    end

    wire [63:0] end0 = a0 + {32'd0, count};
    wire [63:0] end1 = a1 + {32'd0, count};

    // Bits that the multipliers must have for this format; 0: there is no such format
    logic [7:0] width;
    always_comb begin
        case (bits)
            8'd4, 8'd5: width = 8'd5;
            8'd6:       width = 8'd6;
            8'd8:       width = 8'd8;
            default:    width = 8'd0;
        endcase
    end

    // E of an SSM, its conv channels, its words of B or C; E of an HTU. The factors are bounded before these are looked at
    wire [31:0] inner    = 32'(heads) * 32'(head_dim);
    wire [31:0] channels = inner + 32'({groups, 1'b0}) * 32'(state);
    wire [31:0] taps     = channels * (32'(conv) - 32'd1);
    wire [31:0] words    = 32'(groups) * ((32'(state) + 32'd15) >> 4);
    wire [7:0]  spare    = groups == 8'd0 ? 8'd0 : heads[7:0] % groups;
    wire [31:0] order    = 32'(heads) * 32'(inputs);

    // The field whose size is wrong; 0: none
    logic [31:0] bad_size;
    always_comb begin
        bad_size = '0;
        if (!trivial && !copy && (tokens == 8'd0 || tokens > 8'(TOKENS))) bad_size = LM_DESC_TOKENS;
        if (copy && (count == 32'd0 || count[5:0] != 6'd0 || count > 32'(MAX_COPY))) bad_size = LM_DESC_COUNT;
        if (htu && ({16'd0, head_dim} > 32'(MAX_LOG2) || order << head_dim[3:0] != count)) bad_size = LM_DESC_HEAD_DIM;
        if (htu && (inputs == 16'd0 || inputs > 16'(MAX_ORDER))) bad_size = LM_DESC_INPUTS;
        if (nqu && {24'd0, route} != LM_ROUTE_RESIDUAL && {24'd0, route} != LM_ROUTE_INNER) bad_size = LM_DESC_ROUTE;
        if ((embed || (nqu && {24'd0, route} == LM_ROUTE_RESIDUAL)) && (stride == 8'd0 || stride > 8'(TOKENS))) bad_size = LM_DESC_STRIDE;
        if (embed && tokens != 8'd1) bad_size = LM_DESC_TOKENS;
        if ((htu || nqu || embed) && (count == 32'd0 || count > 32'(MAX_INPUTS))) bad_size = LM_DESC_COUNT;
        if (multiply) begin
            if (count == 32'd0 || count[2:0] != 3'd0 || count > 32'(MAX_ROWS)) bad_size = LM_DESC_COUNT;
            if (inputs == 16'd0 || inputs > 16'(MAX_INPUTS)) bad_size = LM_DESC_INPUTS;
            if ({24'd0, route} > LM_ROUTE_LOGITS) bad_size = LM_DESC_ROUTE;
            if (planes == 8'd0 || planes > 8'd2) bad_size = LM_DESC_PLANES;
            if (group != 8'd16 && group != 8'd32) bad_size = LM_DESC_WEIGHT_GROUP;
        end
        if (ssm) begin
            if (heads == 16'd0 || heads > 16'(MAX_HEADS)) bad_size = LM_DESC_HEADS;
            if (head_dim == 16'd0 || head_dim > 16'(MAX_HEAD_DIM)) bad_size = LM_DESC_HEAD_DIM;
            if (state == 16'd0 || state > 16'(MAX_STATE)) bad_size = LM_DESC_STATE;
            if (groups == 8'd0 || groups > 8'(MAX_GROUPS)) bad_size = LM_DESC_GROUPS;
            if (bad_size == 32'd0) begin
                if (taps > 32'(MAX_TAPS)) bad_size = LM_DESC_CONV;
                if (words > 32'(MAX_WORDS)) bad_size = LM_DESC_STATE;
                if (inner > 32'(MAX_INPUTS)) bad_size = LM_DESC_HEAD_DIM;
                if (spare != 8'd0) bad_size = LM_DESC_GROUPS;
                if ({8'd0, conv} <= inputs + 16'd1) bad_size = LM_DESC_INPUTS;
            end
            if (conv < 8'd2 || conv > 8'd4) bad_size = LM_DESC_CONV;
        end
    end

    // The address that is misaligned; 0: none
    logic [31:0] bad_address;
    always_comb begin
        bad_address = '0;
        if (a3 != 6'd0) bad_address = LM_DESC_A3;
        if (a2 != 6'd0) bad_address = LM_DESC_A2;
        if (a1[5:0] != 6'd0) bad_address = LM_DESC_A1;
        if (a0[5:0] != 6'd0) bad_address = LM_DESC_A0;
    end

    always_comb begin
        case (op)
            LM_OP_COPY[7:0]:     unit = LM_UNIT_COPY[7:0];
            LM_OP_MULTIPLY[7:0]: unit = LM_UNIT_MMU[7:0];
            LM_OP_SSM[7:0]:      unit = LM_UNIT_SSMU[7:0];
            LM_OP_HTU[7:0]:      unit = LM_UNIT_HTU[7:0];
            LM_OP_NQU[7:0]:      unit = LM_UNIT_NQU[7:0];
            LM_OP_EMBED[7:0]:    unit = LM_UNIT_EMBED[7:0];
            default:             unit = LM_UNIT_COMMAND[7:0];
        endcase
    end

    always_comb begin
        status = LM_STATUS_OK[7:0];
        info   = '0;
        if (mix != 32'd0) begin
            status = LM_STATUS_CHECK[7:0];
            info   = LM_DESC_CHECK;
        end else if (sequence_ != expected) begin
            status = LM_STATUS_SEQUENCE[7:0];
            info   = expected;
        end else if (!(trivial || copy || multiply || ssm || htu || nqu || embed)) begin
            status = LM_STATUS_OPCODE[7:0];
            info   = {24'd0, op};
        end else if ((flags & ~(LM_FLAG_WAIT[7:0] | LM_FLAG_INTERRUPT[7:0] | LM_FLAG_BIAS[7:0] | LM_FLAG_FOLLOW[7:0])) != 8'd0) begin
            status = LM_STATUS_FLAGS[7:0];
            info   = LM_DESC_FLAGS;
        end else if (bad_address != 32'd0) begin
            status = LM_STATUS_ALIGNMENT[7:0];
            info   = bad_address;
        end else if (bad_size != 32'd0) begin
            status = LM_STATUS_SIZE[7:0];
            info   = bad_size;
        end else if ((codes && (width == 8'd0 || width > 8'(ACT_BITS))) || (ssm && bits != 8'd8)) begin
            status = LM_STATUS_FORMAT[7:0];
            info   = {24'd0, bits};
        end else if (copy && a0 < end1 && a1 < end0) begin
            status = LM_STATUS_OVERLAP[7:0];
            info   = LM_DESC_A1;
        end else if (((PRESENT >> unit) & 1) == 0) begin
            status = LM_STATUS_ABSENT[7:0];
            info   = {24'd0, unit};
        end
    end

    wire unused = &{1'b0, desc, UNITS[0]};
endmodule
