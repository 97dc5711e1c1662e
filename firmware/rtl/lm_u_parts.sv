// The parts of u vectors (docs/device.md) as commands of a memory master, in the order in which lm_ssmu_unit writes them: of each token its words, then
// the header that lies before them.
//
// start:   one cycle, with the address of the first header and the tokens (1 or more). beats: of a token's words; stays as it is.
// valid, ready: a part, with its address and beats. earlier: beats of all parts before it.
// Latency 1 cycle from start, throughput a part a cycle.
module lm_u_parts (
    input  logic        clk,
    input  logic        rst_n,
    input  logic        start,
    input  logic [63:0] from,
    input  logic [7:0]  tokens,
    input  logic [31:0] beats,
    output logic        valid,
    input  logic        ready,
    output logic [63:0] part_addr,
    output logic [31:0] part_beats,
    output logic [31:0] earlier
);
    logic        header;
    logic [7:0]  left;   // tokens, this one too
    logic [63:0] token;  // address of its header

    assign part_addr  = token + (header ? 64'd0 : 64'd64);
    assign part_beats = header ? 32'd1 : beats;

    always_ff @(posedge clk) begin
        if (valid && ready) begin
            header <= !header;
            earlier <= earlier + part_beats;
            if (header) begin
                left  <= left - 8'd1;
                token <= token + {26'd0, beats + 32'd1, 6'd0};
                valid <= left != 8'd1;
            end
        end
        if (start) begin
            valid  <= 1'b1;
            header <= 1'b0;
            left   <= tokens;
            token  <= from;
            earlier <= '0;
        end
        if (!rst_n) valid <= 1'b0;
    end
endmodule
