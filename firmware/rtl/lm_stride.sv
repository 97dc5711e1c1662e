// One vector whose beats lie `stride` beats apart, as commands of a memory master (docs/device.md, "Vectors of several tokens").
//
// valid, ready: a vector is taken: the address of its first beat, its number of beats, its stride. 0 beats: no command.
// bounded, limit, first: while bounded, only the first `limit` beats of the whole are there, counted over all tokens; the vector's beat j is
//               number first + stride · j of them. limit may grow at any time; bounded may fall at any time, then all of it is there.
// c_*:          commands. Stride 1: one for the whole vector, or what is left of it. Other strides, and while bounded: one for each beat, as soon as
//               it is there. A command stays as it is until it is taken.
// Latency 2 cycles, throughput one command a cycle; a vector is taken when the last command of the one before is made.
module lm_stride (
    input  logic        clk,
    input  logic        rst_n,
    input  logic        valid,
    output logic        ready,
    input  logic [63:0] addr,
    input  logic [31:0] beats,
    input  logic [7:0]  stride,
    input  logic        bounded,
    input  logic [31:0] limit,
    input  logic [7:0]  first,
    output logic        c_valid,
    input  logic        c_ready,
    output logic [63:0] c_addr,
    output logic [31:0] c_beats
);
    logic [63:0] place;
    logic [31:0] left;    // beats without a command
    logic [31:0] number;  // of the next of them
    logic [7:0]  step;

    wire [31:0] count = step != 8'd1 || bounded ? 32'd1 : left;
    wire [31:0] skip  = step != 8'd1 ? 32'(step) : count;
    wire        there = !bounded || number < limit;
    wire        make  = left != 32'd0 && there && (!c_valid || c_ready);

    assign ready = left == 32'd0;

    always_ff @(posedge clk) begin
        if (c_ready) c_valid <= 1'b0;
        if (make) begin
            c_valid <= 1'b1;
            c_addr  <= place;
            c_beats <= count;
            place   <= place + {26'd0, skip, 6'd0};
            number  <= number + skip;
            left    <= left - count;
        end
        if (valid && ready) begin
            place  <= addr;
            number <= 32'(first);
            left   <= beats;
            step   <= stride;
        end
        if (!rst_n) begin
            c_valid <= 1'b0;
            left    <= '0;
        end
    end
endmodule
