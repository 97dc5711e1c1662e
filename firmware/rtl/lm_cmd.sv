// The command processor: fetches descriptors from the ring, checks them, starts units, writes completions.
//
// Issue is in order: a descriptor starts when its unit is at rest (with LM_FLAG_WAIT, and for FENCE: when all are). Different units work at the
// same time; one that follows another (LM_FLAG_FOLLOW) is held until that one has ended, and is given up when it failed. Completions are written as units end. After an error nothing more starts, what runs ends, and the device halts until a reset. The error that is told is
// the one with the lowest sequence number.
//
// Host words (lm_regs):  head, reset, enable, ring_log2, ring, completions, watchdog.
// Device words:          state, head_seen, completed, errors, error_*, resets, busy.
// Unit u (LM_UNIT_*; 0 is this module):
//   u_start[u]  one cycle, u_desc holds the descriptor in that cycle; also the moment to clear the errors of the unit's masters
//   u_done[u]   one cycle, when everything is written and answered
//   u_abort[u]  from the watchdog or a reset until the unit is done: its masters give up (poison), so the unit runs dry quickly
//   u_hold[u]   it follows (LM_FLAG_FOLLOW) the descriptor before, whose unit is u_after and has not ended
//   u_reset[u]  the unit did not even then end: its logic is to be reset, while its masters are idle
//   u_quiet[u]  all masters of the unit are idle
//   u_error, u_code, u_info, u_read, u_written: what its masters say: error, LM_STATUS_*, address, beats
// With MULTIPLIES = 2 the MMU has two descriptors at a time, by turns as units LM_UNIT_MMU and 7: the younger one fetches weights ahead, and
//   m_claim  one cycle for each of them (LM_UNIT_MMU lowest): all else of the unit is its own from here on, since the older one's completion is written
//   m_full   the unit has no room for another descriptor
// Ring: read and write master of its own (f_*, w_*).
// irq: one cycle, after an error or a descriptor with LM_FLAG_INTERRUPT has its completion in memory.
// Cycles from the doorbell to the start of a unit: one memory latency and 6; the next descriptor is fetched while a unit works.
module lm_cmd #(
    parameter int UNITS        = 7,
    parameter int PRESENT      = 3,
    parameter int TOKENS       = 4,
    parameter int ACT_BITS     = 8,
    parameter int MAX_INPUTS   = 8192,
    parameter int MAX_ROWS     = 1048576,
    parameter int MAX_HEADS    = 128,
    parameter int MAX_HEAD_DIM = 128,
    parameter int MAX_STATE    = 512,
    parameter int MAX_GROUPS   = 16,
    parameter int MAX_COPY     = 67108864,
    parameter int MAX_WORDS    = 64,
    parameter int MAX_TAPS     = 32768,
    parameter int MAX_ORDER    = 64,
    parameter int MAX_LOG2     = 7,
    parameter int MULTIPLIES   = 1
) (
    input  logic                clk,
    input  logic                rst_n,

    input  logic [31:0]         head,
    input  logic [31:0]         reset,
    input  logic                enable,
    input  logic [31:0]         ring_log2,
    input  logic [63:0]         ring,
    input  logic [63:0]         completions,
    input  logic [31:0]         watchdog,

    output logic [31:0]         state,
    output logic [31:0]         head_seen,
    output logic [31:0]         completed,
    output logic [31:0]         errors,
    output logic [31:0]         error_sequence,
    output logic [31:0]         error_status,
    output logic [63:0]         error_info,
    output logic [31:0]         resets,
    output logic [63:0]         cycles,
    output logic [63:0]         busy_cycles,
    output logic                working,
    output logic                irq,

    // Descriptors
    output logic                f_valid,
    input  logic                f_ready,
    output logic [63:0]         f_addr,
    input  logic                f_data_valid,
    output logic                f_data_ready,
    input  logic [511:0]        f_data,
    input  logic                f_error,
    input  logic [7:0]          f_code,
    output logic                f_clear,

    // Completions
    output logic                w_valid,
    input  logic                w_ready,
    output logic [63:0]         w_addr,
    output logic                w_data_valid,
    input  logic                w_data_ready,
    output logic [511:0]        w_data,
    input  logic                w_idle,
    input  logic                w_error,
    output logic                w_clear,

    // Units
    output logic [511:0]        u_desc,
    output logic [UNITS-1:0]    u_start,
    input  logic [UNITS-1:0]    u_done,
    output logic [UNITS-1:0]    u_hold,
    output logic [UNITS*3-1:0]  u_after,
    output logic [UNITS-1:0]    u_abort,
    output logic [UNITS-1:0]    u_reset,
    input  logic [UNITS-1:0]    u_quiet,
    input  logic [UNITS-1:0]    u_error,
    input  logic [UNITS*8-1:0]  u_code,
    input  logic [UNITS*64-1:0] u_info,
    input  logic [UNITS*32-1:0] u_read,
    input  logic [UNITS*32-1:0] u_written,
    output logic [1:0]          m_claim,
    input  logic                m_full
);
    `include "lm_device.svh"

    // ------------------------------------------------------------------------------------------------ what the units are at
    logic [UNITS-1:0]    busy;      // has a descriptor whose completion is not written yet
    logic [UNITS-1:0]    ended;     // of these: ready for the completion
    logic [UNITS-1:0]    timed_out;
    logic [UNITS-1:0]    aborted;
    logic [UNITS*32-1:0] slot_sequence;
    logic [UNITS*8-1:0]  slot_op;
    logic [UNITS-1:0]    slot_interrupt;
    logic [UNITS*64-1:0] slot_start;
    logic [UNITS*32-1:0] slot_cycles;
    logic [UNITS*32-1:0] slot_held;
    logic [UNITS*8-1:0]  slot_code; // found by this module
    logic [UNITS*64-1:0] slot_info;
    logic [UNITS*32-1:0] timer;
    logic [UNITS*UNITS-1:0] elders; // of each unit: which were busy when it started

    // ------------------------------------------------------------------------------------------------ issue
    localparam logic [2:0] OFF = 3'd0, READY = 3'd1, FETCH = 3'd2, CHECK = 3'd3, ISSUE = 3'd4, FAIL = 3'd5, ABORT = 3'd6;

    logic [2:0]   step;
    logic [31:0]  next;      // sequence number of the next descriptor
    logic         halted;
    logic [511:0] desc;
    logic [7:0]   fail_code;
    logic [63:0]  fail_info;
    logic         ring_lost; // completions cannot be written

    wire ring_ok = ring_log2 >= LM_RING_LOG2_MIN && ring_log2 <= LM_RING_LOG2_MAX
                   && ring[5:0] == 6'd0 && completions[5:0] == 6'd0;
    wire [31:0] entries = 32'd1 << ring_log2[3:0];
    wire [31:0] mask    = entries - 32'd1;

    wire [7:0]  check_status, check_unit;
    wire [31:0] check_info;
    lm_check #(
        .UNITS(UNITS), .PRESENT(PRESENT), .TOKENS(TOKENS), .ACT_BITS(ACT_BITS), .MAX_INPUTS(MAX_INPUTS), .MAX_ROWS(MAX_ROWS),
        .MAX_HEADS(MAX_HEADS), .MAX_HEAD_DIM(MAX_HEAD_DIM), .MAX_STATE(MAX_STATE), .MAX_GROUPS(MAX_GROUPS), .MAX_COPY(MAX_COPY),
        .MAX_WORDS(MAX_WORDS), .MAX_TAPS(MAX_TAPS), .MAX_ORDER(MAX_ORDER), .MAX_LOG2(MAX_LOG2)
    ) u_check (.desc, .expected(next), .status(check_status), .info(check_info), .unit(check_unit));

    logic [7:0] unit;
    logic       alone;   // waits until all others have ended
    logic       follows; // reads what the descriptor before makes
    logic [2:0] latest;  // the unit of that one
    // Whose turn of the two descriptors of the MMU it is; they wait for each other
    localparam int MMU    = LM_UNIT_MMU;
    localparam int SECOND = MULTIPLIES == 2 ? 7 : MMU;
    logic       second;
    logic [1:0] m_waits;
    wire        is_mmu = unit == 8'(MMU) || unit == 8'(SECOND);
    wire [1:0]  m_busy = {MULTIPLIES == 2 && busy[SECOND], busy[MMU]};

    wire        may_start = is_mmu && (m_full || u_reset != '0) ? 1'b0 : alone ? busy == '0 : !busy[unit[2:0]] && !(follows && ended[latest]);
    wire [UNITS-1:0] failed = u_error | timed_out | aborted;

    function automatic logic waits(input int u);
        waits = (u == MMU && m_waits[0]) || (MULTIPLIES == 2 && u == SECOND && m_waits[1]);
    endfunction

    assign u_desc       = desc;
    assign f_data_ready = step == FETCH;

    // ------------------------------------------------------------------------------------------------ retire
    localparam logic [1:0] LOOK = 2'd0, SEND = 2'd1, WAIT = 2'd2;

    logic [1:0] retire;
    logic [2:0] r_unit;
    logic [7:0] r_code;

    logic [2:0]  pick;
    logic [31:0] oldest; // sequence number below which everything has ended
    always_comb begin
        pick   = '0;
        oldest = next;
        for (int u = UNITS - 1; u >= 0; u--) begin
            if (ended[u]) pick = 3'(u);
            if (busy[u] && (elders[UNITS*u +: UNITS] & busy) == '0) oldest = slot_sequence[32*u +: 32];
        end
    end

    wire [7:0] pick_code = slot_code[8*pick +: 8] != 8'd0 ? slot_code[8*pick +: 8]
                         : timed_out[pick] ? LM_STATUS_TIMEOUT[7:0]
                         : aborted[pick] ? LM_STATUS_ABORTED[7:0]
                         : u_error[pick] ? u_code[8*pick +: 8] : LM_STATUS_OK[7:0];
    wire [63:0] pick_info = slot_code[8*pick +: 8] != 8'd0 ? slot_info[64*pick +: 64]
                          : u_error[pick] && !timed_out[pick] && !aborted[pick] ? u_info[64*pick +: 64] : 64'd0;
    wire [31:0] pick_sequence = slot_sequence[32*pick +: 32];

    assign state = step == ABORT ? LM_STATE_ABORTING : halted && busy == '0 ? LM_STATE_HALTED
                 : working ? LM_STATE_RUNNING : LM_STATE_IDLE;
    // Something is going on, or will without the host
    assign working = (step != OFF && step != READY) || busy != '0 || retire != LOOK || completed != next
                     || (step == READY && (reset != resets || (!halted && head != next))) || (step == OFF && (enable || reset != resets));

    always_ff @(posedge clk) begin
        u_start   <= '0;
        irq <= 1'b0;
        f_clear   <= 1'b0;
        w_clear   <= 1'b0;
        cycles    <= cycles + 64'd1;
        head_seen <= head;
        completed <= oldest;
        if (busy != '0) busy_cycles <= busy_cycles + 64'd1;
        if (f_valid && f_ready) f_valid <= 1'b0;
        if (w_valid && w_ready) w_valid <= 1'b0;
        if (w_data_valid && w_data_ready) w_data_valid <= 1'b0;

        // The younger of the MMU's two goes on when the older has its completion
        m_claim <= m_waits & ~{m_busy[0], m_busy[1]};
        m_waits <= m_waits & {m_busy[0], m_busy[1]};

        // Units at work
        for (int u = 1; u < UNITS; u++) begin
            if (busy[u] && !ended[u]) begin
                if (!u_hold[u] && !waits(u)) timer[32*u +: 32] <= timer[32*u +: 32] + 32'd1;
                else slot_held[32*u +: 32] <= slot_held[32*u +: 32] + 32'd1;
                if (u_hold[u] && !(busy[u_after[3*u +: 3]] && !ended[u_after[3*u +: 3]])) begin
                    u_hold[u] <= 1'b0;
                    if (failed[u_after[3*u +: 3]]) begin
                        aborted[u] <= 1'b1;
                        u_abort[u] <= 1'b1;
                    end
                end
                if (watchdog != 32'd0 && timer[32*u +: 32] == watchdog) begin
                    // First it is given up; when that does not help, it is reset
                    timed_out[u]      <= 1'b1;
                    u_abort[u]        <= 1'b1;
                    u_reset[u]        <= u_abort[u];
                    // Both descriptors of the MMU end with it
                    if (MULTIPLIES == 2 && u_abort[u] && (u == MMU || u == SECOND)) for (int s = 1; s < UNITS; s++) begin
                        if ((s == MMU || s == SECOND) && busy[s] && !ended[s]) begin
                            aborted[s] <= 1'b1;
                            u_abort[s] <= 1'b1;
                            u_reset[s] <= 1'b1;
                        end
                    end
                    timer[32*u +: 32] <= '0;
                end
                slot_cycles[32*u +: 32] <= slot_cycles[32*u +: 32] + 32'd1;
                if (u_done[u] || (u_reset[u] && u_quiet[u])) begin
                    ended[u]   <= 1'b1;
                    u_hold[u]  <= 1'b0;
                    u_abort[u] <= 1'b0;
                    u_reset[u] <= 1'b0;
                end
                if (step == ABORT && !u_done[u]) begin
                    aborted[u] <= 1'b1;
                    u_abort[u] <= 1'b1;
                end
            end
        end

        // Completions
        case (retire)
            LOOK: if (ended != '0) begin
                r_unit       <= pick;
                r_code       <= pick_code;
                w_valid      <= ring_ok && !ring_lost;
                w_data_valid <= ring_ok && !ring_lost;
                w_addr       <= completions + {26'd0, pick_sequence & mask, 6'd0};
                w_data       <= '0;
                w_data[8*LM_DONE_SEQUENCE +: 32]      <= pick_sequence;
                w_data[8*LM_DONE_STATUS +: 8]         <= pick_code;
                w_data[8*LM_DONE_OPCODE +: 8]         <= slot_op[8*pick +: 8];
                w_data[8*LM_DONE_UNIT +: 8]           <= pick == 3'(SECOND) ? 8'(MMU) : {5'd0, pick};
                w_data[8*LM_DONE_INFO +: 64]          <= pick_info;
                w_data[8*LM_DONE_START +: 64]         <= slot_start[64*pick +: 64];
                w_data[8*LM_DONE_CYCLES +: 32]        <= slot_cycles[32*pick +: 32];
                w_data[8*LM_DONE_BEATS_READ +: 32]    <= u_read[32*pick +: 32];
                w_data[8*LM_DONE_BEATS_WRITTEN +: 32] <= u_written[32*pick +: 32];
                w_data[8*LM_DONE_HELD +: 32]          <= slot_held[32*pick +: 32];
                w_data[8*LM_DONE_DONE +: 32]          <= pick_sequence ^ LM_DONE_XOR;
                retire       <= SEND;
                if (pick_code != LM_STATUS_OK[7:0]) begin
                    errors <= errors + 32'd1;
                    halted <= 1'b1;
                    if (!halted || $signed(pick_sequence - error_sequence) < 0) begin
                        error_sequence <= pick_sequence;
                        error_status   <= {24'd0, pick_code};
                        error_info     <= pick_info;
                    end
                end
            end
            SEND: if (!w_valid && !w_data_valid) retire <= WAIT;
            default: if (w_idle) begin
                retire        <= LOOK;
                busy[r_unit]  <= 1'b0;
                ended[r_unit] <= 1'b0;
                irq     <= slot_interrupt[r_unit] || r_code != LM_STATUS_OK[7:0];
                if (w_error && !ring_lost) begin
                    // Nobody will read it there: the registers tell
                    ring_lost      <= 1'b1;
                    halted         <= 1'b1;
                    errors         <= errors + 32'd1;
                    error_sequence <= w_data[8*LM_DONE_SEQUENCE +: 32];
                    error_status   <= LM_STATUS_RING;
                    error_info     <= w_addr;
                end
            end
        endcase

        // Descriptors
        case (step)
            OFF: if (reset != resets) step <= ABORT;
            else if (enable) begin
                step      <= READY;
                next      <= head;
                completed <= head;
            end
            READY: begin
                if (reset != resets) step <= ABORT;
                else if (!enable && busy == '0) step <= OFF;
                else if (enable && !halted && head != next) begin
                    if (!ring_ok || head - next > entries) begin
                        step      <= FAIL;
                        fail_code <= LM_STATUS_RING[7:0];
                        fail_info <= {32'd0, head - next};
                        desc      <= '0;
                    end else begin
                        step    <= FETCH;
                        f_valid <= 1'b1;
                        f_addr  <= ring + {26'd0, next & mask, 6'd0};
                    end
                end
            end
            FETCH: if (f_data_valid) begin
                desc      <= f_data;
                step      <= f_error ? FAIL : CHECK;
                fail_code <= f_code == LM_STATUS_BUS[7:0] ? f_code : LM_STATUS_RING[7:0];
                fail_info <= f_addr;
            end
            CHECK: begin
                step      <= check_status == LM_STATUS_OK[7:0] ? ISSUE : FAIL;
                fail_code <= check_status;
                fail_info <= {32'd0, check_info};
                unit      <= second && check_unit == 8'(MMU) ? 8'(SECOND) : check_unit;
                follows   <= (desc[8*LM_DESC_FLAGS +: 8] & LM_FLAG_FOLLOW[7:0]) != 8'd0;
                alone     <= (desc[8*LM_DESC_FLAGS +: 8] & LM_FLAG_WAIT[7:0]) != 8'd0
                             || desc[8*LM_DESC_OPCODE +: 8] == LM_OP_FENCE[7:0];
            end
            ISSUE: begin
                if (halted || reset != resets) step <= READY;
                else if (may_start) begin
                    step                              <= READY;
                    next                              <= next + 32'd1;
                    busy[unit[2:0]]                   <= 1'b1;
                    ended[unit[2:0]]                  <= unit == 8'd0;
                    u_start[unit[2:0]]                <= 1'b1;
                    timed_out[unit[2:0]]              <= 1'b0;
                    aborted[unit[2:0]]                <= 1'b0;
                    latest         <= unit[2:0];
                    if (is_mmu && MULTIPLIES == 2) second <= !second;
                    if (is_mmu) m_waits[second] <= m_busy[!second];
                    if (is_mmu) m_claim[second] <= !m_busy[!second];
                    u_after[3*unit[2:0] +: 3]         <= latest;
                    u_hold[unit[2:0]]                 <= follows && !alone && busy[latest];
                    for (int u = 0; u < UNITS; u++)
                        elders[UNITS*u +: UNITS] <= unit[2:0] == 3'(u) ? busy : elders[UNITS*u +: UNITS] & ~(UNITS'(1) << unit[2:0]);
                    slot_sequence[32*unit[2:0] +: 32] <= next;
                    slot_op[8*unit[2:0] +: 8]         <= desc[8*LM_DESC_OPCODE +: 8];
                    slot_interrupt[unit[2:0]]         <= (desc[8*LM_DESC_FLAGS +: 8] & LM_FLAG_INTERRUPT[7:0]) != 8'd0;
                    slot_start[64*unit[2:0] +: 64]    <= cycles;
                    slot_cycles[32*unit[2:0] +: 32]   <= '0;
                    slot_held[32*unit[2:0] +: 32]     <= '0;
                    slot_code[8*unit[2:0] +: 8]       <= LM_STATUS_OK[7:0];
                    timer[32*unit[2:0] +: 32]         <= '0;
                end
            end
            FAIL: begin
                if (halted) step <= READY;
                else if (busy == '0) begin
                    // After all earlier ones, which may fail themselves: the error that is told is the oldest
                    step                 <= READY;
                    next                 <= next + 32'd1;
                    busy[0]              <= 1'b1;
                    ended[0]             <= 1'b1;
                    timed_out[0]         <= 1'b0;
                    aborted[0]           <= 1'b0;
                    slot_sequence[31:0]  <= next;
                    slot_op[7:0]         <= desc[8*LM_DESC_OPCODE +: 8];
                    slot_interrupt[0]    <= 1'b1;
                    slot_start[63:0]     <= cycles;
                    slot_cycles[31:0]    <= '0;
                    slot_held[31:0]      <= '0;
                    slot_code[7:0]       <= fail_code;
                    slot_info[63:0]      <= fail_info;
                    halted               <= 1'b1;
                    error_sequence       <= next;
                    error_status         <= {24'd0, fail_code};
                    error_info           <= fail_info;
                end
            end
            default: if (busy == '0 && retire == LOOK) begin
                // All is quiet: drop what was queued, forget the error
                step      <= READY;
                next      <= head;
                completed <= head;
                halted    <= 1'b0;
                ring_lost <= 1'b0;
                resets    <= reset;
                f_clear   <= 1'b1;
                w_clear   <= 1'b1;
            end
        endcase

        if (!rst_n) begin
            step           <= OFF;
            retire         <= LOOK;
            next           <= '0;
            halted         <= 1'b0;
            ring_lost      <= 1'b0;
            second         <= 1'b0;
            m_waits        <= '0;
            m_claim        <= '0;
            busy           <= '0;
            ended          <= '0;
            u_abort        <= '0;
            u_reset        <= '0;
            u_hold         <= '0;
            latest         <= '0;
            aborted        <= '0;
            timed_out      <= '0;
            slot_code      <= '0;
            slot_info      <= '0;
            f_valid        <= 1'b0;
            w_valid        <= 1'b0;
            w_data_valid   <= 1'b0;
            completed      <= '0;
            errors         <= '0;
            error_sequence <= '0;
            error_status   <= '0;
            error_info     <= '0;
            resets         <= '0;
            cycles         <= '0;
            busy_cycles    <= '0;
            head_seen      <= '0;
        end
    end

    wire unused = &{1'b0, u_done[0], u_quiet[0], unit[7:3]};
endmodule
