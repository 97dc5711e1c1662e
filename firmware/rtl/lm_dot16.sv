// Dot product of 16 weights and 16 activations: dot = sum of w[i] * v[i].
//
// w:   nibble i (bits 4i+3..4i) is weight i, signed, -8..7.
// v:   bits ACT_BITS*i + ACT_BITS-1 .. ACT_BITS*i are activation i, signed.
// dot: exact for every input: ACT_BITS + 8 bits.
// en:  one bit a stage: products, sums of four, dot. A stage without work keeps its registers, which saves power, and
//      most of the time of a simulation.
// Latency 3 cycles, throughput one product a cycle. No reset: whoever feeds it knows what is valid.
//
// No DSP: a product of 4 bits with few is small in LUTs. One adder deep a stage, then two, then two.
module lm_dot16 #(
    parameter int ACT_BITS = 5
) (
    input  logic                       clk,
    input  logic [2:0]                 en,
    input  logic [63:0]                w,
    input  logic [16*ACT_BITS-1:0]     v,
    output logic signed [ACT_BITS+7:0] dot
);
    localparam int PW = ACT_BITS + 4;   // a product
    localparam int SW = ACT_BITS + 8;   // the sum of 16

    for (genvar i = 0; i < 16; i++) begin : g_mul
        (* use_dsp = "no" *) logic signed [PW-1:0] p;
        always_ff @(posedge clk) if (en[0]) p <= PW'($signed(v[ACT_BITS*i +: ACT_BITS])) * PW'($signed(w[4*i +: 4]));
    end

    for (genvar i = 0; i < 4; i++) begin : g_add
        logic signed [SW-1:0] s;
        always_ff @(posedge clk)
            if (en[1]) s <= (SW'(g_mul[4*i].p) + SW'(g_mul[4*i+1].p)) + (SW'(g_mul[4*i+2].p) + SW'(g_mul[4*i+3].p));
    end

    always_ff @(posedge clk)
        if (en[2]) dot <= (g_add[0].s + g_add[1].s) + (g_add[2].s + g_add[3].s);
endmodule
