// For yosys' techmap: a look-up in a constant table, `TABLE[{index, zeros} +: WIDTH]`, as one look-up function an output bit. yosys itself would build a
// shifter as wide as the table for each, and then take most of it away again, which takes gigabytes.
(* techmap_celltype = "$shiftx" *)
module constant_table (A, B, Y);
    parameter A_SIGNED = 0;
    parameter B_SIGNED = 0;
    parameter A_WIDTH  = 1;
    parameter B_WIDTH  = 1;
    parameter Y_WIDTH  = 1;
    input  [A_WIDTH-1:0] A;
    input  [B_WIDTH-1:0] B;
    output [Y_WIDTH-1:0] Y;

    parameter [A_WIDTH-1:0] _TECHMAP_CONSTMSK_A_ = 0;
    parameter [A_WIDTH-1:0] _TECHMAP_CONSTVAL_A_ = 0;
    parameter [B_WIDTH-1:0] _TECHMAP_CONSTMSK_B_ = 0;
    parameter [B_WIDTH-1:0] _TECHMAP_CONSTVAL_B_ = 0;

    localparam LOW   = $clog2(Y_WIDTH);
    localparam INDEX = $clog2(A_WIDTH) - LOW;

    function aligned;
        input dummy;
        integer i;
        begin
            aligned = Y_WIDTH == (1 << LOW) && INDEX > 0 && INDEX <= 10 && B_WIDTH >= LOW + INDEX;
            for (i = 0; i < LOW; i = i + 1)
                if (!_TECHMAP_CONSTMSK_B_[i] || _TECHMAP_CONSTVAL_B_[i]) aligned = 0;
            for (i = LOW + INDEX; i < B_WIDTH; i = i + 1)
                if (!_TECHMAP_CONSTMSK_B_[i] || _TECHMAP_CONSTVAL_B_[i]) aligned = 0;
        end
    endfunction

    wire _TECHMAP_FAIL_ = !(&_TECHMAP_CONSTMSK_A_) || !aligned(0);

    function [(1<<INDEX)-1:0] column;
        input integer place;
        integer i;
        for (i = 0; i < (1 << INDEX); i = i + 1)
            column[i] = (i << LOW) + place < A_WIDTH ? _TECHMAP_CONSTVAL_A_[(i << LOW) + place] : 1'b0;
    endfunction

    genvar g;
    generate
        for (g = 0; g < Y_WIDTH; g = g + 1) begin : bits
            \$lut #(.WIDTH(INDEX), .LUT(column(g))) lut (.A(B[LOW+INDEX-1:LOW]), .Y(Y[g]));
        end
    endgenerate
endmodule
