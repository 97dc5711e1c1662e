// First-in, first-out queue of DEPTH words; the oldest word is at the output as soon as it is there.
//
// s_*, m_*: streams; a word moves where valid and ready are both high, and data is stable while valid waits for ready.
// level:    words in the queue, 0 .. DEPTH. DEPTH is a power of two, at least 2.
// Latency 1 cycle, throughput one word a cycle. Neither side's ready or valid depends on the other side's in the same
// cycle, so queues also cut long paths.
module lm_fifo #(
    parameter int WIDTH = 32,
    parameter int DEPTH = 16
) (
    input  logic                   clk,
    input  logic                   rst_n,
    input  logic                   s_valid,
    output logic                   s_ready,
    input  logic [WIDTH-1:0]       s_data,
    output logic                   m_valid,
    input  logic                   m_ready,
    output logic [WIDTH-1:0]       m_data,
    output logic [$clog2(DEPTH):0] level
);
    localparam int AW = $clog2(DEPTH);

    logic [WIDTH-1:0] mem [0:DEPTH-1];
    logic [AW:0]      wp;
    logic [AW:0]      rp;

    assign level   = wp - rp;
    assign s_ready = level != (AW + 1)'(DEPTH);
    assign m_valid = level != '0;
    assign m_data  = mem[rp[AW-1:0]];

    // Blocking, which spares the simulation a copy of every word: the word written is never the one that is valid at the output.
    /* verilator lint_off BLKSEQ */
    always @(posedge clk) if (s_valid && s_ready) mem[wp[AW-1:0]] = s_data;
    /* verilator lint_on BLKSEQ */

    always_ff @(posedge clk) begin
        if (!rst_n) begin
            wp <= '0;
            rp <= '0;
        end else begin
            if (s_valid && s_ready) wp <= wp + 1'b1;
            if (m_valid && m_ready) rp <= rp + 1'b1;
        end
    end
endmodule
