/** What the scripts are about: a board's top, its interfaces signal by signal, its registers and sources. Everything else is written from this. */
import { LightMambaError } from "../../errors.ts";
import { type Board, type Contract, readBoards, readContract } from "../contract.ts";
import { sourcesOf } from "./sources.ts";

/** Where a board's top goes: into a block design with a processor, or to v++ as a kernel. Both have names of their own for the same things. */
interface Flow {
  kind: "versal" | "kernel";
  part: string;
  /** Xilinx's name of the board. */
  boardPart: string;
  clock: string;
  reset: string;
  registers: string;
}

const FLOWS: { [board: string]: Flow } = {
  vck190: {
    kind: "versal",
    part: "xcvc1902-vsva2197-2MP-e-S",
    boardPart: "xilinx.com:vck190:part0:*",
    clock: "clk",
    reset: "rst_n",
    registers: "s_axi_lite",
  },
  // Names that v++ expects of a kernel
  u280: {
    kind: "kernel",
    part: "xcu280-fsvh2892-2L-e",
    boardPart: "xilinx.com:au280:part0:*",
    clock: "ap_clk",
    reset: "ap_rst_n",
    registers: "s_axi_control",
  },
};

export const BOARD_NAMES = Object.keys(FLOWS);

export interface Signal {
  /** Name in the AXI specification, and that of the top's port. */
  logical: string;
  port: string;
  width: number;
  output: boolean;
  /** Port of lm_top, for masters of all of them together; a constant; or nothing: an input that is not looked at. */
  inner: string;
}

export interface AxiInterface {
  name: string;
  mode: "master" | "slave";
  protocol: "AXI4" | "AXI4LITE";
  signals: Signal[];
}

export interface Register {
  name: string;
  offset: number;
}

export interface Design {
  board: Board;
  flow: Flow;
  /** Name of the top and of the packaged IP. */
  top: string;
  interrupt: string;
  registers: AxiInterface;
  masters: AxiInterface[];
  /** Words of the register page. */
  words: Register[];
  pageBytes: number;
  /** RTL below firmware/rtl, in the order of what needs what; the top comes after them. Headers beside them. */
  sources: string[];
  headers: string[];
}

const MASTER: readonly [logical: string, width: number, output: boolean, inner: string][] = [
  ["AWVALID", 1, true, "m_awvalid"],
  ["AWREADY", 1, false, "m_awready"],
  ["AWID", 8, true, "m_awid"],
  ["AWADDR", 64, true, "m_awaddr"],
  ["AWLEN", 8, true, "m_awlen"],
  ["AWSIZE", 3, true, "3'd6"],
  ["AWBURST", 2, true, "2'd1"],
  ["AWLOCK", 1, true, "1'b0"],
  ["AWCACHE", 4, true, "4'b0011"],
  ["AWPROT", 3, true, "3'b000"],
  ["AWQOS", 4, true, "4'd0"],
  ["WVALID", 1, true, "m_wvalid"],
  ["WREADY", 1, false, "m_wready"],
  ["WDATA", 512, true, "m_wdata"],
  ["WSTRB", 64, true, "'1"],
  ["WLAST", 1, true, "m_wlast"],
  ["BVALID", 1, false, "m_bvalid"],
  ["BREADY", 1, true, "m_bready"],
  ["BID", 8, false, "m_bid"],
  ["BRESP", 2, false, "m_bresp"],
  ["ARVALID", 1, true, "m_arvalid"],
  ["ARREADY", 1, false, "m_arready"],
  ["ARID", 8, true, "m_arid"],
  ["ARADDR", 64, true, "m_araddr"],
  ["ARLEN", 8, true, "m_arlen"],
  ["ARSIZE", 3, true, "3'd6"],
  ["ARBURST", 2, true, "2'd1"],
  ["ARLOCK", 1, true, "1'b0"],
  ["ARCACHE", 4, true, "4'b0011"],
  ["ARPROT", 3, true, "3'b000"],
  ["ARQOS", 4, true, "4'd0"],
  ["RVALID", 1, false, "m_rvalid"],
  ["RREADY", 1, true, "m_rready"],
  ["RID", 8, false, "m_rid"],
  ["RDATA", 512, false, "m_rdata"],
  ["RRESP", 2, false, "m_rresp"],
  ["RLAST", 1, false, "m_rlast"],
];

