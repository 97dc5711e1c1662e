// Codes, scale and Σ x² of NQU's groups of 16, once the vector's exponent is known: the second sweep of docs/numerics.md, 3.1.
//
// Format:  0: A4, 1: A5, 2: A6, 3: A8; e: the vector's exponent. Both stay as they are while groups are inside.
// In:      a, 16 int32; low <= 0, the smallest of the group and 0; range, R of the group (of 32 in A5 and A6).
// Out:     v, 16 int8; sa (1 in A8, which has none); after the group's codes, sum has Σ x² of all groups since `clear`.
// Everything moves in cycles with `advance`. Latency 6 such cycles to codes, 7 to the sum; one group a cycle.
//
// No divider: R/Lv is a product, 1/sa a table of 255 entries.
module lm_nqu_code (
    input  logic               clk,
    input  logic               rst_n,
    input  logic               clear,
    input  logic               advance,
    input  logic [1:0]         format,
    input  logic [4:0]         e,
    input  logic               in_valid,
    input  logic               in_last,
    input  logic [16*32-1:0]   a,
    input  logic signed [31:0] low,
    input  logic [31:0]        range,
    output logic               out_valid,
    output logic               out_last,
    output logic [16*8-1:0]    v,
    output logic [7:0]         sa,
    output logic               sum_valid,  // behind the last group, until `clear`
    output logic [63:0]        sum
);
    localparam logic [1:0] A4 = 2'd0, A6 = 2'd2, A8 = 2'd3;
    wire zero_points = format == A4;
    wire whole       = format == A8;

    logic [5:0] valid, last;
    always_ff @(posedge clk) begin
        if (!rst_n || clear) valid <= '0;
        else if (advance) valid <= {valid[4:0], in_valid};
        if (advance) last <= {last[4:0], in_last};
    end
    wire [5:0] step = advance ? {valid[4:0], in_valid} : '0;  // stages that take a group
    assign out_valid = valid[5];
    assign out_last  = last[5];

    // floor(2 · a · 2^F / 2^e): x and, in A8, the code follow by rounding its last 1 and 9 bits. F is 5, in A8 8.
    wire [5:0] shift = whole ? {1'b0, e} : 6'(e) + 6'd3;

    // ------------------------------------------------------------------------------------------------ scale
    // cycle 1: t; 2: sa; 3: 1 / sa; on to 6.

    logic [16:0] inverses[0:255];
    initial begin
        inverses[0] = '0;
        for (int i = 1; i < 256; i++) inverses[i] = 17'((65536 + (i >> 1)) / i);
    end

    wire [32:0] raised = {1'b0, range} + ((33'd1 << e) - 33'd1);
    logic [12:0] t;  // at most 31 · 255
    wire [13:0] over = 14'(t) + (format == A6 ? 14'd30 : 14'd14);
    // n / 15 = n · 34953 >> 19 and n / 31 = n · 33826 >> 20 for all n below 2^14.
    wire [7:0]  quotient = format == A6 ? 8'(30'(over) * 30'd33826 >> 20) : 8'(30'(over) * 30'd34953 >> 19);
    logic [7:0]  sa2, sa3, sa4, sa5;
    logic [16:0] inverse;
    always_ff @(posedge clk) begin
        if (step[0]) t <= 13'(raised >> e);
        if (step[1]) sa2 <= whole || quotient == 8'd0 ? 8'd1 : quotient;
        if (step[2]) sa3 <= sa2;
        if (step[2]) inverse <= inverses[sa2];
        if (step[3]) sa4 <= sa3;
        if (step[4]) sa5 <= sa4;
        if (step[5]) sa <= sa5;
    end

    // ------------------------------------------------------------------------------------------------ zero point

    wire signed [19:0]  zero_half = 20'($signed({low, 9'd0}) >>> shift);
    logic signed [19:0] zero1;
    logic signed [18:0] zero2, zero3;
    logic signed [35:0] zero4;
    wire [14:0]         zero_whole = 15'((36'sd1048576 - zero4) >>> 21);  // not negative
    logic [3:0]         zero;
    always_ff @(posedge clk) begin
        if (step[0]) zero1 <= zero_half;
        if (step[1]) zero2 <= 19'((zero1 + 20'sd1) >>> 1);
        if (step[2]) zero3 <= zero2;
        if (step[3]) zero4 <= 36'(zero3) * $signed({19'd0, inverse});
        if (step[4]) zero <= !zero_points ? 4'd0 : zero_whole > 15'd15 ? 4'd15 : zero_whole[3:0];
    end

    // ------------------------------------------------------------------------------------------------ codes

    wire signed [7:0]   top = whole ? 8'sd127 : format == A6 ? 8'sd31 : 8'sd15;
    wire signed [15:0]  zero_wide = $signed({12'd0, zero});
    wire [16*38-1:0]    squares;
    for (genvar l = 0; l < 16; l++) begin : g_lane
        wire signed [31:0]  word = a[32*l+:32];
        logic signed [19:0] half1;         // 1: twice x
        logic signed [18:0] x2, x3;        // 2, 3: x
        logic signed [10:0] code2, code3, code4;  // A8: the code
        logic signed [35:0] product4;      // 4: x / sa, code in bits 21 and up
        logic signed [15:0] code5;         // 5: before the zero point
        logic [37:0]        square4;
        // 6: between 0 - zero and 15 - zero, or within ±top
        wire signed [15:0]  least = zero_points ? -zero_wide : 16'sd0 - 16'(top);
        wire signed [15:0]  most  = zero_points ? 16'sd15 - zero_wide : 16'(top);
        assign squares[38*l+:38] = square4;
        always_ff @(posedge clk) begin
            if (step[0]) half1 <= 20'($signed({word, 9'd0}) >>> shift);
            if (step[1]) begin
                x2    <= 19'((half1 + 20'sd1) >>> 1);
                code2 <= 11'((21'(half1) + 21'sd256) >>> 9);
            end
            if (step[2]) begin
                x3    <= x2;
                code3 <= code2;
            end
            if (step[3]) begin
                product4 <= 36'(x3) * $signed({19'd0, inverse});
                square4  <= 38'(x3) * 38'(x3);
                code4    <= code3;
            end
            if (step[4]) code5 <= whole ? 16'(code4) : 16'((product4 + 36'sd1048576) >>> 21);
            if (step[5]) v[8*l+:8] <= 8'(code5 < least ? least : code5 > most ? most : code5);
        end
    end

    // ------------------------------------------------------------------------------------------------ sum of squares
    // cycle 5: four sums of four; 6: one; 7: added up.

    logic [4*40-1:0] sums5;
    logic [41:0]     sum6;
    for (genvar i = 0; i < 4; i++) begin : g_sum
        wire [37:0] s0 = squares[152*i+:38];
        wire [37:0] s1 = squares[152*i+38+:38];
        wire [37:0] s2 = squares[152*i+76+:38];
        wire [37:0] s3 = squares[152*i+114+:38];
        always_ff @(posedge clk) if (step[4]) sums5[40*i+:40] <= (40'(s0) + 40'(s1)) + (40'(s2) + 40'(s3));
    end
    always_ff @(posedge clk) begin
        if (step[5])
            sum6 <= (42'(sums5[39:0]) + 42'(sums5[79:40])) + (42'(sums5[119:80]) + 42'(sums5[159:120]));
        if (!rst_n || clear) begin
            sum       <= '0;
            sum_valid <= 1'b0;
        end else if (advance && valid[5]) begin
            sum <= sum + 64'(sum6);
            if (last[5]) sum_valid <= 1'b1;
        end
    end
endmodule
