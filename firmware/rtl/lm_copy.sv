// COPY: memory to memory, COUNT bytes from A0 to A1, in whole beats. The smallest unit there is: how a unit looks to lm_cmd and to the masters.
//
// start:   one cycle, with the descriptor; only while the unit is at rest. lm_cmd has checked sizes, alignment and overlap.
// done:    one cycle, when all is written and answered.
// rd_*, wr_*: the unit's own masters (lm_axi_rd, lm_axi_wr), which check windows and always let the unit come to its end.
// HANG_LAYER: for tests of the watchdog, a COPY with this layer number gets stuck half way. 65536: none.
// Throughput: that of the slower master. Latency: one memory latency and about 10 cycles.
module lm_copy #(
    parameter int HANG_LAYER = 65536
) (
    input  logic         clk,
    input  logic         rst_n,
    input  logic         start,
    input  logic [511:0] desc,
    output logic         done,

    output logic         rd_valid,
    input  logic         rd_ready,
    output logic [63:0]  rd_addr,
    output logic [31:0]  rd_beats,
    input  logic         rd_idle,

    output logic         wr_valid,
    input  logic         wr_ready,
    output logic [63:0]  wr_addr,
    output logic [31:0]  wr_beats,
    input  logic         wr_idle
);
    `include "lm_device.svh"

    logic busy;
    logic stuck;

    always_ff @(posedge clk) begin
        done <= 1'b0;
        if (rd_valid && rd_ready) rd_valid <= 1'b0;
        if (wr_valid && wr_ready) wr_valid <= 1'b0;
        if (busy && !stuck && !rd_valid && !wr_valid && rd_idle && wr_idle) begin
            busy <= 1'b0;
            done <= 1'b1;
        end
        if (start) begin
            busy     <= 1'b1;
            stuck    <= {16'd0, desc[8*LM_DESC_LAYER +: 16]} == 32'(HANG_LAYER);
            rd_valid <= 1'b1;
            wr_valid <= {16'd0, desc[8*LM_DESC_LAYER +: 16]} != 32'(HANG_LAYER);
            rd_addr  <= desc[8*LM_DESC_A0 +: 64];
            wr_addr  <= desc[8*LM_DESC_A1 +: 64];
            rd_beats <= desc[8*LM_DESC_COUNT +: 32] >> 6;
            wr_beats <= desc[8*LM_DESC_COUNT +: 32] >> 6;
        end
        if (!rst_n) begin
            busy     <= 1'b0;
            done     <= 1'b0;
            rd_valid <= 1'b0;
            wr_valid <= 1'b0;
        end
    end

    wire unused = &{1'b0, desc};
endmodule
