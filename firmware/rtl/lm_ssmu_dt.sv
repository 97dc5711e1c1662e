// What the SSM unit keeps of each head: F of the state as it lies in memory, and the token's dt with its constants; in order of heads to
// lm_ssmu and back.
//
// clear:   a pulse; s_* then brings F, u32, 16 a beat (the upper 8 bits are not used). Every beat is taken.
// store:   a pulse; F then leaves through m_*, cfg_beats beats, values beyond the last head as they came.
// begins:  a pulse: a token begins; no head is left from the one before.
// row_*:   dt of the token's next head and its constants {D, ae, am, dt_bias}; always taken.
// head_*:  {D, ae, am, dt_bias, dt, F} (lm_ssmu), each as soon as its row is here.
// f_*:     new F of the next head; always taken.
// all:     as many F of this token are back as it has heads (cfg_heads).
// Latency 1 cycle, throughput a head a cycle.
module lm_ssmu_dt #(
    parameter int HEADS = 128 // a power of two, at least 32
) (
    input  logic         clk,
    input  logic         rst_n,
    input  logic [7:0]   cfg_heads,
    input  logic [3:0]   cfg_beats,
    input  logic         clear,
    input  logic         s_valid,
    input  logic [511:0] s_data,
    input  logic         store,
    output logic         m_valid,
    input  logic         m_ready,
    output logic [511:0] m_data,
    input  logic         begins,
    input  logic         row_valid,
    input  logic [15:0]  row_dt,
    input  logic [69:0]  row_constants,
    output logic         head_valid,
    input  logic         head_ready,
    output logic [109:0] head_data,
    input  logic         f_valid,
    input  logic [23:0]  f_data,
    output logic         all
);
    localparam int HW = $clog2(HEADS);
    localparam int BW = HW - 4;

    logic [511:0]  f_mem [0:HEADS/16-1];
    logic [85:0]   row_mem [0:HEADS-1];
    logic [BW-1:0] fill;
    logic [3:0]    left;          // beats to store
    logic [BW-1:0] leaves;
    logic [7:0]    here, sent, back;

    wire [BW-1:0]  f_at  = s_valid ? fill : back[HW-1:4];
    wire [511:0]   f_row = f_mem[sent[HW-1:4]];
    wire [23:0]    f     = f_row[{sent[3:0], 5'd0} +: 24];
    assign head_valid = sent != here;
    assign head_data  = {row_mem[sent[HW-1:0]], f};
    assign all        = back == cfg_heads;
    assign m_valid    = left != 4'd0;
    assign m_data     = f_mem[leaves];

    always_ff @(posedge clk) begin
        if (s_valid || f_valid) begin
            for (int i = 0; i < 16; i++)
                if (s_valid || back[3:0] == 4'(i)) f_mem[f_at][32*i +: 32] <= s_valid ? s_data[32*i +: 32] : {8'd0, f_data};
        end
        if (row_valid) row_mem[here[HW-1:0]] <= {row_constants, row_dt};
        if (clear) fill <= '0;
        else if (s_valid) fill <= fill + 1'b1;
        if (row_valid) here <= here + 8'd1;
        if (head_valid && head_ready) sent <= sent + 8'd1;
        if (f_valid) back <= back + 8'd1;
        if (begins) begin
            here <= 8'd0;
            sent <= 8'd0;
            back <= 8'd0;
        end
        if (m_valid && m_ready) begin
            left   <= left - 4'd1;
            leaves <= leaves + 1'b1;
        end
        if (store) begin
            left   <= cfg_beats;
            leaves <= '0;
        end
        if (!rst_n) begin
            here <= 8'd0;
            sent <= 8'd0;
            left <= 4'd0;
        end
    end

    wire unused = &{1'b0, here, sent, back, f_row};
endmodule
