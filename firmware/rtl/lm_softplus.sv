// softplus(v) of docs/numerics.md, section 2.
//
// In: s_v signed 40 bits, Q16. Out: m_data, Q24, unsigned (below 2^31).
// Latency 5 cycles, throughput 1 a cycle. m_ready reaches s_ready in the same cycle.
module lm_softplus (
    input  logic               clk,
    input  logic               rst_n,
    input  logic               s_valid,
    output logic               s_ready,
    input  logic signed [39:0] s_v,
    output logic               m_valid,
    input  logic               m_ready,
    output logic [30:0]        m_data
);
    `include "lm_tables.svh"

    wire en = m_ready || !m_valid;
    assign s_ready = en;
    logic v1, v2, v3, v4;

    // 1: |v| and max(v, 0), clamped to 2^22 - 1
    wire               negative  = s_v[39];
    wire [39:0]        magnitude = negative ? 40'(-s_v) : 40'(s_v);
    wire [21:0]        clamped   = magnitude[39:22] != 18'd0 ? 22'h3fffff : magnitude[21:0];
    logic [21:0]       a, positive1, positive2, positive3, positive4;

    // 2: l = a · log2 e, rounded, n.frac in Q16; e^a · log1p(e^-a) of a as a table entry
    wire [38:0]        log2     = 39'(a) * 39'd94548 + 39'd32768;
    logic [22:0]       l;
    logic [31:0]       logs;
    logic [13:0]       logs_fraction;

    // 3: 2^-frac as a table entry; q
    wire signed [31:0] rise     = $signed({17'd0, logs[31:17]}) * $signed({18'd0, logs_fraction});
    logic [17:0]       q, q4;
    logic [31:0]       powers;
    logic [9:0]        powers_fraction;
    logic [6:0]        n3, n4;

    // 4: p
    wire [31:0]        fall     = 32'(powers[30:17]) * 32'(powers_fraction);
    logic [16:0]       p;

    // 5: p · q shifted by 8 + n
    wire [34:0]        product  = 35'(p) * 35'(q4);
    wire [34:0]        shifted  = (product >> (7'd7 + n4)) + 35'd1;
    wire [30:0]        tail     = n4 > 7'd40 ? 31'd0 : 31'(shifted >> 1);

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
            a <= clamped;
            positive1 <= negative ? 22'd0 : clamped;
        end
        if (en && v1) begin
            l <= log2[38:16];
            // From 16 on: 1.
            logs <= a[21:20] != 2'd0 ? 32'd65536 : LM_LOG1P[{a[19:14], 5'd0} +: 32];
            logs_fraction <= a[13:0];
            positive2 <= positive1;
        end
        if (en && v2) begin
            q <= 18'(logs[16:0]) + 18'((rise + 32'sd8192) >>> 14);
            powers <= LM_EXP2[{l[15:10], 5'd0} +: 32];
            powers_fraction <= l[9:0];
            n3 <= l[22:16];
            positive3 <= positive2;
        end
        if (en && v3) begin
            p <= powers[16:0] - 17'((fall + 32'd512) >> 10);
            q4 <= q;
            n4 <= n3;
            positive4 <= positive3;
        end
        if (en && v4) begin
            m_data <= 31'({positive4, 8'd0}) + tail;
        end
    end
    // The rounding's bits, and the sign of a step.
    wire unused = &{1'b0, log2[15:0], powers[31]};
endmodule
