// SSM of a device command (docs/device.md): tokens of one layer, one after the other, from in_proj's rows and the state in memory to u and the
// new state. Between descriptor, memory masters and the arithmetic of lm_ssmu_rows (convolution), lm_ssmu and lm_gate.
//
//   reader 1: rows ──────┐                            ┌─> z, γ2 ─── lm_fifo ───> lm_gate ──> lm_ssmu_u ──> writer 0: u
//   reader 0: constants ─┴─> lm_ssmu_rows (lm_conv) ──┼─> B, C, x ─> lm_ssmu ──> lm_queue (y) ─┘
//             taps ───> lm_taps <──┘                  └─> dt ──> lm_ssmu_dt ─┘ │
//             F ──────────────────────────────────────────────────────┘        │
//   st_rd: exponents, codes ──> lm_state_parts ────────────────────────────────┴──> lm_state_parts ──> st_wr: exponents, codes
//   lm_taps, lm_ssmu_dt ──> writer 1: F, taps
//
// start, desc, done, error, code, info: as in every unit. Own error: LM_STATUS_SIZE of A1, a grouped norm with more channels a group than NORM_GROUP.
// bounded, followed: while bounded, only the first `followed` beats of A2 are in memory (lm_stride). bounded may fall at any time.
// Readers: 0 layer record, F and taps, then constants of each token; 1 rows. Writers: 0 u; 1 F and taps.
// st_rd_*, st_wr_*: masters of the state's PARTS parts: exponents of each, then codes of each. With STATE_PORTS they are those of so many ports, and
// a beat with their addresses follows the layer record; without, the one part lies behind F and taps.
//
// A token begins when the one before has left lm_ssmu, and reads the state when what that one wrote is answered. F and taps stay on chip in between.
// The rows may not stop for z: z of head h comes after x of head h + 6, y of it waits in the queue. Say x of head i cannot go on, because lm_ssmu has
// no bank for it: its four are taken, the oldest by head b <= i - 4. z of the head j that the gate waits for comes later, so i <= j + 6 and b <= j + 2:
// the queue has y of j, j + 1 and j + 2 at most. It holds 8 heads, so b goes on, and its bank becomes free. Say z of head j cannot go on: the gate
// waits for y, so the queue is empty; x of that head came before, and lm_ssmu goes on.
module lm_ssmu_unit #(
    parameter int TOKENS     = 4,
    parameter int LANES      = 2,     // groups of 16 state values a cycle: 1, 2, 4, or 8 with STATE_PORTS of 2 or more
    parameter int HEAD_DIM   = 128,   // P at most; a power of two
    parameter int WORDS      = 64,    // G · ceil(N / 16) at most; a power of two
    parameter int GROUPS     = 16,    // G at most; a power of two
    parameter int HEADS      = 128,   // H at most; a power of two
    parameter int TAPS       = 32768, // (W - 1) · C at most; a power of two
    parameter int NORM_GROUP = 4096,  // E / G at most where the norm is grouped; a power of two
    parameter int STATE_PORTS = 0,    // 0, or a power of two up to 8
    localparam int READERS   = 2,
    localparam int WRITERS   = 2,
    localparam int PARTS     = STATE_PORTS == 0 ? 1 : STATE_PORTS
) (
    input  logic                   clk,
    input  logic                   rst_n,
    input  logic                   start,
    input  logic [511:0]           desc,
    output logic                   done,
    output logic                   error,
    output logic [7:0]             code,
    output logic [63:0]            info,
    input  logic                   bounded,
    input  logic [31:0]            followed,

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
    input  logic [WRITERS-1:0]     wr_idle,

    output logic [2*PARTS-1:0]     st_rd_valid,
    input  logic [2*PARTS-1:0]     st_rd_ready,
    output logic [2*PARTS*64-1:0]  st_rd_addr,
    output logic [2*PARTS*32-1:0]  st_rd_beats,
    input  logic [2*PARTS-1:0]     st_rd_mvalid,
    output logic [2*PARTS-1:0]     st_rd_mready,
    input  logic [2*PARTS*512-1:0] st_rd_mdata,
    input  logic [2*PARTS-1:0]     st_rd_idle,
    output logic [2*PARTS-1:0]     st_wr_valid,
    input  logic [2*PARTS-1:0]     st_wr_ready,
    output logic [2*PARTS*64-1:0]  st_wr_addr,
    output logic [2*PARTS*32-1:0]  st_wr_beats,
    output logic [2*PARTS-1:0]     st_wr_svalid,
    input  logic [2*PARTS-1:0]     st_wr_sready,
    output logic [2*PARTS*512-1:0] st_wr_sdata,
    input  logic [2*PARTS-1:0]     st_wr_idle
);
    `include "lm_device.svh"

    // Everything in here stands still between commands
    wire beat;
    lm_clock u_clock (.clk, .on(start || started || step != REST || done || !rst_n), .gated(beat));

    // ------------------------------------------------------------------------------------------------ descriptor and what follows from it
    logic [63:0] state, rows, u;
    logic [15:0] first;  // t of the first token, modulo 2^16
    logic [1:0]  slot;   // of the conv ring, of the token at work
    logic [7:0]  tokens;
    logic [7:0]  heads, head_dim;
    logic [9:0]  n;
    logic [4:0]  groups;
    logic [2:0]  width;
    wire  [1:0]  older = 2'(width - 3'd1);
    logic        started;
    always_ff @(posedge beat) begin
        started <= start;
        if (start) begin
            state    <= desc[8*LM_DESC_A0 +: 64];
            rows     <= desc[8*LM_DESC_A2 +: 64];
            u        <= desc[8*LM_DESC_A3 +: 64];
            first    <= desc[8*LM_DESC_COUNT +: 16];
            tokens   <= desc[8*LM_DESC_TOKENS +: 8];
            heads    <= desc[8*LM_DESC_HEADS +: 8];
            head_dim <= desc[8*LM_DESC_HEAD_DIM +: 8];
            n        <= desc[8*LM_DESC_STATE +: 10];
            groups   <= desc[8*LM_DESC_GROUPS +: 5];
            width    <= desc[8*LM_DESC_CONV +: 3];
        end
        if (!rst_n) started <= 1'b0;
    end

    wire         sized;
    wire  [13:0] inner, channels, norm_group, constant_beats;
    wire  [10:0] bc, tap_beats, row_beats;
    wire  [5:0]  words;
    wire  [7:0]  group_heads;
    wire  [3:0]  f_beats;
    wire  [12:0] exp_beats;
    wire  [16:0] code_beats;
    wire  [9:0]  u_beats;
    lm_ssmu_shape u_shape (
        .clk(beat), .rst_n, .start(started), .heads, .head_dim, .n, .groups, .older, .ready(sized), .inner, .bc, .channels, .words, .group_heads,
        .norm_group, .f_beats, .tap_beats, .exp_beats, .code_beats, .row_beats, .constant_beats, .u_beats);
    wire  [11:0] ring_beats = {8'd0, f_beats} + {1'b0, tap_beats};
    wire  [63:0] behind     = state + {46'd0, ring_beats, 6'd0}; // the first byte behind F and taps

    // ------------------------------------------------------------------------------------------------ layer record
    logic signed [7:0] f_z, f_x, f_b, f_c, f_dt, f_conv, f_skip, f_g, f_gamma, f_u;
    logic [4:0]  f_xs, f_bs, f_cs, f_zs;
    logic        grouped;
    logic [30:0] dt_low, dt_high;
    logic [63:0] epsilon, constants;
    logic [15:0] nm;
    logic [4:0]  ne;
    wire  [511:0] input0 = rd_mdata[511:0];
    wire         takes0  = rd_mvalid[0] && rd_mready[0];
    logic        recorded; // it is here
    logic        placed;   // and where the parts of the state are
    wire         known = STATE_PORTS == 0 ? recorded : placed;
    logic [64*PARTS-1:0] places;
    always_ff @(posedge beat) begin
        if (takes0 && !recorded) begin
            {f_conv, f_dt, f_c, f_b, f_x, f_z} <= input0[47:0];
            {f_xs, f_bs, f_cs, f_skip} <= {input0[52:48], input0[60:56], input0[68:64], input0[79:72]};
            {f_zs, f_g, f_gamma, f_u} <= {input0[84:80], input0[95:88], input0[103:96], input0[111:104]};
            grouped   <= input0[112];
            dt_low    <= input0[158:128];
            dt_high   <= input0[190:160];
            epsilon   <= input0[255:192];
            nm        <= input0[271:256];
            ne        <= input0[276:272];
            constants <= input0[383:320];
        end
        if (takes0 && recorded && !known) places <= input0[64*PARTS-1:0];
    end
    // Fractions that the arithmetic takes; what cannot be is harmless, and wraps
    wire signed [7:0] zshift  = f_z - 8'sd11;
    wire signed [7:0] gshift  = 8'sd12 + $signed({3'd0, f_zs}) - f_g;
    wire signed [7:0] ushift  = (grouped ? 8'sd16 : f_g) + f_gamma - f_u;
    wire signed [7:0] shift_x = f_x + f_conv - 8'sd11;
    wire signed [7:0] shift_b = f_b + f_conv - 8'sd11;
    wire signed [7:0] shift_c = f_c + f_conv - 8'sd11;

    // ------------------------------------------------------------------------------------------------ course
    localparam logic [3:0] REST = 4'd0, SIZE = 4'd1, RECORD = 4'd2, FILL = 4'd3, NEXT = 4'd4, BEGIN = 4'd5, SAFE = 4'd6, READ = 4'd7,
        WRITE = 4'd8, LAST = 4'd9, FINISH = 4'd10;
    logic [3:0]  step;
    logic        running;                              // from the record on
    logic [7:0]  token, row_token, constant_token, gate_token; // begun, by the unit and by its parts
    logic [11:0] filled;                               // beats of F and taps that are here
    wire         begins  = step == BEGIN;
    wire         misfits = grouped && norm_group > 14'(NORM_GROUP);
    wire         go      = step == RECORD && known && !misfits;
    wire         loaded  = sized && filled == ring_beats;
    wire         ssmu_ready, gate_ready, rows_busy, u_busy, all_f, stride_ready;
    wire         store   = step == LAST && all_f;
    wire         fills   = takes0 && known && !loaded;
    wire         reading, writing;
    wire         asks    = step == SAFE && st_wr_idle == '1;
    wire         puts    = step == READ && !reading;
    logic        read0, write1; // commands that wait for their master
    logic [63:0] address0;
    logic [13:0] beats0;
    always_ff @(posedge beat) begin
        done <= 1'b0;
        if (rd_ready[0]) read0 <= 1'b0;
        if (wr_ready[1]) write1 <= 1'b0;
        if (takes0) recorded <= 1'b1;
        if (takes0 && recorded) placed <= 1'b1;
        if (fills) filled <= filled + 12'd1;
        if (running && constant_token != tokens && !read0) begin
            read0          <= 1'b1;
            address0       <= constants;
            beats0         <= constant_beats;
            constant_token <= constant_token + 8'd1;
        end
        if (running && row_token != tokens && stride_ready) row_token <= row_token + 8'd1;
        if (running && gate_token != tokens && gate_ready) gate_token <= gate_token + 8'd1;
        case (step)
            SIZE: if (sized && !read0) begin
                read0    <= 1'b1;
                address0 <= state;
                beats0   <= {2'd0, ring_beats};
                step     <= RECORD;
            end
            RECORD: if (known) begin
                step    <= misfits ? FINISH : FILL;
                running <= !misfits;
                error   <= misfits;
            end
            FILL: if (loaded) step <= BEGIN;
            NEXT: if (ssmu_ready && !rows_busy) begin
                slot <= slot + 2'd1 == older ? 2'd0 : slot + 2'd1;
                step <= BEGIN;
            end
            BEGIN: begin
                token <= token + 8'd1;
                step  <= SAFE;
            end
            // What the token before wrote can be read
            SAFE: if (asks) step <= READ;
            READ: if (puts) step <= WRITE;
            WRITE: if (!writing) step <= token == tokens ? LAST : NEXT;
            LAST: if (all_f) begin
                write1 <= 1'b1;
                step   <= FINISH;
            end
            FINISH: if (rd_idle == '1 && wr_idle == '1 && rd_valid == '0 && wr_valid == '0 && st_rd_idle == '1 && st_wr_idle == '1
                        && !u_busy && !rows_busy && ssmu_ready) begin
                running <= 1'b0;
                done    <= 1'b1;
                step    <= REST;
            end
            default: ;
        endcase
        if (start) begin
            slot           <= desc[8*LM_DESC_INPUTS +: 2];
            read0          <= 1'b1;
            address0       <= desc[8*LM_DESC_A1 +: 64];
            beats0         <= STATE_PORTS == 0 ? 14'd1 : 14'd2;
            recorded       <= 1'b0;
            placed         <= 1'b0;
            filled         <= '0;
            token          <= '0;
            row_token      <= '0;
            constant_token <= '0;
            gate_token     <= '0;
            error          <= 1'b0;
            step           <= SIZE;
        end
        if (!rst_n) begin
            step    <= REST;
            running <= 1'b0;
            error   <= 1'b0;
            {read0, write1} <= '0;
        end
    end
    assign code = LM_STATUS_SIZE[7:0];
    assign info = {32'd0, LM_DESC_A1};

    // ------------------------------------------------------------------------------------------------ commands
    wire         c1_valid, c2_valid;
    wire  [63:0] c1_addr, c2_addr;
    wire  [31:0] c1_beats, c2_beats;
    lm_stride u_stride (
        .clk(beat), .rst_n, .valid(running && row_token != tokens), .ready(stride_ready), .addr(rows + {50'd0, row_token, 6'd0}),
        .beats({21'd0, row_beats}), .stride(tokens), .bounded, .limit(followed), .first(row_token), .c_valid(c1_valid), .c_ready(rd_ready[1]),
        .c_addr(c1_addr), .c_beats(c1_beats));
    assign rd_valid = {c1_valid, read0};
    assign rd_addr  = {c1_addr, address0};
    assign rd_beats = {c1_beats, {18'd0, beats0}};
    assign wr_valid = {write1, c2_valid};
    assign wr_addr  = {state, c2_addr};
    assign wr_beats = {{20'd0, ring_beats}, c2_beats};

    // ------------------------------------------------------------------------------------------------ F, dt, taps
    wire         fills_f = filled < {8'd0, f_beats};
    wire         constant_ready;
    assign rd_mready[0] = !known || !loaded || constant_ready;

    wire         dt_valid, head_valid, head_ready, f_valid, f_leaves;
    wire  [15:0] dt_data;
    wire  [69:0] dt_constants;
    wire  [109:0] head_data;
    wire  [23:0] f_data;
    wire  [511:0] f_beat, tap_beat;
    lm_ssmu_dt #(.HEADS(HEADS)) u_dt (
        .clk(beat), .rst_n, .cfg_heads(heads), .cfg_beats(f_beats), .clear(started), .s_valid(fills && fills_f), .s_data(input0), .store,
        .m_valid(f_leaves), .m_ready(wr_sready[1]), .m_data(f_beat), .begins, .row_valid(dt_valid), .row_dt(dt_data),
        .row_constants(dt_constants), .head_valid, .head_ready, .head_data, .f_valid, .f_data, .all(all_f));

    wire         run, taps_valid, take, tap_leaves;
    wire  [13:0] run_first;
    wire  [47:0] taps;
    wire  [15:0] raw;
    lm_taps #(.TAPS(TAPS)) u_taps (
        .clk(beat), .rst_n, .cfg_channels(channels), .cfg_older(older), .cfg_beats(tap_beats), .cfg_slot(slot), .clear(started),
        .s_valid(fills && !fills_f), .s_data(input0), .store, .m_valid(tap_leaves), .m_ready(wr_sready[1] && !f_leaves), .m_data(tap_beat),
        .run, .first(run_first), .valid(taps_valid), .taps, .take, .raw);
    assign wr_svalid[1]          = f_leaves || tap_leaves;
    assign wr_sdata[512*1 +: 512] = f_leaves ? f_beat : tap_beat;

    // ------------------------------------------------------------------------------------------------ rows
    wire         bc_valid, bc_ready, x_valid, x_ready, z_valid, z_ready;
    wire signed [15:0] conv_data;
    wire  [127:0] z_data;
    wire  [2:0]   z_count;
    lm_ssmu_rows u_rows (
        .clk(beat), .rst_n, .begins, .busy(rows_busy), .cfg_heads(heads), .cfg_head_dim(head_dim), .cfg_bc(bc), .cfg_inner(inner), .cfg_width(width),
        .cfg_slot(slot), .cfg_shift({shift_c, shift_b, shift_x}), .cfg_fraction({f_cs, f_bs, f_xs}), .row_valid(rd_mvalid[1]),
        .row_ready(rd_mready[1]), .row_data(rd_mdata[512*1 +: 512]), .constant_valid(rd_mvalid[0] && known && loaded), .constant_ready,
        .constant_data(input0), .run, .first(run_first), .taps_valid, .taps, .take, .raw, .bc_valid, .bc_ready, .x_valid, .x_ready, .conv_data,
        .dt_valid, .dt_data, .dt_constants, .z_valid, .z_ready, .z_data, .z_count);

    // ------------------------------------------------------------------------------------------------ the state
    localparam int PW = $clog2(HEAD_DIM) + 1;
    localparam int GW = $clog2(GROUPS) + 1;
    wire         y_valid, y_ready;
    wire signed [31:0] y_data;
    wire         exp_valid, exp_ready, code_valid, code_ready, new_exp_valid, new_exp_ready, new_code_valid, new_code_ready;
    wire [511:0] exp_data, new_exp_data;
    wire [512*PARTS-1:0] code_data, new_code_data;
    lm_state_parts #(.PARTS(PARTS)) u_parts (
        .clk(beat), .rst_n, .cfg_exp_beats(exp_beats), .cfg_code_beats(code_beats),
        .cfg_addr(STATE_PORTS == 0 ? {PARTS{behind}} : places), .ask(asks), .reading, .put(puts), .writing,
        .rd_valid(st_rd_valid), .rd_ready(st_rd_ready), .rd_mvalid(st_rd_mvalid), .rd_mready(st_rd_mready), .rd_mdata(st_rd_mdata),
        .wr_valid(st_wr_valid), .wr_ready(st_wr_ready), .wr_svalid(st_wr_svalid), .wr_sready(st_wr_sready), .wr_sdata(st_wr_sdata),
        .addr(st_rd_addr), .beats(st_rd_beats),
        .m_exp_valid(exp_valid), .m_exp_ready(exp_ready), .m_exp_data(exp_data), .m_code_valid(code_valid), .m_code_ready(code_ready),
        .m_code_data(code_data), .s_exp_valid(new_exp_valid), .s_exp_ready(new_exp_ready), .s_exp_data(new_exp_data),
        .s_code_valid(new_code_valid), .s_code_ready(new_code_ready), .s_code_data(new_code_data));
    assign st_wr_addr  = st_rd_addr;
    assign st_wr_beats = st_rd_beats;
    lm_ssmu #(.LANES(LANES), .BEATS(PARTS), .HEAD_DIM(HEAD_DIM), .WORDS(WORDS), .GROUPS(GROUPS)) u_ssmu (
        .clk(beat), .rst_n, .cfg_valid(begins), .cfg_ready(ssmu_ready), .cfg_head_dim(PW'(head_dim)), .cfg_heads({8'd0, heads}),
        .cfg_groups(GW'(groups)), .cfg_group_heads({8'd0, group_heads}), .cfg_n(n), .cfg_words(words), .cfg_fdt(f_dt), .cfg_fxs(f_xs),
        .cfg_fbs(f_bs), .cfg_fcs(f_cs), .cfg_fd(f_skip), .cfg_dt_low(dt_low), .cfg_dt_high(dt_high), .cfg_t(first + {8'd0, token}),
        .s_bc_valid(bc_valid), .s_bc_ready(bc_ready), .s_bc_data(conv_data), .s_head_valid(head_valid), .s_head_ready(head_ready),
        .s_head_data(head_data), .s_x_valid(x_valid), .s_x_ready(x_ready), .s_x_data(conv_data),
        .s_exp_valid(exp_valid), .s_exp_ready(exp_ready), .s_exp_data(exp_data),
        .s_code_valid(code_valid), .s_code_ready(code_ready), .s_code_data(code_data),
        .m_f_valid(f_valid), .m_f_ready(1'b1), .m_f_data(f_data),
        .m_exp_valid(new_exp_valid), .m_exp_ready(new_exp_ready), .m_exp_data(new_exp_data),
        .m_code_valid(new_code_valid), .m_code_ready(new_code_ready), .m_code_data(new_code_data),
        .m_y_valid(y_valid), .m_y_ready(y_ready), .m_y_data(y_data));

    // ------------------------------------------------------------------------------------------------ gate and u
    wire         yq_valid, yq_ready, zq_valid, zq_ready, gamma_ready, u_valid, u_ready, factor_valid, factor_ready;
    wire  [31:0] yq_data;
    wire  [130:0] zq;      // up to four z with their γ2, and how many
    logic [1:0]  zq_at;    // which is next
    wire         zq_takes; // and the last of them
    wire  [31:0] zq_data = zq[{1'b0, zq_at, 5'd0} +: 32];
    wire         zq_ends = {1'b0, zq_at} + 3'd1 == zq[130:128];
    wire  [5:0]  zq_level;
    wire  [$clog2(8*HEAD_DIM):0] yq_level;
    wire signed [17:0] u_data;
    wire  [87:0] factor_data;
    lm_queue #(.WIDTH(32), .DEPTH(8 * HEAD_DIM)) u_y (
        .clk(beat), .rst_n, .s_valid(y_valid), .s_ready(y_ready), .s_data(y_data), .m_valid(yq_valid), .m_ready(yq_ready), .m_data(yq_data),
        .level(yq_level));
    lm_fifo #(.WIDTH(131), .DEPTH(32)) u_z (
        .clk(beat), .rst_n, .s_valid(z_valid), .s_ready(z_ready), .s_data({z_count, z_data}), .m_valid(zq_valid), .m_ready(zq_takes), .m_data(zq),
        .level(zq_level));
    assign zq_takes = zq_ready && zq_ends;
    always_ff @(posedge beat) begin
        if (zq_valid && zq_ready) zq_at <= zq_ends ? 2'd0 : zq_at + 2'd1;
        if (!rst_n) zq_at <= '0;
    end
    lm_gate #(.GROUP(NORM_GROUP)) u_gate (
        .clk(beat), .rst_n, .cfg_valid(running && gate_token != tokens), .cfg_ready(gate_ready), .cfg_channels(inner),
        .cfg_group(grouped ? norm_group : inner), .cfg_grouped(grouped), .cfg_zshift(zshift), .cfg_fzs(f_zs), .cfg_gshift(gshift),
        .cfg_ushift(ushift), .cfg_eps(epsilon), .cfg_nm(nm), .cfg_ne(ne), .s_y_valid(yq_valid), .s_y_ready(yq_ready), .s_y_data(yq_data),
        .s_z_valid(zq_valid), .s_z_ready(zq_ready), .s_z_data(zq_data[15:0]), .s_gamma_valid(zq_valid), .s_gamma_ready(gamma_ready),
        .s_gamma_data(zq_data[31:16]), .m_u_valid(u_valid), .m_u_ready(u_ready), .m_u_data(u_data), .m_factor_valid(factor_valid),
        .m_factor_ready(factor_ready), .m_factor_data(factor_data));
    lm_ssmu_u u_u (
        .clk(beat), .rst_n, .begins(go), .busy(u_busy), .cfg_tokens(tokens), .cfg_inner(inner), .cfg_beats(u_beats), .cfg_grouped(grouped),
        .cfg_addr(u), .u_valid, .u_ready, .u_data, .factor_valid, .factor_ready, .factor_data, .c_valid(c2_valid), .c_ready(wr_ready[0]),
        .c_addr(c2_addr), .c_beats(c2_beats), .s_valid(wr_svalid[0]), .s_ready(wr_sready[0]), .s_data(wr_sdata[511:0]));

    // lm_check has seen to the rest of the descriptor
    wire unused = &{1'b0, desc, TOKENS[0], zq_level, yq_level, gamma_ready};
endmodule
