// Dot product of 16 weights and 16 activations: dot = sum of w[i] * v[i].
//
// w:   nibble i (bits 4i+3..4i) is weight i, signed, -8..7.
// v:   bits ACT_BITS*i + ACT_BITS-1 .. ACT_BITS*i are activation i, signed.
// dot: exact for every input: ACT_BITS + 8 bits.
// Latency 3 cycles in which en is high, throughput one product a cycle. No reset: whoever feeds it knows what is valid.
//
// No DSP: a weight is two radix-4 digits, so every bit of a partial product is a function of few inputs (a LUT), and
// between the partial products and the tree of adders there is a register.
module lm_dot16 #(
    parameter int ACT_BITS = 5
) (
    input  logic                       clk,
    input  logic                       en,
    input  logic [63:0]                w,
    input  logic [16*ACT_BITS-1:0]     v,
    output logic signed [ACT_BITS+7:0] dot
);
    localparam int PW = ACT_BITS + 4;   // a product
    localparam int SW = ACT_BITS + 8;   // the sum of 16

    for (genvar i = 0; i < 16; i++) begin : g_mul
        wire signed [PW-1:0] a      = PW'($signed(v[ACT_BITS*i +: ACT_BITS]));
        wire signed [PW-1:0] digit0 = PW'($signed({1'b0, w[4*i +: 2]}));
        wire signed [PW-1:0] digit1 = PW'($signed(w[4*i+2 +: 2]));
        logic signed [PW-1:0] p0;
        logic signed [PW-1:0] p1;
        always_ff @(posedge clk) if (en) begin
            p0 <= a * digit0;
            p1 <= a * digit1;
        end
        wire signed [SW-1:0] p = SW'(p0) + (SW'(p1) <<< 2);
    end

    for (genvar i = 0; i < 4; i++) begin : g_add
        logic signed [SW-1:0] s;
        always_ff @(posedge clk)
            if (en) s <= (g_mul[4*i].p + g_mul[4*i+1].p) + (g_mul[4*i+2].p + g_mul[4*i+3].p);
    end

    always_ff @(posedge clk)
        if (en) dot <= (g_add[0].s + g_add[1].s) + (g_add[2].s + g_add[3].s);
endmodule
