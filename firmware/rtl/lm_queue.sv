// lm_fifo for many words: in block RAM, or UltraRAM from a megabit on, whose output is a register.
//
// s_*, m_*: streams, as in lm_fifo. level: words in it, the output among them, 0 .. DEPTH + 1. DEPTH is a power of two.
// Latency 2 cycles, throughput one word a cycle.
module lm_queue #(
    parameter int WIDTH = 32,
    parameter int DEPTH = 1024
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
    /* verilator lint_off UNUSEDPARAM */
    localparam STYLE = WIDTH * DEPTH < 1048576 ? "block" : "ultra";
    /* verilator lint_on UNUSEDPARAM */

    (* ram_style = STYLE *) logic [WIDTH-1:0] mem [0:DEPTH-1];
    logic [AW:0] wp, rp;

    wire [AW:0] stored = wp - rp;
    wire        moves  = stored != '0 && (!m_valid || m_ready);
    assign s_ready = stored != (AW + 1)'(DEPTH);
    assign level   = stored + (AW + 1)'(m_valid);

    // Blocking, as in lm_fifo: the word written is never the one that is read.
    /* verilator lint_off BLKSEQ */
    always @(posedge clk) if (s_valid && s_ready) mem[wp[AW-1:0]] = s_data;
    /* verilator lint_on BLKSEQ */

    always_ff @(posedge clk) begin
        if (moves) m_data <= mem[rp[AW-1:0]];
        if (!rst_n) begin
            wp      <= '0;
            rp      <= '0;
            m_valid <= 1'b0;
        end else begin
            if (s_valid && s_ready) wp <= wp + 1'b1;
            if (moves) rp <= rp + 1'b1;
            m_valid <= moves || (m_valid && !m_ready);
        end
    end
endmodule
