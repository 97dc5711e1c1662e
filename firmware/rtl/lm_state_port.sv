// What a port has beside its weights where a part of the state lies behind it: masters of exponents and codes, and turns with the weights' one.
//
// windows, poison, clear, flush: as in lm_axi_rd. idle: all masters here. error, code, info: of the first of them that has one.
// beats_read, beats_written: of all of them since clear.
// rd_*, wr_*: the state's masters, exponents lowest, then codes. w_*: the weights' master. ar*, r*, aw*, w*, b*: the port.
// Codes are read 256 beats ahead, as many as a port takes: what the weights have in flight is a quarter of that.
module lm_state_port (
    input  logic          clk,
    input  logic          rst_n,
    input  logic [319:0]  windows,
    input  logic          poison,
    input  logic          clear,
    input  logic          flush,
    output logic          idle,
    output logic [1:0]    rd_idle,
    output logic [1:0]    wr_idle,
    output logic          error,
    output logic [7:0]    code,
    output logic [63:0]   info,
    output logic [31:0]   beats_read,
    output logic [31:0]   beats_written,

    input  logic [1:0]    rd_valid,
    output logic [1:0]    rd_ready,
    input  logic [127:0]  rd_addr,
    input  logic [63:0]   rd_beats,
    output logic [1:0]    rd_mvalid,
    input  logic [1:0]    rd_mready,
    output logic [1023:0] rd_mdata,
    input  logic [1:0]    wr_valid,
    output logic [1:0]    wr_ready,
    input  logic [127:0]  wr_addr,
    input  logic [63:0]   wr_beats,
    input  logic [1:0]    wr_svalid,
    output logic [1:0]    wr_sready,
    input  logic [1023:0] wr_sdata,

    input  logic          w_arvalid,
    output logic          w_arready,
    input  logic [63:0]   w_araddr,
    input  logic [7:0]    w_arlen,
    output logic          w_rvalid,

    output logic          arvalid,
    input  logic          arready,
    output logic [7:0]    arid,
    output logic [63:0]   araddr,
    output logic [7:0]    arlen,
    input  logic          rvalid,
    output logic          rready,
    input  logic [7:0]    rid,
    input  logic [511:0]  rdata,
    input  logic          rfault,
    input  logic          rlast,
    output logic          awvalid,
    input  logic          awready,
    output logic [7:0]    awid,
    output logic [63:0]   awaddr,
    output logic [7:0]    awlen,
    output logic          wvalid,
    input  logic          wready,
    output logic [511:0]  wdata,
    output logic          wlast,
    input  logic          bvalid,
    output logic          bready,
    input  logic [7:0]    bid,
    input  logic          bfault
);
    logic [1:0]    rd_error, wr_error, c_arvalid, c_arready, c_rvalid, c_awvalid, c_awready, c_wvalid, c_wready, c_wlast, c_bvalid;
    logic [15:0]   rd_code, wr_code, c_arlen, c_awlen;
    logic [127:0]  rd_fault, wr_fault, c_araddr, c_awaddr;
    logic [63:0]   beats_in, beats_out;
    logic [1023:0] c_wdata;

    for (genvar i = 0; i < 2; i++) begin : g_master
        /* verilator lint_off UNUSEDSIGNAL */
        wire        last, arrived;
        wire [31:0] done;
        /* verilator lint_on UNUSEDSIGNAL */
        lm_axi_rd #(.WINDOWS(2), .BURST(16), .OUTSTANDING(16), .DEPTH(i == 0 ? 64 : 256)) u_rd (
            .clk, .rst_n, .windows, .poison, .clear, .flush, .idle(rd_idle[i]), .arrived, .error(rd_error[i]), .error_code(rd_code[8*i +: 8]),
            .error_addr(rd_fault[64*i +: 64]), .beats_read(beats_in[32*i +: 32]),
            .c_valid(rd_valid[i]), .c_ready(rd_ready[i]), .c_addr(rd_addr[64*i +: 64]), .c_beats(rd_beats[32*i +: 32]),
            .m_valid(rd_mvalid[i]), .m_ready(rd_mready[i]), .m_data(rd_mdata[512*i +: 512]), .m_last(last),
            .arvalid(c_arvalid[i]), .arready(c_arready[i]), .araddr(c_araddr[64*i +: 64]), .arlen(c_arlen[8*i +: 8]),
            .rvalid(c_rvalid[i]), .rdata, .rfault, .rlast);
        lm_axi_wr #(.WINDOWS(2), .BURST(16), .OUTSTANDING(16), .DEPTH(32)) u_wr (
            .clk, .rst_n, .windows, .poison, .clear, .flush, .idle(wr_idle[i]), .error(wr_error[i]), .error_code(wr_code[8*i +: 8]),
            .error_addr(wr_fault[64*i +: 64]), .beats_written(beats_out[32*i +: 32]), .beats_done(done),
            .c_valid(wr_valid[i]), .c_ready(wr_ready[i]), .c_addr(wr_addr[64*i +: 64]), .c_beats(wr_beats[32*i +: 32]),
            .s_valid(wr_svalid[i]), .s_ready(wr_sready[i]), .s_data(wr_sdata[512*i +: 512]),
            .awvalid(c_awvalid[i]), .awready(c_awready[i]), .awaddr(c_awaddr[64*i +: 64]), .awlen(c_awlen[8*i +: 8]),
            .wvalid(c_wvalid[i]), .wready(c_wready[i]), .wdata(c_wdata[512*i +: 512]), .wlast(c_wlast[i]), .bvalid(c_bvalid[i]), .bfault);
    end
    lm_axi_rd_mux #(.CLIENTS(3)) u_rd_mux (
        .clk, .rst_n, .c_arvalid({c_arvalid, w_arvalid}), .c_arready({c_arready, w_arready}), .c_araddr({c_araddr, w_araddr}),
        .c_arlen({c_arlen, w_arlen}), .c_rvalid({c_rvalid, w_rvalid}), .arvalid, .arready, .arid, .araddr, .arlen, .rvalid, .rready, .rid);
    lm_axi_wr_mux #(.CLIENTS(2)) u_wr_mux (
        .clk, .rst_n, .c_awvalid, .c_awready, .c_awaddr, .c_awlen, .c_wvalid, .c_wready, .c_wdata, .c_wlast, .c_bvalid,
        .awvalid, .awready, .awid, .awaddr, .awlen, .wvalid, .wready, .wdata, .wlast, .bvalid, .bready, .bid);

    assign idle          = rd_idle == '1 && wr_idle == '1;
    assign beats_read    = beats_in[31:0] + beats_in[63:32];
    assign beats_written = beats_out[31:0] + beats_out[63:32];
    always_comb begin
        error = 1'b0;
        code  = '0;
        info  = '0;
        for (int i = 1; i >= 0; i--) begin
            if (wr_error[i]) {error, code, info} = {1'b1, wr_code[8*i +: 8], wr_fault[64*i +: 64]};
            if (rd_error[i]) {error, code, info} = {1'b1, rd_code[8*i +: 8], rd_fault[64*i +: 64]};
        end
    end
endmodule
