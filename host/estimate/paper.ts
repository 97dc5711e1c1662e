/**
 * The published accelerator (LightMamba, arXiv 2502.15260, and its repository PKU-SEC-Lab/LightMamba) with the parameters that are known of it, in the
 * model of ours. What is not known is an assumption and says so. Its speeds leave out lm_head and sampling.
 */
import { type Column, percent } from "../bench/table.ts";
import { BOARDS, FIGURES } from "../device/boards.generated.ts";
import { shapeConfig } from "../model/shapes.ts";
import type { Overlap } from "../runtime/accelerator.ts";
import { portPatterns } from "../runtime/ports.ts";
import { syntheticDescription } from "../runtime/synthetic.ts";
import type { Counts } from "./counts.ts";
import { Accelerator, type Build, type Command } from "./device.ts";
import { bandedPower, cycleEnergy, type Power } from "./energy.ts";
import { costOf, type EstimateBoard } from "./estimate.ts";
import { PUBLISHED } from "./published.ts";
import { showJoules } from "./report.ts";
import { passLists } from "./workload.ts";

export interface PaperRow {
  what: string;
  /** Tokens a second. */
  published: number;
  modelled: number;
  /** Joules a token: as published, where it is; and what the model of power makes of the design's resources and the model's bytes. */
  joules: {
    published?: number;
    modelled: number;
    band: [low: number, high: number] /** Of modelled: logic and registers. */;
    logic: number;
  };
  /** What was assumed, or why they differ. */
  note: string;
}

/** Repository, src and case: 8 x 8 products a cycle; scales of 3 words for 256 of weights; 1,024 words of 32 bytes ahead. */
const MACS_A_BEAT = 128;
const SCALES = 259 / 256;
const AHEAD = 512;
const LAYERS = 64;
const BEAT = 64;
const SIMULATED = 3;

interface Design {
  clockMhz: number;
  ports: number;
  /** A port's GB/s. */
  gigabytes: number;
  macs: number;
  /** Multipliers of the scan, and passes over E x N where its operations are not fused. */
  ssmLanes: number;
  passes: number;
  weightBits: 4 | 8 | 16;
  serial: readonly Overlap[];
  counts: Counts;
  /** Whose figures of power, and of which memory. */
  powerOf: { board: "vck190" | "u280"; memory: string };
}

/** The tables of the paper: of the design on VCK190 with W4A4, with W8A8, and on U280. 912 and 914 block RAMs are halves; LUTs as memory are not told apart. */
export const PAPER_COUNTS: Counts = {
  ...{ luts: PUBLISHED.luts.value, memoryLuts: 0, flipFlops: PUBLISHED.flipFlops.value, dsps: PUBLISHED.dsps.value },
  ...{ blockRams: PUBLISHED.blockRams.value, ultraRams: PUBLISHED.ultraRams.value },
};
const W8A8_COUNTS: Counts = { ...PAPER_COUNTS, luts: 111_000, flipFlops: 134_000, blockRams: 457 };
const U280_COUNTS: Counts = { ...PAPER_COUNTS, luts: 297_000, flipFlops: 394_000, dsps: 1164 };

/** 400 MHz and 12 GB/s as the paper has it; 64 products a cycle and 8 of the scan as in the repository, whose five operations are modules of their own. */
const VCK190: Design = {
  clockMhz: 400,
  ports: 1,
  gigabytes: 12,
  macs: 64,
  ssmLanes: 8,
  passes: 5,
  weightBits: 4,
  serial: [],
  counts: PAPER_COUNTS,
  powerOf: { board: "vck190", memory: "lpddr4" },
};
const NATURAL_ORDER: readonly Overlap[] = ["ssm", "htu"];
/** 2,048 products a cycle: 1,164 DSP at two products each. Ports and scan to go with them; the paper gives neither. */
const U280: Design = {
  ...VCK190,
  ...{ clockMhz: 200, ports: 16, gigabytes: 12.8, macs: 2048, ssmLanes: 64, passes: 1 },
  ...{ counts: U280_COUNTS, powerOf: { board: "u280", memory: "hbm" } },
};

export const PAPER_COLUMNS: readonly Column<PaperRow>[] = [
  { title: "the paper's design", left: true, cell: ({ what }) => what },
  { title: "published, tok/s", cell: ({ published }) => String(published) },
  { title: "model", cell: ({ modelled }) => modelled.toFixed(2) },
  { title: "off", cell: ({ published, modelled }) => percent(modelled / published - 1) },
  { title: "published, J/token", cell: ({ joules }) => joules.published?.toFixed(2) },
  { title: "model", cell: ({ joules: { modelled, band } }) => showJoules(modelled, band) },
  { title: "how, or why not", left: true, cell: ({ note }) => note },
];

