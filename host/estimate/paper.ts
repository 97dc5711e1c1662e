/**
 * The published accelerator (LightMamba, arXiv 2502.15260, and its repository PKU-SEC-Lab/LightMamba) with the parameters that are known of it, in the
 * model of ours. What is not known is an assumption and says so. Its speeds leave out lm_head and sampling.
 */
import type { Column } from "../bench/table.ts";
import { BOARDS } from "../device/boards.generated.ts";
import { shapeConfig } from "../model/shapes.ts";
import type { Overlap } from "../runtime/accelerator.ts";
import { portPatterns } from "../runtime/ports.ts";
import { syntheticDescription } from "../runtime/synthetic.ts";
import { Accelerator, type Build, type Command } from "./device.ts";
import type { EstimateBoard } from "./estimate.ts";
import { passLists } from "./workload.ts";

export interface PaperRow {
  what: string;
  /** Tokens a second; the other columns are of the same. */
  published: number;
  modelled: number;
  /** What was assumed, or why they differ. */
  note: string;
}

/** Repository, src and case: 8 x 8 products a cycle; scales of 3 words for 256 of weights; 1,024 words of 32 bytes ahead. */
const MACS_A_BEAT = 128;
const SCALES = 259 / 256;
const AHEAD = 512;
const LAYERS = 64;
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
}

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
};
const NATURAL_ORDER: readonly Overlap[] = ["ssm", "htu"];
/** 2,048 products a cycle: 1,164 DSP at two products each. Ports and scan to go with them; the paper gives neither. */
const U280: Design = { ...VCK190, clockMhz: 200, ports: 16, gigabytes: 12.8, macs: 2048, ssmLanes: 64, passes: 1 };

export const PAPER_COLUMNS: readonly Column<PaperRow>[] = [
  { title: "the paper's design", left: true, cell: ({ what }) => what },
  { title: "published, tok/s", cell: ({ published }) => String(published) },
  { title: "model", cell: ({ modelled }) => modelled.toFixed(2) },
  { title: "off", cell: ({ published, modelled }) => `${(100 * (modelled / published - 1)).toFixed(1)} %` },
  { title: "how, or why not", left: true, cell: ({ note }) => note },
];

export function paperRows(): PaperRow[] {
  const rows: [what: string, published: number, design: Design, note: string][] = [
    [
      "FP16 weights",
      2.23,
      { ...VCK190, weightBits: 16, serial: NATURAL_ORDER },
      "**differs:** 12 GB/s without any loss give 2.3 for the weights alone; here the memory has an efficiency and the scan comes after in_proj",
    ],
    [
      "W4A4, natural order",
      5.32,
      { ...VCK190, serial: NATURAL_ORDER },
      "the scan's five operations one after the other, behind in_proj",
    ],
    ["W4A4, reordered (VCK190)", 7.21, VCK190, "the scan along with in_proj"],
    ["W8A8, reordered", 3.61, { ...VCK190, weightBits: 8 }, "twice the bytes of weights"],
    [
      "W4A4 on U280",
      93,
      U280,
      "**differs:** ports, bandwidth and scan are not published, and are guessed: 16 x 12.8 GB/s, the scan fused, the state on one port",
    ],
  ];
  return rows.map(([what, published, design, note]) => ({ what, published, modelled: tokensPerSecond(design), note }));
}

function tokensPerSecond(design: Design): number {
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
  const patterns = portPatterns(shape, board);
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
  const start = (layer: number) => device.done.find(({ command }) => command.layer === layer)!.busy;
  return (clockMhz * 1e6) / (LAYERS * (start(SIMULATED - 1) - start(SIMULATED - 2)));
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
