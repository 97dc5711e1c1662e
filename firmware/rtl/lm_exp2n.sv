// exp2n(f) = 2^(-f / 2^24) in Q16 of docs/numerics.md, section 2.
//
// In: s_f 0 .. 2^24. Out: m_data 32768 .. 65536.
// Latency 2 cycles, throughput 1 a cycle. m_ready reaches s_ready in the same cycle.
module lm_exp2n (
    input  logic        clk,
    input  logic        rst_n,
    input  logic        s_valid,
    output logic        s_ready,
    input  logic [24:0] s_f,
    output logic        m_valid,
    input  logic        m_ready,
    output logic [16:0] m_data
);
    `include "lm_tables.svh"

    wire en = m_ready || !m_valid;
    assign s_ready = en;

    logic        v1;
    logic        last;
    logic [31:0] entry;
    logic [17:0] fraction;
    // Steps of EXP2 are positive: 14 bits.
    wire [31:0]  product = 32'(entry[30:17]) * 32'(fraction);
    wire [14:0]  change  = 15'((product + 32'd131072) >> 18);

    always_ff @(posedge clk) begin
        if (!rst_n) begin
            v1 <= 1'b0;
            m_valid <= 1'b0;
        end else if (en) begin
            v1 <= s_valid;
            m_valid <= v1;
        end
        if (en && s_valid) begin
            last <= s_f[24];
            entry <= LM_EXP2[{s_f[23:18], 5'd0} +: 32];
            fraction <= s_f[17:0];
        end
        if (en && v1) begin
            m_data <= last ? 17'd32768 : entry[16:0] - 17'(change);
        end
    end
    // The sign of a step.
    wire unused = &{1'b0, entry[31]};
endmodule
