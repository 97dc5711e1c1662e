// The convolution's ring of a layer on chip: int16 [W - 1][C], as it lies in memory (docs/format.md, Saved state). Channel c of slot s is
// value s · C + c, so slots begin anywhere in a beat.
//
// cfg_*:        channels C, older W - 1 (1 .. 3, older · C <= TAPS), beats of the whole, slot that a token's inputs go to. Stable while in use.
// clear:        a pulse; s_* then brings the ring from its beginning. Every beat is taken.
// store:        a pulse; the ring then leaves through m_*, cfg_beats beats.
// run, first:   a pulse: channels first, first + 1, … follow. What the run before had left is dropped.
// valid, taps:  the next channel's older inputs, slot 0 lowest; slots from cfg_older on are anything.
// take, raw:    that channel leaves; its new input goes into cfg_slot.
// A run may only reach channels whose inputs of the token before are in. Filling, runs and storing exclude one another.
// Latency from run to valid 5 to 9 cycles, throughput a channel a cycle.
module lm_taps #(
    parameter int TAPS = 32768 // values; a power of two
) (
    input  logic         clk,
    input  logic         rst_n,
    input  logic [13:0]  cfg_channels,
    input  logic [1:0]   cfg_older,
    input  logic [10:0]  cfg_beats,
    input  logic [1:0]   cfg_slot,
    input  logic         clear,
    input  logic         s_valid,
    input  logic [511:0] s_data,
    input  logic         store,
    output logic         m_valid,
    input  logic         m_ready,
    output logic [511:0] m_data,
    input  logic         run,
    input  logic [13:0]  first,
    output logic         valid,
    output logic [47:0]  taps,
    input  logic         take,
    input  logic [15:0]  raw
);
    localparam int TW = $clog2(TAPS);
    localparam int BW = TW - 5; // of a beat's address
    localparam int PW = TW - 3; // of a piece's: 8 values, a quarter of a beat

    // First value of each slot's channel `first`
    wire [TW-1:0] begin0 = TW'(first);
    wire [TW-1:0] begin1 = TW'(first) + TW'(cfg_channels);
    wire [TW-1:0] begin2 = TW'(first) + TW'({cfg_channels, 1'b0});

    // ------------------------------------------------------------ memory: one write port, one read port
    logic [511:0]  mem [0:TAPS/32-1];
    logic [BW-1:0] fill;
    logic [TW-1:0] place;  // of the value that the next `take` writes
    wire  [BW-1:0] w_at = s_valid ? fill : place[TW-1:5];
    always_ff @(posedge clk) begin
        if (s_valid || take) begin
            for (int i = 0; i < 32; i++)
                if (s_valid || place[4:0] == 5'(i)) mem[w_at][16*i +: 16] <= s_valid ? s_data[16*i +: 16] : raw;
        end
        if (clear) fill <= '0;
        else if (s_valid) fill <= fill + 1'b1;
        if (run) place <= cfg_slot == 2'd0 ? begin0 : cfg_slot == 2'd1 ? begin1 : begin2;
        else if (take) place <= place + 1'b1;
    end

    logic          storing;
    logic [10:0]   sent;
    logic [3*PW-1:0] at;     // next piece of each slot
    logic [2:0]    wants, coming;
    wire  [1:0]    who = wants[0] ? 2'd0 : wants[1] ? 2'd1 : 2'd2;
    wire  [PW-1:0] piece = at[PW*who +: PW];
    wire           sends = storing && sent != cfg_beats && (!m_valid || m_ready);
    wire           fetch = wants != 3'd0;
    wire  [BW-1:0] r_at = storing ? BW'(sent) : piece[PW-1:2];
    logic [511:0]  q;
    logic [1:0]    quarter;
    always_ff @(posedge clk) if (sends || fetch) q <= mem[r_at];
    assign m_data = q;
    wire [127:0]   values = q[128*quarter +: 128];

    always_ff @(posedge clk) begin
        if (m_valid && m_ready) m_valid <= 1'b0;
        if (sends) begin
            m_valid <= 1'b1;
            sent    <= sent + 11'd1;
        end
        if (storing && sent == cfg_beats && (!m_valid || m_ready)) storing <= 1'b0;
        if (store) begin
            storing <= 1'b1;
            sent    <= '0;
        end
        quarter <= piece[1:0];
        if (!rst_n) begin
            storing <= 1'b0;
            m_valid <= 1'b0;
        end
    end

    // ------------------------------------------------------------ a queue of two pieces a slot
    logic       running; // false: nothing to fetch yet
    wire  [2:0] there;
    always_ff @(posedge clk) begin
        if (run) running <= 1'b1;
        if (clear || store || !rst_n) running <= 1'b0;
    end
    for (genvar i = 0; i < 3; i++) begin : g_slot
        wire [4:0]     level;
        wire           room;
        logic [2:0]    skip;  // values before the run's first one
        wire           skips = skip != 3'd0 && level >= {2'd0, skip};
        wire           pops  = take && 2'(i) < cfg_older;
        wire [TW-1:0]  begins = i == 0 ? begin0 : i == 1 ? begin1 : begin2;
        assign wants[i] = running && !run && 2'(i) < cfg_older && room && !coming[i];
        assign there[i] = 2'(i) >= cfg_older || (level != 5'd0 && skip == 3'd0);
        always_ff @(posedge clk) begin
            coming[i] <= fetch && who == 2'(i) && rst_n;
            if (run) at[PW*i +: PW] <= begins[TW-1:3];
            else if (fetch && who == 2'(i)) at[PW*i +: PW] <= piece + 1'b1;
            if (run) skip <= begins[2:0];
            else if (skips) skip <= 3'd0;
        end
        lm_unpack #(.WIDTH(16), .ELEMENTS(8), .OUT(1)) u_queue (
            .clk, .rst_n, .clear(run), .s_valid(coming[i]), .s_ready(room), .s_data(values), .level, .data(taps[16*i +: 16]),
            .pop(skips ? {2'd0, skip} : {4'd0, pops}));
    end
    assign valid = running && there == 3'd7;
endmodule