/** Words are written whole: what strobes say does not matter. */
const REGISTERS: readonly [logical: string, width: number, output: boolean, inner: string][] = [
  ["AWVALID", 1, false, "s_awvalid"],
  ["AWREADY", 1, true, "s_awready"],
  ["AWADDR", 12, false, "s_awaddr"],
  ["AWPROT", 3, false, ""],
  ["WVALID", 1, false, "s_wvalid"],
  ["WREADY", 1, true, "s_wready"],
  ["WDATA", 32, false, "s_wdata"],
  ["WSTRB", 4, false, ""],
  ["BVALID", 1, true, "s_bvalid"],
  ["BREADY", 1, false, "s_bready"],
  ["BRESP", 2, true, "2'd0"],
  ["ARVALID", 1, false, "s_arvalid"],
  ["ARREADY", 1, true, "s_arready"],
  ["ARADDR", 12, false, "s_araddr"],
  ["ARPROT", 3, false, ""],
  ["RVALID", 1, true, "s_rvalid"],
  ["RREADY", 1, false, "s_rready"],
  ["RDATA", 32, true, "s_rdata"],
  ["RRESP", 2, true, "2'd0"],
];

function signals(name: string, table: typeof MASTER): Signal[] {
  return table.map(([logical, width, output, inner]) => ({
    logical,
    port: `${name}_${logical.toLowerCase()}`,
    width,
    output,
    inner,
  }));
}

/** The name of a master: v++ and people count them with two digits. */
export const masterName = (port: number) => `m${String(port).padStart(2, "0")}_axi`;

/** Every mailbox word, those of the windows one by one: one more for each port behind port 0. */
function wordsOf({ registers, window, sizes }: Contract, ports: number): Register[] {
  const { WINDOW: windows, ...host } = registers.host;
  const single = Object.entries({ ...registers.device, ...host }).map(([name, offset]) => ({ name, offset }));
  const many = Array.from({ length: sizes.windows! - 1 + ports }, (_, i) =>
    Object.entries(window).map(([name, offset]) => ({
      name: `WINDOW${i}_${name}`,
      offset: windows! + i * sizes.window_stride! + offset,
    })),
  );
  return [...single, ...many.flat()];
}

export function designOf(name: string, boards = readBoards(), contract = readContract()): Design {
  const flow = FLOWS[name];
  const board = boards.find((one) => one.name === name);
  if (flow === undefined || board === undefined)
    throw new LightMambaError("usage", "there is no Vivado project for this board", {
      expected: BOARD_NAMES.join(" or "),
      found: name,
    });
  return {
    ...{ board, flow, top: `lm_${name}`, interrupt: "interrupt" },
    registers: {
      ...{ name: flow.registers, mode: "slave", protocol: "AXI4LITE" },
      signals: signals(flow.registers, REGISTERS),
    },
    masters: board.ports.map((_, port) => ({
      ...{ name: masterName(port), mode: "master", protocol: "AXI4" },
      signals: signals(masterName(port), MASTER),
    })),
    ...{ words: wordsOf(contract, board.ports.length), pageBytes: contract.sizes.register_page! },
    ...sourcesOf(["lm_top", "lm_irq"], ["lm_boards.svh"]),
  };
}

/** First lines of every file that is written. `comment` is what a comment begins with. */
export function header({ board }: Design, comment: string, ...purpose: string[]): string[] {
  return [
    `Generated by \`npm run vivado -- --board ${board.name}\` from boards/${board.name}.yaml and boards/contract.yaml. Do not edit.`,
    "NEVER RUN: no Vivado has seen this; nothing was synthesized, placed or routed. What was checked: docs/vivado.md.",
    ...(purpose.length > 0 ? [""] : []),
    ...purpose,
  ].map((line) => `${comment} ${line}`.trimEnd());
}

export const hex = (value: number) => `0x${value.toString(16)}`;
