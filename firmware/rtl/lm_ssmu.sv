// SSM unit: one token of one layer a job (docs/numerics.md, section 3.3: B and C, dt, lazy decay, dt · x, state, readout; 8-bit state).
// Convolution and gate are lm_conv before it and lm_gate behind it.
//
//   s_bc ──> lm_codes (B, C to int8) ─────────┐ words of B and C
//   s_head ─> lm_ssmu_head (F, k, c, dt·x) ──>│ m, s2, k, ex          ┌─> m_code, m_exp (lm_pack)
//   s_x ────>   4 heads ahead at most         │                       │
//   s_code, s_exp (lm_unpack) ───────────────>└─> lm_state_group × LANES ──> Σ ──> · 2^-F + D·x ──> m_y (lm_fifo)
//
// cfg_*: taken with cfg_valid && cfg_ready, which begins a job; cfg_ready is high again when all its outputs have left.
//   head_dim P, heads H, groups G, group_heads H / G, n N, words ceil(N / 16), fractions fdt, fxs, fbs, fcs, fd, limits dt_low, dt_high,
//   t modulo 2^16. Within the built maxima: P <= HEAD_DIM, G <= GROUPS, N <= 512, G · words <= WORDS; nothing here checks it.
// Streams of a job, each in order of heads:
//   s_bc    int16: B of all groups, then C (lm_codes)
//   s_head  110 bits: {D, ae, am, dt_bias, dt, F} (lm_ssmu_head), H beats
//   s_x     int16: H · P values
//   s_exp   512 bits: 64 exponents int8 a beat, [H · P][words] without gaps; the last beat may be partly filled
//   s_code  BEATS times 512 bits: 4 groups of 16 codes int8 each, [H · P][words][16] likewise
//   m_f     24 bits: new F, H beats
//   m_exp, m_code: the new state, shaped as it came; unused bytes of a last beat are 0
//   m_y     int32 Q12: H · P values
// Throughput LANES groups of 16 state values a cycle; a head takes max(P · ceil(words / LANES), P + 5, 24) cycles.
// Latency from a channel's last group to its m_y 17 cycles.
module lm_ssmu #(
    parameter int LANES    = 1,   // groups of 16 a cycle: 1, 2, 4, or 8 with two beats of codes or more
    parameter int BEATS    = 1,   // beats of codes at once; a power of two
    parameter int HEAD_DIM = 128, // P at most; a power of two
    parameter int WORDS    = 64,  // G · ceil(N / 16) at most; a power of two
    parameter int GROUPS   = 8    // G at most; a power of two
) (
    input  logic                      clk,
    input  logic                      rst_n,
    input  logic                      cfg_valid,
    output logic                      cfg_ready,
    input  logic [$clog2(HEAD_DIM):0] cfg_head_dim,
    input  logic [15:0]               cfg_heads,
    input  logic [$clog2(GROUPS):0]   cfg_groups,
    input  logic [15:0]               cfg_group_heads,
    input  logic [9:0]                cfg_n,
    input  logic [5:0]                cfg_words,
    input  logic signed [7:0]         cfg_fdt,
    input  logic [4:0]                cfg_fxs,
    input  logic [4:0]                cfg_fbs,
    input  logic [4:0]                cfg_fcs,
    input  logic signed [7:0]         cfg_fd,
    input  logic [30:0]               cfg_dt_low,
    input  logic [30:0]               cfg_dt_high,
    input  logic [15:0]               cfg_t,
    input  logic                      s_bc_valid,
    output logic                      s_bc_ready,
    input  logic signed [15:0]        s_bc_data,
    input  logic                      s_head_valid,
    output logic                      s_head_ready,
    input  logic [109:0]              s_head_data,
    input  logic                      s_x_valid,
    output logic                      s_x_ready,
    input  logic signed [15:0]        s_x_data,
    input  logic                      s_exp_valid,
    output logic                      s_exp_ready,
    input  logic [511:0]              s_exp_data,
    input  logic                      s_code_valid,
    output logic                      s_code_ready,
    input  logic [512*BEATS-1:0]      s_code_data,
    output logic                      m_f_valid,
    input  logic                      m_f_ready,
    output logic [23:0]               m_f_data,
    output logic                      m_exp_valid,
    input  logic                      m_exp_ready,
    output logic [511:0]              m_exp_data,
    output logic                      m_code_valid,
    input  logic                      m_code_ready,
    output logic [512*BEATS-1:0]      m_code_data,
    output logic                      m_y_valid,
    input  logic                      m_y_ready,
    output logic signed [31:0]        m_y_data
);
    localparam int PW = $clog2(HEAD_DIM);
    localparam int AW = $clog2(WORDS);
    localparam int GW = $clog2(GROUPS);
    localparam int BANKS = 4;
    localparam int CW = $clog2(4 * BEATS); // groups of a beat of codes

    // ------------------------------------------------------------ job
    localparam logic [1:0] IDLE = 2'd0, RUN = 2'd1, DRAIN = 2'd2, FLUSH = 2'd3;
    logic [1:0]         state;
    logic [PW:0]        head_dim;
    logic [15:0]        heads, group_heads;
    logic [GW:0]        groups;
    logic [9:0]         n;
    logic [5:0]         words;
    logic signed [7:0]  fdt, fd;
    logic [4:0]         fxs, fbs, fcs;
    logic [30:0]        dt_low, dt_high;
    logic [15:0]        t;
    wire                begins = cfg_valid && cfg_ready;
    assign cfg_ready = state == IDLE;
    always_ff @(posedge clk) begin
        if (begins) begin
            head_dim <= cfg_head_dim;
            heads <= cfg_heads;
            groups <= cfg_groups;
            group_heads <= cfg_group_heads;
            n <= cfg_n;
            words <= cfg_words;
            {fdt, fd, fxs, fbs, fcs} <= {cfg_fdt, cfg_fd, cfg_fxs, cfg_fbs, cfg_fcs};
            {dt_low, dt_high} <= {cfg_dt_low, cfg_dt_high};
            t <= cfg_t;
        end
    end

    // ------------------------------------------------------------ what comes before the state
    wire                  codes_done;
    logic [AW*8-1:0]      addresses; // of B and C at stages 1 .. 8, stage 1 lowest
    logic [GW*8-1:0]      at_groups;
    wire [128*LANES-1:0]  b_words, c_words;
    wire signed [7:0]     eb_group, ec_group;
    // The first cycle of RUN: cfg is in the registers.
    logic                 start;
    lm_codes #(.WORDS(WORDS), .GROUPS(GROUPS), .LANES(LANES)) u_codes (
        .clk(clk), .rst_n(rst_n), .start(start), .cfg_n(n), .cfg_words(words), .cfg_groups(groups), .cfg_fb(fbs), .cfg_fc(fcs),
        .s_valid(s_bc_valid), .s_ready(s_bc_ready), .s_data(s_bc_data), .done(codes_done),
        .b_address(addresses[AW-1:0]), .b_group(at_groups[GW-1:0]), .b(b_words), .eb(eb_group),
        .c_address(addresses[AW*7 +: AW]), .c_group(at_groups[GW*7 +: GW]), .c(c_words), .ec(ec_group));

    wire                  head_available, heads_empty;
    wire [1:0]            head_bank;
    logic [PW-1:0]        p;
    wire [1:0]            out_bank;
    wire [PW-1:0]         out_channel;
    wire signed [15:0]    scan_x, out_x, out_d;
    wire [15:0]           scan_m;
    wire [5:0]            scan_s2;
    wire [7:0]            scan_k;
    wire signed [7:0]     scan_ex;
    wire [16:0]           out_c;
    wire                  takes_head, frees_head;
    // Heads of the next job must wait until cfg is its own: the counter of heads begun.
    logic [15:0]          begun;
    wire                  head_open = state == RUN && begun != heads;
    wire                  head_ready;
    assign s_head_ready = head_ready && head_open;
    lm_ssmu_head #(.HEAD_DIM(HEAD_DIM), .BANKS(BANKS)) u_head (
        .clk(clk), .rst_n(rst_n), .cfg_head_dim(head_dim), .cfg_fdt(fdt), .cfg_fxs(fxs), .cfg_dt_low(dt_low), .cfg_dt_high(dt_high),
        .s_head_valid(s_head_valid && head_open), .s_head_ready(head_ready), .s_head_data(s_head_data),
        .s_x_valid(s_x_valid), .s_x_ready(s_x_ready), .s_x_data(s_x_data), .m_f_valid(m_f_valid), .m_f_ready(m_f_ready), .m_f_data(m_f_data),
        .available(head_available), .bank(head_bank), .take(takes_head), .free(frees_head), .empty(heads_empty),
        .scan_bank(head_bank), .scan_channel(p), .scan_x(scan_x), .scan_m(scan_m), .scan_s2(scan_s2), .scan_k(scan_k), .scan_ex(scan_ex),
        .out_bank(out_bank), .out_channel(out_channel), .out_x(out_x), .out_c(out_c), .out_d(out_d));

    // ------------------------------------------------------------ the state in
    // No beat of the next job may come in: beats are counted, from H · P · words.
    wire                  clear = state == FLUSH;
    logic [23:0]          channels;
    logic [29:0]          state_groups;
    logic [27:0]          code_beats;
    logic [23:0]          exp_beats;
    logic                 counted, counting;
    always_ff @(posedge clk) begin
        channels <= 24'(heads) * 24'(head_dim);
        state_groups <= 30'(channels) * 30'(words);
        // start: cfg is in the registers; two cycles later the product is.
        counting <= start;
        counted <= counting;
        if (counted) begin
            code_beats <= 28'((state_groups + 30'(4 * BEATS - 1)) >> CW);
            exp_beats <= 24'((state_groups + 30'd63) >> 6);
        end else begin
            if (s_code_valid && s_code_ready) code_beats <= code_beats - 28'd1;
            if (s_exp_valid && s_exp_ready) exp_beats <= exp_beats - 24'd1;
        end
        if (!rst_n) begin
            code_beats <= 28'd0;
            exp_beats <= 24'd0;
            counting <= 1'b0;
            counted <= 1'b0;
        end
    end
    wire [7:0]            exps_there;
    wire [CW+1:0]         codes_there;
    wire [8*LANES-1:0]    exps;
    wire [128*LANES-1:0]  codes;
    logic [3:0]           count;
    wire                  go;
    wire                  reads_exp  = exp_beats != 24'd0 && !counted;
    wire                  reads_code = code_beats != 28'd0 && !counted;
    wire                  exp_ready, code_ready;
    assign s_exp_ready  = exp_ready && reads_exp;
    assign s_code_ready = code_ready && reads_code;
    lm_unpack #(.WIDTH(8), .ELEMENTS(64), .OUT(LANES)) u_exp_in (
        .clk(clk), .rst_n(rst_n), .clear(clear), .s_valid(s_exp_valid && reads_exp), .s_ready(exp_ready), .s_data(s_exp_data),
        .level(exps_there), .data(exps), .pop(go ? 8'(count) : 8'd0));
    lm_unpack #(.WIDTH(128), .ELEMENTS(4 * BEATS), .OUT(LANES)) u_code_in (
        .clk(clk), .rst_n(rst_n), .clear(clear), .s_valid(s_code_valid && reads_code), .s_ready(code_ready), .s_data(s_code_data),
        .level(codes_there), .data(codes), .pop(go ? (CW + 2)'(count) : '0));

    // ------------------------------------------------------------ issue: up to LANES groups of channel p of the next head
    wire                  en, moves;
    logic [5:0]           word;        // of the channel, the next one
    logic [AW-1:0]        base;        // of the head's group in B and C
    logic [15:0]          head, head_in_group;
    logic [GW-1:0]        group;
    logic [7:0]           turn_channel; // 57 · channel
    wire [5:0]            left = words - word;
    wire                  channel_ends = left <= 6'(LANES);
    wire                  head_ends = channel_ends && {1'b0, p} + 1'b1 == head_dim;
    always_comb count = channel_ends ? 4'(left) : 4'(LANES);
    assign go = en && state == RUN && head != heads && codes_done && head_available
        && exps_there >= 8'(count) && codes_there >= (CW + 2)'(count);
    assign takes_head = go && head_ends;

    // ------------------------------------------------------------ pipeline: what goes with the groups through its stages
    localparam int UPDATE = 2 + 7;      // new codes
    localparam int READ   = 2 + 11;     // their term
    localparam int SUM    = READ + 1;   // Y
    localparam int LAST   = SUM + 2;    // y
    logic [LAST:1]        valid;
    logic [LAST:1]        first, ends, closes; // first and last groups of a channel; last of a head
    logic [4*READ-1:0]    counts;              // groups, stage 1 lowest
    logic [2*SUM-1:0]     banks;
    logic [PW*SUM-1:0]    channels_at;
    wire [3:0]            update_count = counts[4*(UPDATE-1) +: 4];
    wire [3:0]            read_count   = counts[4*(READ-1) +: 4];
    assign out_bank    = banks[2*(SUM-1) +: 2];
    assign out_channel = channels_at[PW*(SUM-1) +: PW];
    always_ff @(posedge clk) begin
        if (!rst_n) valid <= '0;
        else if (en) valid <= {valid[LAST-1:1], go};
        if (moves) begin
            first <= {first[LAST-1:1], word == 6'd0};
            ends <= {ends[LAST-1:1], channel_ends};
            closes <= {closes[LAST-1:1], head_ends};
            counts <= {counts[4*(READ-1)-1:0], count};
            banks <= {banks[2*(SUM-1)-1:0], head_bank};
            channels_at <= {channels_at[PW*(SUM-1)-1:0], p};
        end
        if (begins) begin
            word <= 6'd0;
            p <= '0;
            base <= '0;
            head <= 16'd0;
            head_in_group <= 16'd0;
            group <= '0;
            turn_channel <= 8'd0;
        end else if (go) begin
            word <= channel_ends ? 6'd0 : word + 6'(LANES);
            if (channel_ends) begin
                turn_channel <= turn_channel + 8'd57;
                p <= head_ends ? '0 : p + 1'b1;
            end
            if (head_ends) begin
                head <= head + 16'd1;
                head_in_group <= head_in_group + 16'd1;
                if (head_in_group + 16'd1 == group_heads) begin
                    head_in_group <= 16'd0;
                    group <= group + 1'b1;
                    base <= base + AW'(words);
                end
            end
        end
    end

    // Stage 1: m · x; the state. Stage 2: q; B; what the head adds. Stage 9: C, when the new codes are there.
    logic signed [32:0]   product1;
    logic [5:0]           s2_1;
    logic [7:0]           k1, k2, index1, index2;
    logic signed [7:0]    ex1;
    logic [128*LANES-1:0] codes1, codes2, b2, c9;
    logic [8*LANES-1:0]   exps1, exps2;
    logic signed [7:0]    q2, ec9;
    logic signed [9:0]    eb2;
    wire signed [7:0]     q1;
    lm_rsh #(.IN(33), .OUT(8)) u_q (.x(product1), .s({2'd0, s2_1}), .y(q1));
    always_ff @(posedge clk) begin
        if (moves) begin
            product1 <= $signed({17'd0, scan_m}) * 33'(scan_x);
            {s2_1, k1, ex1} <= {scan_s2, scan_k, scan_ex};
            {codes1, exps1} <= {codes, exps};
            addresses <= {addresses[AW*7-1:0], base + AW'(word)};
            at_groups <= {at_groups[GW*7-1:0], group};
            // 11 · 16 · word
            index1 <= t[7:0] + turn_channel + 8'd176 * 8'(word);

            q2 <= q1;
            k2 <= k1;
            eb2 <= 10'(ex1) + 10'(eb_group);
            b2 <= b_words;
            {c9, ec9} <= {c_words, ec_group};
            {codes2, exps2} <= {codes1, exps1};
            index2 <= index1;
        end
    end
    wire [7:0] turn = {t[8], t[9], t[10], t[11], t[12], t[13], t[14], t[15]};

    // Stages 3 .. UPDATE: new codes. Up to READ: their part of C · h.
    wire [128*LANES-1:0]       new_codes;
    wire [8*LANES-1:0]         new_exps;
    wire [27*LANES-1:0]        terms;
    for (genvar i = 0; i < LANES; i++) begin : g_lane
        lm_state_group u_group (
            .clk(clk), .en(moves), .h(codes2[128*i +: 128]), .eh(exps2[8*i +: 8]), .k(k2), .q(q2), .b(b2[128*i +: 128]),
            .c(c9[128*i +: 128]), .eb(eb2), .ec(ec9), .index(index2 + 8'(176 * i)), .turn(turn),
            .new_h(new_codes[128*i +: 128]), .new_eh(new_exps[8*i +: 8]), .term(terms[27*i +: 27]));
    end

    // ------------------------------------------------------------ the state out
    wire                  exp_room, code_room, exp_empty, code_empty;
    logic                 flush;
    wire [3:0]            push = valid[UPDATE] && en ? update_count : 4'd0;
    lm_pack #(.WIDTH(8), .ELEMENTS(64), .IN(LANES)) u_exp_out (
        .clk(clk), .rst_n(rst_n), .ready(exp_room), .push(7'(push)), .data(new_exps), .flush(flush),
        .m_valid(m_exp_valid), .m_ready(m_exp_ready), .m_data(m_exp_data), .empty(exp_empty));
    lm_pack #(.WIDTH(128), .ELEMENTS(4 * BEATS), .IN(LANES)) u_code_out (
        .clk(clk), .rst_n(rst_n), .ready(code_room), .push((CW + 1)'(push)), .data(new_codes), .flush(flush),
        .m_valid(m_code_valid), .m_ready(m_code_ready), .m_data(m_code_data), .empty(code_empty));

    // ------------------------------------------------------------ readout
    // Stage SUM: Y. Then Y · c and D · x. LAST: y.
    logic signed [31:0]   sum;
    always_comb begin
        sum = 32'sd0;
        for (int i = 0; i < LANES; i++) if (4'(i) < read_count) sum = sum + 32'($signed(terms[27*i +: 27]));
    end
    logic signed [31:0]   y_sum;
    logic signed [48:0]   yc;
    logic signed [31:0]   dx;
    wire signed [7:0]     skip_shift = fd + $signed({3'd0, fxs}) - 8'sd12;
    // Wide enough: what saturates here, the sum saturates too.
    wire signed [35:0]    skip;
    lm_rsh #(.IN(32), .OUT(36), .LEFT(20)) u_skip (.x(dx), .s(skip_shift), .y(skip));
    wire signed [36:0]    decayed = 37'((yc + 49'sd32768) >>> 16);
    wire signed [36:0]    y_exact = decayed + 37'(skip);
    logic signed [31:0]   y_last;
    always_ff @(posedge clk) begin
        if (moves) begin
            if (valid[READ]) y_sum <= first[READ] ? sum : y_sum + sum;
            yc <= 49'(y_sum) * $signed({32'd0, out_c});
            dx <= 32'(out_d) * 32'(out_x);
            y_last <= y_exact > 37'sd2147483647 ? 32'sh7fffffff : (y_exact < -37'sd2147483648 ? 32'sh80000000 : 32'(y_exact));
        end
    end
    wire                  y_room;
    wire [3:0]            y_level;
    lm_fifo #(.WIDTH(32), .DEPTH(8)) u_y (
        .clk(clk), .rst_n(rst_n), .s_valid(valid[LAST] && ends[LAST] && en), .s_ready(y_room), .s_data(y_last),
        .m_valid(m_y_valid), .m_ready(m_y_ready), .m_data(m_y_data), .level(y_level));
    assign frees_head = en && valid[LAST] && closes[LAST];

    // All stages move together, while every output has room; not while they are empty.
    assign en    = y_room && exp_room && code_room;
    assign moves = go || (en && valid != '0);

    // ------------------------------------------------------------ a job's course
    always_ff @(posedge clk) begin
        start <= begins;
        flush <= 1'b0;
        if (begins) begun <= 16'd0;
        else if (s_head_valid && s_head_ready) begun <= begun + 16'd1;
        case (state)
            IDLE: if (begins) state <= RUN;
            RUN: if (head == heads && valid == '0 && heads_empty && !start) begin
                flush <= 1'b1;
                state <= DRAIN;
            end
            DRAIN: if (!flush && exp_empty && code_empty && !m_y_valid) state <= FLUSH;
            default: state <= IDLE;
        endcase
        if (!rst_n) begin
            state <= IDLE;
            start <= 1'b0;
            flush <= 1'b0;
        end
    end

    // Of stages beyond those that read them, and what the FIFO reports.
    wire unused = &{1'b0, first[LAST:READ+1], y_level};
endmodule
