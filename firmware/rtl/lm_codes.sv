// B and C of one token to int8, one exponent a group of N values, kept for the heads (docs/numerics.md, section 3.3, B and C).
//
// start:   a pulse before the first value of a token; cfg_* stable until the next one.
//          cfg_n: N; cfg_words: ceil(N / 16); cfg_groups: G, with G · words <= WORDS; cfg_fb, cfg_fc: fBs, fCs.
// s_*:     int16 values after convolution and SiLU: G groups of N of B, then as many of C. Accepted between start and done only.
// done:    all codes are there, until the next start.
// Reading, combinational: word b_address + lane or c_address + lane of each lane is 16 codes of B or C (n lowest first; beyond N zeros);
//          exponents of b_group and c_group: eb = eB, ec = eC + 12.
// A group takes N + words + 1 cycles.
module lm_codes #(
    parameter int WORDS  = 64, // of 16 codes, for B and for C: G · ceil(N / 16) at most
    parameter int GROUPS = 8,  // G at most
    parameter int LANES  = 1   // words read at once
) (
    input  logic                      clk,
    input  logic                      rst_n,
    input  logic                      start,
    input  logic [9:0]                cfg_n,
    input  logic [5:0]                cfg_words,
    input  logic [$clog2(GROUPS):0]   cfg_groups,
    input  logic [4:0]                cfg_fb,
    input  logic [4:0]                cfg_fc,
    input  logic                      s_valid,
    output logic                      s_ready,
    input  logic signed [15:0]        s_data,
    output logic                      done,
    input  logic [$clog2(WORDS)-1:0]  b_address,
    input  logic [$clog2(GROUPS)-1:0] b_group,
    output logic [128*LANES-1:0]      b,
    output logic signed [7:0]         eb,
    input  logic [$clog2(WORDS)-1:0]  c_address,
    input  logic [$clog2(GROUPS)-1:0] c_group,
    output logic [128*LANES-1:0]      c,
    output logic signed [7:0]         ec
);
    localparam int AW = $clog2(WORDS);
    localparam int GW = $clog2(GROUPS);
    localparam logic [1:0] IDLE = 2'd0, COLLECT = 2'd1, SHIFT = 2'd2, CONVERT = 2'd3;

    logic [127:0]      b_mem [0:WORDS-1];
    logic [127:0]      c_mem [0:WORDS-1];
    logic signed [7:0] b_exponent [0:GROUPS-1];
    logic signed [7:0] c_exponent [0:GROUPS-1];
    for (genvar i = 0; i < LANES; i++) begin : g_read
        assign b[128*i +: 128] = b_mem[b_address + AW'(i)];
        assign c[128*i +: 128] = c_mem[c_address + AW'(i)];
    end
    assign eb = b_exponent[b_group];
    assign ec = c_exponent[c_group];

    logic [1:0]    state;
    logic          second; // C
    logic [GW-1:0] g;
    logic [AW-1:0] base;

    // A group's raw values, and the largest
    logic [255:0]  raw [0:31];
    logic [255:0]  word;
    logic [9:0]    n;
    logic [15:0]   largest;
    wire [15:0]    magnitude = s_data[15] ? 16'(-s_data) : 16'(s_data);
    wire           takes  = s_valid && s_ready;
    wire           last   = n + 10'd1 == cfg_n;
    assign s_ready = state == COLLECT;
    logic [255:0]  filled;
    always_comb begin
        filled = n[3:0] == 4'd0 ? 256'd0 : word;
        filled[{n[3:0], 4'd0} +: 16] = s_data;
    end

    // Their codes: rsh(value, s), which fits 8 bits by the choice of s
    wire [5:0]     s_next;
    logic [5:0]    s, w;
    lm_shift7 #(.IN(16)) u_shift (.max(largest), .s(s_next));
    wire [255:0]   source = raw[w[4:0]];
    wire [127:0]   codes;
    for (genvar i = 0; i < 16; i++) begin : g_code
        wire signed [16:0] twice = $signed({source[16*i +: 16], 1'b0}) >>> s;
        assign codes[8*i +: 8] = 8'((twice + 17'sd1) >>> 1);
    end

    wire signed [7:0] exponent = $signed({2'd0, s}) - $signed({3'd0, second ? cfg_fc : cfg_fb});

    always_ff @(posedge clk) begin
        if (takes) begin
            word <= filled;
            if (n[3:0] == 4'd15 || last) raw[n[8:4]] <= filled;
            if (magnitude > largest) largest <= magnitude;
            n <= n + 10'd1;
            if (last) state <= SHIFT;
        end
        if (state == SHIFT) begin
            s <= s_next;
            w <= 6'd0;
            state <= CONVERT;
        end
        if (state == CONVERT) begin
            if (second) c_mem[base + AW'(w)] <= codes;
            else b_mem[base + AW'(w)] <= codes;
            if (second) c_exponent[g] <= exponent + 8'sd12;
            else b_exponent[g] <= exponent;
            w <= w + 6'd1;
            if (w + 6'd1 == cfg_words) begin
                n <= 10'd0;
                largest <= 16'd0;
                g <= g + 1'b1;
                base <= base + AW'(cfg_words);
                state <= COLLECT;
                if ({1'b0, g} + 1'b1 == cfg_groups) begin
                    g <= '0;
                    base <= '0;
                    second <= 1'b1;
                    if (second) begin
                        state <= IDLE;
                        done <= 1'b1;
                    end
                end
            end
        end
        if (start) begin
            state <= COLLECT;
            done <= 1'b0;
            second <= 1'b0;
            g <= '0;
            base <= '0;
            n <= 10'd0;
            largest <= 16'd0;
        end
        if (!rst_n) begin
            state <= IDLE;
            done <= 1'b0;
        end
    end
endmodule
