// AXI write master of one client: a command (address, beats of 64 bytes) and a stream of data become bursts.
//
// c_*:      commands. The next is taken when all data of the one before is on the bus.
// s_*:      data, in order; may come before its command.
// windows:  see lm_window. A command outside them, or one that is not aligned, never reaches the bus.
// poison, clear, error, error_code, error_addr: as in lm_axi_rd. From the first error on, and under poison, data is taken and dropped.
// flush:    with poison, when the client is in reset: the data that is still to come is not waited for.
// idle:     no command, no data, every write is answered: what was written can be read.
// beats_written: beats that went over the bus since clear. beats_done: of these, those that are answered: they can be read.
// AXI: as in lm_axi_rd. A burst is only requested when all its data is here, so w never waits for the client.
// Throughput: BURST beats in BURST + 1 cycles.
module lm_axi_wr #(
    parameter int WINDOWS     = 4,
    parameter int BURST       = 16,
    parameter int OUTSTANDING = 8,
    parameter int DEPTH       = 32
) (
    input  logic                   clk,
    input  logic                   rst_n,
    input  logic [WINDOWS*160-1:0] windows,
    input  logic                   poison,
    input  logic                   clear,
    input  logic                   flush,
    output logic                   idle,
    output logic                   error,
    output logic [7:0]             error_code,
    output logic [63:0]            error_addr,
    output logic [31:0]            beats_written,
    output logic [31:0]            beats_done,

    input  logic                   c_valid,
    output logic                   c_ready,
    input  logic [63:0]            c_addr,
    input  logic [31:0]            c_beats,

    input  logic                   s_valid,
    output logic                   s_ready,
    input  logic [511:0]           s_data,

    output logic                   awvalid,
    input  logic                   awready,
    output logic [63:0]            awaddr,
    output logic [7:0]             awlen,
    output logic                   wvalid,
    input  logic                   wready,
    output logic [511:0]           wdata,
    output logic                   wlast,
    input  logic                   bvalid,
    input  logic                   bfault // bresp[1]
);
    `include "lm_device.svh"

    localparam int BW = $clog2(BURST);
    localparam int DW = $clog2(DEPTH);
    localparam int OW = $clog2(OUTSTANDING);

    logic        active;
    logic        bad;      // this command's data is dropped
    logic        burst;    // the data of a burst is going out
    logic [63:0] addr;
    logic [31:0] left;     // beats not requested or dropped yet
    logic [BW:0] going;    // beats of this burst still to go
    wire         request;  // a burst

    wire ok;
    lm_window #(.WINDOWS(WINDOWS)) u_window (.windows, .valid(c_valid), .addr(c_addr), .beats(c_beats), .write(1'b1), .ok);

    wire aligned = c_addr[5:0] == 6'd0;

    wire [31:0] to_edge = 32'(BURST) - 32'(addr[6 +: BW]);
    wire [31:0] length  = left < to_edge ? left : to_edge;

    // Addresses and lengths of the bursts that are not answered yet
    wire        i_ready, i_valid;
    wire [63:0] i_addr;
    wire [BW:0] i_length;
    wire [OW:0] i_level;
    lm_fifo #(.WIDTH(BW + 65), .DEPTH(OUTSTANDING)) u_info (
        .clk, .rst_n, .s_valid(request), .s_ready(i_ready), .s_data({(BW + 1)'(length), addr}),
        .m_valid(i_valid), .m_ready(bvalid), .m_data({i_length, i_addr}), .level(i_level));

    wire [DW:0]  level;
    wire         d_valid;
    wire         still = !burst && !awvalid;
    wire         drop  = active && bad && still && d_valid && left != 32'd0;
    lm_fifo #(.WIDTH(512), .DEPTH(DEPTH)) u_data (
        .clk, .rst_n, .s_valid, .s_ready, .s_data,
        .m_valid(d_valid), .m_ready((wvalid && wready) || drop || (flush && still)), .m_data(wdata), .level);

    assign request = active && !bad && !poison && !error && left != 32'd0 && 32'(level) >= length && i_ready
                   && !awvalid && !burst;

    assign c_ready = !active;
    assign idle    = !active && i_level == '0 && level == '0;
    assign wvalid  = burst && !awvalid;
    assign wlast   = going == (BW + 1)'(1);

    always_ff @(posedge clk) begin
        if (awvalid && awready) awvalid <= 1'b0;
        if (request) begin
            awvalid <= 1'b1;
            awaddr  <= addr;
            awlen   <= 8'(length - 32'd1);
            addr    <= addr + {26'd0, length, 6'd0};
            left    <= left - length;
            going   <= (BW + 1)'(length);
            burst   <= 1'b1;
        end
        if (wvalid && wready) begin
            beats_written <= beats_written + 32'd1;
            going         <= going - 1'b1;
            if (wlast) burst <= 1'b0;
        end
        if (bvalid) beats_done <= beats_done + 32'(i_length);
        if (drop) left <= left - 32'd1;
        if (flush && bad && still) left <= '0;
        if (active && left == 32'd0 && !burst) active <= 1'b0;
        if (active && (poison || error)) bad <= 1'b1;
        if (c_valid && c_ready) begin
            active <= c_beats != 32'd0;
            bad    <= !(ok && aligned) || poison || error;
            addr   <= c_addr;
            left   <= c_beats;
        end
        if (c_valid && c_ready && !(ok && aligned) && !error) begin
            error      <= 1'b1;
            error_code <= aligned ? LM_STATUS_WINDOW[7:0] : LM_STATUS_ALIGNMENT[7:0];
            error_addr <= c_addr;
        end else if (bvalid && bfault && !error) begin
            error      <= 1'b1;
            error_code <= LM_STATUS_BUS[7:0];
            error_addr <= i_addr;
        end
        if (clear) begin
            error         <= 1'b0;
            beats_written <= '0;
            beats_done    <= '0;
        end
        if (!rst_n) begin
            active        <= 1'b0;
            awvalid       <= 1'b0;
            burst         <= 1'b0;
            error         <= 1'b0;
            beats_written <= '0;
            beats_done    <= '0;
        end
    end

`ifndef SYNTHESIS
    always_ff @(posedge clk) if (rst_n) begin
        assert (!bvalid || i_valid) else $error("lm_axi_wr: an answer that nobody asked for");
    end
`endif
endmodule
