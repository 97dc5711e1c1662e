// The accelerator: mailbox registers, command processor, units, memory ports.
//
// s_*:   AXI-lite slave of 4 KiB, the mailbox words (docs/device.md).
// m_*:   PORTS AXI masters, 512 bits of data, flat vectors with port 0 lowest: address 64 bits, id and length 8 bits a port.
//        Port 0 carries commands, completions, activations and state; the others weights, and ports 1 to STATE_PORTS the state instead.
// irq:   one cycle: an error, or a descriptor that asked for it, has its completion in memory.
// working: something is going on, or will without the host; while it is low the clock may stand still.
//
// PRESENT has one bit a unit (LM_UNIT_*): the units that this build has. STATE_LANES: groups of 16 state values a cycle (lm_ssmu); ROWS: rows that the row scale
// takes a cycle (lm_rows); PREFETCH: beats of weights that a port reads ahead, with
// MULTIPLIES = 2 those of the next MULTIPLY too. STATE_PORTS: ports 1 to this one have a part of the state each. HANG_LAYER is for tests (lm_copy). All other parameters are what
// software reads back as BUILD_*. Each port has a lane of the MMU of its own.
//
//   s_* ── lm_regs ── lm_cmd ──┬── units ── lm_axi_rd, lm_axi_wr ──┐
//                       │      └── lm_mmu_unit ── weights of port 0 ├── lm_axi_rd_mux, lm_axi_wr_mux ── port 0
//                       └── lm_axi_rd, lm_axi_wr ──────────────────┘
//                                lm_mmu_unit ── weights of port p ── lm_axi_rd ── port p
//                                lm_ssmu_unit ── a part of the state ── lm_state_port ── port p
module lm_top #(
    parameter int PORTS        = 1,
    parameter int TOKENS       = 4,
    parameter int ACT_BITS     = 8,
    parameter int MAX_INPUTS   = 8192,
    parameter int MAX_ROWS     = 1048576,
    parameter int MAX_HEADS    = 128,
    parameter int MAX_HEAD_DIM = 128,
    parameter int MAX_STATE    = 512,
    parameter int MAX_GROUPS   = 16,
    parameter int MAX_COPY     = 67108864,
    parameter int MAX_WORDS    = 64,
    parameter int MAX_TAPS     = 32768,
    parameter int MAX_NORM_GROUP = 4096,
    parameter int MAX_ORDER    = 64,
    parameter int MAX_LOG2     = 7,
    parameter int STATE_LANES  = 2,
    parameter int STATE_PORTS  = 0,
    parameter int ROWS         = 2,
    parameter int PREFETCH     = 1024,
    parameter int MULTIPLIES   = 1,
    parameter int PRESENT      = 127,
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

    localparam int UNITS        = MULTIPLIES == 2 ? 8 : 7; // unit 7: a second descriptor of the MMU
    localparam int WINDOWS      = LM_WINDOWS;
    localparam int DEVICE_WORDS = LM_REG_BUILD_STATE_PORTS / 4 + 1;
    localparam int FIRST_HOST   = LM_REG_HEAD;
    localparam int GRANTED      = WINDOWS - 1 + PORTS; // window 3 + p is what port p only reads
    localparam int HOST_WORDS   = (LM_REG_WINDOW - FIRST_HOST + GRANTED * LM_WINDOW_STRIDE) / 4;

    localparam int COPY  = LM_UNIT_COPY;
    localparam int MMU   = LM_UNIT_MMU;
    localparam int SSMU  = LM_UNIT_SSMU;
    localparam int HTU   = LM_UNIT_HTU;
    localparam int NQU   = LM_UNIT_NQU;
    localparam int EMBED = LM_UNIT_EMBED;

    // What is in flight at port 0 is enough for the latency and no more, since all masters wait behind it: 64 beats a master, here in bursts of the weights
    localparam int WEIGHT_BURSTS = PORTS > 1 ? 4 : 8;

    // Parts of the state, and their masters at port 0
    localparam int PARTS = STATE_PORTS == 0 ? 1 : STATE_PORTS;
    localparam int OWN   = STATE_PORTS == 0 ? 2 : 0;

    // Masters of port 0, those of a unit together; what each is for says the unit's header
    localparam int RD_FETCH   = 0;
    localparam int RD_COPY    = 1;
    localparam int RD_MMU     = 2;
    localparam int RD_WEIGHTS = 5;
    localparam int RD_SSMU    = 6;
    localparam int RD_STATE   = 8;
    localparam int RD_HTU     = RD_STATE + OWN;
    localparam int RD_NQU     = RD_HTU + 1;
    localparam int RD_EMBED   = RD_HTU + 2;
    localparam int RD_TABLE   = RD_HTU + 3;
    localparam int READERS    = RD_HTU + 4;
    localparam int WR_DONE    = 0;
    localparam int WR_COPY    = 1;
    localparam int WR_MMU     = 2;
    localparam int WR_STATE   = 3;
    localparam int WR_SSMU    = WR_STATE + OWN;
    localparam int WR_HTU     = WR_SSMU + 2;
    localparam int WR_NQU     = WR_HTU + 1;
    localparam int WR_EMBED   = WR_HTU + 2;
    localparam int WRITERS    = WR_HTU + 3;

    // Whose they are; 0 is the command processor, or as with port tables and weights nobody's for long
    function automatic int reader_of(input int r);
        reader_of = r == RD_FETCH ? 0 : r == RD_COPY ? COPY : r < RD_WEIGHTS ? MMU : r == RD_WEIGHTS ? 0 : r < RD_HTU ? SSMU : r == RD_HTU ? HTU
                  : r == RD_NQU ? NQU : r == RD_EMBED ? EMBED : 0;
    endfunction
    function automatic int writer_of(input int w);
        writer_of = w == WR_DONE ? 0 : w == WR_COPY ? COPY : w == WR_MMU ? MMU : w < WR_HTU ? SSMU : w == WR_HTU ? HTU
                  : w == WR_NQU ? NQU : EMBED;
    endfunction

    // ------------------------------------------------------------------------------------------------ registers
    logic [DEVICE_WORDS*32-1:0] device_words;
    logic [HOST_WORDS*32-1:0]   host_words;
    lm_regs #(.DEVICE_WORDS(DEVICE_WORDS), .HOST_WORDS(HOST_WORDS)) u_regs (
        .clk, .rst_n, .s_awvalid, .s_awready, .s_awaddr, .s_wvalid, .s_wready, .s_wdata, .s_bvalid, .s_bready,
        .s_arvalid, .s_arready, .s_araddr, .s_rvalid, .s_rready, .s_rdata, .device_words, .host_words);

    logic [GRANTED*160-1:0] granted;
    wire  [WINDOWS*160-1:0] windows = granted[WINDOWS*160-1:0];
    always_comb begin
        for (int w = 0; w < GRANTED; w++)
            granted[160*w +: 160] = host_words[8*(LM_REG_WINDOW - LM_REG_HEAD + LM_WINDOW_STRIDE*w) +: 160];
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
        device_words[8*LM_REG_BUILD_LANES +: 32]        = 32'(PORTS);
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
        device_words[8*LM_REG_BUILD_MAX_WORDS +: 32]    = 32'(MAX_WORDS);
        device_words[8*LM_REG_BUILD_MAX_TAPS +: 32]     = 32'(MAX_TAPS);
        device_words[8*LM_REG_BUILD_MAX_NORM_GROUP +: 32] = 32'(MAX_NORM_GROUP);
        device_words[8*LM_REG_BUILD_MAX_ORDER +: 32]    = 32'(MAX_ORDER);
        device_words[8*LM_REG_BUILD_MAX_LOG2 +: 32]     = 32'(MAX_LOG2);
        device_words[8*LM_REG_BUILD_STATE_PORTS +: 32]  = 32'(STATE_PORTS);
    end

    // ------------------------------------------------------------------------------------------------ masters of port 0
    logic [READERS-1:0]     rd_poison, rd_clear, rd_flush, rd_idle, rd_arrived, rd_error, rd_cvalid, rd_cready, rd_mvalid, rd_mready, rd_mlast;
    logic [READERS*8-1:0]   rd_code;
    logic [READERS*64-1:0]  rd_fault, rd_caddr;
    logic [READERS*32-1:0]  rd_cbeats, rd_beats;
    logic [READERS*512-1:0] rd_mdata;
    logic [READERS-1:0]     c_arvalid, c_arready, c_rvalid;
    logic [READERS*64-1:0]  c_araddr;
    logic [READERS*8-1:0]   c_arlen;

    for (genvar r = 0; r < READERS; r++) begin : g_rd
        lm_axi_rd #(
            .WINDOWS(WINDOWS), .BURST(r == RD_FETCH ? 2 : 16), .OUTSTANDING(r == RD_FETCH || r == RD_TABLE ? 2 : r == RD_WEIGHTS ? WEIGHT_BURSTS : 16),
            .DEPTH(r == RD_FETCH ? 2 : r == RD_TABLE ? 16 : r == RD_COPY ? 256 : r == RD_WEIGHTS ? PREFETCH : 64)
        ) u_rd (
            .clk, .rst_n, .windows, .poison(rd_poison[r]), .clear(rd_clear[r]), .flush(rd_flush[r]),   .idle(rd_idle[r]), .arrived(rd_arrived[r]),
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
    logic [WRITERS*32-1:0]  wr_cbeats, wr_beats, wr_done;
    logic [WRITERS*512-1:0] wr_sdata;
    logic [WRITERS-1:0]     c_awvalid, c_awready, c_wvalid, c_wready, c_wlast, c_bvalid;
    logic [WRITERS*64-1:0]  c_awaddr;
    logic [WRITERS*8-1:0]   c_awlen;
    logic [WRITERS*512-1:0] c_wdata;

    for (genvar w = 0; w < WRITERS; w++) begin : g_wr
        // Short bursts where somebody may follow: they leave, and count, only when they are complete
        localparam int BURST = w == WR_DONE || w == WR_MMU || w == WR_SSMU ? 2 : 16;
        lm_axi_wr #(
            .WINDOWS(WINDOWS), .BURST(BURST), .OUTSTANDING(w == WR_DONE ? 2 : 16), .DEPTH(w == WR_DONE ? 2 : 32)
        ) u_wr (
            .clk, .rst_n, .windows, .poison(wr_poison[w]), .clear(wr_clear[w]), .flush(wr_flush[w]), .idle(wr_idle[w]),
            .error(wr_error[w]), .error_code(wr_code[8*w +: 8]), .error_addr(wr_fault[64*w +: 64]),
            .beats_written(wr_beats[32*w +: 32]), .beats_done(wr_done[32*w +: 32]),
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

    // Weights: a master a port. That of port 0 shares it with the others, which is RD_WEIGHTS; here are the rest
    logic [PORTS-1:0]     w_idle, w_arrived, w_send, w_poison, w_error, w_cvalid, w_cready, w_mvalid, w_mready;
    logic [PORTS*8-1:0]   w_code;
    logic [PORTS*64-1:0]  w_fault, w_caddr;
    logic [PORTS*32-1:0]  w_cbeats, w_beats;
    logic [PORTS*512-1:0] w_mdata;
    assign w_idle[0]             = rd_idle[RD_WEIGHTS];
    assign w_arrived[0]          = rd_arrived[RD_WEIGHTS];
    assign rd_clear[RD_WEIGHTS]  = w_send[0];
    assign w_error[0]            = rd_error[RD_WEIGHTS];
    assign w_code[7:0]           = rd_code[8*RD_WEIGHTS +: 8];
    assign w_fault[63:0]         = rd_fault[64*RD_WEIGHTS +: 64];
    assign w_beats[31:0]         = rd_beats[32*RD_WEIGHTS +: 32];
    assign w_cready[0]           = rd_cready[RD_WEIGHTS];
    assign w_mvalid[0]           = rd_mvalid[RD_WEIGHTS];
    assign w_mdata[511:0]        = rd_mdata[512*RD_WEIGHTS +: 512];
    assign rd_cvalid[RD_WEIGHTS]         = w_cvalid[0];
    assign rd_caddr[64*RD_WEIGHTS +: 64] = w_caddr[63:0];
    assign rd_cbeats[32*RD_WEIGHTS +: 32] = w_cbeats[31:0];
    assign rd_mready[RD_WEIGHTS]         = w_mready[0];
    // At a port with a part of the state what is in flight delays it, so weights have less there
    for (genvar p = 1; p < PORTS; p++) begin : g_port
        /* verilator lint_off UNUSEDSIGNAL */
        wire last;
        /* verilator lint_on UNUSEDSIGNAL */
        wire [319:0] own = {granted[160*(WINDOWS - 1 + p) +: 160], granted[160*(WINDOWS - 2) +: 160]};
        wire         arvalid, arready, rvalid;
        wire  [63:0] araddr;
        wire  [7:0]  arlen;
        lm_axi_rd #(.WINDOWS(2), .BURST(16), .OUTSTANDING(p <= STATE_PORTS ? WEIGHT_BURSTS : 16), .DEPTH(PREFETCH)) u_rd (
            .clk, .rst_n, .windows(own), .poison(w_poison[p]), .clear(w_send[p]), .flush(m_reset), .idle(w_idle[p]), .arrived(w_arrived[p]),
            .error(w_error[p]), .error_code(w_code[8*p +: 8]), .error_addr(w_fault[64*p +: 64]), .beats_read(w_beats[32*p +: 32]),
            .c_valid(w_cvalid[p]), .c_ready(w_cready[p]), .c_addr(w_caddr[64*p +: 64]), .c_beats(w_cbeats[32*p +: 32]),
            .m_valid(w_mvalid[p]), .m_ready(w_mready[p]), .m_data(w_mdata[512*p +: 512]), .m_last(last),
            .arvalid, .arready, .araddr, .arlen, .rvalid, .rdata(m_rdata[512*p +: 512]), .rfault(m_rresp[2*p + 1]), .rlast(m_rlast[p]));
        if (p <= STATE_PORTS) begin : g_state
            lm_state_port u_state (
                .clk, .rst_n, .windows(own), .poison(u_abort[SSMU] || u_error[SSMU]), .clear(u_start[SSMU]), .flush(u_reset[SSMU]),
                .idle(st_idle[p - 1]), .rd_idle({st_rd_idle[PARTS + p - 1], st_rd_idle[p - 1]}),
                .wr_idle({st_wr_idle[PARTS + p - 1], st_wr_idle[p - 1]}), .error(st_error[p - 1]), .code(st_code[8*(p - 1) +: 8]),
                .info(st_fault[64*(p - 1) +: 64]), .beats_read(st_read[32*(p - 1) +: 32]), .beats_written(st_written[32*(p - 1) +: 32]),
                .rd_valid({st_rd_valid[PARTS + p - 1], st_rd_valid[p - 1]}), .rd_ready({st_rd_ready[PARTS + p - 1], st_rd_ready[p - 1]}),
                .rd_addr({st_rd_addr[64*(PARTS + p - 1) +: 64], st_rd_addr[64*(p - 1) +: 64]}),
                .rd_beats({st_rd_beats[32*(PARTS + p - 1) +: 32], st_rd_beats[32*(p - 1) +: 32]}),
                .rd_mvalid({st_rd_mvalid[PARTS + p - 1], st_rd_mvalid[p - 1]}), .rd_mready({st_rd_mready[PARTS + p - 1], st_rd_mready[p - 1]}),
                .rd_mdata({st_rd_mdata[512*(PARTS + p - 1) +: 512], st_rd_mdata[512*(p - 1) +: 512]}),
                .wr_valid({st_wr_valid[PARTS + p - 1], st_wr_valid[p - 1]}), .wr_ready({st_wr_ready[PARTS + p - 1], st_wr_ready[p - 1]}),
                .wr_addr({st_wr_addr[64*(PARTS + p - 1) +: 64], st_wr_addr[64*(p - 1) +: 64]}),
                .wr_beats({st_wr_beats[32*(PARTS + p - 1) +: 32], st_wr_beats[32*(p - 1) +: 32]}),
                .wr_svalid({st_wr_svalid[PARTS + p - 1], st_wr_svalid[p - 1]}), .wr_sready({st_wr_sready[PARTS + p - 1], st_wr_sready[p - 1]}),
                .wr_sdata({st_wr_sdata[512*(PARTS + p - 1) +: 512], st_wr_sdata[512*(p - 1) +: 512]}),
                .w_arvalid(arvalid), .w_arready(arready), .w_araddr(araddr), .w_arlen(arlen), .w_rvalid(rvalid),
                .arvalid(m_arvalid[p]), .arready(m_arready[p]), .arid(m_arid[8*p +: 8]), .araddr(m_araddr[64*p +: 64]),
                .arlen(m_arlen[8*p +: 8]), .rvalid(m_rvalid[p]), .rready(m_rready[p]), .rid(m_rid[8*p +: 8]),
                .rdata(m_rdata[512*p +: 512]), .rfault(m_rresp[2*p + 1]), .rlast(m_rlast[p]),
                .awvalid(m_awvalid[p]), .awready(m_awready[p]), .awid(m_awid[8*p +: 8]), .awaddr(m_awaddr[64*p +: 64]),
                .awlen(m_awlen[8*p +: 8]), .wvalid(m_wvalid[p]), .wready(m_wready[p]), .wdata(m_wdata[512*p +: 512]), .wlast(m_wlast[p]),
                .bvalid(m_bvalid[p]), .bready(m_bready[p]), .bid(m_bid[8*p +: 8]), .bfault(m_bresp[2*p + 1]));
        end else begin : g_weights
            assign m_arvalid[p]          = arvalid;
            assign arready               = m_arready[p];
            assign m_araddr[64*p +: 64]  = araddr;
            assign m_arlen[8*p +: 8]     = arlen;
            assign rvalid                = m_rvalid[p];
            assign m_arid[8*p +: 8]      = '0;
            assign m_rready[p]           = 1'b1;
            assign m_awvalid[p]          = 1'b0;
            assign m_awid[8*p +: 8]      = '0;
            assign m_awaddr[64*p +: 64]  = '0;
            assign m_awlen[8*p +: 8]     = '0;
            assign m_wvalid[p]           = 1'b0;
            assign m_wdata[512*p +: 512] = '0;
            assign m_wlast[p]            = 1'b0;
            assign m_bready[p]           = 1'b1;
        end
    end

    // Parts of the state: masters of port 0, or of ports 1 to STATE_PORTS
    logic [2*PARTS-1:0]     st_rd_valid, st_rd_ready, st_rd_mvalid, st_rd_mready, st_rd_idle;
    logic [2*PARTS-1:0]     st_wr_valid, st_wr_ready, st_wr_svalid, st_wr_sready, st_wr_idle;
    logic [2*PARTS*64-1:0]  st_rd_addr, st_wr_addr;
    logic [2*PARTS*32-1:0]  st_rd_beats, st_wr_beats;
    logic [2*PARTS*512-1:0] st_rd_mdata, st_wr_sdata;
    logic [PARTS-1:0]       st_idle, st_error;
    logic [PARTS*8-1:0]     st_code;
    logic [PARTS*64-1:0]    st_fault;
    logic [PARTS*32-1:0]    st_read, st_written;
    if (STATE_PORTS == 0) begin : g_state_here
        assign rd_cvalid[RD_STATE +: 2]         = st_rd_valid;
        assign st_rd_ready                      = rd_cready[RD_STATE +: 2];
        assign rd_caddr[64*RD_STATE +: 64*2]    = st_rd_addr;
        assign rd_cbeats[32*RD_STATE +: 32*2]   = st_rd_beats;
        assign st_rd_mvalid                     = rd_mvalid[RD_STATE +: 2];
        assign rd_mready[RD_STATE +: 2]         = st_rd_mready;
        assign st_rd_mdata                      = rd_mdata[512*RD_STATE +: 512*2];
        assign st_rd_idle                       = rd_idle[RD_STATE +: 2];
        assign wr_cvalid[WR_STATE +: 2]         = st_wr_valid;
        assign st_wr_ready                      = wr_cready[WR_STATE +: 2];
        assign wr_caddr[64*WR_STATE +: 64*2]    = st_wr_addr;
        assign wr_cbeats[32*WR_STATE +: 32*2]   = st_wr_beats;
        assign wr_svalid[WR_STATE +: 2]         = st_wr_svalid;
        assign st_wr_sready                     = wr_sready[WR_STATE +: 2];
        assign wr_sdata[512*WR_STATE +: 512*2]  = st_wr_sdata;
        assign st_wr_idle                       = wr_idle[WR_STATE +: 2];
        assign st_idle    = '1;
        assign st_error   = '0;
        assign st_code    = '0;
        assign st_fault   = '0;
        assign st_read    = '0;
        assign st_written = '0;
    end

    // ------------------------------------------------------------------------------------------------ command processor
    logic [511:0]        u_desc;
    logic [UNITS-1:0]    u_start, u_done, u_hold, u_abort, u_reset, u_quiet, u_error;
    logic [UNITS*3-1:0]  u_after;
    logic [UNITS*8-1:0]  u_code;
    logic [UNITS*64-1:0] u_info;
    logic [UNITS*32-1:0] u_read, u_written;

    lm_cmd #(
        .UNITS(UNITS), .PRESENT(PRESENT), .TOKENS(TOKENS), .ACT_BITS(ACT_BITS), .MAX_INPUTS(MAX_INPUTS), .MAX_ROWS(MAX_ROWS),
        .MAX_HEADS(MAX_HEADS), .MAX_HEAD_DIM(MAX_HEAD_DIM), .MAX_STATE(MAX_STATE), .MAX_GROUPS(MAX_GROUPS), .MAX_COPY(MAX_COPY),
        .MAX_WORDS(MAX_WORDS), .MAX_TAPS(MAX_TAPS), .MAX_ORDER(MAX_ORDER), .MAX_LOG2(MAX_LOG2), .MULTIPLIES(MULTIPLIES)
    ) u_cmd (
        .clk, .rst_n,
        .head(host_words[8*(LM_REG_HEAD - FIRST_HOST) +: 32]),
        .reset(host_words[8*(LM_REG_RESET - FIRST_HOST) +: 32]),
        .enable(host_words[8*(LM_REG_ENABLE - FIRST_HOST)]),
        .ring_log2(host_words[8*(LM_REG_RING_LOG2 - FIRST_HOST) +: 32]),
        .ring(host_words[8*(LM_REG_RING_LOW - FIRST_HOST) +: 64]),
        .completions(host_words[8*(LM_REG_COMPLETIONS_LOW - FIRST_HOST) +: 64]),
        .watchdog(host_words[8*(LM_REG_WATCHDOG - FIRST_HOST) +: 32]),
        .state, .head_seen, .completed, .errors, .error_sequence, .error_status, .error_info, .resets, .cycles, .busy_cycles,
        .working, .irq,
        .f_valid(rd_cvalid[RD_FETCH]), .f_ready(rd_cready[RD_FETCH]), .f_addr(rd_caddr[64*RD_FETCH +: 64]),
        .f_data_valid(rd_mvalid[RD_FETCH]), .f_data_ready(rd_mready[RD_FETCH]), .f_data(rd_mdata[512*RD_FETCH +: 512]),
        .f_error(rd_error[RD_FETCH]), .f_code(rd_code[8*RD_FETCH +: 8]), .f_clear(rd_clear[RD_FETCH]),
        .w_valid(wr_cvalid[WR_DONE]), .w_ready(wr_cready[WR_DONE]), .w_addr(wr_caddr[64*WR_DONE +: 64]),
        .w_data_valid(wr_svalid[WR_DONE]), .w_data_ready(wr_sready[WR_DONE]), .w_data(wr_sdata[512*WR_DONE +: 512]),
        .w_idle(wr_idle[WR_DONE]), .w_error(wr_error[WR_DONE]), .w_clear(wr_clear[WR_DONE]),
        .u_desc, .u_start, .u_done, .u_hold, .u_after, .u_abort, .u_reset, .u_quiet, .u_error, .u_code, .u_info, .u_read, .u_written,
        .m_claim, .m_full);

    assign rd_cbeats[32*RD_FETCH +: 32] = 32'd1;
    assign wr_cbeats[32*WR_DONE +: 32]  = 32'd1;

    // The MMU's two descriptors, where it has two: which of them started, are given up; who has the masters beside those of weights
    localparam int SECOND = MULTIPLIES == 2 ? 7 : MMU;
    wire  [1:0]   m_start = {MULTIPLIES == 2 && u_start[SECOND], u_start[MMU]};
    wire  [1:0]   m_abort = {MULTIPLIES == 2 && u_abort[SECOND], u_abort[MMU]};
    wire  [1:0]   m_hold  = {MULTIPLIES == 2 && u_hold[SECOND], u_hold[MMU]};
    wire          m_reset = u_reset[MMU] || u_reset[SECOND];
    logic [1:0]   m_claim, m_done, w_hurts;
    logic         m_full, m_owner, w_sender;
    logic [31:0]  table_read;
    logic [63:0]  w_read;
    logic [15:0]  w_codes;
    logic [127:0] w_infos;
    wire  [2:0]   m_unit  = m_owner ? 3'(SECOND) : 3'(MMU);
    lm_owner #(.PORTS(PORTS)) u_owner (
        .clk, .rst_n(rst_n && !m_reset), .start(m_start), .send(w_send), .sender(w_sender), .giving(m_abort), .w_beats, .w_error, .w_code, .w_fault,
        .poison(w_poison), .read(w_read), .error(w_hurts), .code(w_codes), .info(w_infos));
    assign rd_poison[RD_WEIGHTS] = w_poison[0];
    assign rd_flush[RD_WEIGHTS]  = m_reset;
    assign rd_poison[RD_TABLE]   = 1'b0;
    assign rd_clear[RD_TABLE]    = m_start != '0;
    assign rd_flush[RD_TABLE]    = m_reset;

    // A unit's masters are cleared at its start, those of the MMU when a descriptor has them. When one fails, or the unit itself, the others need not go on: a source outside the windows writes nothing
    for (genvar r = 0; r < READERS; r++) begin : g_rd_of
        localparam int U = reader_of(r);
        if (r == RD_FETCH) begin : g_fetch
            assign rd_poison[r] = 1'b0;
            assign rd_flush[r]  = 1'b0;
        end else if (U == MMU) begin : g_mmu
            assign rd_poison[r] = u_abort[m_unit] || u_error[m_unit];
            assign rd_flush[r]  = m_reset;
            assign rd_clear[r]  = m_claim != '0;
        end else if (U != 0) begin : g
            assign rd_poison[r] = u_abort[U] || u_error[U];
            assign rd_flush[r]  = u_reset[U];
            assign rd_clear[r]  = u_start[U];
        end
        if ((U > COPY && !PRESENT[U] || r == RD_TABLE && !PRESENT[MMU]) && !(r >= RD_STATE && r < RD_HTU)) begin : g_absent
            assign rd_cvalid[r]           = 1'b0;
            assign rd_caddr[64*r +: 64]   = '0;
            assign rd_cbeats[32*r +: 32]  = '0;
            assign rd_mready[r]           = 1'b0;
        end
    end
    for (genvar w = 0; w < WRITERS; w++) begin : g_wr_of
        localparam int U = writer_of(w);
        if (U == MMU) begin : g_mmu
            assign wr_poison[w] = u_abort[m_unit] || u_error[m_unit];
            assign wr_flush[w]  = m_reset;
            assign wr_clear[w]  = m_claim != '0;
        end else begin : g
            assign wr_poison[w] = U != 0 && (u_abort[U] || u_error[U]);
            assign wr_flush[w]  = U != 0 && u_reset[U];
            if (U != 0) begin : g_clear
                assign wr_clear[w] = u_start[U];
            end
        end
        if (U > COPY && !PRESENT[U] && !(w >= WR_STATE && w < WR_SSMU)) begin : g_absent
            assign wr_cvalid[w]            = 1'b0;
            assign wr_caddr[64*w +: 64]    = '0;
            assign wr_cbeats[32*w +: 32]   = '0;
            assign wr_svalid[w]            = 1'b0;
            assign wr_sdata[512*w +: 512]  = '0;
        end
    end

    // What a unit and its masters say together. The masters come first: what a unit makes of the zeros of a failed read is no news
    logic [UNITS-1:0]    own_error;
    logic [UNITS*8-1:0]  own_code;
    logic [UNITS*64-1:0] own_info;
    logic [31:0]         m_read;
    logic                m_hurt;
    logic [2:0]          m;
    always_comb begin
        u_quiet   = '1;
        u_error   = '0;
        u_code    = own_code;
        u_info    = own_info;
        u_read    = '0;
        u_written = '0;
        for (int r = 1; r < READERS; r++) if (reader_of(r) != 0) begin
            if (!rd_idle[r]) u_quiet[reader_of(r)] = 1'b0;
            u_read[32*reader_of(r) +: 32] = u_read[32*reader_of(r) +: 32] + rd_beats[32*r +: 32];
            if (rd_error[r] && !u_error[reader_of(r)]) begin
                u_error[reader_of(r)]           = 1'b1;
                u_code[8*reader_of(r) +: 8]     = rd_code[8*r +: 8];
                u_info[64*reader_of(r) +: 64]   = rd_fault[64*r +: 64];
            end
        end
        for (int w = 1; w < WRITERS; w++) begin
            if (!wr_idle[w]) u_quiet[writer_of(w)] = 1'b0;
            u_written[32*writer_of(w) +: 32] = u_written[32*writer_of(w) +: 32] + wr_beats[32*w +: 32];
            if (wr_error[w] && !u_error[writer_of(w)]) begin
                u_error[writer_of(w)]           = 1'b1;
                u_code[8*writer_of(w) +: 8]     = wr_code[8*w +: 8];
                u_info[64*writer_of(w) +: 64]   = wr_fault[64*w +: 64];
            end
        end
        // What the MMU's own masters say is about the one that has them; weights have an owner a port
        if (w_idle != '1 || !rd_idle[RD_TABLE]) u_quiet[MMU] = 1'b0;
        m_read = u_read[32*MMU +: 32] + table_read;
        m_hurt = u_error[MMU];
        if (MULTIPLIES == 2) begin
            u_quiet[SECOND]            = u_quiet[MMU];
            u_code[8*SECOND +: 8]      = u_code[8*MMU +: 8];
            u_info[64*SECOND +: 64]    = u_info[64*MMU +: 64];
            u_written[32*SECOND +: 32] = u_written[32*MMU +: 32];
        end
        for (int s = 0; s < MULTIPLIES; s++) begin
            m = s == 0 ? 3'(MMU) : 3'(SECOND);
            u_error[m]          = m_hurt && m_unit == m;
            u_read[32*m +: 32]  = w_read[32*s +: 32] + (m_unit == m ? m_read : 32'd0);
            if (w_hurts[s] && !u_error[m]) begin
                u_error[m]         = 1'b1;
                u_code[8*m +: 8]   = w_codes[8*s +: 8];
                u_info[64*m +: 64] = w_infos[64*s +: 64];
            end
        end
        for (int q = 0; q < PARTS; q++) begin
            if (!st_idle[q]) u_quiet[SSMU] = 1'b0;
            u_read[32*SSMU +: 32]    = u_read[32*SSMU +: 32] + st_read[32*q +: 32];
            u_written[32*SSMU +: 32] = u_written[32*SSMU +: 32] + st_written[32*q +: 32];
            if (st_error[q] && !u_error[SSMU]) begin
                u_error[SSMU]         = 1'b1;
                u_code[8*SSMU +: 8]   = st_code[8*q +: 8];
                u_info[64*SSMU +: 64] = st_fault[64*q +: 64];
            end
        end
        u_error = u_error | own_error;
    end
    // A second descriptor of the MMU fails and ends as the first does
    if (MULTIPLIES == 2) begin : g_second
        assign own_code[8*SECOND +: 8]   = m_code;
        assign own_info[64*SECOND +: 64] = m_info;
        assign own_error[SECOND]         = m_error && m_owner;
        assign u_done[SECOND]            = m_done[1];
    end
    assign own_error[MMU]         = m_error && !m_owner;
    assign own_code[8*MMU +: 8]   = m_code;
    assign own_info[64*MMU +: 64] = m_info;
    assign u_done[MMU]            = m_done[0];
    // The command processor is no unit; COPY, which is always here, finds nothing of its own; others may not be here
    for (genvar u = 0; u < UNITS; u++) begin : g_silent
        if (u <= COPY || (u < 7 && u != MMU && !PRESENT[u])) begin : g
            assign own_error[u]         = 1'b0;
            assign own_code[8*u +: 8]   = '0;
            assign own_info[64*u +: 64] = '0;
        end
        if (u == 0 || (u > COPY && u < 7 && u != MMU && !PRESENT[u])) begin : g_done
            assign u_done[u] = 1'b0;
        end
    end
    logic        m_error;
    logic [7:0]  m_code;
    logic [63:0] m_info;
    if (!PRESENT[MMU]) begin : g_no_weights
        assign m_error               = 1'b0;
        assign m_done                = '0;
        assign m_owner               = 1'b0;
        assign m_full                = 1'b0;
        assign table_read            = '0;
        assign w_send                = '0;
        assign w_sender              = 1'b0;
        assign m_code                = '0;
        assign m_info                = '0;
        assign w_cvalid = '0;
        assign w_caddr  = '0;
        assign w_cbeats = '0;
        assign w_mready = '0;
    end

    // ------------------------------------------------------------------------------------------------ COPY
    lm_copy #(.HANG_LAYER(HANG_LAYER)) u_copy (
        .clk, .rst_n(rst_n && !u_reset[COPY]), .start(u_start[COPY]), .desc(u_desc), .done(u_done[COPY]),
        .rd_valid(rd_cvalid[RD_COPY]), .rd_ready(rd_cready[RD_COPY]), .rd_addr(rd_caddr[64*RD_COPY +: 64]),
        .rd_beats(rd_cbeats[32*RD_COPY +: 32]), .rd_idle(rd_idle[RD_COPY]),
        .wr_valid(wr_cvalid[WR_COPY]), .wr_ready(wr_cready[WR_COPY]), .wr_addr(wr_caddr[64*WR_COPY +: 64]),
        .wr_beats(wr_cbeats[32*WR_COPY +: 32]), .wr_idle(wr_idle[WR_COPY]));
    assign wr_svalid[WR_COPY]           = rd_mvalid[RD_COPY];
    assign rd_mready[RD_COPY]           = wr_sready[WR_COPY];
    assign wr_sdata[512*WR_COPY +: 512] = rd_mdata[512*RD_COPY +: 512];

    // ------------------------------------------------------------------------------------------------ MMU
    if (PRESENT[MMU]) begin : g_mmu
        lm_mmu_unit #(.PORTS(PORTS), .TOKENS(TOKENS), .ACT_BITS(ACT_BITS), .MAX_INPUTS(MAX_INPUTS), .ROWS(ROWS)) u_unit (
            .clk, .rst_n(rst_n && !m_reset), .start(m_start), .desc(u_desc), .hold(m_hold), .claim(m_claim), .owner(m_owner), .full(m_full),
            .done(m_done), .error(m_error), .code(m_code), .info(m_info),
            .t_valid(rd_cvalid[RD_TABLE]), .t_ready(rd_cready[RD_TABLE]), .t_addr(rd_caddr[64*RD_TABLE +: 64]),
            .t_beats(rd_cbeats[32*RD_TABLE +: 32]), .t_mvalid(rd_mvalid[RD_TABLE]), .t_mready(rd_mready[RD_TABLE]),
            .t_mdata(rd_mdata[512*RD_TABLE +: 512]), .t_error(rd_error[RD_TABLE]), .t_code(rd_code[8*RD_TABLE +: 8]),
            .t_fault(rd_fault[64*RD_TABLE +: 64]), .t_read(rd_beats[32*RD_TABLE +: 32]), .table_read,
            .send(w_send), .sender(w_sender), .w_arrived, .w_hurt(w_error),
            .w_valid(w_cvalid), .w_ready(w_cready), .w_addr(w_caddr), .w_beats(w_cbeats), .w_mvalid, .w_mready, .w_mdata,
            .rd_valid(rd_cvalid[RD_MMU +: 3]), .rd_ready(rd_cready[RD_MMU +: 3]), .rd_addr(rd_caddr[64*RD_MMU +: 64*3]),
            .rd_beats(rd_cbeats[32*RD_MMU +: 32*3]), .rd_mvalid(rd_mvalid[RD_MMU +: 3]), .rd_mready(rd_mready[RD_MMU +: 3]),
            .rd_mdata(rd_mdata[512*RD_MMU +: 512*3]), .rd_idle(rd_idle[RD_MMU +: 3]),
            .wr_valid(wr_cvalid[WR_MMU +: 1]), .wr_ready(wr_cready[WR_MMU +: 1]), .wr_addr(wr_caddr[64*WR_MMU +: 64*1]),
            .wr_beats(wr_cbeats[32*WR_MMU +: 32*1]), .wr_svalid(wr_svalid[WR_MMU +: 1]), .wr_sready(wr_sready[WR_MMU +: 1]),
            .wr_sdata(wr_sdata[512*WR_MMU +: 512*1]), .wr_idle(wr_idle[WR_MMU +: 1]));
    end

    // What is in memory of the rows of a MULTIPLY, of the u vectors of an SSM: who follows may read so far
    wire [31:0] ssmu_followed = u_after[3*SSMU +: 3] == m_unit ? wr_done[32*WR_MMU +: 32] : 32'd0;
    wire [31:0] htu_followed  = u_after[3*HTU +: 3] == 3'(SSMU) ? wr_done[32*WR_SSMU +: 32] : 32'd0;

    // ------------------------------------------------------------------------------------------------ SSMU
    if (PRESENT[SSMU]) begin : g_ssmu
        lm_ssmu_unit #(.TOKENS(TOKENS), .LANES(STATE_LANES), .HEAD_DIM(MAX_HEAD_DIM), .WORDS(MAX_WORDS), .GROUPS(MAX_GROUPS), .HEADS(MAX_HEADS),
            .TAPS(MAX_TAPS), .NORM_GROUP(MAX_NORM_GROUP), .STATE_PORTS(STATE_PORTS)) u_unit (
            .clk, .rst_n(rst_n && !u_reset[SSMU]), .start(u_start[SSMU]), .desc(u_desc), .done(u_done[SSMU]),
            .error(own_error[SSMU]), .code(own_code[8*SSMU +: 8]), .info(own_info[64*SSMU +: 64]),
            .bounded(u_hold[SSMU]), .followed(ssmu_followed),
            .rd_valid(rd_cvalid[RD_SSMU +: 2]), .rd_ready(rd_cready[RD_SSMU +: 2]), .rd_addr(rd_caddr[64*RD_SSMU +: 64*2]),
            .rd_beats(rd_cbeats[32*RD_SSMU +: 32*2]), .rd_mvalid(rd_mvalid[RD_SSMU +: 2]), .rd_mready(rd_mready[RD_SSMU +: 2]),
            .rd_mdata(rd_mdata[512*RD_SSMU +: 512*2]), .rd_idle(rd_idle[RD_SSMU +: 2]),
            .wr_valid(wr_cvalid[WR_SSMU +: 2]), .wr_ready(wr_cready[WR_SSMU +: 2]), .wr_addr(wr_caddr[64*WR_SSMU +: 64*2]),
            .wr_beats(wr_cbeats[32*WR_SSMU +: 32*2]), .wr_svalid(wr_svalid[WR_SSMU +: 2]), .wr_sready(wr_sready[WR_SSMU +: 2]),
            .wr_sdata(wr_sdata[512*WR_SSMU +: 512*2]), .wr_idle(wr_idle[WR_SSMU +: 2]),
            .st_rd_valid, .st_rd_ready, .st_rd_addr, .st_rd_beats, .st_rd_mvalid, .st_rd_mready, .st_rd_mdata, .st_rd_idle,
            .st_wr_valid, .st_wr_ready, .st_wr_addr, .st_wr_beats, .st_wr_svalid, .st_wr_sready, .st_wr_sdata, .st_wr_idle);
    end else begin : g_no_state
        assign st_rd_valid  = '0;
        assign st_rd_addr   = '0;
        assign st_rd_beats  = '0;
        assign st_rd_mready = '0;
        assign st_wr_valid  = '0;
        assign st_wr_addr   = '0;
        assign st_wr_beats  = '0;
        assign st_wr_svalid = '0;
        assign st_wr_sdata  = '0;
    end

    // ------------------------------------------------------------------------------------------------ HTU
    if (PRESENT[HTU]) begin : g_htu
        lm_htu_unit #(.MAX_INPUTS(MAX_INPUTS), .MAX_M(MAX_ORDER), .MAX_K(MAX_LOG2)) u_unit (
            .clk, .rst_n(rst_n && !u_reset[HTU]), .start(u_start[HTU]), .desc(u_desc), .done(u_done[HTU]),
            .error(own_error[HTU]), .code(own_code[8*HTU +: 8]), .info(own_info[64*HTU +: 64]),
            .bounded(u_hold[HTU]), .followed(htu_followed),
            .rd_valid(rd_cvalid[RD_HTU +: 1]), .rd_ready(rd_cready[RD_HTU +: 1]), .rd_addr(rd_caddr[64*RD_HTU +: 64*1]),
            .rd_beats(rd_cbeats[32*RD_HTU +: 32*1]), .rd_mvalid(rd_mvalid[RD_HTU +: 1]), .rd_mready(rd_mready[RD_HTU +: 1]),
            .rd_mdata(rd_mdata[512*RD_HTU +: 512*1]), .rd_idle(rd_idle[RD_HTU +: 1]),
            .wr_valid(wr_cvalid[WR_HTU +: 1]), .wr_ready(wr_cready[WR_HTU +: 1]), .wr_addr(wr_caddr[64*WR_HTU +: 64*1]),
            .wr_beats(wr_cbeats[32*WR_HTU +: 32*1]), .wr_svalid(wr_svalid[WR_HTU +: 1]), .wr_sready(wr_sready[WR_HTU +: 1]),
            .wr_sdata(wr_sdata[512*WR_HTU +: 512*1]), .wr_idle(wr_idle[WR_HTU +: 1]));
    end

    // ------------------------------------------------------------------------------------------------ NQU
    if (PRESENT[NQU]) begin : g_nqu
        lm_nqu_unit #(.MAX_INPUTS(MAX_INPUTS)) u_unit (
            .clk, .rst_n(rst_n && !u_reset[NQU]), .start(u_start[NQU]), .desc(u_desc), .hold(u_hold[NQU]), .done(u_done[NQU]),
            .error(own_error[NQU]), .code(own_code[8*NQU +: 8]), .info(own_info[64*NQU +: 64]),
            .rd_valid(rd_cvalid[RD_NQU +: 1]), .rd_ready(rd_cready[RD_NQU +: 1]), .rd_addr(rd_caddr[64*RD_NQU +: 64*1]),
            .rd_beats(rd_cbeats[32*RD_NQU +: 32*1]), .rd_mvalid(rd_mvalid[RD_NQU +: 1]), .rd_mready(rd_mready[RD_NQU +: 1]),
            .rd_mdata(rd_mdata[512*RD_NQU +: 512*1]), .rd_idle(rd_idle[RD_NQU +: 1]),
            .wr_valid(wr_cvalid[WR_NQU +: 1]), .wr_ready(wr_cready[WR_NQU +: 1]), .wr_addr(wr_caddr[64*WR_NQU +: 64*1]),
            .wr_beats(wr_cbeats[32*WR_NQU +: 32*1]), .wr_svalid(wr_svalid[WR_NQU +: 1]), .wr_sready(wr_sready[WR_NQU +: 1]),
            .wr_sdata(wr_sdata[512*WR_NQU +: 512*1]), .wr_idle(wr_idle[WR_NQU +: 1]));
    end

    // ------------------------------------------------------------------------------------------------ EMBED
    if (PRESENT[EMBED]) begin : g_embed
        lm_embed_unit #(.MAX_INPUTS(MAX_INPUTS)) u_unit (
            .clk, .rst_n(rst_n && !u_reset[EMBED]), .start(u_start[EMBED]), .desc(u_desc), .hold(u_hold[EMBED]), .done(u_done[EMBED]),
            .error(own_error[EMBED]), .code(own_code[8*EMBED +: 8]), .info(own_info[64*EMBED +: 64]),
            .rd_valid(rd_cvalid[RD_EMBED +: 1]), .rd_ready(rd_cready[RD_EMBED +: 1]), .rd_addr(rd_caddr[64*RD_EMBED +: 64*1]),
            .rd_beats(rd_cbeats[32*RD_EMBED +: 32*1]), .rd_mvalid(rd_mvalid[RD_EMBED +: 1]), .rd_mready(rd_mready[RD_EMBED +: 1]),
            .rd_mdata(rd_mdata[512*RD_EMBED +: 512*1]), .rd_idle(rd_idle[RD_EMBED +: 1]),
            .wr_valid(wr_cvalid[WR_EMBED +: 1]), .wr_ready(wr_cready[WR_EMBED +: 1]), .wr_addr(wr_caddr[64*WR_EMBED +: 64*1]),
            .wr_beats(wr_cbeats[32*WR_EMBED +: 32*1]), .wr_svalid(wr_svalid[WR_EMBED +: 1]), .wr_sready(wr_sready[WR_EMBED +: 1]),
            .wr_sdata(wr_sdata[512*WR_EMBED +: 512*1]), .wr_idle(wr_idle[WR_EMBED +: 1]));
    end

    wire unused = &{1'b0, host_words, m_rid, m_rresp, m_rlast, m_bid, m_bresp, m_arready, m_rvalid, m_awready, m_wready, m_bvalid, m_rdata,
                    STATE_LANES[0], ROWS[0], st_rd_ready, st_rd_mvalid, st_rd_mdata, st_rd_idle, st_wr_ready, st_wr_sready, st_wr_idle, rd_mdata, rd_mlast, rd_idle[RD_FETCH], rd_beats[31:0], rd_fault[63:0], wr_code[7:0], wr_fault[63:0], wr_beats[31:0], wr_done, w_idle, w_arrived, rd_arrived, m_done, m_hold, w_error,
                    w_code, w_fault, w_beats, w_cready, w_mvalid, w_mdata, ssmu_followed, htu_followed, u_hold, u_after, u_start, u_abort, u_reset};
endmodule
