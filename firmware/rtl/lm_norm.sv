// norm(S, n) of docs/numerics.md, section 2: 1/sqrt(S / n) = m · 2^-s.
//
// In:  s_sum, unsigned 64 bits (0 is taken as 1); sqrt(n) = s_nm · 2^-s_ne, s_nm in [2^15, 2^16).
// Out: m_m 16 bits, m_s = 7 + j + ne.
// Latency 5 cycles, throughput 1 a cycle. m_ready reaches s_ready in the same cycle.
module lm_norm (
    input  logic              clk,
    input  logic              rst_n,
    input  logic              s_valid,
    output logic              s_ready,
    input  logic [63:0]       s_sum,
    input  logic [15:0]       s_nm,
    input  logic [4:0]        s_ne,
    output logic              m_valid,
    input  logic              m_ready,
    output logic [15:0]       m_m,
    output logic signed [7:0] m_s
);
    `include "lm_tables.svh"

    wire en = m_ready || !m_valid;
    assign s_ready = en;
    logic v1, v2, v3, v4;

    // 1: bit length
    logic [6:0]        bits;
    always_comb begin
        bits = 7'd1;
        for (int i = 1; i < 64; i++) if (s_sum[i]) bits = 7'(i) + 7'd1;
    end
    logic [63:0]       sum1;
    logic signed [7:0] j1, j2, j3, j4;

    // 2: mantissa in [2^14, 2^16)
    wire [7:0]         right = {j1[6:0], 1'b0};
    wire [7:0]         left  = 8'(-right);
    logic [15:0]       m2;

    // 3, 4: its inverse root
    wire [7:0]         index = m2[15:8] - 8'd64;
    logic [31:0]       entry;
    logic [7:0]        fraction;
    wire [31:0]        fall = 32'(entry[30:17]) * 32'(fraction);
    logic [16:0]       q;

    // 5: times sqrt(n)
    logic [15:0]       nm1, nm2, nm3, nm4;
    logic [4:0]        ne1, ne2, ne3, ne4;
    wire [32:0]        product = 33'(nm4) * 33'(q);

    always_ff @(posedge clk) begin
        if (!rst_n) begin
            v1 <= 1'b0;
            v2 <= 1'b0;
            v3 <= 1'b0;
            v4 <= 1'b0;
            m_valid <= 1'b0;
        end else if (en) begin
            v1 <= s_valid;
            v2 <= v1;
            v3 <= v2;
            v4 <= v3;
            m_valid <= v4;
        end
        if (en && s_valid) begin
            sum1 <= s_sum == 64'd0 ? 64'd1 : s_sum;
            j1 <= ($signed({1'b0, bits}) - 8'sd15) >>> 1;
            {nm1, ne1} <= {s_nm, s_ne};
        end
        if (en && v1) begin
            m2 <= j1[7] ? 16'(sum1 << left) : 16'(sum1 >> right);
            j2 <= j1;
            {nm2, ne2} <= {nm1, ne1};
        end
        if (en && v2) begin
            entry <= LM_RSQRT[{index, 5'd0} +: 32];
            fraction <= m2[7:0];
            j3 <= j2;
            {nm3, ne3} <= {nm2, ne2};
        end
        if (en && v3) begin
            q <= entry[16:0] - 17'((fall + 32'd128) >> 8);
            j4 <= j3;
            {nm4, ne4} <= {nm3, ne3};
        end
        if (en && v4) begin
            m_m <= product[31:16];
            m_s <= j4 + 8'sd7 + $signed({3'd0, ne4});
        end
    end
    // m is below 2^16: nm < 2^16, q <= 2^16. The rest are the sign of a step and bits that the shift drops.
    wire unused = &{1'b0, product[32], product[15:0], entry[31]};
endmodule
