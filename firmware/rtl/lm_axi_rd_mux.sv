// CLIENTS read masters on one AXI read port. The id of a burst is its client's number, so answers find their way back in any order.
//
// Flat vectors, client 0 lowest. Requests in turn, a choice stands until the port takes it. Clients only ask for what they have room for
// (lm_axi_rd), so the port's data is always taken.
// Latency 0, throughput one beat a cycle.
module lm_axi_rd_mux #(
    parameter int CLIENTS = 2
) (
    input  logic                  clk,
    input  logic                  rst_n,
    input  logic [CLIENTS-1:0]    c_arvalid,
    output logic [CLIENTS-1:0]    c_arready,
    input  logic [CLIENTS*64-1:0] c_araddr,
    input  logic [CLIENTS*8-1:0]  c_arlen,
    output logic [CLIENTS-1:0]    c_rvalid,

    output logic                  arvalid,
    input  logic                  arready,
    output logic [7:0]            arid,
    output logic [63:0]           araddr,
    output logic [7:0]            arlen,
    input  logic                  rvalid,
    output logic                  rready,
    input  logic [7:0]            rid
);
    logic [7:0] turn;   // who comes first
    logic       locked; // the choice stands
    logic [7:0] held;
    logic [7:0] choice;

    always_comb begin
        choice = held;
        if (!locked) begin
            choice = turn;
            for (int i = CLIENTS - 1; i >= 0; i--)
                if (c_arvalid[i]) choice = 8'(i);
            for (int i = CLIENTS - 1; i >= 0; i--)
                if (c_arvalid[i] && 8'(i) >= turn) choice = 8'(i);
        end
    end

    always_comb begin
        arvalid = 1'b0;
        araddr  = '0;
        arlen   = '0;
        for (int i = 0; i < CLIENTS; i++) begin
            c_arready[i] = arready && choice == 8'(i);
            c_rvalid[i]  = rvalid && rid == 8'(i);
            if (choice == 8'(i)) begin
                arvalid = c_arvalid[i];
                araddr  = c_araddr[64*i +: 64];
                arlen   = c_arlen[8*i +: 8];
            end
        end
    end
    assign arid   = choice;
    assign rready = 1'b1;

    always_ff @(posedge clk) begin
        locked <= arvalid && !arready;
        held   <= choice;
        if (arvalid && arready) turn <= choice == 8'(CLIENTS - 1) ? 8'd0 : choice + 8'd1;
        if (!rst_n) begin
            locked <= 1'b0;
            turn   <= '0;
        end
    end
endmodule
