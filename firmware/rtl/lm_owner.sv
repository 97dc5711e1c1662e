// Whose weights are at a port: the MMU may have two descriptors (lm_cmd, MULTIPLIES), and each port goes over to the younger one by itself.
//
// start:    a pulse for each of the two: it begins, nothing at any port is its own. send, sender: a port is the sender's from here on.
// w_*:      what the ports' masters say, which start anew at send: beats read, errors.
// giving:   which of the two is given up; poison: of the ports that are that one's, or one's who fails.
// read, error, code, info: of the two: beats of all ports, and the first error.
module lm_owner #(
    parameter int PORTS = 1
) (
    input  logic                clk,
    input  logic                rst_n,
    input  logic [1:0]          start,
    input  logic [PORTS-1:0]    send,
    input  logic                sender,
    input  logic [1:0]          giving,
    input  logic [PORTS*32-1:0] w_beats,
    input  logic [PORTS-1:0]    w_error,
    input  logic [PORTS*8-1:0]  w_code,
    input  logic [PORTS*64-1:0] w_fault,
    output logic [PORTS-1:0]    poison,
    output logic [63:0]         read,
    output logic [1:0]          error,
    output logic [15:0]         code,
    output logic [127:0]        info
);
    logic [PORTS-1:0]    owner, own; // own: that one has begun since, so what the master says is about it
    logic [PORTS*32-1:0] moved;      // beats for the one that had the port before
    always_ff @(posedge clk) begin
        for (int p = 0; p < PORTS; p++) begin
            if (start[owner[p]]) own[p] <= 1'b0;
            if (send[p]) begin
                owner[p]           <= sender;
                own[p]             <= 1'b1;
                moved[32*p +: 32] <= w_beats[32*p +: 32];
            end
        end
        if (!rst_n) begin
            owner <= '0;
            own   <= '0;
        end
    end

    always_comb begin
        read  = '0;
        error = '0;
        code  = '0;
        info  = '0;
        for (int s = 0; s < 2; s++) begin
            for (int p = PORTS - 1; p >= 0; p--) begin
                read[32*s +: 32] = read[32*s +: 32] + (owner[p] == s[0] ? w_beats[32*p +: 32] : moved[32*p +: 32]);
                if (own[p] && owner[p] == s[0] && w_error[p]) begin
                    error[s]         = 1'b1;
                    code[8*s +: 8]   = w_code[8*p +: 8];
                    info[64*s +: 64] = w_fault[64*p +: 64];
                end
            end
        end
        for (int p = 0; p < PORTS; p++) poison[p] = own[p] && (giving[owner[p]] || error[owner[p]]);
    end
endmodule
