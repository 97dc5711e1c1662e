// Up to IN elements a cycle to beats of ELEMENTS elements: the reverse of lm_unpack.
//
// push:    elements that come at this clock edge (the lowest ones of `data`), at most IN; only where `ready` is high.
// flush:   a pulse, without a push: what is left leaves as a last beat, its unused elements 0. The next element starts a new beat.
// m_*:     stream of beats, element 0 lowest. A beat is there one cycle after its last element came.
// empty:   nothing is inside. After flush, the flushed beat has left when `empty` is high.
module lm_pack #(
    parameter int WIDTH    = 8,
    parameter int ELEMENTS = 64, // a power of two
    parameter int IN       = 1   // at most ELEMENTS
) (
    input  logic                         clk,
    input  logic                         rst_n,
    output logic                         ready,
    input  logic [$clog2(ELEMENTS):0]    push,
    input  logic [WIDTH*IN-1:0]          data,
    input  logic                         flush,
    output logic                         m_valid,
    input  logic                         m_ready,
    output logic [WIDTH*ELEMENTS-1:0]    m_data,
    output logic                         empty
);
    localparam int AW = $clog2(2 * ELEMENTS);

    logic [WIDTH*ELEMENTS-1:0] low, high;
    logic [AW-1:0]             next; // where the next element goes
    logic                      half; // the beat that leaves next
    logic [AW:0]               level;
    logic                      flushing;

    assign ready   = level <= (AW + 1)'(2 * ELEMENTS - IN) && !flushing;
    assign empty   = level == '0;
    assign m_valid = level >= (AW + 1)'(ELEMENTS) || (flushing && !empty);

    wire [WIDTH*ELEMENTS-1:0] beat = half ? high : low;
    for (genvar i = 0; i < ELEMENTS; i++) begin : g_mask
        assign m_data[WIDTH*i +: WIDTH] = (AW + 1)'(i) < level ? beat[WIDTH*i +: WIDTH] : '0;
    end

    wire         leaves = m_valid && m_ready;
    wire [AW:0]  left   = level > (AW + 1)'(ELEMENTS) ? (AW + 1)'(ELEMENTS) : level;

    always_ff @(posedge clk) begin
        for (int i = 0; i < IN; i++) begin
            if ((AW + 1)'(i) < (AW + 1)'(push)) begin
                if (((next + AW'(i)) & AW'(ELEMENTS)) != '0) high[WIDTH*((32'(next) + i) & (ELEMENTS - 1)) +: WIDTH] <= data[WIDTH*i +: WIDTH];
                else low[WIDTH*((32'(next) + i) & (ELEMENTS - 1)) +: WIDTH] <= data[WIDTH*i +: WIDTH];
            end
        end
        if (!rst_n) begin
            next <= '0;
            half <= 1'b0;
            level <= '0;
            flushing <= 1'b0;
        end else begin
            level <= level + (AW + 1)'(push) - (leaves ? left : '0);
            next <= next + AW'(push);
            if (leaves) half <= !half;
            if (flush && level != (leaves ? left : '0)) flushing <= 1'b1;
            if (flushing && leaves && left == level) begin
                // The rest of that beat is skipped.
                flushing <= 1'b0;
                next <= '0;
                half <= 1'b0;
            end
        end
    end
endmodule
