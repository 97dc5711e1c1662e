// A clock that stands still while nothing would change, so that a simulation need not look at what hangs on it. For synthesis it is the clock itself:
// what hangs on it must work the same when it runs all the time.
//
// on: whether the next rising edge passes; a register's output, or made of such.
module lm_clock (
    input  logic clk,
    input  logic on,
    output logic gated
);
`ifdef SYNTHESIS
    assign gated = clk;
    wire unused = &{1'b0, on};
`else
    logic passes;
    always_latch if (!clk) passes = on;
    assign gated = clk & passes;
`endif
endmodule
