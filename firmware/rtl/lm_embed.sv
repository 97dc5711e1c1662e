// A row of the embedding table to residuals: r = rsh(c · em, s), saturated to ±(2^30 - 1), s = -(ee + FR) (docs/numerics.md, 3).
//
// scale, shift: em and s of the row; s from -64 to 127, a left shift where negative. They stay as they are from the first
//               codes of a row until its last residuals are out.
// s_*:          16 codes int8 a transfer, s_last with the last one. m_*: their residuals, int32.
// Streams: a word moves where valid and ready are high; data is stable while valid waits for ready.
// Latency 3 cycles, throughput 16 codes a cycle.
module lm_embed (
    input  logic               clk,
    input  logic               rst_n,
    input  logic [15:0]        scale,
    input  logic signed [7:0]  shift,
    input  logic               s_valid,
    output logic               s_ready,
    input  logic [16*8-1:0]    s_codes,
    input  logic               s_last,
    output logic               m_valid,
    input  logic               m_ready,
    output logic [16*32-1:0]   m_data,
    output logic               m_last
);
    logic [2:0] valid, last;
    wire advance = !m_valid || m_ready;
    assign s_ready = advance;
    assign m_valid = valid[2];
    assign m_last  = last[2];
    always_ff @(posedge clk) begin
        if (!rst_n) valid <= '0;
        else if (advance) valid <= {valid[1:0], s_valid};
        if (advance) last <= {last[1:0], s_last};
    end

    // A product has 24 bits and its sign: 26 bits to the right is 0, 31 to the left saturates unless it is 0.
    wire        left    = shift < 0;
    wire [7:0]  back    = 8'd0 - $unsigned(shift);
    wire [4:0]  by      = left ? (back > 8'd31 ? 5'd31 : back[4:0]) : shift > 8'sd31 ? 5'd31 : shift[4:0];
    localparam logic signed [55:0] TOP = 56'sd1073741823;  // 2^30 - 1
    for (genvar l = 0; l < 16; l++) begin : g_lane
        wire signed [7:0]   code = s_codes[8*l+:8];
        logic signed [24:0] product;
        logic signed [55:0] shifted;  // to the right: twice the result
        wire signed [55:0]  whole = left ? shifted : (shifted + 56'sd1) >>> 1;
        always_ff @(posedge clk) begin
            if (advance) begin
                product <= 25'(code) * $signed({9'd0, scale});
                shifted <= left ? 56'(product) <<< by : $signed({{30{product[24]}}, product, 1'b0}) >>> by;
                m_data[32*l+:32] <= 32'(whole > TOP ? TOP : whole < -TOP ? -TOP : whole);
            end
        end
    end
endmodule
