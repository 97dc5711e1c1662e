// CLIENTS write masters on one AXI write port; the id of a burst is its client's number.
//
// Flat vectors, client 0 lowest. Whoever got the address channel has the data channel until its last beat; clients only ask when they have
// all data of a burst (lm_axi_wr), so nobody blocks the others.
// Latency 0; one cycle between bursts.
module lm_axi_wr_mux #(
    parameter int CLIENTS = 2
) (
    input  logic                   clk,
    input  logic                   rst_n,
    input  logic [CLIENTS-1:0]     c_awvalid,
    output logic [CLIENTS-1:0]     c_awready,
    input  logic [CLIENTS*64-1:0]  c_awaddr,
    input  logic [CLIENTS*8-1:0]   c_awlen,
    input  logic [CLIENTS-1:0]     c_wvalid,
    output logic [CLIENTS-1:0]     c_wready,
    input  logic [CLIENTS*512-1:0] c_wdata,
    input  logic [CLIENTS-1:0]     c_wlast,
    output logic [CLIENTS-1:0]     c_bvalid,

    output logic                   awvalid,
    input  logic                   awready,
    output logic [7:0]             awid,
    output logic [63:0]            awaddr,
    output logic [7:0]             awlen,
    output logic                   wvalid,
    input  logic                   wready,
    output logic [511:0]           wdata,
    output logic                   wlast,
    input  logic                   bvalid,
    output logic                   bready,
    input  logic [7:0]             bid
);
    logic [7:0] turn;
    logic       locked;
    logic       data;   // address taken, data on its way
    logic [7:0] held;
    logic [7:0] choice;

    always_comb begin
        choice = held;
        if (!locked) begin
            choice = turn;
            for (int i = CLIENTS - 1; i >= 0; i--)
                if (c_awvalid[i]) choice = 8'(i);
            for (int i = CLIENTS - 1; i >= 0; i--)
                if (c_awvalid[i] && 8'(i) >= turn) choice = 8'(i);
        end
    end

    always_comb begin
        awvalid = 1'b0;
        awaddr  = '0;
        awlen   = '0;
        wvalid  = 1'b0;
        wdata   = '0;
        wlast   = 1'b0;
        for (int i = 0; i < CLIENTS; i++) begin
            c_awready[i] = awready && !data && choice == 8'(i);
            c_wready[i]  = wready && data && choice == 8'(i);
            c_bvalid[i]  = bvalid && bid == 8'(i);
            if (choice == 8'(i)) begin
                awvalid = c_awvalid[i] && !data;
                awaddr  = c_awaddr[64*i +: 64];
                awlen   = c_awlen[8*i +: 8];
                wvalid  = c_wvalid[i] && data;
                wdata   = c_wdata[512*i +: 512];
                wlast   = c_wlast[i];
            end
        end
    end
    assign awid   = choice;
    assign bready = 1'b1;

    always_ff @(posedge clk) begin
        held <= choice;
        if (awvalid && !awready) locked <= 1'b1;
        if (awvalid && awready) begin
            locked <= 1'b1;
            data   <= 1'b1;
        end
        if (wvalid && wready && wlast) begin
            locked <= 1'b0;
            data   <= 1'b0;
            turn   <= choice == 8'(CLIENTS - 1) ? 8'd0 : choice + 8'd1;
        end
        if (!rst_n) begin
            locked <= 1'b0;
            data   <= 1'b0;
            turn   <= '0;
        end
    end
endmodule
