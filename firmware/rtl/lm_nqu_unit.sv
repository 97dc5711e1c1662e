// NQU: vectors in memory to coded vectors in memory (docs/device.md), with the norm's factor in their headers.
//
//   read ──┬── norm record, headers of u ──────────────┐
//          └── vectors ──► lm_nqu ──┬── S, e ──► lm_norm ──► header ──┐
//                                   ├── sa ──► buffer ────────────────┴─ behind v ─┐
//                                   └── v, four transfers a beat ──────────────────┴──► write
//
// start … info: as in every unit, see lm_top. The norm record is read at once, vectors when `hold` is low.
// rd_*: one master: the norm record, then vectors. Those of all tokens are asked for at once, so that only the first waits for memory.
// wr_*: one master: for each token v, then header and sa, which lie before it in memory.
// Cycles for a token, waiting for memory aside: those of lm_nqu, 4 · ceil(K / 32) + 12, then 9 to the header (route inner: 3), and one for each beat of sa.
module lm_nqu_unit #(
    parameter int MAX_INPUTS = 8192, // a multiple of 32
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

    localparam int SA_BEATS = (MAX_INPUTS + 1023) / 1024;
    localparam int SW       = $clog2(SA_BEATS + 1);
    localparam logic [1:0] A8 = 2'd3;  // of lm_nqu

    localparam logic [2:0] REST = 3'd0, RECORD = 3'd1, HEADER = 3'd2, COMMAND = 3'd3, CODE = 3'd4, FACTOR = 3'd5, HEAD = 3'd6,
                           SCALES = 3'd7;
    logic [2:0] state;
    logic       busy;

    // ------------------------------------------------------------------------------------------------ the descriptor

    logic [13:0] inputs;
    logic [1:0]  format;
    logic        inner;   // a u vector, with a header
    logic [7:0]  stride;
    logic [7:0]  tokens;  // not done yet, this one too
    logic [63:0] to;      // the coded vector

    wire [31:0]  count        = desc[8*LM_DESC_COUNT +: 32];
    wire [7:0]   wanted       = desc[8*LM_DESC_TOKENS +: 8];
    wire         fits         = count != 32'd0 && count <= 32'(MAX_INPUTS) && wanted != 8'd0;
    wire [31:0]  vector_beats = ((32'(inputs) + 32'd15) >> 4) + 32'(inner);
    wire [31:0]  v_beats      = (32'(inputs) + 32'd63) >> 6;
    wire [SW-1:0] sa_beats    = format == A8 ? '0 : SW'((32'(inputs) + 32'd1023) >> 10);
    wire [31:0]  front_beats  = 32'd1 + 32'(sa_beats);  // before v

    // ------------------------------------------------------------------------------------------------ reading

    logic        ask_record;
    logic [63:0] record_at;
    logic        awake;      // hold means this descriptor
    logic [7:0]  asks;       // vectors that are not asked for
    logic [63:0] from;       // the first of these
    wire         ask = asks != 8'd0 && awake && !hold;
    wire         asked, c_valid;
    wire [63:0]  c_addr;
    wire [31:0]  c_beats;
    lm_stride u_stride (
        .clk, .rst_n, .valid(ask), .ready(asked), .addr(from), .beats(vector_beats), .stride(inner ? 8'd1 : stride),
        .bounded(1'b0), .limit(32'd0), .first(8'd0),
        .c_valid, .c_ready(rd_ready[0] && !ask_record), .c_addr, .c_beats);
    assign rd_valid[0] = ask_record || c_valid;
    assign rd_addr     = ask_record ? record_at : c_addr;
    assign rd_beats    = ask_record ? 32'd1 : c_beats;

    always_ff @(posedge clk) begin
        awake <= 1'b1;
        if (rd_ready[0]) ask_record <= 1'b0;
        if (ask && asked) begin
            asks <= asks - 8'd1;
            from <= from + (inner ? {26'd0, vector_beats, 6'd0} : 64'd64);
        end
        if (start) begin
            awake      <= 1'b0;
            ask_record <= fits;
            record_at  <= desc[8*LM_DESC_A2 +: 64];
            asks       <= fits ? wanted : 8'd0;
            from       <= desc[8*LM_DESC_A0 +: 64];
        end
        if (!rst_n) begin
            ask_record <= 1'b0;
            asks       <= '0;
        end
    end

    // ------------------------------------------------------------------------------------------------ coding

    wire         cfg_ready, cfg_bad, s_ready, m_valid, m_last, sum_valid;
    wire [127:0] v;
    wire [7:0]   sa;
    wire [4:0]   e;
    wire [63:0]  sum;
    wire         room = !wr_svalid[0] || wr_sready[0];
    wire         move = m_valid && room;
    // The write command of the token before may still wait
    wire         configure = state == COMMAND && !wr_valid[0];
    lm_nqu #(.MAX_INPUTS(MAX_INPUTS)) u_nqu (
        .clk, .rst_n, .cfg_valid(configure), .cfg_ready, .cfg_bad, .cfg_inputs(inputs), .cfg_format(format),
        .s_valid(state == CODE && rd_mvalid[0]), .s_ready, .s_data(rd_mdata),
        .m_valid, .m_ready(room), .m_codes(v), .m_scale(sa), .m_last, .exponent(e), .sum_valid, .sum);

    assign rd_mready[0] = state == RECORD || state == HEADER || (state == CODE && s_ready);

    // sa, 64 a beat
    logic [511:0]  scales[0:SA_BEATS-1];
    logic [511:0]  scale_beat;
    logic [5:0]    lane;
    logic [SW-1:0] place;  // of the beat, while coding and while writing
    wire [511:0]   scales_so_far;
    for (genvar i = 0; i < 64; i++) begin : g_scale
        assign scales_so_far[8*i +: 8] = lane == 6'(i) ? sa : lane == 6'd0 ? 8'd0 : scale_beat[8*i +: 8];
    end
    always_ff @(posedge clk) begin
        if (move) begin
            lane       <= m_last ? 6'd0 : lane + 6'd1;
            scale_beat <= scales_so_far;
            if (lane == 6'd63 || m_last) scales[32'(place)] <= scales_so_far;
        end
        if (configure) lane <= '0;
        if (configure || state == HEAD) place <= '0;
        else if ((move && lane == 6'd63) || (state == SCALES && room)) place <= place + 1'b1;
    end

    // ------------------------------------------------------------------------------------------------ the factor m · 2^-s

    logic [63:0]        epsilon, shifted, total;
    logic [15:0]        nm;
    logic [4:0]         ne;
    logic [31:0]        addend;
    logic [31:0]        factor, shift;  // of the header of u, then of the coded vector's
    logic               summed;         // S is there: the first cycle of FACTOR
    logic               ask_norm;
    wire                norm_ready, norm_valid;
    wire [15:0]         norm_m;
    wire signed [7:0]   norm_s;
    lm_norm u_norm (
        .clk, .rst_n, .s_valid(ask_norm), .s_ready(norm_ready), .s_sum(total), .s_nm(nm), .s_ne(ne),
        .m_valid(norm_valid), .m_ready(1'b1), .m_m(norm_m), .m_s(norm_s));

    wire inner_done = state == FACTOR && summed && inner;
    wire norm_done  = state == FACTOR && norm_valid;
    always_ff @(posedge clk) begin
        shifted  <= epsilon >> {e, 1'b0};
        total    <= sum + shifted;
        ask_norm <= rst_n && summed && !inner;
        if (state == RECORD) begin
            epsilon <= rd_mdata[63:0];
            nm      <= rd_mdata[79:64];
            ne      <= rd_mdata[84:80];
            addend  <= rd_mdata[127:96];
        end
        if (state == HEADER) {shift, factor} <= rd_mdata[63:0];
        if (inner_done) shift <= shift - 32'(e) + addend;
        if (norm_done) begin
            factor <= 32'(norm_m);
            shift  <= 32'(norm_s) + addend;
        end
    end

    // ------------------------------------------------------------------------------------------------ order of things

    wire last_sa = place + 1'b1 == sa_beats;
    wire head    = state == HEAD && room && !wr_valid[0];
    wire next    = (head && sa_beats == '0) || (state == SCALES && room && last_sa);

    always_ff @(posedge clk) begin
        done   <= 1'b0;
        summed <= 1'b0;
        if (wr_ready[0]) wr_valid <= 1'b0;
        case (state)
            REST:
                if (busy && !wr_valid[0] && !wr_svalid[0] && rd_idle[0] && wr_idle[0]) begin
                    busy <= 1'b0;
                    done <= 1'b1;
                end
            RECORD: if (rd_mvalid[0]) state <= inner ? HEADER : COMMAND;
            HEADER: if (rd_mvalid[0]) state <= COMMAND;
            COMMAND:
                if (configure && cfg_ready) begin
                    state    <= CODE;
                    wr_valid <= 1'b1;
                    wr_addr  <= to + {26'd0, front_beats, 6'd0};
                    wr_beats <= v_beats;
                end
            CODE:
                if (move && m_last) begin
                    state  <= FACTOR;
                    summed <= 1'b1;
                end
            FACTOR: if (inner_done || norm_done) state <= HEAD;
            HEAD:
                if (head) begin
                    state    <= SCALES;
                    wr_valid <= 1'b1;
                    wr_addr  <= to;
                    wr_beats <= front_beats;
                end
            default: ;
        endcase
        if (next) begin
            state  <= tokens == 8'd1 ? REST : inner ? HEADER : COMMAND;
            tokens <= tokens - 8'd1;
            to     <= to + {26'd0, front_beats + v_beats, 6'd0};
        end
        if (start) begin
            busy   <= 1'b1;
            state  <= fits ? RECORD : REST;
            error  <= !fits;
            code   <= LM_STATUS_SIZE[7:0];
            info   <= {32'd0, LM_DESC_COUNT};
            inputs <= count[13:0];
            inner  <= {24'd0, desc[8*LM_DESC_ROUTE +: 8]} == LM_ROUTE_INNER;
            stride <= desc[8*LM_DESC_STRIDE +: 8];
            tokens <= wanted;
            to     <= desc[8*LM_DESC_A1 +: 64];
            case (desc[8*LM_DESC_FORMAT +: 8])
                8'd4:    format <= 2'd0;
                8'd5:    format <= 2'd1;
                8'd6:    format <= 2'd2;
                default: format <= A8;
            endcase
        end
        if (!rst_n) begin
            busy     <= 1'b0;
            done     <= 1'b0;
            state    <= REST;
            error    <= 1'b0;
            wr_valid <= 1'b0;
        end
    end

    // The beat that is written next: v as it comes, then the header, then sa
    logic [1:0]    quarter;
    wire [511:0]   header = {320'd0, sum, 18'd0, inputs, shift, factor, 27'd0, e};
    always_ff @(posedge clk) begin
        if (wr_sready[0]) wr_svalid <= 1'b0;
        if (move) begin
            wr_svalid <= quarter == 2'd3 || m_last;
            quarter   <= m_last ? 2'd0 : quarter + 2'd1;
            for (int q = 0; q < 4; q++) begin
                if (quarter == 2'(q)) wr_sdata[128*q +: 128] <= v;
                else if (quarter == 2'd0) wr_sdata[128*q +: 128] <= '0;
            end
        end
        if (head || (state == SCALES && room)) begin
            wr_svalid <= 1'b1;
            wr_sdata  <= head ? header : scales[32'(place)];
        end
        if (!rst_n) begin
            wr_svalid <= 1'b0;
            quarter   <= '0;
        end
    end

    wire unused = &{1'b0, desc, cfg_bad, sum_valid, norm_ready};
endmodule
