// Exponents and codes of a layer's state as streams, from and to the memories that have a part each (docs/device.md, State): beat i of either is
// the next one of part i mod PARTS. Codes go a beat of each part at once; where the last ones are not the state's, their bytes do not matter.
//
// cfg_*:    beats of exponents and of codes of the layer, and where each part lies: first its exponents, then its codes. Stable from ask on.
// ask, put: pulses: a token's state is read, is written. reading, writing: their commands wait for masters.
// rd_*, wr_*: masters, flat vectors: exponents of part 0, 1, …, then codes of part 0, 1, …
// m_*:      streams from memory; s_*: streams to it.
// Latency 0, throughput a beat of exponents and PARTS beats of codes a cycle, in and out.
module lm_state_parts #(
    parameter int PARTS = 1 // a power of two
) (
    input  logic                   clk,
    input  logic                   rst_n,
    input  logic [12:0]            cfg_exp_beats,
    input  logic [16:0]            cfg_code_beats,
    input  logic [PARTS*64-1:0]    cfg_addr,
    input  logic                   ask,
    output logic                   reading,
    input  logic                   put,
    output logic                   writing,

    output logic [2*PARTS-1:0]     rd_valid,
    input  logic [2*PARTS-1:0]     rd_ready,
    input  logic [2*PARTS-1:0]     rd_mvalid,
    output logic [2*PARTS-1:0]     rd_mready,
    input  logic [2*PARTS*512-1:0] rd_mdata,
    output logic [2*PARTS-1:0]     wr_valid,
    input  logic [2*PARTS-1:0]     wr_ready,
    output logic [2*PARTS-1:0]     wr_svalid,
    input  logic [2*PARTS-1:0]     wr_sready,
    output logic [2*PARTS*512-1:0] wr_sdata,
    output logic [2*PARTS*64-1:0]  addr,  // of the commands of both
    output logic [2*PARTS*32-1:0]  beats,

    output logic                   m_exp_valid,
    input  logic                   m_exp_ready,
    output logic [511:0]           m_exp_data,
    output logic                   m_code_valid,
    input  logic                   m_code_ready,
    output logic [PARTS*512-1:0]   m_code_data,
    input  logic                   s_exp_valid,
    output logic                   s_exp_ready,
    input  logic [511:0]           s_exp_data,
    input  logic                   s_code_valid,
    output logic                   s_code_ready,
    input  logic [PARTS*512-1:0]   s_code_data
);
    localparam int SHIFT = $clog2(PARTS);
    localparam int TW    = PARTS > 1 ? SHIFT : 1;

    // Codes of all parts begin behind as many beats of exponents as the first part has
    wire [12:0] exp_room = 13'((14'(cfg_exp_beats) + 14'(PARTS - 1)) >> SHIFT);
    for (genvar i = 0; i < PARTS; i++) begin : g_part
        assign addr[64*i +: 64]           = cfg_addr[64*i +: 64];
        assign addr[64*(PARTS + i) +: 64] = cfg_addr[64*i +: 64] + {45'd0, exp_room, 6'd0};
        assign beats[32*i +: 32]           = (32'(cfg_exp_beats) + 32'(PARTS - 1 - i)) >> SHIFT;
        assign beats[32*(PARTS + i) +: 32] = (32'(cfg_code_beats) + 32'(PARTS - 1)) >> SHIFT;
    end
    assign reading = rd_valid != '0;
    assign writing = wr_valid != '0;

    assign m_code_valid = rd_mvalid[PARTS +: PARTS] == '1;
    assign m_code_data  = rd_mdata[512*PARTS +: 512*PARTS];
    assign s_code_ready = wr_sready[PARTS +: PARTS] == '1;

    // Whose beat of exponents is next
    logic [TW-1:0] exp_in, exp_out;
    function automatic logic [TW-1:0] after(input logic [TW-1:0] turn);
        after = PARTS > 1 ? turn + 1'b1 : '0;
    endfunction
    always_ff @(posedge clk) begin
        rd_valid <= ask ? '1 : rd_valid & ~rd_ready;
        wr_valid <= put ? '1 : wr_valid & ~wr_ready;
        if (m_exp_valid && m_exp_ready) exp_in <= after(exp_in);
        if (s_exp_valid && s_exp_ready) exp_out <= after(exp_out);
        if (ask) {exp_in, exp_out} <= '0;
        if (!rst_n) begin
            rd_valid <= '0;
            wr_valid <= '0;
            {exp_in, exp_out} <= '0;
        end
    end

    always_comb begin
        m_exp_valid  = 1'b0;
        m_exp_data   = '0;
        s_exp_ready  = 1'b0;
        for (int i = 0; i < PARTS; i++) begin
            rd_mready[i]         = exp_in == TW'(i) && m_exp_ready;
            rd_mready[PARTS + i] = m_code_valid && m_code_ready;
            wr_svalid[i]         = exp_out == TW'(i) && s_exp_valid;
            wr_svalid[PARTS + i] = s_code_ready && s_code_valid;
            wr_sdata[512*i +: 512] = s_exp_data;
            wr_sdata[512*(PARTS + i) +: 512] = s_code_data[512*i +: 512];
            if (exp_in == TW'(i)) begin
                m_exp_valid = rd_mvalid[i];
                m_exp_data  = rd_mdata[512*i +: 512];
            end
            if (exp_out == TW'(i)) s_exp_ready = wr_sready[i];
        end
    end
endmodule
