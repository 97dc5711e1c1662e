// Causal depthwise convolution of width 2..4 and SiLU, one channel a beat (docs/numerics.md, section 3.3, Conv).
//
// cfg_width: 2..4. cfg_slot: t mod (width - 1), the ring slot of the oldest older input. Both stable while beats are inside.
// In, all of one channel in one beat:
//   s_raw    int16, the new input
//   s_taps   3 × int16, older inputs by ring slot: slot 0 lowest (slots from width - 1 on are ignored)
//   s_weight 4 × int16, oldest tap's weight lowest (those from width on are ignored)
//   s_bias   int32
//   s_shift  f_seg + fw - 11, s_fo: fraction bits of the result: with the beat, so that x, B and C may follow each other without a gap
//   s_user   anything
// Out: m_data int16, SiLU of the sum; m_raw, what the ring's slot cfg_slot must hold for the next token; m_user.
// Latency 7 cycles, throughput 1 channel a cycle. m_ready reaches s_ready in the same cycle.
module lm_conv #(
    parameter int USER = 1
) (
    input  logic               clk,
    input  logic               rst_n,
    input  logic [2:0]         cfg_width,
    input  logic [1:0]         cfg_slot,
    input  logic               s_valid,
    output logic               s_ready,
    input  logic signed [15:0] s_raw,
    input  logic [47:0]        s_taps,
    input  logic [63:0]        s_weight,
    input  logic signed [31:0] s_bias,
    input  logic signed [7:0]  s_shift,
    input  logic [4:0]         s_fo,
    input  logic [USER-1:0]    s_user,
    output logic               m_valid,
    input  logic               m_ready,
    output logic signed [15:0] m_data,
    output logic [15:0]        m_raw,
    output logic [USER-1:0]    m_user
);
    localparam int SIDE = 13 + 16 + USER;

    wire en;
    assign s_ready = en;
    logic            v1, v2, v3;
    logic [SIDE-1:0] side1, side2, side3;

    // 1: the inputs in order of age; a tap that does not exist is 0
    wire [2:0]   older = cfg_width - 3'd1;
    logic [63:0] ordered, weights;
    logic [31:0] bias1, bias2, sum;
    logic [1:0]  slot;
    logic [63:0] ordered_next;
    always_comb begin
        ordered_next = 64'd0;
        slot = cfg_slot;
        for (int i = 0; i < 3; i++) begin
            if (3'(i) < older) begin
                ordered_next[16 * i +: 16] = slot == 2'd0 ? s_taps[15:0] : (slot == 2'd1 ? s_taps[31:16] : s_taps[47:32]);
                slot = {1'b0, slot} + 3'd1 == older ? 2'd0 : slot + 2'd1;
            end else if (3'(i) == older) ordered_next[16 * i +: 16] = s_raw;
        end
        if (older == 3'd3) ordered_next[63:48] = s_raw;
    end

    // 2: products. 3: their sum with the bias, which the model keeps within 32 bits
    logic signed [31:0] p0, p1, p2, p3;

    always_ff @(posedge clk) begin
        if (!rst_n) begin
            v1 <= 1'b0;
            v2 <= 1'b0;
            v3 <= 1'b0;
        end else if (en) begin
            v1 <= s_valid;
            v2 <= v1;
            v3 <= v2;
        end
        if (en && s_valid) begin
            ordered <= ordered_next;
            weights <= s_weight;
            bias1 <= s_bias;
            side1 <= {s_shift, s_fo, s_raw, s_user};
        end
        if (en && v1) begin
            p0 <= 32'($signed(ordered[15:0])) * 32'($signed(weights[15:0]));
            p1 <= 32'($signed(ordered[31:16])) * 32'($signed(weights[31:16]));
            p2 <= 32'($signed(ordered[47:32])) * 32'($signed(weights[47:32]));
            p3 <= 32'($signed(ordered[63:48])) * 32'($signed(weights[63:48]));
            bias2 <= bias1;
            side2 <= side1;
        end
        if (en && v2) begin
            sum <= bias2 + 32'(p0) + 32'(p1) + 32'(p2) + 32'(p3);
            side3 <= side2;
        end
    end

    lm_silu #(.USER(16 + USER)) u_silu (
        .clk(clk), .rst_n(rst_n), .s_valid(v3), .s_ready(en), .s_v(sum), .s_shift($signed(side3[SIDE-1 -: 8])),
        .s_fo(side3[SIDE-9 -: 5]), .s_user(side3[16+USER-1:0]), .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data),
        .m_user({m_raw, m_user}));
endmodule
