// The outer ±1 matrix of the HTU: for a block of m rows of 2^k words that arrive row by row, w[r][j] = Σ_i H_m[r][i] · x[i][j].
// Row i is added to or subtracted from all m sums of its column as it arrives, so that nothing but the reading is left to do
// after the last word.
//
// Sum (r, j) lies in bank r ^ (j mod 16) at address j. A column j is one address of all banks: the signs change places instead
// of the words. 16 neighbours of a row are in the 16 banks that share r / 16: one read gives a beat of a row.
//
// Signs:     column i of H_m, bit r set where H_m[r][i] = -1, written before use with `sign_we`.
// Adding:    `x_valid` with x, its row i and column j, i ascending from 0, which overwrites. Three cycles later the sum is
//            stored; a column comes again no sooner (lm_htu sees to it where k < 2).
// Reading:   `r_valid` with row r and chunk c (columns 16c..16c+15) moves in cycles with `r_advance`; `q_valid` three such
//            cycles later. Lane l has column 16c + (l & lane_mask). Not while adding.
// Throughput: one word a cycle in, 16 a cycle out.
module lm_htu_mix #(
    parameter int MAX_M = 64,  // a multiple of 16
    parameter int MAX_K = 7,   // at least 5
    parameter int WIDTH = 25   // of x
) (
    input  logic                     clk,
    input  logic                     rst_n,
    // signs
    input  logic                     sign_we,
    input  logic [$clog2(MAX_M)-1:0] sign_addr,
    input  logic [MAX_M-1:0]         sign_data,
    // adding
    input  logic                     x_valid,
    input  logic signed [WIDTH-1:0]  x,
    input  logic [$clog2(MAX_M)-1:0] x_row,
    input  logic [MAX_K-1:0]         x_column,
    output logic                     busy,      // reading must wait: a sum is on its way to memory
    // reading
    input  logic                     r_advance,
    input  logic                     r_valid,
    input  logic [$clog2(MAX_M)-1:0] r_row,
    input  logic [MAX_K-5:0]         r_chunk,
    input  logic [3:0]               lane_mask,
    output logic                     q_valid,
    output logic [16*32-1:0]         q
);
    localparam int MA = $clog2(MAX_M);

    logic [MAX_M-1:0] signs[0:MAX_M-1];
    always_ff @(posedge clk) if (sign_we) signs[sign_addr] <= sign_data;

    wire [MAX_M-1:0] column = signs[x_row];

    // Two cycles of memory, then the sum.
    logic                    v1, v2, first1, first2;
    logic signed [WIDTH-1:0] x1, x2;
    logic [MAX_M-1:0]        minus1, minus2;
    logic [MAX_K-1:0]        at1, at2;
    assign busy = v1;  // v2: a read from the next cycle on finds the sum
    always_ff @(posedge clk) begin
        if (!rst_n) begin
            v1 <= 1'b0;
            v2 <= 1'b0;
        end else begin
            v1 <= x_valid;
            v2 <= v1;
        end
        if (x_valid) begin
            x1     <= x;
            // Bank b holds row b ^ (j mod 16): its sign is that row's.
            for (int b = 0; b < MAX_M; b++) minus1[b] <= column[MA'(b) ^ MA'(x_column[3:0])];
            at1    <= x_column;
            first1 <= x_row == '0;
        end
        if (v1) begin
            x2     <= x1;
            minus2 <= minus1;
            at2    <= at1;
            first2 <= first1;
        end
    end

    logic          rv1, rv2;
    logic [MA-1:0] row1, row2;
    always_ff @(posedge clk) begin
        if (!rst_n) begin
            rv1     <= 1'b0;
            rv2     <= 1'b0;
            q_valid <= 1'b0;
        end else if (r_advance) begin
            rv1     <= r_valid;
            rv2     <= rv1;
            q_valid <= rv2;
        end
        if (r_advance) begin
            row1 <= r_row;
            row2 <= row1;
        end
    end

    wire                read  = x_valid || (r_valid && r_advance);
    wire                hold  = !v1 && !(rv1 && r_advance);
    wire [MAX_M*32-1:0] banks;
    for (genvar b = 0; b < MAX_M; b++) begin : g_bank
        localparam logic [3:0] B = 4'(b);
        logic signed [31:0] sums[0:(1<<MAX_K)-1];
        logic signed [31:0] sum1, sum2;  // memory, and its output register
        wire [MAX_K-1:0]    at   = x_valid ? x_column : {r_chunk, B ^ r_row[3:0]};
        wire signed [31:0]  term = 32'(x2);
        assign banks[32*b+:32] = sum2;
        always_ff @(posedge clk) begin
            if (read) sum1 <= sums[at];
            if (!hold) sum2 <= sum1;
            if (v2) sums[at2] <= minus2[b] ? (first2 ? 32'sd0 : sum2) - term : (first2 ? 32'sd0 : sum2) + term;
        end
    end

    // Lane l of a row is in the bank of row ^ l: a choice of 16 banks, then their order.
    for (genvar l = 0; l < 16; l++) begin : g_lane
        localparam logic [3:0] L = 4'(l);
        wire [3:0]    column_low = L & lane_mask;
        wire [MA-1:0] from       = row2 ^ MA'(column_low);
        always_ff @(posedge clk) if (r_advance && rv2) q[32*l+:32] <= banks[32*from+:32];
    end
endmodule
