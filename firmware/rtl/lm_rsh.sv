// The rounding shift of docs/numerics.md, section 1, with saturation: y = sat(rsh(x, s), OUT). Combinational.
//
// x: IN bits, signed. s: signed; > 0 shifts right with ties up (from IN on the result is 0), <= 0 shifts left.
// LEFT: the largest left shift that occurs while x is not 0 (0: none, and its logic is not built). A longer one is taken as LEFT:
//       the same result if LEFT >= OUT, since y is saturated then.
// y: OUT bits, signed.
module lm_rsh #(
    parameter int IN   = 32,
    parameter int OUT  = 32,
    parameter int LEFT = 0
) (
    input  logic signed [IN-1:0]  x,
    input  logic signed [7:0]     s,
    output logic signed [OUT-1:0] y
);
    // Room for everything that is compared with the saturation limits.
    localparam int WIDE = (IN > OUT + LEFT ? IN : OUT + LEFT) + 2;
    localparam logic signed [WIDE-1:0] HIGH = (WIDE'(1) <<< (OUT - 1)) - WIDE'(1);
    localparam logic signed [WIDE-1:0] LOW  = -(WIDE'(1) <<< (OUT - 1));

    wire signed [WIDE-1:0] wide = WIDE'(x);

    // floor((x + 2^(s-1)) / 2^s) is floor(x / 2^s) plus the highest bit shifted out.
    wire [7:0]             right   = s[7] ? 8'd0 : (s > 8'(IN) ? 8'(IN) : 8'(s));
    wire signed [WIDE:0]   shifted = $signed({wide, 1'b0}) >>> right;
    wire signed [WIDE-1:0] rounded = $signed(shifted[WIDE:1]) + $signed({{(WIDE-1){1'b0}}, shifted[0]});

    logic signed [WIDE-1:0] exact;
    if (LEFT > 0) begin : g_left
        wire signed [8:0]      wanted = 9'sd0 - 9'(s);
        wire [8:0]             left   = wanted > 9'(LEFT) ? 9'(LEFT) : 9'(wanted);
        wire signed [WIDE-1:0] first  = wide > HIGH ? HIGH : (wide < LOW ? LOW : wide);
        assign exact = s[7] ? first <<< left : rounded;
    end else begin : g_right
        assign exact = rounded;
    end

    assign y = OUT'(exact > HIGH ? HIGH : (exact < LOW ? LOW : exact));
endmodule
