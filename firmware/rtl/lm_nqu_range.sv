// Smallest and largest of 16 int32 words and 0: the first half of NQU's range of a group.
//
// In cycle t `valid` with the words, in t + 2 `out_valid` with low <= 0 <= high. One group a cycle, never waits.
module lm_nqu_range (
    input  logic               clk,
    input  logic               rst_n,
    input  logic               valid,
    input  logic [16*32-1:0]   words,
    output logic               out_valid,
    output logic signed [31:0] low,
    output logic signed [31:0] high
);
    // 16 → 4, registered; 4 and 0 → 1, registered.
    logic [4*32-1:0] lows, highs;
    logic            v1;
    for (genvar i = 0; i < 4; i++) begin : g_four
        wire signed [31:0] a = words[128*i+:32];
        wire signed [31:0] b = words[128*i+32+:32];
        wire signed [31:0] c = words[128*i+64+:32];
        wire signed [31:0] d = words[128*i+96+:32];
        wire               ab = a < b;
        wire               cd = c < d;
        wire signed [31:0] low_ab = ab ? a : b;
        wire signed [31:0] low_cd = cd ? c : d;
        wire signed [31:0] high_ab = ab ? b : a;
        wire signed [31:0] high_cd = cd ? d : c;
        always_ff @(posedge clk) begin
            if (valid) begin
                lows[32*i+:32]  <= low_ab < low_cd ? low_ab : low_cd;
                highs[32*i+:32] <= high_ab > high_cd ? high_ab : high_cd;
            end
        end
    end

    wire signed [31:0] low0 = lows[31:0];
    wire signed [31:0] low1 = lows[63:32];
    wire signed [31:0] low2 = lows[95:64];
    wire signed [31:0] low3 = lows[127:96];
    wire signed [31:0] low01 = low0 < low1 ? low0 : low1;
    wire signed [31:0] low23 = low2 < low3 ? low2 : low3;
    wire signed [31:0] least = low01 < low23 ? low01 : low23;
    wire signed [31:0] high0 = highs[31:0];
    wire signed [31:0] high1 = highs[63:32];
    wire signed [31:0] high2 = highs[95:64];
    wire signed [31:0] high3 = highs[127:96];
    wire signed [31:0] high01 = high0 > high1 ? high0 : high1;
    wire signed [31:0] high23 = high2 > high3 ? high2 : high3;
    wire signed [31:0] most = high01 > high23 ? high01 : high23;

    always_ff @(posedge clk) begin
        if (!rst_n) begin
            v1        <= 1'b0;
            out_valid <= 1'b0;
        end else begin
            v1        <= valid;
            out_valid <= v1;
        end
        if (v1) begin
            low  <= least < 0 ? least : 32'sd0;
            high <= most > 0 ? most : 32'sd0;
        end
    end
endmodule
