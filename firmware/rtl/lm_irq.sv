// A pulse of one cycle as an interrupt for a processor with another clock: high for HOLD cycles, which its synchronizer cannot miss, then low for as
// long, so that every rise is an edge. A pulse that comes meanwhile is kept, and rises after that: whoever looked too early is called again.
module lm_irq #(
    parameter int HOLD = 64
) (
    input  logic clk,
    input  logic rst_n,
    input  logic pulse,
    output logic level
);
    localparam int CW = $clog2(HOLD);

    logic          again;
    logic [CW-1:0] left;  // cycles that the level stays as it is

    always_ff @(posedge clk) begin
        again <= again || pulse;
        if (left != '0) begin
            left <= left - 1'b1;
        end else if (level || again || pulse) begin
            level <= !level;
            left  <= CW'(HOLD - 1);
            if (!level) again <= 1'b0;
        end
        if (!rst_n) begin
            again <= 1'b0;
            level <= 1'b0;
            left  <= '0;
        end
    end
endmodule
