// 16 state values of one channel: update with rounding, dither and exponent rules, and their part of C · h
// (docs/numerics.md, section 3.3, State and Readout; 8-bit state).
//
// All stages move when `en` is high; no valid: the parent knows the latencies.
// In:  h 16 × int8 codes (n lowest first) and their exponent eh; b 16 × int8; q int8 (dt · x);
//      k whole bits of decay; eb = ex + eB; index = (t + 11 n + 57 ch) mod 256 of the first n; turn = bitrev8((t >> 8) mod 256), the same
//      while anything is inside. 7 cycles later, with new_h: c 16 × int8 and ec = eC + 12.
// Out: new_h, new_eh after 7 cycles; term (27 bits) after 11 cycles. Throughput one group a cycle.
module lm_state_group (
    input  logic                clk,
    input  logic                en,
    input  logic [127:0]        h,
    input  logic signed [7:0]   eh,
    input  logic [7:0]          k,
    input  logic signed [7:0]   q,
    input  logic [127:0]        b,
    input  logic [127:0]        c,
    input  logic signed [9:0]   eb,
    input  logic signed [7:0]   ec,
    input  logic [7:0]          index,
    input  logic [7:0]          turn,
    output logic [127:0]        new_h,
    output logic signed [7:0]   new_eh,
    output logic signed [26:0]  term
);
    `include "lm_tables.svh"

    // 1: exponents of the old part; products q · B
    wire signed [9:0]  decayed = 10'(eh) - $signed({2'b0, k});
    wire               flushed = decayed < -10'sd64;
    logic signed [9:0] ea, eb1;

    // 2: the common exponent, and what each part is shifted by
    wire signed [9:0]  ew_next  = ea > eb1 ? ea : eb1;
    wire signed [9:0]  a_behind = ew_next - ea;
    wire signed [9:0]  b_behind = ew_next - eb1;
    logic [3:0]        a_shift;
    logic [4:0]        b_shift, b_shift3;
    // 3, 4: the new part goes down to at most 8 bits below the common exponent; then the rest, with so many bits of dither
    wire [4:0]         b_first  = b_shift > 5'd8 ? b_shift - 5'd8 : 5'd0;
    wire [3:0]         b_rest   = b_shift3 > 5'd8 ? 4'd8 : b_shift3[3:0];
    wire [3:0]         b_dither = 4'd8 - b_rest;
    logic signed [9:0] ew2, ew3, ew4, ew5, ew6;
    logic [7:0]        index1, index2, index3, index4, index5; // the dither is looked up where it is used

    // 5, 6: the exponent's growth r, smallest with max <= 127 · 2^r: by the largest of the 16
    wire [15:0]       magnitude [0:15];
    wire [15:0]       max8 [0:7];
    logic [15:0]      max4 [0:3];
    wire [15:0]       max2 [0:1];
    for (genvar i = 0; i < 8; i++) begin : g_max8
        assign max8[i] = magnitude[2*i] > magnitude[2*i+1] ? magnitude[2*i] : magnitude[2*i+1];
    end
    for (genvar i = 0; i < 4; i++) begin : g_max4
        always_ff @(posedge clk) if (en) max4[i] <= max8[2*i] > max8[2*i+1] ? max8[2*i] : max8[2*i+1];
    end
    for (genvar i = 0; i < 2; i++) begin : g_max2
        assign max2[i] = max4[2*i] > max4[2*i+1] ? max4[2*i] : max4[2*i+1];
    end
    wire [15:0]       most = max2[0] > max2[1] ? max2[0] : max2[1];
    logic [3:0]       floor_bits;
    always_comb begin
        floor_bits = 4'd0;
        for (int i = 7; i < 15; i++) if (most[i]) floor_bits = 4'(i - 6);
    end
    wire              above  = most > (16'd127 << floor_bits);
    logic [3:0]       r;
    wire [3:0]        a_dither = 4'd8 - r;
    logic             zero;

    // 7: the new exponent
    wire signed [9:0] grown  = ew6 + $signed({6'd0, r});
    wire              faded  = zero || grown < -10'sd64;

    // 8 .. 11: the readout's term
    logic signed [18:0] part;
    logic signed [8:0]  wanted;
    wire signed [8:0]   sum_exponent = 9'(new_eh) + 9'(ec);
    logic signed [8:0]  read_exponent8, read_exponent9;
    wire signed [26:0]  term_next;
    lm_rsh #(.IN(19), .OUT(27), .LEFT(24)) u_term (.x(part), .s(8'(wanted)), .y(term_next));
    wire signed [26:0]  lowest = -27'sd67108863;

    wire signed [14:0]  product [0:15];
    logic signed [16:0] quarter [0:3];
    for (genvar i = 0; i < 4; i++) begin : g_quarter
        always_ff @(posedge clk) begin
            if (en) quarter[i] <= 17'(product[4*i]) + 17'(product[4*i+1]) + 17'(product[4*i+2]) + 17'(product[4*i+3]);
        end
    end

    always_ff @(posedge clk) begin
        if (en) begin
            ea <= (flushed ? -10'sd64 : decayed) - 10'sd7;
            eb1 <= eb;
            index1 <= index;

            a_shift <= a_behind > 10'sd15 ? 4'd15 : 4'(a_behind);
            b_shift <= b_behind > 10'sd23 ? 5'd23 : 5'(b_behind);
            ew2 <= ew_next;
            index2 <= index1;

            b_shift3 <= b_shift;
            ew3 <= ew2;
            index3 <= index2;

            ew4 <= ew3;
            index4 <= index3;

            ew5 <= ew4;
            index5 <= index4;

            r <= above ? floor_bits + 4'd1 : floor_bits;
            zero <= most == 16'd0;
            ew6 <= ew5;

            new_eh <= faded ? -8'sd64 : (grown > 10'sd63 ? 8'sd63 : 8'(grown));

            // 8: products with C, in the lanes; 9: their sums by fours
            read_exponent8 <= sum_exponent;
            read_exponent9 <= read_exponent8;

            part <= 19'(quarter[0]) + 19'(quarter[1]) + 19'(quarter[2]) + 19'(quarter[3]);
            wanted <= read_exponent9 > 9'sd24 ? -9'sd24 : -read_exponent9;

            term <= term_next < lowest ? lowest : term_next;
        end
    end

    for (genvar i = 0; i < 16; i++) begin : g_lane
        // 1
        wire [7:0]          at1 = index5 + 8'(11 * i);
        wire [7:0]          at2 = index2 + 8'(11 * i);
        logic [7:0]         d1, d2; // at stages 6 and 3
        logic signed [7:0]  old1, old2;
        logic signed [14:0] qb1, qb2;
        // 3: old part in Q7, rounded; new part, rounded
        wire signed [15:0]  old7 = $signed({old2, 8'd0}) >>> a_shift; // with one more bit below
        logic signed [14:0] a;
        logic signed [14:0] b3;
        wire signed [15:0]  b_half = $signed({qb2, 1'b0}) >>> b_first;
        // 4: the rest of the new part's shift, dithered, and the sum
        wire signed [15:0]  b_dithered = 16'(b3) + $signed({8'd0, d2 >> b_dither});
        logic signed [15:0] acc4, acc5, acc6;
        assign magnitude[i] = acc4[15] ? 16'(-acc4) : 16'(acc4);
        // 7: the code
        wire signed [16:0]  acc_dithered = 17'(acc6) + $signed({9'd0, d1 >> a_dither});
        wire signed [16:0]  code = acc_dithered >>> r;
        logic signed [7:0]  code7;
        assign new_h[8*i +: 8] = code7;
        // 8
        logic signed [14:0] hc;
        assign product[i] = hc;

        always_ff @(posedge clk) begin
            if (en) begin
                old1 <= flushed ? 8'sd0 : $signed(h[8*i +: 8]);
                qb1 <= 15'(q) * 15'($signed(b[8*i +: 8]));

                {old2, qb2} <= {old1, qb1};

                a <= 15'((old7 + 16'sd1) >>> 1);
                b3 <= 15'((b_half + 16'sd1) >>> 1);
                d2 <= LM_DITHER2[{at2, 3'd0} +: 8] ^ turn;

                acc4 <= 16'(a) + (b_dithered >>> b_rest);

                acc5 <= acc4;
                acc6 <= acc5;
                d1 <= LM_DITHER1[{at1, 3'd0} +: 8];

                code7 <= faded ? 8'sd0 : 8'(code);

                hc <= 15'(code7) * 15'($signed(c[8*i +: 8]));
            end
        end
        wire unused_lane = &{1'b0, code[16:8]};
    end
    // A shift: non-negative, and bounded above.
    wire unused = &{1'b0, wanted[8]};
endmodule
