// Gate of the SSM unit: g = y · SiLU(z), Σ g², u = g · γ2, with the norm's factor inside where it is grouped
// (docs/numerics.md, section 3.3, Gate). One token of one layer a job.
//
//   s_y, s_z, s_gamma ──> lm_silu(z) ──> y · zs ──> g ──┬─ plain ───────────────> · γ2 ──> m_u (lm_fifo)
//                                                       ├─ grouped: two banks of a group's g, γ2 ──> · factor ──> · γ2 ──> m_u
//                                                       └──> Σ g² ──> lm_norm ──> m_factor, or the group's factor
//
// cfg_*: taken with cfg_valid && cfg_ready, which begins a job; cfg_ready is high again when all its outputs have left.
//   channels: E. group: channels of a norm group, E / groups; grouped: a grouped norm (group <= GROUP), else group = E.
//   zshift: f_z - 11. fzs. gshift: 12 + fzs - fg. ushift: fg + fγ - fu, or grouped 16 + fγ - fu. eps: u64. sqrt(group) = nm · 2^-ne.
//   Σ g² + eps must fit 64 bits, which the formats of docs/numerics.md ensure.
// Streams of a job, one beat a channel: s_y int32 Q12, s_z int16, s_gamma int16 (γ2); m_u int18.
// m_factor: one beat a job, after its last channel: {Σ g² + eps of the last group (64), s (8, signed), m (16)}: 1/rms = m · 2^-s,
//   with s = 7 + j + ne. What out_proj's row scale needs where the norm is plain.
// Throughput one channel a cycle; a grouped norm's u follow one group later, at the same rate. Latency 9 cycles (plain).
module lm_gate #(
    parameter int GROUP = 4096 // channels of a norm group at most where there are several; a power of two
) (
    input  logic               clk,
    input  logic               rst_n,
    input  logic               cfg_valid,
    output logic               cfg_ready,
    input  logic [13:0]        cfg_channels,
    input  logic [13:0]        cfg_group,
    input  logic               cfg_grouped,
    input  logic signed [7:0]  cfg_zshift,
    input  logic [4:0]         cfg_fzs,
    input  logic signed [7:0]  cfg_gshift,
    input  logic signed [7:0]  cfg_ushift,
    input  logic [63:0]        cfg_eps,
    input  logic [15:0]        cfg_nm,
    input  logic [4:0]         cfg_ne,
    input  logic               s_y_valid,
    output logic               s_y_ready,
    input  logic signed [31:0] s_y_data,
    input  logic               s_z_valid,
    output logic               s_z_ready,
    input  logic signed [15:0] s_z_data,
    input  logic               s_gamma_valid,
    output logic               s_gamma_ready,
    input  logic signed [15:0] s_gamma_data,
    output logic               m_u_valid,
    input  logic               m_u_ready,
    output logic signed [17:0] m_u_data,
    output logic               m_factor_valid,
    input  logic               m_factor_ready,
    output logic [87:0]        m_factor_data
);
    localparam int AW = $clog2(GROUP);

    // ------------------------------------------------------------ job
    logic               running;
    logic [13:0]        channels, group;
    logic               grouped;
    logic signed [7:0]  zshift, gshift, ushift;
    logic [4:0]         fzs, ne;
    logic [63:0]        eps;
    logic [15:0]        nm;
    wire                begins = cfg_valid && cfg_ready;
    assign cfg_ready = !running;
    always_ff @(posedge clk) begin
        if (begins) begin
            {channels, group, grouped, zshift, gshift, ushift} <= {cfg_channels, cfg_group, cfg_grouped, cfg_zshift, cfg_gshift, cfg_ushift};
            {fzs, ne, eps, nm} <= {cfg_fzs, cfg_ne, cfg_eps, cfg_nm};
        end
    end

    // ------------------------------------------------------------ the three inputs together; SiLU(z)
    logic [13:0]        offered; // channels that came in
    wire                silu_ready;
    wire                open  = running && offered != channels;
    wire                joins = open && s_y_valid && s_z_valid && s_gamma_valid && silu_ready;
    assign s_y_ready     = joins;
    assign s_z_ready     = joins;
    assign s_gamma_ready = joins;
    wire                silu_valid, front;
    wire signed [15:0]  zs;
    wire signed [31:0]  y;
    wire signed [15:0]  gamma0;
    lm_silu #(.USER(48)) u_silu (
        .clk(clk), .rst_n(rst_n), .s_valid(open && s_y_valid && s_z_valid && s_gamma_valid), .s_ready(silu_ready), .s_v(32'(s_z_data)),
        .s_shift(zshift), .s_fo(fzs), .s_user({s_y_data, s_gamma_data}), .m_valid(silu_valid), .m_ready(front), .m_data(zs),
        .m_user({y, gamma0}));

    // ------------------------------------------------------------ g
    logic               v1, v2;
    logic signed [47:0] product1;
    logic signed [15:0] gamma1, gamma2;
    wire signed [23:0]  g1;
    logic signed [23:0] g2;
    lm_rsh #(.IN(48), .OUT(24), .LEFT(24)) u_g (.x(product1), .s(gshift), .y(g1));

    // The end of the front: a channel leaves to the banks or straight to the back.
    logic [13:0]        in_group;
    wire                group_ends = in_group + 14'd1 == group;
    wire                leaves;
    logic               sum_valid;  // a group's sum waits for lm_norm
    wire                back_ready, bank_free;
    wire                onward = !sum_valid && (grouped ? bank_free : back_ready);
    assign front  = !v2 || onward;
    assign leaves = v2 && onward;
    wire                norm_ready, norm_valid, norm_taken;
    logic [63:0]        sum, total;
    wire signed [47:0]  square = 48'(g2) * 48'(g2);

    always_ff @(posedge clk) begin
        if (front) begin
            v1 <= silu_valid;
            product1 <= 48'(y) * 48'(zs);
            gamma1 <= gamma0;
            v2 <= v1;
            g2 <= g1;
            gamma2 <= gamma1;
        end
        if (joins) offered <= offered + 14'd1;
        if (leaves) begin
            in_group <= group_ends ? 14'd0 : in_group + 14'd1;
            sum <= group_ends ? eps : sum + 64'(square);
            if (group_ends) begin
                total <= sum + 64'(square);
                sum_valid <= 1'b1;
            end
        end
        if (sum_valid && norm_ready) sum_valid <= 1'b0;
        if (begins) begin
            offered <= 14'd0;
            in_group <= 14'd0;
            sum <= cfg_eps;
        end
        if (!rst_n) begin
            v1 <= 1'b0;
            v2 <= 1'b0;
            sum_valid <= 1'b0;
        end
    end

    // ------------------------------------------------------------ the factor
    wire [15:0]         norm_m;
    wire signed [7:0]   norm_s;
    lm_norm u_norm (
        .clk(clk), .rst_n(rst_n), .s_valid(sum_valid), .s_ready(norm_ready), .s_sum(total), .s_nm(nm), .s_ne(ne),
        .m_valid(norm_valid), .m_ready(norm_taken), .m_m(norm_m), .m_s(norm_s));
    logic [13:0]        normed; // channels of groups whose factor has come
    logic               factor_valid;
    logic [15:0]        factor_m;
    logic signed [7:0]  factor_s;
    wire                last_group = normed + group == channels;
    assign m_factor_valid = factor_valid;
    assign m_factor_data  = {total, factor_s, factor_m};

    // ------------------------------------------------------------ grouped: a group waits for its factor in one of two banks
    logic [39:0]        mem [0:2*GROUP-1];
    logic               fill_bank, drain_bank;
    logic [1:0]         full;
    logic               draining, draining_out; // a bank is read; and to its end
    logic [13:0]        at;
    logic [15:0]        m;
    logic signed [7:0]  s;
    assign bank_free = !full[fill_bank];
    // One group's factor at a time; in the plain norm it only goes out. The last one's report must have left before another job's.
    assign norm_taken = !draining && !factor_valid;
    wire                back_free;
    wire                reads = draining && back_free;
    wire                drain_ends = at + 14'd1 == group;

    // Stages of the drain: memory, product with the factor, ĝ
    logic               d1, d2, d3;
    logic [39:0]        read1;
    logic signed [40:0] product2;
    logic signed [15:0] gamma_d2, gamma_d3;
    wire signed [23:0]  normal2;
    logic signed [23:0] normal3;
    lm_rsh #(.IN(41), .OUT(24), .LEFT(24)) u_normal (.x(product2), .s(s - 8'sd16), .y(normal2));

    always_ff @(posedge clk) begin
        if (leaves && grouped) begin
            mem[{fill_bank, in_group[AW-1:0]}] <= {g2, gamma2};
            if (group_ends) begin
                full[fill_bank] <= 1'b1;
                fill_bank <= !fill_bank;
            end
        end
        if (norm_valid && norm_taken) begin
            normed <= normed + group;
            if (last_group) begin
                factor_valid <= 1'b1;
                {factor_m, factor_s} <= {norm_m, norm_s};
            end
            if (grouped) begin
                draining <= 1'b1;
                at <= 14'd0;
                {m, s} <= {norm_m, norm_s};
            end
        end
        if (m_factor_valid && m_factor_ready) factor_valid <= 1'b0;
        if (back_free) begin
            d1 <= draining && !draining_out;
            read1 <= mem[{drain_bank, at[AW-1:0]}];
            d2 <= d1;
            product2 <= 41'($signed(read1[39:16])) * $signed({25'd0, m});
            gamma_d2 <= $signed(read1[15:0]);
            d3 <= d2;
            normal3 <= normal2;
            gamma_d3 <= gamma_d2;
        end
        if (reads && !draining_out) begin
            at <= at + 14'd1;
            if (drain_ends) draining_out <= 1'b1;
        end
        // The factor is free for the next group when the last product has been shifted.
        if (draining_out && !d1 && !d2 && back_free) begin
            draining <= 1'b0;
            draining_out <= 1'b0;
            full[drain_bank] <= 1'b0;
            drain_bank <= !drain_bank;
        end
        if (begins) normed <= 14'd0;
        if (!rst_n) begin
            full <= 2'd0;
            fill_bank <= 1'b0;
            drain_bank <= 1'b0;
            draining <= 1'b0;
            draining_out <= 1'b0;
            factor_valid <= 1'b0;
            d1 <= 1'b0;
            d2 <= 1'b0;
            d3 <= 1'b0;
        end
    end

    // ------------------------------------------------------------ back: · γ2
    logic               b1, b2;
    logic signed [39:0] product_u;
    wire signed [17:0]  u1;
    logic signed [17:0] u2;
    lm_rsh #(.IN(40), .OUT(18), .LEFT(18)) u_u (.x(product_u), .s(ushift), .y(u1));
    wire                room;
    assign back_free  = room;
    assign back_ready = room;
    wire [4:0]          level;
    always_ff @(posedge clk) begin
        if (room) begin
            b1 <= grouped ? d3 : leaves;
            product_u <= grouped ? 40'(normal3) * 40'(gamma_d3) : 40'(g2) * 40'(gamma2);
            b2 <= b1;
            u2 <= u1;
        end
        if (!rst_n) begin
            b1 <= 1'b0;
            b2 <= 1'b0;
        end
    end
    lm_fifo #(.WIDTH(18), .DEPTH(16)) u_fifo (
        .clk(clk), .rst_n(rst_n), .s_valid(b2 && room), .s_ready(room), .s_data(u2), .m_valid(m_u_valid), .m_ready(m_u_ready),
        .m_data(m_u_data), .level(level));

    // ------------------------------------------------------------ a job's course: over when its last u and its factor have left
    logic [13:0]        left;
    always_ff @(posedge clk) begin
        if (begins) begin
            running <= 1'b1;
            left <= cfg_channels;
        end else begin
            if (m_u_valid && m_u_ready) left <= left - 14'd1;
            if (running && left == 14'd0 && normed == channels && !factor_valid && !draining) running <= 1'b0;
        end
        if (!rst_n) running <= 1'b0;
    end
    wire unused = &{1'b0, level};
endmodule
