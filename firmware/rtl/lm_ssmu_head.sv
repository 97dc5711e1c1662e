// What a head needs before its state is touched: time step, lazy decay, dt · x to int8 (docs/numerics.md, section 3.3).
//
// cfg_*: stable while a head is inside. cfg_head_dim: P; cfg_fdt, cfg_fxs; cfg_dt_low, cfg_dt_high: Q24, at most 2^30.
// s_head_*: {D int16, ae u6, am u16, dt_bias int32, dt int16, F u24}, lowest last: one beat a head, in order.
// s_x_*:    int16, the head's P channels after convolution and SiLU; accepted after its s_head beat.
// m_f_*:    the head's new F, 24 bits.
// Prepared heads queue in BANKS banks. `available`: the one at `bank` is ready for the scan, which moves on with `take`; banks are freed
// in the same order by `free`.
// Reading, combinational: scan_* of bank scan_bank and out_* of bank out_bank (x by channel).
//   scan: x; m and s2 (q = rsh(m · x, s2)); k; ex.      out: x; c = 2^-F in Q16; d = D.
// Latency: P + 5 cycles a head, at least 24.
module lm_ssmu_head #(
    parameter int HEAD_DIM = 128, // P at most; a power of two
    parameter int BANKS    = 4    // a power of two
) (
    input  logic                        clk,
    input  logic                        rst_n,
    input  logic [$clog2(HEAD_DIM):0]   cfg_head_dim,
    input  logic signed [7:0]           cfg_fdt,
    input  logic [4:0]                  cfg_fxs,
    input  logic [30:0]                 cfg_dt_low,
    input  logic [30:0]                 cfg_dt_high,
    input  logic                        s_head_valid,
    output logic                        s_head_ready,
    input  logic [109:0]                s_head_data,
    input  logic                        s_x_valid,
    output logic                        s_x_ready,
    input  logic signed [15:0]          s_x_data,
    output logic                        m_f_valid,
    input  logic                        m_f_ready,
    output logic [23:0]                 m_f_data,
    output logic                        available,
    output logic [$clog2(BANKS)-1:0]    bank,
    input  logic                        take,
    input  logic                        free,
    output logic                        empty,
    input  logic [$clog2(BANKS)-1:0]    scan_bank,
    input  logic [$clog2(HEAD_DIM)-1:0] scan_channel,
    output logic signed [15:0]          scan_x,
    output logic [15:0]                 scan_m,
    output logic [5:0]                  scan_s2,
    output logic [7:0]                  scan_k,
    output logic signed [7:0]           scan_ex,
    input  logic [$clog2(BANKS)-1:0]    out_bank,
    input  logic [$clog2(HEAD_DIM)-1:0] out_channel,
    output logic signed [15:0]          out_x,
    output logic [16:0]                 out_c,
    output logic signed [15:0]          out_d
);
    localparam int PW = $clog2(HEAD_DIM);
    localparam int BW = $clog2(BANKS);
    localparam logic [3:0] IDLE = 4'd0, STEP = 4'd1, WAIT_DT = 4'd2, RATE = 4'd3, DECAY = 4'd4, SPLIT = 4'd5, POWER = 4'd6,
        POWER2 = 4'd7, WAIT_C = 4'd8, WAIT_CI = 4'd9, MANTISSA = 4'd10, LARGEST = 4'd11, SHIFT = 4'd12, STORE = 4'd13, REPORT = 4'd14;
    logic [3:0] state;

    // ------------------------------------------------------------ banks
    logic signed [15:0] x_mem [0:BANKS*HEAD_DIM-1];
    logic [37:0]        scan_mem [0:BANKS-1];
    logic [32:0]        out_mem [0:BANKS-1];
    logic [BW:0]        wp, sp, rp;
    assign available = wp != sp;
    assign bank      = sp[BW-1:0];
    assign empty     = wp == rp && state == IDLE;
    assign scan_x    = x_mem[{scan_bank, scan_channel}];
    assign out_x     = x_mem[{out_bank, out_channel}];
    assign {scan_m, scan_s2, scan_k, scan_ex} = scan_mem[scan_bank];
    assign {out_c, out_d} = out_mem[out_bank];
    wire room = wp - rp != (BW + 1)'(BANKS);

    // ------------------------------------------------------------ the head's x
    logic               open, complete;
    logic [PW:0]        count;
    logic [15:0]        largest;
    wire [15:0]         magnitude = s_x_data[15] ? 16'(-s_x_data) : 16'(s_x_data);
    assign s_x_ready = open;

    // ------------------------------------------------------------ time step and decay
    logic signed [15:0] d, dt_raw;
    logic [5:0]         ae;
    logic [15:0]        am;
    logic signed [31:0] dt_bias;
    logic [23:0]        f;
    assign s_head_ready = state == IDLE && room;

    wire signed [36:0]  dt_q16;
    lm_rsh #(.IN(16), .OUT(37), .LEFT(20)) u_dt (.x(dt_raw), .s(cfg_fdt - 8'sd16), .y(dt_q16));
    wire                plus_valid;
    wire [30:0]         plus;
    wire                plus_ready;
    lm_softplus u_softplus (.clk(clk), .rst_n(rst_n), .s_valid(state == STEP), .s_ready(plus_ready),
        .s_v(40'(dt_q16) + 40'(dt_bias)), .m_valid(plus_valid), .m_ready(1'b1), .m_data(plus));

    logic [30:0]        dt;
    logic [46:0]        rate;  // dt · am
    // Rounded by the bit below; nothing is below without a shift.
    wire [47:0]         log2_half = {rate, 1'b0} >> ae;
    wire [47:0]         log2 = 48'(log2_half[47:1]) + 48'(log2_half[0]);
    logic [30:0]        step;
    wire [31:0]         total = 32'(f) + 32'(step);
    logic [7:0]         k;

    wire                power_valid, power_ready;
    wire [16:0]         power;
    lm_exp2n u_exp2n (.clk(clk), .rst_n(rst_n), .s_valid(state == POWER || state == POWER2), .s_ready(power_ready),
        .s_f(state == POWER ? {1'b0, f} : 25'h1000000 - {1'b0, f}), .m_valid(power_valid), .m_ready(1'b1), .m_data(power));
    logic [16:0]        c;

    // ------------------------------------------------------------ dt · x
    logic [47:0]        w;     // dt · ci
    logic [5:0]         s;
    always_comb begin
        s = 6'd0;
        for (int i = 16; i < 48; i++) if (w[i]) s = 6'(i - 15);
    end
    logic [5:0]         s1, s2;
    logic [15:0]        m;
    logic [31:0]        product;
    wire [5:0]          s2_next;
    lm_shift7 #(.IN(32)) u_shift (.max(product), .s(s2_next));
    wire signed [7:0]   ex = $signed({2'd0, s1}) + $signed({2'd0, s2}) - 8'sd39 - $signed({3'd0, cfg_fxs});

    assign m_f_valid = state == REPORT;
    assign m_f_data  = f;

    always_ff @(posedge clk) begin
        if (s_x_valid && s_x_ready) begin
            x_mem[{wp[BW-1:0], count[PW-1:0]}] <= s_x_data;
            if (magnitude > largest) largest <= magnitude;
            count <= count + 1'b1;
            if (count + 1'b1 == cfg_head_dim) begin
                open <= 1'b0;
                complete <= 1'b1;
            end
        end
        case (state)
            IDLE: if (s_head_valid && s_head_ready) begin
                {d, ae, am, dt_bias, dt_raw, f} <= s_head_data;
                open <= 1'b1;
                complete <= 1'b0;
                count <= '0;
                largest <= 16'd0;
                state <= STEP;
            end
            STEP: state <= WAIT_DT;
            WAIT_DT: if (plus_valid) begin
                dt <= plus < cfg_dt_low ? cfg_dt_low : (plus > cfg_dt_high ? cfg_dt_high : plus);
                state <= RATE;
            end
            RATE: begin
                rate <= 47'(dt) * 47'(am);
                state <= DECAY;
            end
            DECAY: begin
                step <= log2[47:31] != 17'd0 ? 31'h7fffffff : log2[30:0];
                state <= SPLIT;
            end
            SPLIT: begin
                f <= total[23:0];
                k <= total[31:24];
                state <= POWER;
            end
            POWER: state <= POWER2;
            POWER2: state <= WAIT_C;
            WAIT_C: begin
                c <= power;
                if (power_valid) state <= WAIT_CI;
            end
            WAIT_CI: begin
                w <= 48'(dt) * 48'(power);
                state <= MANTISSA;
            end
            MANTISSA: begin
                m <= 16'(w >> s);
                s1 <= s;
                state <= LARGEST;
            end
            LARGEST: if (complete) begin
                product <= 32'(m) * 32'(largest);
                state <= SHIFT;
            end
            SHIFT: begin
                s2 <= s2_next;
                state <= STORE;
            end
            STORE: begin
                scan_mem[wp[BW-1:0]] <= {m, s2, k, ex};
                out_mem[wp[BW-1:0]] <= {c, d};
                wp <= wp + 1'b1;
                state <= REPORT;
            end
            default: if (m_f_ready) state <= IDLE;
        endcase
        if (take) sp <= sp + 1'b1;
        if (free) rp <= rp + 1'b1;
        if (!rst_n) begin
            state <= IDLE;
            open <= 1'b0;
            wp <= '0;
            sp <= '0;
            rp <= '0;
        end
    end
    // Both functions take a beat whenever nothing waits behind them, as here.
    wire unused = &{1'b0, plus_ready, power_ready};
endmodule