export function paperRows(): PaperRow[] {
  const { fp16, naturalOrder, vck190, vck190W8A8, u280 } = PUBLISHED;
  const rows: [what: string, published: number, design: Design, note: string][] = [
    [
      "FP16 weights",
      fp16.value,
      { ...VCK190, weightBits: 16, serial: NATURAL_ORDER },
      "**differs:** 12 GB/s without any loss give 2.3 for the weights alone; here the memory has an efficiency and the scan comes after in_proj",
    ],
    [
      "W4A4, natural order",
      naturalOrder.value,
      { ...VCK190, serial: NATURAL_ORDER },
      "the scan's five operations one after the other, behind in_proj",
    ],
    ["W4A4, reordered (VCK190)", vck190.value, VCK190, "the scan along with in_proj"],
    [
      "W8A8, reordered",
      vck190W8A8.value,
      { ...VCK190, weightBits: 8, counts: W8A8_COUNTS },
      "twice the bytes of weights",
    ],
    [
      "W4A4 on U280",
      u280.value,
      U280,
      "**differs:** ports, bandwidth and scan are not published, and are guessed: 16 x 12.8 GB/s, the scan fused, the state on one port",
    ],
  ];
  return rows.map(([what, published, design, note]) => {
    const run = runOf(design);
    const joules = {
      ...(design === VCK190 ? { published: 1 / PUBLISHED.tokensAJoule.value } : {}),
      ...joulesOf(design, run),
    };
    return { what, published, modelled: run.tokensPerSecond, joules, note };
  });
}

/** The part at rest, its registers and all of its logic in every cycle, since how long which part works is not published; and the memory. */
function joulesOf(
  { counts, clockMhz, powerOf }: Design,
  { tokensPerSecond, bytes }: Run,
): Omit<PaperRow["joules"], "published"> {
  const known: Power = BOARDS[powerOf.board].power;
  const logicOf = (power: Power) =>
    ((counts.flipFlops * power.flip_flop_pj + cycleEnergy(power, counts)) * clockMhz * 1e-6) / tokensPerSecond;
  const of = (power: Power) => {
    const { pj_per_byte, idle_w } = power.memories.find(({ name }) => name === powerOf.memory)!;
    const rest = power.static_w + power.processor_idle_w + idle_w;
    return rest / tokensPerSecond + logicOf(power) + pj_per_byte * bytes * 1e-12;
  };
  const ends = (["best", "worst"] as const).map((end) => of(bandedPower(known, FIGURES[powerOf.board]!, end)));
  return { modelled: of(known), band: ends as [number, number], logic: logicOf(known) };
}

interface Run {
  tokensPerSecond: number;
  /** Of a token, both directions. */
  bytes: number;
}

function runOf(design: Design): Run {
  const { clockMhz, ports, macs, ssmLanes, passes, serial } = design;
  const board = boardOf(design);
  const build: Build = {
    stateLanes: Math.max(1, ssmLanes / 16),
    prefetch: AHEAD,
    laneCycles: (MACS_A_BEAT * ports) / macs,
    scanCycles: passes * Math.max(1, 16 / ssmLanes),
  };
  const config = shapeConfig("mamba2-2.7b", SIMULATED);
  const shape = { config, description: syntheticDescription(config) };
  const patterns = portPatterns(shape, board, 0);
  const pass = {
    tokens: 1,
    partition: "fused",
    serial,
    patterns,
    maxLog2: board.build.max_log2,
    logits: false,
  } as const;
  const device = new Accelerator(board, build);
  for (const list of passLists(shape, pass)) device.run(list.map((command) => theirWeights(command, design)));
  const of = (layer: number) => device.done.filter(({ command }) => command.layer === layer);
  const cycles = of(SIMULATED - 1)[0]!.busy - of(SIMULATED - 2)[0]!.busy;
  const beats = of(SIMULATED - 1).reduce((sum, { command }) => {
    const { read, written } = costOf(command, ports, build);
    return sum + read + written;
  }, 0);
  return { tokensPerSecond: (clockMhz * 1e6) / (LAYERS * cycles), bytes: LAYERS * beats * BEAT };
}

/** Our VCK190's LPDDR4 at their rate, one for each port: its efficiency is the same assumption here and there. */
function boardOf({ clockMhz, ports, gigabytes }: Design): EstimateBoard {
  const { memories, ports: known } = BOARDS.vck190;
  const names = Array.from({ length: ports }, (_, i) => `memory${i}`);
  return {
    ...BOARDS.vck190,
    clock_mhz: clockMhz,
    memories: names.map((name) => ({ ...memories[1]!, name, gigabytes_per_second: gigabytes })),
    ports: names.map((memory) => ({ ...known[2]!, memory, gigabytes_per_second: gigabytes })),
  };
}

/** Rows of 8, in beats of theirs. */
function theirWeights(command: Command, { weightBits }: Design): Command {
  if (command.unit !== "mmu") return command;
  const beats = (command.inputs * 8 * weightBits) / 8 / 64;
  return { ...command, blockBeats: Math.round(beats * (weightBits === 16 ? 1 : SCALES)) };
}
