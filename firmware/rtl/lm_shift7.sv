// The smallest s >= 0 with rsh(max, s) <= 127 (docs/numerics.md, section 3.3): how a vector becomes int8 with one exponent.
//
// max: the largest magnitude, IN bits (at most 64), unsigned. Combinational.
module lm_shift7 #(
    parameter int IN = 32
) (
    input  logic [IN-1:0] max,
    output logic [5:0]    s
);
    // With b bits, s is b - 7, or one more where rounding carries into bit 7.
    logic [5:0]  first;
    always_comb begin
        first = 6'd0;
        for (int i = 7; i < IN; i++) if (max[i]) first = 6'(i - 6);
    end
    // Seven bits that stay and the one below them.
    wire [IN:0] extended = {max, 1'b0} >> first;
    assign s = extended[7:0] == 8'hff ? first + 6'd1 : first;
    wire unused = &{1'b0, extended[IN:8]};
endmodule
