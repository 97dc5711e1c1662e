// EMBED: a row of codes in memory to a residual in memory (docs/device.md).
//
//   read ──► 16 codes a cycle, 0 behind D ──► lm_embed ──► write
//
// start … info: as in every unit, see lm_top. Nothing is read while `hold` is high. No codes, or too many, end the descriptor with SIZE of its count.
// rd_*: one master, one command. wr_*: one master: the residual's beats, which may lie apart (lm_stride).
// Cycles, waiting for memory aside: ceil(D / 16) + 3.
module lm_embed_unit #(
    parameter int MAX_INPUTS = 8192,
    parameter int READERS    = 1,
    parameter int WRITERS    = 1
) (
    input  logic                   clk,
    input  logic                   rst_n,
    input  logic                   start,
    input  logic [511:0]           desc,
    input  logic                   hold,
    output logic                   done,
    output logic                   error,
    output logic [7:0]             code,
    output logic [63:0]            info,

    output logic [READERS-1:0]     rd_valid,
    input  logic [READERS-1:0]     rd_ready,
    output logic [READERS*64-1:0]  rd_addr,
    output logic [READERS*32-1:0]  rd_beats,
    input  logic [READERS-1:0]     rd_mvalid,
    output logic [READERS-1:0]     rd_mready,
    input  logic [READERS*512-1:0] rd_mdata,
    input  logic [READERS-1:0]     rd_idle,

    output logic [WRITERS-1:0]     wr_valid,
    input  logic [WRITERS-1:0]     wr_ready,
    output logic [WRITERS*64-1:0]  wr_addr,
    output logic [WRITERS*32-1:0]  wr_beats,
    output logic [WRITERS-1:0]     wr_svalid,
    input  logic [WRITERS-1:0]     wr_sready,
    output logic [WRITERS*512-1:0] wr_sdata,
    input  logic [WRITERS-1:0]     wr_idle
);
    `include "lm_device.svh"

    logic        busy;
    logic        going;     // residuals have still to come
    logic        awake;     // hold means this descriptor
    logic        command;   // the masters' are to be given
    logic [31:0] left;      // codes that have not gone in
    logic [31:0] beats;     // of the residual
    logic [63:0] to;
    logic [7:0]  stride;
    logic [15:0] scale;
    logic [7:0]  shift;
    logic [1:0]  quarter;

    wire [31:0]        count = desc[8*LM_DESC_COUNT +: 32];
    wire               fits  = count != 32'd0 && count <= 32'(MAX_INPUTS);
    wire signed [15:0] given = desc[8*LM_DESC_STATE +: 16];

    // ------------------------------------------------------------------------------------------------ masters' commands

    wire stride_ready;
    wire ask = command && awake && !hold;
    lm_stride u_stride (
        .clk, .rst_n, .valid(ask), .ready(stride_ready), .addr(to), .beats, .stride, .bounded(1'b0), .limit(32'd0), .first(8'd0),
        .c_valid(wr_valid[0]), .c_ready(wr_ready[0]), .c_addr(wr_addr), .c_beats(wr_beats));

    always_ff @(posedge clk) begin
        awake <= 1'b1;
        if (rd_ready[0]) rd_valid <= 1'b0;
        if (ask && stride_ready) begin
            command  <= 1'b0;
            rd_valid <= 1'b1;
        end
        if (start) begin
            awake    <= 1'b0;
            command  <= fits;
            rd_addr  <= desc[8*LM_DESC_A0 +: 64];
            rd_beats <= (count + 32'd63) >> 6;
            to       <= desc[8*LM_DESC_A1 +: 64];
            beats    <= (count + 32'd15) >> 4;
            stride   <= desc[8*LM_DESC_STRIDE +: 8];
        end
        if (!rst_n) begin
            command  <= 1'b0;
            rd_valid <= 1'b0;
        end
    end

    // ------------------------------------------------------------------------------------------------ residuals

    wire         s_ready, m_last;
    wire         last = left <= 32'd16;
    wire         more = left != 32'd0;
    wire         take = more && rd_mvalid[0] && s_ready;
    wire [127:0] codes;
    for (genvar l = 0; l < 16; l++) begin : g_codes
        assign codes[8*l +: 8] = left > 32'(l) ? rd_mdata[{quarter, 7'd0} + 9'(8*l) +: 8] : 8'd0;
    end
    lm_embed u_embed (
        .clk, .rst_n, .scale, .shift, .s_valid(more && rd_mvalid[0]), .s_ready, .s_codes(codes), .s_last(last),
        .m_valid(wr_svalid[0]), .m_ready(wr_sready[0]), .m_data(wr_sdata), .m_last);
    assign rd_mready[0] = more && s_ready && (quarter == 2'd3 || last);

    always_ff @(posedge clk) begin
        done <= 1'b0;
        if (take) begin
            left    <= last ? 32'd0 : left - 32'd16;
            quarter <= quarter + 2'd1;
        end
        if (wr_svalid[0] && wr_sready[0] && m_last) going <= 1'b0;
        if (busy && !going && stride_ready && !wr_valid[0] && rd_idle[0] && wr_idle[0]) begin
            busy <= 1'b0;
            done <= 1'b1;
        end
        if (start) begin
            busy    <= 1'b1;
            going   <= fits;
            error   <= !fits;
            code    <= LM_STATUS_SIZE[7:0];
            info    <= {32'd0, LM_DESC_COUNT};
            left    <= fits ? count : 32'd0;
            quarter <= '0;
            scale   <= desc[8*LM_DESC_INPUTS +: 16];
            shift   <= given > 16'sd127 ? 8'd127 : given < -16'sd64 ? 8'd192 : given[7:0];
        end
        if (!rst_n) begin
            busy  <= 1'b0;
            done  <= 1'b0;
            error <= 1'b0;
            left  <= '0;
        end
    end

    wire unused = &{1'b0, desc};
endmodule
