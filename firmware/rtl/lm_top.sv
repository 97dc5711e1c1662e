// The accelerator: mailbox registers, command processor, units, memory ports.
//
// s_*:   AXI-lite slave of 4 KiB, the mailbox words (docs/device.md).
// m_*:   PORTS AXI masters, 512 bits of data, flat vectors with port 0 lowest: address 64 bits, id and length 8 bits a port.
//        Port 0 carries commands, completions, activations and state; the others only weights.
// irq:   one cycle: an error, or a descriptor that asked for it, has its completion in memory.
// working: something is going on, or will without the host; while it is low the clock may stand still.
//
// PRESENT has one bit a unit (LM_UNIT_*): the units that this build has. HANG_LAYER is for tests (lm_copy). All
// other parameters are what software reads back as BUILD_*.
//
//   s_* ── lm_regs ── lm_cmd ──┬── lm_copy ── rd, wr ──┐
//                     │ rd, wr └── (units)  ── rd, wr ─┤
//                     └───────────────────────────── rd mux, wr mux ── port 0
module lm_top #(
    parameter int PORTS        = 1,
    parameter int LANES        = 1,
    parameter int TOKENS       = 4,
    parameter int ACT_BITS     = 8,
    parameter int MAX_INPUTS   = 8192,
    parameter int MAX_ROWS     = 1048576,
    parameter int MAX_HEADS    = 128,
    parameter int MAX_HEAD_DIM = 128,
    parameter int MAX_STATE    = 512,
    parameter int MAX_GROUPS   = 16,
    parameter int MAX_COPY     = 67108864,
    parameter int PRESENT      = 3,
    parameter int HANG_LAYER   = 65536
) (
    input  logic                 clk,
    input  logic                 rst_n,
    output logic                 irq,
    output logic                 working,

    input  logic                 s_awvalid,
    output logic                 s_awready,
    input  logic [11:0]          s_awaddr,
    input  logic                 s_wvalid,
    output logic                 s_wready,
    input  logic [31:0]          s_wdata,
    output logic                 s_bvalid,
    input  logic                 s_bready,
    input  logic                 s_arvalid,
    output logic                 s_arready,
    input  logic [11:0]          s_araddr,
    output logic                 s_rvalid,
    input  logic                 s_rready,
    output logic [31:0]          s_rdata,

    output logic [PORTS-1:0]     m_arvalid,
    input  logic [PORTS-1:0]     m_arready,
    output logic [PORTS*8-1:0]   m_arid,
    output logic [PORTS*64-1:0]  m_araddr,
    output logic [PORTS*8-1:0]   m_arlen,
    input  logic [PORTS-1:0]     m_rvalid,
    output logic [PORTS-1:0]     m_rready,
    input  logic [PORTS*8-1:0]   m_rid,
    input  logic [PORTS*512-1:0] m_rdata,
    input  logic [PORTS*2-1:0]   m_rresp,
    input  logic [PORTS-1:0]     m_rlast,
    output logic [PORTS-1:0]     m_awvalid,
    input  logic [PORTS-1:0]     m_awready,
    output logic [PORTS*8-1:0]   m_awid,
    output logic [PORTS*64-1:0]  m_awaddr,
    output logic [PORTS*8-1:0]   m_awlen,
    output logic [PORTS-1:0]     m_wvalid,
    input  logic [PORTS-1:0]     m_wready,
    output logic [PORTS*512-1:0] m_wdata,
    output logic [PORTS-1:0]     m_wlast,
    input  logic [PORTS-1:0]     m_bvalid,
    output logic [PORTS-1:0]     m_bready,
    input  logic [PORTS*8-1:0]   m_bid,
    input  logic [PORTS*2-1:0]   m_bresp
);
    `include "lm_device.svh"

    localparam int UNITS        = 6;
    localparam int WINDOWS      = int'(LM_WINDOWS);
    localparam int DEVICE_WORDS = int'(LM_REG_BUILD_MAX_COPY) / 4 + 1;
    localparam int FIRST_HOST   = int'(LM_REG_HEAD);
    localparam int HOST_WORDS   = (int'(LM_REG_WINDOW) - FIRST_HOST + WINDOWS * int'(LM_WINDOW_STRIDE)) / 4;

    // Clients of port 0. A unit's masters are added here: one number each, and its lines below
    localparam int RD_FETCH = 0;
    localparam int RD_COPY  = 1;
    localparam int READERS  = 2;
    localparam int WR_DONE  = 0;
    localparam int WR_COPY  = 1;
    localparam int WRITERS  = 2;

    localparam int COPY = int'(LM_UNIT_COPY);

    // ------------------------------------------------------------------------------------------------ registers
    logic [DEVICE_WORDS*32-1:0] device_words;
    logic [HOST_WORDS*32-1:0]   host_words;
    lm_regs #(.DEVICE_WORDS(DEVICE_WORDS), .HOST_WORDS(HOST_WORDS)) u_regs (
        .clk, .rst_n, .s_awvalid, .s_awready, .s_awaddr, .s_wvalid, .s_wready, .s_wdata, .s_bvalid, .s_bready,
        .s_arvalid, .s_arready, .s_araddr, .s_rvalid, .s_rready, .s_rdata, .device_words, .host_words);

    logic [WINDOWS*160-1:0] windows;
    always_comb begin
        for (int w = 0; w < WINDOWS; w++)
            windows[160*w +: 160] = host_words[8*(LM_REG_WINDOW - LM_REG_HEAD + LM_WINDOW_STRIDE*w) +: 160];
    end

    logic [31:0] state, head_seen, completed, errors, error_sequence, error_status, resets;
    logic [63:0] error_info, cycles, busy_cycles;
    always_comb begin
        device_words = '0;
        device_words[8*LM_REG_ID +: 32]                 = LM_ID;
        device_words[8*LM_REG_VERSION +: 32]            = LM_VERSION;
        device_words[8*LM_REG_CONTRACT +: 32]           = LM_CONTRACT;
        device_words[8*LM_REG_STATE +: 32]              = state;
        device_words[8*LM_REG_HEAD_SEEN +: 32]          = head_seen;
        device_words[8*LM_REG_COMPLETED +: 32]          = completed;
        device_words[8*LM_REG_ERRORS +: 32]             = errors;
        device_words[8*LM_REG_ERROR_SEQUENCE +: 32]     = error_sequence;
        device_words[8*LM_REG_ERROR_STATUS +: 32]       = error_status;
        device_words[8*LM_REG_ERROR_INFO_LOW +: 64]     = error_info;
        device_words[8*LM_REG_RESETS +: 32]             = resets;
        device_words[8*LM_REG_CYCLES_LOW +: 64]         = cycles;
        device_words[8*LM_REG_BUSY_LOW +: 64]           = busy_cycles;
        device_words[8*LM_REG_BUILD_LANES +: 32]        = 32'(LANES);
        device_words[8*LM_REG_BUILD_PORTS +: 32]        = 32'(PORTS);
        device_words[8*LM_REG_BUILD_TOKENS +: 32]       = 32'(TOKENS);
        device_words[8*LM_REG_BUILD_ACT_BITS +: 32]     = 32'(ACT_BITS);
        device_words[8*LM_REG_BUILD_MAX_INPUTS +: 32]   = 32'(MAX_INPUTS);
        device_words[8*LM_REG_BUILD_MAX_ROWS +: 32]     = 32'(MAX_ROWS);
        device_words[8*LM_REG_BUILD_MAX_HEADS +: 32]    = 32'(MAX_HEADS);
        device_words[8*LM_REG_BUILD_MAX_HEAD_DIM +: 32] = 32'(MAX_HEAD_DIM);
        device_words[8*LM_REG_BUILD_MAX_STATE +: 32]    = 32'(MAX_STATE);
        device_words[8*LM_REG_BUILD_MAX_GROUPS +: 32]   = 32'(MAX_GROUPS);
        device_words[8*LM_REG_BUILD_UNITS +: 32]        = 32'(PRESENT);
        device_words[8*LM_REG_BUILD_MAX_COPY +: 32]     = 32'(MAX_COPY);
    end

    // ------------------------------------------------------------------------------------------------ masters of port 0
    logic [READERS-1:0]     rd_poison, rd_clear, rd_flush, rd_idle, rd_error, rd_cvalid, rd_cready, rd_mvalid, rd_mready, rd_mlast;
    logic [READERS*8-1:0]   rd_code;
    logic [READERS*64-1:0]  rd_fault, rd_caddr;
    logic [READERS*32-1:0]  rd_cbeats, rd_beats;
    logic [READERS*512-1:0] rd_mdata;
    logic [READERS-1:0]     c_arvalid, c_arready, c_rvalid;
    logic [READERS*64-1:0]  c_araddr;
    logic [READERS*8-1:0]   c_arlen;

    for (genvar r = 0; r < READERS; r++) begin : g_rd
        lm_axi_rd #(
            .WINDOWS(WINDOWS), .BURST(r == RD_FETCH ? 2 : 16), .OUTSTANDING(r == RD_FETCH ? 2 : 16), .DEPTH(r == RD_FETCH ? 2 : 256)
        ) u_rd (
            .clk, .rst_n, .windows, .poison(rd_poison[r]), .clear(rd_clear[r]), .flush(rd_flush[r]), .idle(rd_idle[r]),
            .error(rd_error[r]), .error_code(rd_code[8*r +: 8]), .error_addr(rd_fault[64*r +: 64]),
            .beats_read(rd_beats[32*r +: 32]),
            .c_valid(rd_cvalid[r]), .c_ready(rd_cready[r]), .c_addr(rd_caddr[64*r +: 64]), .c_beats(rd_cbeats[32*r +: 32]),
            .m_valid(rd_mvalid[r]), .m_ready(rd_mready[r]), .m_data(rd_mdata[512*r +: 512]), .m_last(rd_mlast[r]),
            .arvalid(c_arvalid[r]), .arready(c_arready[r]), .araddr(c_araddr[64*r +: 64]), .arlen(c_arlen[8*r +: 8]),
            .rvalid(c_rvalid[r]), .rdata(m_rdata[511:0]), .rfault(m_rresp[1]), .rlast(m_rlast[0]));
    end
    lm_axi_rd_mux #(.CLIENTS(READERS)) u_rd_mux (
        .clk, .rst_n, .c_arvalid, .c_arready, .c_araddr, .c_arlen, .c_rvalid,
        .arvalid(m_arvalid[0]), .arready(m_arready[0]), .arid(m_arid[7:0]), .araddr(m_araddr[63:0]), .arlen(m_arlen[7:0]),
        .rvalid(m_rvalid[0]), .rready(m_rready[0]), .rid(m_rid[7:0]));

    logic [WRITERS-1:0]     wr_poison, wr_clear, wr_flush, wr_idle, wr_error, wr_cvalid, wr_cready, wr_svalid, wr_sready;
    logic [WRITERS*8-1:0]   wr_code;
    logic [WRITERS*64-1:0]  wr_fault, wr_caddr;
    logic [WRITERS*32-1:0]  wr_cbeats, wr_beats;
    logic [WRITERS*512-1:0] wr_sdata;
    logic [WRITERS-1:0]     c_awvalid, c_awready, c_wvalid, c_wready, c_wlast, c_bvalid;
    logic [WRITERS*64-1:0]  c_awaddr;
    logic [WRITERS*8-1:0]   c_awlen;
    logic [WRITERS*512-1:0] c_wdata;

    for (genvar w = 0; w < WRITERS; w++) begin : g_wr
        lm_axi_wr #(
            .WINDOWS(WINDOWS), .BURST(w == WR_DONE ? 2 : 16), .OUTSTANDING(w == WR_DONE ? 2 : 16), .DEPTH(w == WR_DONE ? 2 : 32)
        ) u_wr (
            .clk, .rst_n, .windows, .poison(wr_poison[w]), .clear(wr_clear[w]), .flush(wr_flush[w]), .idle(wr_idle[w]),
            .error(wr_error[w]), .error_code(wr_code[8*w +: 8]), .error_addr(wr_fault[64*w +: 64]),
            .beats_written(wr_beats[32*w +: 32]),
            .c_valid(wr_cvalid[w]), .c_ready(wr_cready[w]), .c_addr(wr_caddr[64*w +: 64]), .c_beats(wr_cbeats[32*w +: 32]),
            .s_valid(wr_svalid[w]), .s_ready(wr_sready[w]), .s_data(wr_sdata[512*w +: 512]),
            .awvalid(c_awvalid[w]), .awready(c_awready[w]), .awaddr(c_awaddr[64*w +: 64]), .awlen(c_awlen[8*w +: 8]),
            .wvalid(c_wvalid[w]), .wready(c_wready[w]), .wdata(c_wdata[512*w +: 512]), .wlast(c_wlast[w]),
            .bvalid(c_bvalid[w]), .bfault(m_bresp[1]));
    end
    lm_axi_wr_mux #(.CLIENTS(WRITERS)) u_wr_mux (
        .clk, .rst_n, .c_awvalid, .c_awready, .c_awaddr, .c_awlen, .c_wvalid, .c_wready, .c_wdata, .c_wlast, .c_bvalid,
        .awvalid(m_awvalid[0]), .awready(m_awready[0]), .awid(m_awid[7:0]), .awaddr(m_awaddr[63:0]), .awlen(m_awlen[7:0]),
        .wvalid(m_wvalid[0]), .wready(m_wready[0]), .wdata(m_wdata[511:0]), .wlast(m_wlast[0]),
        .bvalid(m_bvalid[0]), .bready(m_bready[0]), .bid(m_bid[7:0]));

    // Ports of the weight masters: nothing yet
    for (genvar p = 1; p < PORTS; p++) begin : g_port
        assign m_arvalid[p]           = 1'b0;
        assign m_arid[8*p +: 8]       = '0;
        assign m_araddr[64*p +: 64]   = '0;
        assign m_arlen[8*p +: 8]      = '0;
        assign m_rready[p]            = 1'b1;
        assign m_awvalid[p]           = 1'b0;
        assign m_awid[8*p +: 8]       = '0;
        assign m_awaddr[64*p +: 64]   = '0;
        assign m_awlen[8*p +: 8]      = '0;
        assign m_wvalid[p]            = 1'b0;
        assign m_wdata[512*p +: 512]  = '0;
        assign m_wlast[p]             = 1'b0;
        assign m_bready[p]            = 1'b1;
    end

    // ------------------------------------------------------------------------------------------------ command processor
    logic [511:0]        u_desc;
    logic [UNITS-1:0]    u_start, u_done, u_abort, u_reset, u_quiet, u_error;
    logic [UNITS*8-1:0]  u_code;
    logic [UNITS*64-1:0] u_info;
    logic [UNITS*32-1:0] u_read, u_written;

    lm_cmd #(
        .UNITS(UNITS), .PRESENT(PRESENT), .TOKENS(TOKENS), .ACT_BITS(ACT_BITS), .MAX_INPUTS(MAX_INPUTS), .MAX_ROWS(MAX_ROWS),
        .MAX_HEADS(MAX_HEADS), .MAX_HEAD_DIM(MAX_HEAD_DIM), .MAX_STATE(MAX_STATE), .MAX_GROUPS(MAX_GROUPS), .MAX_COPY(MAX_COPY)
    ) u_cmd (
        .clk, .rst_n,
        .head(host_words[8*(int'(LM_REG_HEAD) - FIRST_HOST) +: 32]),
        .reset(host_words[8*(int'(LM_REG_RESET) - FIRST_HOST) +: 32]),
        .enable(host_words[8*(int'(LM_REG_ENABLE) - FIRST_HOST)]),
        .ring_log2(host_words[8*(int'(LM_REG_RING_LOG2) - FIRST_HOST) +: 32]),
        .ring(host_words[8*(int'(LM_REG_RING_LOW) - FIRST_HOST) +: 64]),
        .completions(host_words[8*(int'(LM_REG_COMPLETIONS_LOW) - FIRST_HOST) +: 64]),
        .watchdog(host_words[8*(int'(LM_REG_WATCHDOG) - FIRST_HOST) +: 32]),
        .state, .head_seen, .completed, .errors, .error_sequence, .error_status, .error_info, .resets, .cycles, .busy_cycles,
        .working, .irq,
        .f_valid(rd_cvalid[RD_FETCH]), .f_ready(rd_cready[RD_FETCH]), .f_addr(rd_caddr[64*RD_FETCH +: 64]),
        .f_data_valid(rd_mvalid[RD_FETCH]), .f_data_ready(rd_mready[RD_FETCH]), .f_data(rd_mdata[512*RD_FETCH +: 512]),
        .f_error(rd_error[RD_FETCH]), .f_code(rd_code[8*RD_FETCH +: 8]), .f_clear(rd_clear[RD_FETCH]),
        .w_valid(wr_cvalid[WR_DONE]), .w_ready(wr_cready[WR_DONE]), .w_addr(wr_caddr[64*WR_DONE +: 64]),
        .w_data_valid(wr_svalid[WR_DONE]), .w_data_ready(wr_sready[WR_DONE]), .w_data(wr_sdata[512*WR_DONE +: 512]),
        .w_idle(wr_idle[WR_DONE]), .w_error(wr_error[WR_DONE]), .w_clear(wr_clear[WR_DONE]),
        .u_desc, .u_start, .u_done, .u_abort, .u_reset, .u_quiet, .u_error, .u_code, .u_info, .u_read, .u_written);

    assign rd_cbeats[32*RD_FETCH +: 32] = 32'd1;
    assign wr_cbeats[32*WR_DONE +: 32]  = 32'd1;
    assign rd_poison[RD_FETCH]          = 1'b0;
    assign wr_poison[WR_DONE]           = 1'b0;
    assign rd_flush[RD_FETCH]           = 1'b0;
    assign wr_flush[WR_DONE]            = 1'b0;

    // ------------------------------------------------------------------------------------------------ COPY
    lm_copy #(.HANG_LAYER(HANG_LAYER)) u_copy (
        .clk, .rst_n(rst_n && !u_reset[COPY]), .start(u_start[COPY]), .desc(u_desc), .done(u_done[COPY]),
        .rd_valid(rd_cvalid[RD_COPY]), .rd_ready(rd_cready[RD_COPY]), .rd_addr(rd_caddr[64*RD_COPY +: 64]),
        .rd_beats(rd_cbeats[32*RD_COPY +: 32]), .rd_idle(rd_idle[RD_COPY]),
        .wr_valid(wr_cvalid[WR_COPY]), .wr_ready(wr_cready[WR_COPY]), .wr_addr(wr_caddr[64*WR_COPY +: 64]),
        .wr_beats(wr_cbeats[32*WR_COPY +: 32]), .wr_idle(wr_idle[WR_COPY]));
    assign wr_svalid[WR_COPY]            = rd_mvalid[RD_COPY];
    assign rd_mready[RD_COPY]            = wr_sready[WR_COPY];
    assign wr_sdata[512*WR_COPY +: 512]  = rd_mdata[512*RD_COPY +: 512];
    // What one side cannot do, the other need not: a source outside the windows writes nothing
    assign rd_poison[RD_COPY]            = u_abort[COPY] || wr_error[WR_COPY];
    assign wr_poison[WR_COPY]            = u_abort[COPY] || rd_error[RD_COPY];
    assign rd_flush[RD_COPY]             = u_reset[COPY];
    assign wr_flush[WR_COPY]             = u_reset[COPY];
    assign rd_clear[RD_COPY]             = u_start[COPY];
    assign wr_clear[WR_COPY]             = u_start[COPY];
    assign u_quiet[COPY]                 = rd_idle[RD_COPY] && wr_idle[WR_COPY];
    assign u_error[COPY]                 = rd_error[RD_COPY] || wr_error[WR_COPY];
    assign u_code[8*COPY +: 8]           = rd_error[RD_COPY] ? rd_code[8*RD_COPY +: 8] : wr_code[8*WR_COPY +: 8];
    assign u_info[64*COPY +: 64]         = rd_error[RD_COPY] ? rd_fault[64*RD_COPY +: 64] : wr_fault[64*WR_COPY +: 64];
    assign u_read[32*COPY +: 32]         = rd_beats[32*RD_COPY +: 32];
    assign u_written[32*COPY +: 32]      = wr_beats[32*WR_COPY +: 32];

    // ------------------------------------------------------------------------------------------------ units that are not here
    for (genvar u = 0; u < UNITS; u++) begin : g_absent
        if (u != COPY) begin : g
            assign u_done[u]             = 1'b0;
            assign u_quiet[u]            = 1'b1;
            assign u_error[u]            = 1'b0;
            assign u_code[8*u +: 8]      = '0;
            assign u_info[64*u +: 64]    = '0;
            assign u_read[32*u +: 32]    = '0;
            assign u_written[32*u +: 32] = '0;
        end
    end

    wire unused = &{1'b0, host_words, m_rid, m_rresp, m_rdata, m_rlast, m_bid, m_bresp, m_arready, m_rvalid, m_awready, m_wready, m_bvalid,
                    rd_mlast, rd_idle, rd_beats, rd_fault, wr_code, wr_fault, wr_beats, u_start, u_abort, u_reset};
endmodule
