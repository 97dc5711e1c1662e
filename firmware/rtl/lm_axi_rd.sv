// AXI read master of one client: a command (address, beats of 64 bytes) becomes bursts, their data one stream in order.
//
// c_*:      commands. The next is taken when all bursts of the one before are requested, so their data may overlap in flight.
// m_*:      data; m_last marks the last beat of a command.
// windows:  see lm_window. A command outside them, or one that is not aligned, never reaches the bus.
// poison:   give up: nothing more is requested. clear: forget the error (only while idle).
// error:    kept until clear, with code (LM_STATUS_*) and the address at fault. From the first error on, and under poison, beats that were
//           not requested yet come as zeros: a client always gets every beat it asked for, and needs no way out of its own.
// flush:    with poison, when the client is in reset: data is dropped.
// idle:     no command, nothing in flight, all data taken.
// arrived:  no command, nothing in flight; data may still wait for the client. Commands behind it may then be another descriptor's.
// beats_read: beats that came over the bus since clear.
// AXI: bursts of at most BURST beats, on multiples of their size, so none crosses 4 KiB; at most OUTSTANDING in flight; a burst is only
// requested when there is room for it, so r is always taken (there is no rready).
// Latency: 2 cycles beside the bus's, 3 where DEPTH is above 64 and the data in block RAM; throughput one beat a cycle while DEPTH >= latency.
module lm_axi_rd #(
    parameter int WINDOWS     = 4,
    parameter int BURST       = 16,
    parameter int OUTSTANDING = 8,
    parameter int DEPTH       = 128
) (
    input  logic                   clk,
    input  logic                   rst_n,
    input  logic [WINDOWS*160-1:0] windows,
    input  logic                   poison,
    input  logic                   clear,
    input  logic                   flush,
    output logic                   idle,
    output logic                   arrived,
    output logic                   error,
    output logic [7:0]             error_code,
    output logic [63:0]            error_addr,
    output logic [31:0]            beats_read,

    input  logic                   c_valid,
    output logic                   c_ready,
    input  logic [63:0]            c_addr,
    input  logic [31:0]            c_beats,

    output logic                   m_valid,
    input  logic                   m_ready,
    output logic [511:0]           m_data,
    output logic                   m_last,

    output logic                   arvalid,
    input  logic                   arready,
    output logic [63:0]            araddr,
    output logic [7:0]             arlen,
    input  logic                   rvalid,
    input  logic [511:0]           rdata,
    input  logic                   rfault, // rresp[1]
    input  logic                   rlast
);
    `include "lm_device.svh"

    localparam int BW = $clog2(BURST);
    localparam int DW = $clog2(DEPTH);
    localparam int OW = $clog2(OUTSTANDING);

    logic        active;
    logic        bad;       // this command gets zeros
    logic [63:0] addr;
    logic [31:0] left;      // beats not requested or filled yet
    logic [DW:0] promised;  // beats in flight
    wire         request;   // a burst

    wire ok;
    lm_window #(.WINDOWS(WINDOWS)) u_window (.windows, .valid(c_valid), .addr(c_addr), .beats(c_beats), .write(1'b0), .ok);

    wire aligned = c_addr[5:0] == 6'd0;

    // A burst ends at the next multiple of BURST beats
    wire [31:0] to_edge = 32'(BURST) - 32'(addr[6 +: BW]);
    wire [31:0] length  = left < to_edge ? left : to_edge;

    // Bursts in flight: their address, and whether the command ends with them
    wire        i_ready, i_valid, i_last;
    wire [63:0] i_addr;
    wire [OW:0] i_level;
    wire        r_end = rvalid && rlast;
    lm_fifo #(.WIDTH(65), .DEPTH(OUTSTANDING)) u_info (
        .clk, .rst_n, .s_valid(request), .s_ready(i_ready), .s_data({left == length, addr}),
        .m_valid(i_valid), .m_ready(r_end), .m_data({i_last, i_addr}), .level(i_level));

    // Data, or zeros
    wire [DW:0] level;
    wire        d_ready;
    wire        fill   = active && bad && left != 32'd0 && i_level == '0 && !arvalid && !rvalid && d_ready;
    wire        d_last = rvalid ? rlast && i_last : left == 32'd1;
    if (DEPTH > 64) begin : g_many
        lm_queue #(.WIDTH(513), .DEPTH(DEPTH)) u_data (
            .clk, .rst_n, .s_valid(rvalid || fill), .s_ready(d_ready), .s_data({d_last, rvalid ? rdata : 512'd0}),
            .m_valid, .m_ready(m_ready || flush), .m_data({m_last, m_data}), .level);
    end else begin : g_few
        lm_fifo #(.WIDTH(513), .DEPTH(DEPTH)) u_data (
            .clk, .rst_n, .s_valid(rvalid || fill), .s_ready(d_ready), .s_data({d_last, rvalid ? rdata : 512'd0}),
            .m_valid, .m_ready(m_ready || flush), .m_data({m_last, m_data}), .level);
    end

    wire room    = 32'(level) + 32'(promised) + length <= 32'(DEPTH);
    assign request = active && !bad && !poison && !error && left != 32'd0 && room && i_ready && (!arvalid || arready);

    assign c_ready = !active;
    assign arrived = !active && !arvalid && i_level == '0;
    assign idle    = arrived && level == '0;

    always_ff @(posedge clk) begin
        if (arvalid && arready) arvalid <= 1'b0;
        if (request) begin
            arvalid <= 1'b1;
            araddr  <= addr;
            arlen   <= 8'(length - 32'd1);
            addr    <= addr + {26'd0, length, 6'd0};
            left    <= left - length;
        end
        promised <= promised + (request ? (DW + 1)'(length) : '0) - (DW + 1)'(rvalid);
        if (rvalid) beats_read <= beats_read + 32'd1;
        if (fill) left <= left - 32'd1;
        if (active && left == 32'd0) active <= 1'b0;
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
        end else if (rvalid && rfault && !error) begin
            error      <= 1'b1;
            error_code <= LM_STATUS_BUS[7:0];
            error_addr <= i_addr;
        end
        if (clear) begin
            error      <= 1'b0;
            beats_read <= '0;
        end
        if (!rst_n) begin
            active     <= 1'b0;
            arvalid    <= 1'b0;
            error      <= 1'b0;
            promised   <= '0;
            beats_read <= '0;
        end
    end

`ifndef SYNTHESIS
    always_ff @(posedge clk) if (rst_n) begin
        assert (!rvalid || (i_valid && d_ready)) else $error("lm_axi_rd: data that nobody asked for");
    end
`endif
endmodule
