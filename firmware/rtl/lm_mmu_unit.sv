// MULTIPLY: a linear layer from memory to memory (docs/device.md). lm_mmu with what it reads and writes: one lane a port.
//
// start, desc, hold, done, error, code, info: as all units; start and done by its turn, 0 or 1 (lm_cmd, MULTIPLIES). Of its own it finds a port table
//   that does not fit: LM_STATUS_SIZE with LM_DESC_A0, and nothing is streamed or written.
// claim: a descriptor that was started has the unit: owner. Before it only its weights are fetched. full: another must not be started.
// Masters, flat vectors, master 0 lowest: rd_* READERS (0: coded vectors; 1: block records; 2: residual), wr_* one, for the rows;
//   t_* one for port tables, with its error; w_* one for the weights of each port.
// send: a port's weights are this descriptor's from here on (sender); w_arrived: all of the one before are here, w_hurt: or its master failed.
//
// Course: port table; blocks of each port (a division and a step a place of the pattern: rows / 8 come from the descriptor, the
// table only says who has them); commands for weights, port by port as soon as those of the one before are here; when it has the unit, commands for block
// records and rows, so that the masters read ahead; when hold falls, coded vectors into the lanes' buffers, 16 codes a cycle; then lm_mmu's command, and
// results into beats as they come.
// Cycles beside lm_mmu's: two memory latencies, 23 and the places of the pattern, and for each token its Kp / 16 groups, beats of scales and header.
module lm_mmu_unit #(
    parameter int PORTS      = 1,
    parameter int TOKENS     = 1,
    parameter int ACT_BITS   = 8,
    parameter int MAX_INPUTS = 8192,
    parameter int ROWS       = 2,
    localparam int READERS   = 3,
    localparam int WRITERS   = 1
) (
    input  logic                   clk,
    input  logic                   rst_n,
    input  logic [1:0]             start,
    input  logic [511:0]           desc,
    input  logic [1:0]             hold,
    input  logic [1:0]             claim,
    output logic                   owner,
    output logic                   full,
    output logic [1:0]             done,
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
    input  logic [WRITERS-1:0]     wr_idle,

    output logic                   t_valid,
    input  logic                   t_ready,
    output logic [63:0]            t_addr,
    output logic [31:0]            t_beats,
    input  logic                   t_mvalid,
    output logic                   t_mready,
    input  logic [511:0]           t_mdata,
    input  logic                   t_error,
    input  logic [7:0]             t_code,
    input  logic [63:0]            t_fault,
    input  logic [31:0]            t_read,
    output logic [31:0]            table_read, // beats of the owner's table

    output logic [PORTS-1:0]       send,
    output logic                   sender,
    input  logic [PORTS-1:0]       w_arrived,
    input  logic [PORTS-1:0]       w_hurt,
    output logic [PORTS-1:0]       w_valid,
    input  logic [PORTS-1:0]       w_ready,
    output logic [PORTS*64-1:0]    w_addr,
    output logic [PORTS*32-1:0]    w_beats,
    input  logic [PORTS-1:0]       w_mvalid,
    output logic [PORTS-1:0]       w_mready,
    input  logic [PORTS*512-1:0]   w_mdata
);
    `include "lm_device.svh"

    localparam int DEPTH       = MAX_INPUTS / 16;              // groups of 16 inputs
    localparam int AW          = $clog2(DEPTH);
    localparam int TW          = TOKENS > 1 ? $clog2(TOKENS) : 1;
    localparam int PLACES      = LM_PORT_PATTERN;
    localparam int TABLE_BEATS = 1 + (PORTS + 7) / 8;
    localparam int SCALE_BEATS = (DEPTH + 63) / 64;            // of one vector's group scales
    localparam int CW          = SCALE_BEATS > 1 ? $clog2(SCALE_BEATS) : 1;

    // Of a descriptor that is started
    localparam logic [2:0] EMPTY  = 3'd0;
    localparam logic [2:0] TABLE  = 3'd1;   // port table
    localparam logic [2:0] DIVIDE = 3'd2;   // blocks by places
    localparam logic [2:0] DEAL   = 3'd3;   // place after place to its port
    localparam logic [2:0] SEND   = 3'd4;   // commands for weights
    localparam logic [2:0] AHEAD  = 3'd5;   // they are on their way

    // Of the one that has the unit
    localparam logic [3:0] REST   = 4'd0;
    localparam logic [3:0] TAKE   = 4'd1;   // its weights are on their way
    localparam logic [3:0] ISSUE  = 4'd2;   // commands that do not depend on the descriptor before
    localparam logic [3:0] HOLD   = 4'd3;
    localparam logic [3:0] HEADER = 4'd4;   // of a coded vector,
    localparam logic [3:0] SCALES = 4'd5;   // its group scales,
    localparam logic [3:0] CODES  = 4'd6;   // its codes
    localparam logic [3:0] RUN    = 4'd7;   // command to lm_mmu
    localparam logic [3:0] WRITE  = 4'd8;   // results
    localparam logic [3:0] DRAIN  = 4'd9;   // masters come to rest

    // ------------------------------------------------------------------ the descriptor that is started: its table, its weights
    logic [2:0]           ahead;
    logic [511:0]         next;      // the descriptor
    logic [8*PLACES-1:0]  next_pattern;
    logic [7:0]           next_length;
    logic [5:0]           step;      // beat, bit or place
    logic [17:0]          dividend;
    logic [17:0]          quotient;
    logic [5:0]           remainder;
    logic [PORTS*18-1:0]  next_share; // blocks of each port
    logic [PORTS-1:0]     sent;
    logic                 next_error;
    logic [7:0]           next_code;
    logic [63:0]          next_info;
    logic [31:0]          next_read;

    wire [17:0] next_blocks = next[8*LM_DESC_COUNT + 3 +: 18];
    wire [15:0] inputs      = next[8*LM_DESC_INPUTS +: 16];
    wire [7:0]  bits        = next[8*LM_DESC_FORMAT +: 8];
    wire        next_wide   = next[8*LM_DESC_PLANES +: 8] == 8'd2;
    wire        next_16     = next[8*LM_DESC_WEIGHT_GROUP +: 8] == 8'd16;
    wire [AW:0] next_groups = (AW + 1)'({(inputs + 16'd31) >> 5, 1'b0}); // Kp / 16
    // Beats of a block: a frame of 16 groups has one of scales, or two
    wire [10:0] frames      = (11'(next_groups) + 11'd15) >> 4;
    wire [11:0] block_beats = (12'(next_groups) + (next_16 ? {frames, 1'b0} : 12'(frames))) << next_wide;

    wire [6:0]  divided  = {remainder, dividend[17]};
    wire        fits     = divided >= 7'(next_length);
    wire [7:0]  port     = next_pattern[8*step +: 8];
    wire [17:0] of_place = quotient + 18'(step < remainder);
    wire        bad      = next_length == 8'd0 || next_length > 8'(LM_PORT_PATTERN) || port >= 8'(PORTS);

    // A master that failed under the descriptor before keeps what it has to say until that one has ended
    wire [PORTS-1:0] may_send = ~sent & w_arrived & ~(w_hurt & {PORTS{!claimed}});
    logic            claimed;
    wire             takes    = ahead == AHEAD && state == TAKE;
    assign full     = ahead != EMPTY;
    assign send     = ahead == SEND ? may_send : '0;
    assign t_addr   = next[8*LM_DESC_A0 +: 64];
    assign t_beats  = 32'(TABLE_BEATS);
    assign t_mready = ahead == TABLE;

    always_ff @(posedge clk) begin
        if (t_ready) t_valid <= 1'b0;
        w_valid <= w_valid & ~w_ready;
        case (ahead)
            TABLE: if (t_mvalid) begin
                step <= step + 6'd1;
                if (step == 6'd0) {next_pattern, next_length} <= t_mdata;
                for (int p = 0; p < PORTS; p++)
                    if (step == 6'(1 + p / 8)) w_addr[64*p +: 64] <= t_mdata[64*(p % 8) +: 64];
                if (step == 6'(TABLE_BEATS - 1)) begin
                    step      <= '0;
                    dividend  <= next_blocks;
                    remainder <= '0;
                    ahead     <= DIVIDE;
                end
            end
            DIVIDE: begin
                step      <= step + 6'd1;
                dividend  <= dividend << 1;
                quotient  <= {quotient[16:0], fits};
                remainder <= 6'(fits ? divided - 7'(next_length) : divided);
                if (step == 6'd17) begin
                    step       <= '0;
                    next_share <= '0;
                    ahead      <= DEAL;
                end
            end
            DEAL: begin
                step      <= step + 6'd1;
                next_read <= t_read;
                for (int p = 0; p < PORTS; p++)
                    if (port == 8'(p)) next_share[18*p +: 18] <= next_share[18*p +: 18] + of_place;
                if (8'(step) + 8'd1 == next_length) ahead <= SEND;
                if (bad || t_error) begin
                    next_error <= 1'b1;
                    next_code  <= t_error ? t_code : LM_STATUS_SIZE[7:0];
                    next_info  <= t_error ? t_fault : {32'd0, LM_DESC_A0};
                    next_share <= '0;
                    ahead      <= SEND;
                end
            end
            SEND: begin
                for (int p = 0; p < PORTS; p++) if (may_send[p]) begin
                    w_valid[p]          <= next_share[18*p +: 18] != '0;
                    w_beats[32*p +: 32] <= 32'(next_share[18*p +: 18]) * 32'(block_beats);
                end
                sent <= sent | may_send;
                if (sent == '1) ahead <= AHEAD;
            end
            AHEAD: if (takes) ahead <= EMPTY;
            default: ;
        endcase
        if (claim != '0) claimed <= 1'b1;
        if (start != '0) begin
            ahead      <= TABLE;
            next       <= desc;
            sender     <= start[1];
            t_valid    <= 1'b1;
            step       <= '0;
            sent       <= '0;
            next_error <= 1'b0;
            claimed    <= claim != '0;
        end
        if (!rst_n) begin
            ahead   <= EMPTY;
            t_valid <= 1'b0;
            w_valid <= '0;
        end
    end

    // ------------------------------------------------------------------ the descriptor that has the unit
    logic [3:0]           state;
    logic [63:0]          coded;     // addresses
    logic [63:0]          rows;
    logic [63:0]          records;
    logic [17:0]          blocks;
    logic [AW:0]          groups;
    logic [TW:0]          tokens;
    logic [1:0]           mode;
    logic [1:0]           kind;
    logic                 bias;
    logic                 wide;      // two planes
    logic                 group16;
    logic [8*PLACES-1:0]  pattern;
    logic [5:0]           length;
    logic [PORTS*18-1:0]  share;

    wire segments = kind == LM_ROUTE_SEGMENTS[1:0];
    wire residual = kind == LM_ROUTE_RESIDUAL[1:0];

    // Beats of a coded vector
    wire [10:0] scale_beats  = mode == 2'd0 ? 11'd0 : (11'(groups) + 11'd63) >> 6;
    wire [10:0] vector_beats = 11'd1 + scale_beats + ((11'(groups) + 11'd3) >> 2);
    // Of the rows of a token: 32 int16 or 16 int32
    wire [17:0] row_beats    = segments ? (blocks + 18'd3) >> 2 : (blocks + 18'd1) >> 1;

    // ------------------------------------------------------------------ coded vectors
    logic [TW:0]            token;
    logic [AW:0]            group;     // or beat of scales
    logic [511:0]           scales [0:SCALE_BEATS-1];
    logic                   act_valid;
    logic [TW-1:0]          act_token;
    logic [AW-1:0]          act_addr;
    logic [16*ACT_BITS-1:0] act_codes;
    logic [7:0]             act_scale;
    logic [16*TOKENS-1:0]   factors;
    logic [12*TOKENS-1:0]   shifts;

    wire         coded_valid = rd_mvalid[0];
    wire [511:0] coded_data  = rd_mdata[511:0];
    wire         group_end   = group == groups - 1'b1;
    wire         token_end   = token == tokens - 1'b1;
    wire [31:0]  m           = coded_data[63:32];
    wire [31:0]  s           = coded_data[95:64];
    // A factor and a shift that no norm gives: results are 0 or saturated at these limits already
    wire [15:0]  factor      = m[31:16] != '0 ? 16'hffff : m[15:0];
    wire [11:0]  shift       = s[31:11] == {21{s[31]}} ? s[11:0] : {s[31], {11{!s[31]}}};

    assign rd_mready[0] = state == HEADER || state == SCALES
                       || (state == CODES && (group[1:0] == 2'd3 || group_end));

    // ------------------------------------------------------------------ lm_mmu
    wire          cmd_ready;
    wire          e_ready;
    wire          b_ready;
    wire          r_ready;
    wire          m_valid;
    wire          m_ready;
    wire [255:0]  m_data;
    wire [TW-1:0] m_token;
    wire          m_last;

    // Block records: four a beat, or one with biases
    logic [1:0]   record;
    logic [17:0]  records_left;
    wire  [511:0] record_data = rd_mdata[1023:512];
    wire  [1:0]   record_at   = bias ? 2'd0 : record;
    assign rd_mready[1] = e_ready && (bias || record == 2'd3 || records_left == 18'd1);

    // Residual: a beat is two blocks of a vector. The second waits here until the first block of all vectors is done
    logic [255:0]  second [0:TOKENS-1];
    logic          odd;
    logic [TW-1:0] r_token;
    wire  [511:0]  residual_data = rd_mdata[1535:1024];
    assign rd_mready[2] = r_ready && !odd;

    lm_mmu #(.PLACES(PLACES), .LANES(PORTS), .ACT_BITS(ACT_BITS), .TOKENS(TOKENS), .DEPTH(DEPTH), .ROWS(ROWS)) u_mmu (
        .clk(clk), .rst_n(rst_n),
        .act_valid(act_valid), .act_token(act_token), .act_addr(act_addr), .act_codes(act_codes), .act_scale(act_scale),
        .cmd_valid(state == RUN), .cmd_ready(cmd_ready), .cmd_blocks(blocks), .cmd_share(share), .cmd_pattern(pattern),
        .cmd_length(length), .cmd_tokens(tokens), .cmd_base('0), .cmd_groups(groups), .cmd_wide(wide),
        .cmd_group16(group16), .cmd_mode(mode), .cmd_kind(kind), .cmd_bias(bias), .cmd_factor(factors), .cmd_shift(shifts),
        .s_valid(w_mvalid), .s_ready(w_mready), .s_data(w_mdata),
        .e_valid(rd_mvalid[1]), .e_ready(e_ready), .e_data(record_data[128*record_at +: 72]),
        .b_valid(rd_mvalid[1]), .b_ready(b_ready), .b_data(record_data[511:256]),
        .r_valid(odd || rd_mvalid[2]), .r_ready(r_ready), .r_data(odd ? second[r_token] : residual_data[255:0]),
        .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data), .m_token(m_token), .m_last(m_last));

    // ------------------------------------------------------------------ results into beats
    logic [511:0]  gathered [0:TOKENS-1];
    logic [1:0]    quarter;     // of the beat, where a block goes
    logic [17:0]   rows_left;   // in blocks
    logic [TW-1:0] whole;       // vector whose beat is complete
    logic [127:0]  narrow;      // a block as int16
    for (genvar r = 0; r < 8; r++) begin : g_narrow
        assign narrow[16*r +: 16] = m_data[32*r +: 16];
    end

    wire beat_end = quarter == (segments ? 2'd3 : 2'd2) || rows_left == 18'd1;
    assign m_ready  = !wr_svalid || wr_sready;
    assign wr_sdata = gathered[whole];

    always_ff @(posedge clk) begin
        if (wr_svalid && wr_sready) wr_svalid <= 1'b0;
        if (m_valid && m_ready) begin
            for (int q = 0; q < 4; q++) begin
                if (2'(q) == quarter) gathered[m_token][128*q +: 128] <= segments ? narrow : m_data[127:0];
                else if (2'(q) == quarter + 2'd1 && !segments) gathered[m_token][128*q +: 128] <= m_data[255:128];
                else if (quarter == 2'd0) gathered[m_token][128*q +: 128] <= '0;
            end
            whole     <= m_token;
            wr_svalid <= beat_end;
            if ((TW + 1)'(m_token) == tokens - 1'b1) begin
                quarter   <= beat_end ? 2'd0 : quarter + (segments ? 2'd1 : 2'd2);
                rows_left <= rows_left - 18'd1;
            end
        end
        if (takes) begin
            quarter   <= '0;
            rows_left <= next_blocks;
        end
        if (!rst_n) wr_svalid <= 1'b0;
    end

    // ------------------------------------------------------------------ course
    // The lanes have taken all weights by then: what the masters have is another descriptor's
    wire quiet = rd_valid == '0 && wr_valid == '0 && rd_idle == '1 && wr_idle == '1;

    always_ff @(posedge clk) begin
        done      <= '0;
        act_valid <= 1'b0;
        rd_valid  <= rd_valid & ~rd_ready;
        wr_valid  <= wr_valid & ~wr_ready;

        // Streams of lm_mmu
        if (e_ready) begin
            record       <= record + 2'd1;
            records_left <= records_left - 18'd1;
        end
        if (r_ready) begin
            if (!odd) second[r_token] <= residual_data[511:256];
            r_token <= r_token + 1'b1;
            if ((TW + 1)'(r_token) == tokens - 1'b1) begin
                r_token <= '0;
                odd     <= !odd;
            end
        end

        case (state)
            TAKE: if (takes) state <= next_error ? DRAIN : ISSUE;
            ISSUE: begin
                rd_valid[1]     <= 1'b1;
                rd_addr[127:64] <= records;
                rd_beats[63:32] <= bias ? 32'(blocks) : (32'(blocks) + 32'd3) >> 2;
                wr_valid        <= 1'b1;
                wr_addr         <= rows;
                wr_beats        <= 32'(row_beats) * 32'(tokens);
                state           <= HOLD;
            end
            HOLD: if (!hold[owner]) begin
                rd_valid[0]      <= 1'b1;
                rd_addr[63:0]    <= coded;
                rd_beats[31:0]   <= 32'(vector_beats) * 32'(tokens);
                rd_valid[2]      <= residual;
                rd_addr[191:128] <= rows;
                rd_beats[95:64]  <= 32'(row_beats) * 32'(tokens);
                token            <= '0;
                state            <= HEADER;
            end
            HEADER: if (coded_valid) begin
                factors[16*token[TW-1:0] +: 16] <= factor;
                shifts[12*token[TW-1:0] +: 12]  <= shift;
                group <= '0;
                state <= mode == 2'd0 ? CODES : SCALES;
            end
            SCALES: if (coded_valid) begin
                scales[CW'(group)] <= coded_data;
                group <= group + 1'b1;
                if (11'(group) + 11'd1 == scale_beats) begin
                    group <= '0;
                    state <= CODES;
                end
            end
            CODES: if (coded_valid) begin
                act_valid <= 1'b1;
                act_token <= token[TW-1:0];
                act_addr  <= group[AW-1:0];
                act_scale <= scales[CW'(group >> 6)][8*group[5:0] +: 8];
                for (int i = 0; i < 16; i++)
                    act_codes[ACT_BITS*i +: ACT_BITS] <= coded_data[128*group[1:0] + 8*i +: ACT_BITS];
                group <= group + 1'b1;
                if (group_end) begin
                    token <= token + 1'b1;
                    state <= token_end ? RUN : HEADER;
                end
            end
            RUN: if (cmd_ready) state <= WRITE;
            WRITE: if (m_valid && m_ready && m_last) state <= DRAIN;
            DRAIN: if (quiet && !wr_svalid) begin
                done[owner] <= 1'b1;
                state       <= REST;
            end
            default: ;
        endcase

        if (takes) begin
            coded        <= next[8*LM_DESC_A1 +: 64];
            rows         <= next[8*LM_DESC_A2 +: 64];
            records      <= next[8*LM_DESC_A3 +: 64];
            blocks       <= next_blocks;
            records_left <= next_blocks;
            groups       <= next_groups;
            tokens       <= (TW + 1)'(next[8*LM_DESC_TOKENS +: 8]);
            mode         <= bits == 8'd8 ? 2'd0 : (bits == 8'd6 ? 2'd2 : 2'd1);
            kind         <= next[8*LM_DESC_ROUTE +: 2];
            bias         <= (next[8*LM_DESC_FLAGS +: 8] & LM_FLAG_BIAS[7:0]) != '0;
            wide         <= next_wide;
            group16      <= next_16;
            pattern      <= next_pattern;
            length       <= next_length[5:0];
            share        <= next_share;
            record       <= '0;
            odd          <= 1'b0;
            r_token      <= '0;
            error        <= next_error;
            code         <= next_code;
            info         <= next_info;
            table_read   <= next_read;
        end
        if (claim != '0) begin
            owner      <= claim[1];
            error      <= 1'b0;
            table_read <= '0;
            state      <= TAKE;
        end

        if (!rst_n) begin
            state     <= REST;
            done      <= '0;
            error     <= 1'b0;
            owner     <= 1'b0;
            act_valid <= 1'b0;
            rd_valid  <= '0;
            wr_valid  <= '0;
        end
    end

    wire unused = &{1'b0, next, b_ready, record_data, next_length};
endmodule
