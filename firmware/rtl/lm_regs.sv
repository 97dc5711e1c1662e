// The mailbox words as an AXI-lite slave: host words are written by the host and read by the device, device words the other way round.
//
// Reading has no effect. Writing a device word, or a word that does not exist, has none either. Only whole words are written (no strobes).
// device_words: the device's half, word i at [32*i +: 32]. host_words: the host's, from LM_REG_HEAD on.
// Latency: a write 1 cycle, a read 1 cycle; one at a time.
module lm_regs #(
    parameter int DEVICE_WORDS = 28,
    parameter int HOST_WORDS   = 48
) (
    input  logic                       clk,
    input  logic                       rst_n,

    input  logic                       s_awvalid,
    output logic                       s_awready,
    input  logic [11:0]                s_awaddr,
    input  logic                       s_wvalid,
    output logic                       s_wready,
    input  logic [31:0]                s_wdata,
    output logic                       s_bvalid,
    input  logic                       s_bready,
    input  logic                       s_arvalid,
    output logic                       s_arready,
    input  logic [11:0]                s_araddr,
    output logic                       s_rvalid,
    input  logic                       s_rready,
    output logic [31:0]                s_rdata,

    input  logic [DEVICE_WORDS*32-1:0] device_words,
    output logic [HOST_WORDS*32-1:0]   host_words
);
    `include "lm_device.svh"

    localparam int FIRST = LM_REG_HEAD / 4;

    // Address and data of a write are taken together
    assign s_awready = s_awvalid && s_wvalid && !s_bvalid;
    assign s_wready  = s_awready;
    assign s_arready = !s_rvalid;

    logic [31:0] read;
    always_comb begin
        read = '0;
        for (int i = 0; i < DEVICE_WORDS; i++)
            if (s_araddr[11:2] == 10'(i)) read = device_words[32*i +: 32];
        for (int i = 0; i < HOST_WORDS; i++)
            if (s_araddr[11:2] == 10'(FIRST + i)) read = host_words[32*i +: 32];
    end

    always_ff @(posedge clk) begin
        if (s_bready) s_bvalid <= 1'b0;
        if (s_awready) begin
            s_bvalid <= 1'b1;
            for (int i = 0; i < HOST_WORDS; i++)
                if (s_awaddr[11:2] == 10'(FIRST + i)) host_words[32*i +: 32] <= s_wdata;
        end
        if (s_rready) s_rvalid <= 1'b0;
        if (s_arvalid && s_arready) begin
            s_rvalid <= 1'b1;
            s_rdata  <= read;
        end
        if (!rst_n) begin
            s_bvalid   <= 1'b0;
            s_rvalid   <= 1'b0;
            /* verilator lint_off WIDTHCONCAT */
            host_words <= '0;
            /* verilator lint_on WIDTHCONCAT */
        end
    end

    wire unused = &{1'b0, s_awaddr[1:0], s_araddr[1:0]};
endmodule
