// Beats of ELEMENTS elements to up to OUT elements a cycle.
//
// s_*:     stream of beats, element 0 lowest.
// level:   elements that are there; `data` has the next OUT of them, the next one lowest.
// pop:     elements that leave at this clock edge, at most `level`.
// clear:   drops what is there (the rest of a stream's last beat); no beat is accepted in that cycle.
// A beat may be taken out as soon as it is in: latency 1 cycle. Two beats are held, so that nothing waits at 1 beat a cycle.
module lm_unpack #(
    parameter int WIDTH    = 8,
    parameter int ELEMENTS = 64, // a power of two
    parameter int OUT      = 1   // at most ELEMENTS
) (
    input  logic                          clk,
    input  logic                          rst_n,
    input  logic                          clear,
    input  logic                          s_valid,
    output logic                          s_ready,
    input  logic [WIDTH*ELEMENTS-1:0]     s_data,
    output logic [$clog2(2*ELEMENTS):0]   level,
    output logic [WIDTH*OUT-1:0]          data,
    input  logic [$clog2(2*ELEMENTS):0]   pop
);
    localparam int AW = $clog2(2 * ELEMENTS);

    logic [WIDTH*ELEMENTS-1:0] low, high;
    logic                      half;  // where the next beat goes
    logic [AW-1:0]             first; // of the two beats' elements, the next to leave

    assign s_ready = level <= (AW + 1)'(ELEMENTS) && !clear;
    for (genvar i = 0; i < OUT; i++) begin : g_out
        wire [AW-1:0] index = first + AW'(i);
        wire [AW-2:0] place = index[AW-2:0];
        assign data[WIDTH*i +: WIDTH] = index[AW-1] ? high[WIDTH*place +: WIDTH] : low[WIDTH*place +: WIDTH];
    end

    always_ff @(posedge clk) begin
        if (s_valid && s_ready) begin
            if (half) high <= s_data;
            else low <= s_data;
        end
        if (!rst_n || clear) begin
            half <= 1'b0;
            first <= '0;
            level <= '0;
        end else begin
            if (s_valid && s_ready) half <= !half;
            first <= first + AW'(pop);
            level <= level - pop + (s_valid && s_ready ? (AW + 1)'(ELEMENTS) : '0);
        end
    end
endmodule
