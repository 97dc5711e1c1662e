// lm_fifo for many words: in block RAM, whose output is a register.
//
// s_*, m_*: streams, as in lm_fifo. It holds DEPTH + 1 words; DEPTH is a power of two.
// Latency 2 cycles, throughput one word a cycle.
module lm_queue #(
    parameter int WIDTH = 32,
    parameter int DEPTH = 1024
) (
    input  logic             clk,
    input  logic             rst_n,
    input  logic             s_valid,
    output logic             s_ready,
    input  logic [WIDTH-1:0] s_data,
    output logic             m_valid,
    input  logic             m_ready,
    output logic [WIDTH-1:0] m_data
);
    localparam int AW = $clog2(DEPTH);

    logic [WIDTH-1:0] mem [0:DEPTH-1];
    logic [AW:0]      wp, rp;

    assign s_ready = wp - rp != (AW + 1)'(DEPTH);
    wire moves = wp != rp && (!m_valid || m_ready);

    always_ff @(posedge clk) begin
        if (s_valid && s_ready) mem[wp[AW-1:0]] <= s_data;
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
