// One butterfly of the HTU: single path, delay feedback. Of the words of a run, pairs (n, n + D) with bit log2(D) of n clear,
// D = 2^LOG2, become their sum and difference, in place and in order.
//
// While the first D words of a pair of halves arrive they are put aside, and the differences of the pair before go out; while
// the second D arrive, sums go out and differences are put aside. So the output trails the input by D words, and D words more
// (of any value) push the last differences out.
//
// Interface: `clear` starts a run. Everything moves in cycles with `advance`; a word needs `in_valid` as well. With `bypass`
//            words pass unchanged. The output is registered and holds while `advance` is low.
// Latency:   D words and one cycle (bypass: one cycle). Throughput: one word a cycle.
// Widths:    in WIDTH bits signed, out WIDTH + 1: exact.
module lm_htu_stage #(
    parameter int WIDTH = 18,
    parameter int LOG2  = 0
) (
    input  logic                    clk,
    input  logic                    rst_n,
    input  logic                    clear,
    input  logic                    advance,
    input  logic                    bypass,
    input  logic                    in_valid,
    input  logic signed [WIDTH-1:0] in_data,
    output logic                    out_valid,
    output logic signed [WIDTH:0]   out_data
);
    localparam int DELAY = 1 << LOG2;
    localparam int AW    = LOG2 == 0 ? 1 : LOG2;

    logic signed [WIDTH:0] aside[0:DELAY-1];
    logic [LOG2:0]         n;       // position in a pair of halves
    logic                  primed;  // there are differences to give out

    wire                   second = n[LOG2];
    wire [AW-1:0]          at     = LOG2 == 0 ? '0 : AW'(n);
    wire signed [WIDTH:0]  wide   = (WIDTH + 1)'(in_data);
    wire                   take   = advance && in_valid;

    always_ff @(posedge clk) begin
        if (!rst_n || clear) begin
            n         <= '0;
            primed    <= 1'b0;
            out_valid <= 1'b0;
        end else if (advance) begin
            out_valid <= in_valid && (bypass || primed || second);
            if (in_valid) begin
                n <= n + 1'b1;
                if (second) primed <= 1'b1;
            end
        end
    end

    // Writes in the cycle of the read at the same address: distributed memory or shift registers.
    always_ff @(posedge clk) begin
        if (take) begin
            if (bypass) out_data <= wide;
            else if (second) begin
                out_data  <= aside[at] + wide;
                aside[at] <= aside[at] - wide;
            end else begin
                out_data  <= aside[at];
                aside[at] <= wide;
            end
        end
    end
endmodule
