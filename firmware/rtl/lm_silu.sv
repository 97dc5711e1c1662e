// silu(rsh(v, shift), fo) of docs/numerics.md, section 2, for convolution and gate.
//
// In:  s_v int32 with `shift` fraction bits more than Q11 (signed: -32 .. 63), s_fo 0 .. 16, s_user anything.
// Out: m_data int16 in Q fo, m_user of the same beat.
// Latency 4 cycles, throughput 1 a cycle. m_ready reaches s_ready in the same cycle: all stages move together.
module lm_silu #(
    parameter int USER = 1
) (
    input  logic               clk,
    input  logic               rst_n,
    input  logic               s_valid,
    output logic               s_ready,
    input  logic signed [31:0] s_v,
    input  logic signed [7:0]  s_shift,
    input  logic [4:0]         s_fo,
    input  logic [USER-1:0]    s_user,
    output logic               m_valid,
    input  logic               m_ready,
    output logic signed [15:0] m_data,
    output logic [USER-1:0]    m_user
);
    `include "lm_tables.svh"

    logic v1, v2, v3;
    wire  en = m_ready || !m_valid;
    assign s_ready = en;

    // 1: u, clamped to ±(2^20 - 1)
    wire signed [20:0]  u_next;
    logic signed [20:0] u;
    logic [4:0]         fo1, fo2, fo3;
    logic [USER-1:0]    user1, user2, user3;
    lm_rsh #(.IN(32), .OUT(21), .LEFT(21)) u_shift (.x(s_v), .s(s_shift), .y(u_next));
    wire signed [20:0]  lowest = -21'sd1048575;

    // 2: table entry, and max(u, 0)
    wire [20:0]         magnitude = u[20] ? 21'(-u) : 21'(u);
    logic [31:0]        entry;
    logic [6:0]         fraction;
    logic [19:0]        positive2;
    logic [24:0]        positive3;
    logic signed [17:0] g;

    // 3: g by interpolation
    wire signed [22:0]  product = $signed({{8{entry[31]}}, entry[31:17]}) * $signed({16'd0, fraction});
    wire signed [17:0]  change  = 18'((product + 23'sd64) >>> 7);

    // 4: the result's format
    wire signed [26:0]  exact = $signed({2'b0, positive3}) - 27'(g);
    wire signed [15:0]  y;
    lm_rsh #(.IN(27), .OUT(16)) u_out (.x(exact), .s(8'sd16 - $signed({3'd0, fo3})), .y(y));

    always_ff @(posedge clk) begin
        if (!rst_n) begin
            v1 <= 1'b0;
            v2 <= 1'b0;
            v3 <= 1'b0;
            m_valid <= 1'b0;
        end else if (en) begin
            v1 <= s_valid;
            v2 <= v1;
            v3 <= v2;
            m_valid <= v3;
        end
        if (en && s_valid) begin
            u <= u_next < lowest ? lowest : u_next;
            fo1 <= s_fo;
            user1 <= s_user;
        end
        if (en && v1) begin
            entry <= magnitude[20:15] != 6'd0 ? 32'd0 : LM_SILU[{magnitude[14:7], 5'd0} +: 32];
            fraction <= magnitude[6:0];
            positive2 <= u[20] ? 20'd0 : u[19:0];
            fo2 <= fo1;
            user2 <= user1;
        end
        if (en && v2) begin
            g <= $signed({1'b0, entry[16:0]}) + change;
            positive3 <= {positive2, 5'd0};
            fo3 <= fo2;
            user3 <= user2;
        end
        if (en && v3) begin
            m_data <= y;
            m_user <= user3;
        end
    end
endmodule
