/** The top in SystemVerilog: lm_top and its interrupt behind ports that have the names and the signals of AXI. */
import { type AxiInterface, type Design, header, type Signal } from "./design.ts";

export function topFile(design: Design): string {
  const { board, flow, top, registers, masters, interrupt } = design;
  const ports = [
    `input  logic ${flow.clock}`,
    `input  logic ${flow.reset}`,
    `output logic ${interrupt}`,
    ...[registers, ...masters].flatMap((one) => one.signals.map(declaration)),
  ];
  const connections = [
    ...[`.clk(${flow.clock})`, `.rst_n(${flow.reset})`, ".irq(pulse)", ".working"],
    ...registers.signals.filter(isWire).map(({ inner, port }) => `.${inner}(${port})`),
    ...masters[0]!.signals.filter(isWire).map(({ inner, logical }) => `.${inner}({${across(masters, logical)}})`),
  ];
  return [
    ...header(design, "//", `lm_top for ${board.title}, as this board's build (LM_BUILD_*), and its interrupt.`),
    `\`define LM_BOARD_${board.name.toUpperCase()}`,
    "/* verilator lint_off SYMRSVDWORD */", // v++ wants the name `interrupt`
    `module ${top} (`,
    `    ${ports.join(",\n    ")}`,
    ");",
    "/* verilator lint_on SYMRSVDWORD */",
    "    /* verilator lint_off UNUSEDPARAM */",
    '    `include "lm_boards.svh"',
    "    /* verilator lint_on UNUSEDPARAM */",
    "",
    "    logic pulse, working;",
    `    lm_irq u_irq (.clk(${flow.clock}), .rst_n(${flow.reset}), .pulse, .level(${interrupt}));`,
    "    lm_top #(",
    `        ${parameters(design).join(",\n        ")}`,
    "    ) u_top (",
    `        ${connections.join(",\n        ")});`,
    "",
    ...[registers, ...masters].flatMap(({ signals }) => signals.filter(isConstant).map(assignment)),
    "",
    `    wire unused = &{1'b0, working, ${registers.signals
      .filter((s) => s.inner === "")
      .map((s) => s.port)
      .join(", ")}};`,
    "endmodule",
    "",
  ].join("\n");
}

/** Parameters of lm_top that a board's build says; the others are those of every build. */
export function parameters({ board }: Design): string[] {
  const names = ["ports", ...Object.keys(board.build).filter((name) => name !== "lanes")].map((n) => n.toUpperCase());
  return names.map((name) => `.${name}(LM_BUILD_${name})`);
}

const isConstant = ({ inner }: Signal) => /^(\d+)?'/.test(inner);
const isWire = (signal: Signal) => signal.inner !== "" && !isConstant(signal);
const assignment = ({ port, inner }: Signal) => `    assign ${port} = ${inner};`;

function declaration({ port, width, output }: Signal): string {
  return `${output ? "output" : "input "} logic ${width > 1 ? `[${width - 1}:0] ` : ""}${port}`;
}

/** A signal of all masters, that of port 0 lowest. */
function across(masters: readonly AxiInterface[], logical: string): string {
  const ports = masters.map(({ signals }) => signals.find((signal) => signal.logical === logical)!.port);
  return ports.reverse().join(", ");
}
