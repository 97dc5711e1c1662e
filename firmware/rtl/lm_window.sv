// Is a transfer inside a window that was granted to the device?
//
// windows: per window, lowest first: base [63:0], end [127:64] (first byte behind it), flags [159:128] (LM_WINDOW_FLAG_*)
// valid, addr, beats, write: the transfer; ok: it lies wholly in one window with the right flag, and does not wrap around.
// Combinational.
module lm_window #(
    parameter int WINDOWS = 4
) (
    input  logic [WINDOWS*160-1:0] windows,
    input  logic                   valid,
    input  logic [63:0]            addr,
    input  logic [31:0]            beats,
    input  logic                   write,
    output logic                   ok
);
    `include "lm_device.svh"

    wire [64:0] last = {1'b0, addr} + {27'd0, beats, 6'd0};

    always_comb begin
        ok = 1'b0;
        if (valid) for (int w = 0; w < WINDOWS; w++) begin
            if (addr >= windows[160*w +: 64] && last <= {1'b0, windows[160*w+64 +: 64]}
                && (windows[160*w+128 +: 32] & (write ? LM_WINDOW_FLAG_WRITE : LM_WINDOW_FLAG_READ)) != 32'd0)
                ok = 1'b1;
        end
    end
endmodule
