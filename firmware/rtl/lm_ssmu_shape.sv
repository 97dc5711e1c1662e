// Sizes that follow from the shape of an SSM, as docs/device.md lays things out.
//
// start:  one cycle; the inputs stay as they are from then on. lm_check has checked them: H <= 128, H mod G = 0, P <= 128, E = H · P <= 8192,
//         N <= 512, G · ceil(N / 16) <= 64. older: W - 1, 1 .. 3.
// ready:  all outputs are there, 10 cycles later, until the next start.
//   inner E, bc G · N, channels C = E + 2 · G · N, words ceil(N / 16), group_heads H / G, norm_group E / G;
//   beats of F, of the taps, of exponents and codes, of a token's rows, of their constants, and of u without its header.
module lm_ssmu_shape (
    input  logic        clk,
    input  logic        rst_n,
    input  logic        start,
    input  logic [7:0]  heads,
    input  logic [7:0]  head_dim,
    input  logic [9:0]  n,
    input  logic [4:0]  groups,
    input  logic [1:0]  older,
    output logic        ready,
    output logic [13:0] inner,
    output logic [10:0] bc,
    output logic [13:0] channels,
    output logic [5:0]  words,
    output logic [7:0]  group_heads,
    output logic [13:0] norm_group,
    output logic [3:0]  f_beats,
    output logic [10:0] tap_beats,
    output logic [12:0] exp_beats,
    output logic [16:0] code_beats,
    output logic [10:0] row_beats,
    output logic [13:0] constant_beats,
    output logic [9:0]  u_beats
);
    // H / G, a bit a cycle from the top; the rest below, the quotient pushed in behind the dividend
    logic [4:0]  rest;
    wire  [5:0]  next = {rest, group_heads[7]};
    wire         fits = next >= {1'b0, groups};
    logic [3:0]  step;

    logic [14:0] head_rows;    // H · pad8(P)
    logic [18:0] state_groups; // E · words
    logic [15:0] rows;
    logic [15:0] taps;

    always_ff @(posedge clk) begin
        inner          <= 14'(16'(heads) * 16'(head_dim));
        bc             <= 11'(15'(groups) * 15'(n));
        words          <= 6'((n + 10'd15) >> 4);
        head_rows      <= 15'(heads) * 15'({(head_dim + 8'd7) >> 3, 3'd0});
        f_beats        <= 4'((heads + 8'd15) >> 4);

        channels       <= inner + 14'({bc, 1'b0});
        state_groups   <= 19'(inner) * 19'(words);
        rows           <= 16'({(bc + 11'd7) >> 3, 4'd0}) + 16'({(heads + 8'd7) >> 3, 3'd0}) + {head_rows, 1'b0};
        u_beats        <= 10'((inner + 14'd15) >> 4);

        taps           <= 16'(older) * 16'(channels);
        exp_beats      <= 13'((20'(state_groups) + 20'd63) >> 6);
        code_beats     <= 17'((20'(state_groups) + 20'd3) >> 2);
        row_beats      <= 11'((17'(rows) + 17'd31) >> 5);
        constant_beats <= rows[15:2];

        tap_beats      <= 11'((17'(taps) + 17'd31) >> 5);

        if (step > 4'd2) begin
            rest        <= fits ? 5'(next - {1'b0, groups}) : 5'(next);
            group_heads <= {group_heads[6:0], fits};
        end
        norm_group <= 14'(16'(group_heads) * 16'(head_dim));
        ready      <= step == 4'd1 || (ready && step == 4'd0);
        if (step != 4'd0) step <= step - 4'd1;
        if (start) begin
            rest        <= 5'd0;
            group_heads <= heads;
            step        <= 4'd10;
            ready       <= 1'b0;
        end
        if (!rst_n) begin
            step  <= 4'd0;
            ready <= 1'b0;
        end
    end
endmodule
