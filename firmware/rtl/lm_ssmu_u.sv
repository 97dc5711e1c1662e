// u of the tokens to memory (docs/device.md, u): of each its vector, then the header before it.
//
// begins:   a pulse while not busy; cfg_* stable until it is not: tokens, E, beats of a vector, grouped norm, address of the first header.
// u_*:      int18, E of each token. factor_*: {Σ g² + epsilon, s, m} of lm_gate, one a token.
// c_*, s_*: a write master. busy falls when all commands and data are with it.
// Of a grouped norm, whose factors are inside u, the header is (2^15, 15) and 0.
// Throughput a value a cycle; 4 cycles a token beside.
module lm_ssmu_u (
    input  logic         clk,
    input  logic         rst_n,
    input  logic         begins,
    output logic         busy,
    input  logic [7:0]   cfg_tokens,
    input  logic [13:0]  cfg_inner,
    input  logic [9:0]   cfg_beats,
    input  logic         cfg_grouped,
    input  logic [63:0]  cfg_addr,
    input  logic         u_valid,
    output logic         u_ready,
    input  logic [17:0]  u_data,
    input  logic         factor_valid,
    output logic         factor_ready,
    input  logic [87:0]  factor_data,
    output logic         c_valid,
    input  logic         c_ready,
    output logic [63:0]  c_addr,
    output logic [31:0]  c_beats,
    output logic         s_valid,
    input  logic         s_ready,
    output logic [511:0] s_data
);
    localparam logic [2:0] REST = 3'd0, OPEN = 3'd1, VALUES = 3'd2, FLUSH = 3'd3, LEAVE = 3'd4, HEADER = 3'd5, FACTOR = 3'd6;
    logic [2:0]   step;
    logic [7:0]   left;   // tokens
    logic [13:0]  count;  // values of this one
    logic [63:0]  header; // its address

    wire          room, pack_valid, pack_empty;
    wire [511:0]  pack_data;
    wire          takes = u_valid && u_ready;
    lm_pack #(.WIDTH(32), .ELEMENTS(16), .IN(1)) u_pack (
        .clk, .rst_n, .ready(room), .push({4'd0, takes}), .data({{14{u_data[17]}}, u_data}), .flush(step == FLUSH), .m_valid(pack_valid),
        .m_ready(s_ready && step != FACTOR), .m_data(pack_data), .empty(pack_empty));

    wire [15:0]   m   = cfg_grouped ? 16'h8000 : factor_data[15:0];
    wire [31:0]   s   = cfg_grouped ? 32'd15 : {{24{factor_data[23]}}, factor_data[23:16]};
    wire [63:0]   sum = cfg_grouped ? 64'd0 : factor_data[87:24];

    assign busy         = step != REST || c_valid;
    assign u_ready      = step == VALUES && room;
    assign s_valid      = step == FACTOR ? factor_valid : pack_valid;
    assign s_data       = step == FACTOR ? {384'd0, sum, s, 16'd0, m} : pack_data;
    assign factor_ready = step == FACTOR && s_ready;

    always_ff @(posedge clk) begin
        if (c_valid && c_ready) c_valid <= 1'b0;
        case (step)
            OPEN: if (!c_valid) begin
                c_valid <= 1'b1;
                c_addr  <= header + 64'd64;
                c_beats <= {22'd0, cfg_beats};
                count   <= '0;
                step    <= VALUES;
            end
            VALUES: if (takes) begin
                count <= count + 14'd1;
                if (count + 14'd1 == cfg_inner) step <= FLUSH;
            end
            FLUSH: step <= LEAVE;
            LEAVE: if (pack_empty && !c_valid) step <= HEADER;
            HEADER: begin
                c_valid <= 1'b1;
                c_addr  <= header;
                c_beats <= 32'd1;
                step    <= FACTOR;
            end
            FACTOR: if (factor_valid && s_ready) begin
                header <= header + {48'd0, cfg_beats, 6'd0} + 64'd64;
                left   <= left - 8'd1;
                step   <= left == 8'd1 ? REST : OPEN;
            end
            default: if (begins) begin
                header <= cfg_addr;
                left   <= cfg_tokens;
                step   <= OPEN;
            end
        endcase
        if (!rst_n) begin
            step    <= REST;
            c_valid <= 1'b0;
        end
    end
endmodule
