// NQU, norm-and-quantize unit: int32 vector to small signed codes, scales, exponent and Σ x² (docs/numerics.md, 3.1).
//
//   a ──► lanes behind the end to 0 ──┬──► vector buffer ─────────────┬──► lm_nqu_code ──► codes, sa, S
//                                     └──► lm_nqu_range ──► ranges ───┘
//                                              └──► largest ──► e
//
// First sweep: groups of 16 are stored as they arrive, with their range. Then the exponent; then the second sweep codes one
// group a cycle. All four formats; the offsets 8 · Σv that the WebAssembly kernel keeps are not made: hardware multiplies by
// signed weights and needs none.
//
// Interface
//   cfg_*:     one transfer starts a vector of cfg_inputs words, 1 .. MAX_INPUTS; format 0: A4, 1: A5, 2: A6, 3: A8. cfg_bad says
//              that cfg_inputs is not in range, and then nothing is started.
//   s_*:       a, 16 words a transfer in order, ceil(inputs / 16) transfers; words behind the end count as 0.
//   m_*:       16 codes (int8, code l in bits 8l+7..8l) and their sa (u8; 1 in A8, which has none) a transfer,
//              2 · ceil(inputs / 32) transfers; both halves of a group of 32 carry its sa. m_last is with the last one.
//   exponent:  e, from before the first codes until the next vector starts.
//   sum:       S, while sum_valid: from the cycle after the last codes have moved until the next vector starts.
// Streams: a word moves where valid and ready are high; data is stable while valid waits for ready.
// Cycles, first transfer in to last out without stalls, both counted: 4 · ceil(inputs / 32) + 12 (measured by the tests). Both
// sweeps take a group of 16 a cycle; 12 lie between them and behind.
module lm_nqu #(
    parameter int MAX_INPUTS = 8192  // a multiple of 32
) (
    input  logic             clk,
    input  logic             rst_n,
    // command
    input  logic             cfg_valid,
    output logic             cfg_ready,
    output logic             cfg_bad,
    input  logic [13:0]      cfg_inputs,
    input  logic [1:0]       cfg_format,
    // a
    input  logic             s_valid,
    output logic             s_ready,
    input  logic [16*32-1:0] s_data,
    // codes
    output logic             m_valid,
    input  logic             m_ready,
    output logic [16*8-1:0]  m_codes,
    output logic [7:0]       m_scale,
    output logic             m_last,
    // of the vector
    output logic [4:0]       exponent,
    output logic             sum_valid,
    output logic [63:0]      sum
);
    localparam int BEATS = MAX_INPUTS / 16;
    localparam int BA    = $clog2(BEATS);
    localparam logic [1:0] A4 = 2'd0, A6 = 2'd2, A8 = 2'd3;

    // ------------------------------------------------------------------------------------------------ command

    localparam logic [2:0] IDLE = 3'd0, STORE = 3'd1, SETTLE = 3'd2, LENGTH = 3'd3, EXPONENT = 3'd4, CODE = 3'd5,
                           DRAIN = 3'd6;
    logic [2:0] state;
    logic [1:0] format;

    assign cfg_ready = state == IDLE;
    assign cfg_bad   = cfg_inputs == '0 || cfg_inputs > 14'(MAX_INPUTS);
    wire start = cfg_valid && cfg_ready && !cfg_bad;

    // ------------------------------------------------------------------------------------------------ first sweep

    logic [13:0]   left;         // words that have not come yet
    logic [BA-1:0] beat;         // of the sweep
    logic [BA-1:0] last_beat;    // odd: whole groups of 32
    wire           padding = left == '0;
    wire           store   = state == STORE && (s_valid || padding);
    assign s_ready = state == STORE && !padding;

    wire [16*32-1:0] words;
    for (genvar l = 0; l < 16; l++) begin : g_mask
        assign words[32*l+:32] = left > 14'(l) ? s_data[32*l+:32] : 32'd0;
    end

    logic [16*32-1:0] vector[0:BEATS-1];
    logic [16*32-1:0] group;
    wire              code_advance;
    wire              fetch = state == CODE && code_advance;
    always_ff @(posedge clk) begin
        if (store) vector[beat] <= words;
        if (fetch) group <= vector[beat];
    end

    wire               range_valid;
    wire signed [31:0] low, high;
    lm_nqu_range u_range (
        .clk      (clk),
        .rst_n    (rst_n),
        .valid    (store),
        .words    (words),
        .out_valid(range_valid),
        .low      (low),
        .high     (high)
    );

    // R of the group: of 16 in A4, else the larger magnitude, of 32 together.
    wire [31:0] depth  = 32'd0 - low;
    wire [31:0] single = format == A4 ? high - low : $unsigned(high) > depth ? $unsigned(high) : depth;
    logic [BA-1:0] ranged;      // group whose range comes next
    logic          range_left;  // ranges have still to come
    logic [31:0]   range0;      // of the first half of a group of 32
    wire [31:0]    both = ranged[0] && range0 > single ? range0 : single;
    wire           pairs = format != A4;

    logic [63:0]  ranges[0:BEATS-1];  // R, low
    logic [63:0]  range_low;
    wire [BA-1:0] range_at = pairs ? ranged >> 1 : ranged;
    wire [BA-1:0] fetch_at = pairs ? beat >> 1 : beat;
    always_ff @(posedge clk) begin
        if (range_valid) begin
            ranges[range_at] <= {pairs ? both : single, low};
            range0           <= single;
        end
        if (fetch) range_low <= ranges[fetch_at];
    end

    // ------------------------------------------------------------------------------------------------ exponent

    // Smallest e with X <= limit · 2^e. In A8, rsh(M, e) <= 127 is the same as 2 M + 1 <= 255 · 2^e.
    logic [31:0] largest;
    logic [5:0]  bits;   // of X
    wire [32:0]  x         = format == A8 ? {largest, 1'b1} : {1'b0, largest};
    wire [12:0]  limit     = format == A8 ? 13'd255 : format == A6 ? 13'd7905 : 13'd3825;
    wire [5:0]   limit_bits = format == A8 ? 6'd8 : format == A6 ? 6'd13 : 6'd12;
    logic [5:0]  length;
    always_comb begin
        length = '0;
        for (int i = 0; i < 33; i++) if (x[i]) length = 6'(i + 1);
    end
    wire [4:0] least = bits > limit_bits ? 5'(bits - limit_bits) : 5'd0;
    wire       more  = {5'd0, x} > 38'(limit) << least;

    always_ff @(posedge clk) begin
        if (start) begin
            left       <= cfg_inputs;
            last_beat  <= BA'((cfg_inputs - 14'd1) >> 4) | BA'(1);
            format     <= cfg_format;
            largest    <= '0;
            ranged     <= '0;
            range_left <= 1'b1;
        end else begin
            if (store) left <= left > 14'd16 ? left - 14'd16 : 14'd0;
            if (range_valid) begin
                ranged <= ranged + 1'b1;
                if (ranged == last_beat) range_left <= 1'b0;
                if (single > largest) largest <= single;
            end
        end
        if (state == LENGTH) bits <= length;
        if (state == EXPONENT) exponent <= least + 5'(more);
    end

    // ------------------------------------------------------------------------------------------------ second sweep

    logic fetched, fetched_last;
    lm_nqu_code u_code (
        .clk      (clk),
        .rst_n    (rst_n),
        .clear    (start),
        .advance  (code_advance),
        .format   (format),
        .e        (exponent),
        .in_valid (fetched),
        .in_last  (fetched_last),
        .a        (group),
        .low      (range_low[31:0]),
        .range    (range_low[63:32]),
        .out_valid(m_valid),
        .out_last (m_last),
        .v        (m_codes),
        .sa       (m_scale),
        .sum_valid(sum_valid),
        .sum      (sum)
    );
    assign code_advance = !m_valid || m_ready;

    wire end_of_sweep = beat == last_beat;
    always_ff @(posedge clk) begin
        if (!rst_n) fetched <= 1'b0;
        else if (code_advance) fetched <= fetch;
        if (code_advance) fetched_last <= end_of_sweep;
        if (start || state == EXPONENT) beat <= '0;
        else if (store || fetch) beat <= end_of_sweep ? '0 : beat + 1'b1;

        if (!rst_n) state <= IDLE;
        else if (start) state <= STORE;
        else if (state == STORE && store && end_of_sweep) state <= SETTLE;
        else if (state == SETTLE && !range_left) state <= LENGTH;
        else if (state == LENGTH) state <= EXPONENT;
        else if (state == EXPONENT) state <= CODE;
        else if (fetch && end_of_sweep) state <= DRAIN;
        else if (state == DRAIN && m_valid && m_ready && m_last) state <= IDLE;
    end
endmodule
