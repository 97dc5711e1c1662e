/** Configurations in which the model of host/estimate is held against the simulated RTL: what runs, what the RTL says, what the model says. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as lm from "../../assembly/device.generated.ts";
import { BOARDS } from "../../host/device/boards.generated.ts";
import type { BoardName, Device } from "../../host/device/index.ts";
import { buildName } from "../../host/device/simulator.ts";
import { type Build, UNITS, type UnitName } from "../../host/estimate/device.ts";
import { type Configuration, costOf, type EstimateBoard, simulatePass } from "../../host/estimate/estimate.ts";
import type { Shape } from "../../host/estimate/workload.ts";
import { readModelHeader } from "../../host/model/description.ts";
import { type ShapeName, shapeConfig } from "../../host/model/shapes.ts";
import type { Overlap, Partition } from "../../host/runtime/accelerator.ts";
import { Model } from "../../host/runtime/model.ts";
import { withPorts } from "../../host/runtime/ports.ts";
import { type SyntheticRecipe, syntheticDescription } from "../../host/runtime/synthetic.ts";
import { ROOT } from "../paths.ts";

export interface Case {
  /** A shape with so many layers and a short lm_head, or the embedded model. */
  model: ShapeName | "embedded";
  layers: number;
  recipe: SyntheticRecipe;
  board: BoardName;
  ports: 1 | 3 | 4 | 6 | 32;
  /** Parts of the state on ports of their own. Default: 0, port 0 has it. */
  statePorts?: 2 | 4;
  /** Of a pass. */
  tokens: number;
  partition: Partition;
  serial: readonly Overlap[];
}

const EMBEDDED: Case = {
  model: "embedded",
  layers: 8,
  recipe: {},
  board: "sim",
  ports: 1,
  tokens: 1,
  partition: "fused",
  serial: [],
};
const shape = (model: ShapeName, layers: number): Case => ({ ...EMBEDDED, model, layers, board: "vck190", ports: 6 });
const LARGEST = shape("mamba2-2.7b", 2);
const ALL: readonly Overlap[] = ["ssm", "weights", "htu"];

export const CASES: readonly Case[] = [
  EMBEDDED,
  { ...EMBEDDED, tokens: 2 },
  { ...EMBEDDED, ports: 4, tokens: 4 },
  { ...EMBEDDED, partition: "split" },
  { ...EMBEDDED, board: "vck190", ports: 6 },
  { ...EMBEDDED, board: "vck190", ports: 6, tokens: 4, partition: "split" },
  ...ALL.map((overlap): Case => ({ ...EMBEDDED, board: "vck190", ports: 6, serial: [overlap] })),
  { ...EMBEDDED, board: "u280", ports: 4 },
  shape("mamba2-130m", 2),
  { ...shape("mamba2-130m", 2), ports: 1 },
  { ...shape("mamba2-130m", 2), ports: 4, recipe: { activationBits: 8, headBits: 8 } },
  { ...shape("mamba2-130m", 2), board: "sim", ports: 1, tokens: 4, recipe: { activationBits: 6 } },
  { ...shape("mamba2-370m", 2), ports: 4 },
  { ...shape("mamba2-370m", 2), tokens: 2 },
  { ...shape("mamba2-370m", 2), partition: "split" },
  shape("mamba2-1.3b", 1),
  { ...shape("mamba2-1.3b", 1), ports: 4, tokens: 4 },
  { ...shape("mamba2-1.3b", 1), board: "sim", ports: 1 },
  LARGEST,
  ...ALL.map((overlap): Case => ({ ...LARGEST, serial: [overlap] })),
  { ...LARGEST, serial: ALL },
  { ...LARGEST, tokens: 2 },
  { ...LARGEST, tokens: 4 },
  { ...LARGEST, partition: "split" },
  { ...LARGEST, ports: 4 },
  { ...LARGEST, layers: 1, ports: 1 },
  { ...EMBEDDED, ports: 3, statePorts: 2 },
  { ...EMBEDDED, board: "u280", ports: 3, statePorts: 2, tokens: 2 },
  { ...shape("mamba2-130m", 2), board: "u280", ports: 3, statePorts: 2 },
  { ...shape("mamba2-370m", 2), board: "u280", ports: 3, statePorts: 2, tokens: 2 },
  { ...shape("mamba2-130m", 2), board: "u280", ports: 32, statePorts: 4 },
  { ...LARGEST, board: "u280", ports: 32, statePorts: 4 },
];

/** What a row of the table stands for. */
export function titleOf({ model, layers, recipe, board, ports, statePorts, tokens, partition, serial }: Case): string {
  const widths = Object.entries(recipe).map(([name, bits]) => `${name === "headBits" ? "head " : "A"}${bits}`);
  const parts = [`${model} x ${layers}`, ...widths, board, `${ports} port${ports > 1 ? "s" : ""}`];
  if (statePorts !== undefined) parts.push(`state on ${statePorts}`);
  if (tokens > 1) parts.push(`${tokens} tokens`);
  if (partition === "split") parts.push("split");
  if (serial.length > 0) parts.push(`in turn: ${serial.join(" ")}`);
  return parts.join(", ");
}

/** Beats of 64 bytes that a unit's masters moved in a pass. */
export type Beats = { [unit in UnitName]: { read: number; written: number } };

export interface Measured {
  /** With a command at work (BUSY). */
  cycles: number;
  beats: Beats;
}

const SHORT_VOCABULARY = 64;
const TINY = join(ROOT, "models", "tiny-w4a4");

function synthetic({ model, layers, recipe }: Case): Shape {
  const config = {
    ...shapeConfig(model as ShapeName, layers),
    vocabSize: SHORT_VOCABULARY,
    vocabUsed: SHORT_VOCABULARY,
  };
  return { config, description: syntheticDescription(config, { ...recipe, seed: 1 }) };
}

function noBeats(): Beats {
  return Object.fromEntries(UNITS.map((unit) => [unit, { read: 0, written: 0 }])) as Beats;
}

// ---------------------------------------------------------------------------------------------------- the RTL

export const UNIT_OF: { readonly [unit: number]: UnitName } = {
  [lm.UNIT_MMU]: "mmu",
  [lm.UNIT_SSMU]: "ssmu",
  [lm.UNIT_HTU]: "htu",
  [lm.UNIT_NQU]: "nqu",
  [lm.UNIT_EMBED]: "embed",
};

/** A pass on the simulated RTL, after another that fills the state. */
export function measure(one: Case): Measured {
  const { board, ports, statePorts, partition, serial, tokens } = one;
  const options = {
    device: "rtl",
    board: BOARDS[board],
    ports,
    ...(statePorts === undefined ? {} : { statePorts }),
    partition,
    serial,
    simulator: { ringLog2: 10 },
  } as const;
  const { config, description } = one.model === "embedded" ? readModelHeader(TINY) : synthetic(one);
  const model = one.model === "embedded" ? Model.load(TINY, options) : Model.synthetic(config, description, options);
  try {
    const { device } = model.accelerator!;
    const session = model.session({ temperature: 0 });
    const ids = Array.from({ length: tokens }, (_, i) => (7 * i + 5) % SHORT_VOCABULARY);
    session.prefill(ids);
    const [first, before] = [device.memory.readRegister(lm.REG_HEAD), device.busyCycles()];
    session.prefill(ids);
    return { cycles: Number(device.busyCycles() - before), beats: beatsOf(device, first) };
  } finally {
    model.close();
  }
}

/** Of the completions from command `first` on. */
function beatsOf(device: Device, first: number): Beats {
  const beats = noBeats();
  for (let sequence = first; sequence < device.memory.readRegister(lm.REG_HEAD); sequence++) {
    const { unit, beatsRead, beatsWritten } = device.completion(sequence)!;
    const of = beats[UNIT_OF[unit]!];
    of.read += beatsRead;
    of.written += beatsWritten;
  }
  return beats;
}

// ---------------------------------------------------------------------------------------------------- the model

export function model(one: Case): Measured {
  const shape = one.model === "embedded" ? readModelHeader(TINY) : synthetic(one);
  const known = BOARDS[one.board];
  const board: EstimateBoard = { ...known, ...withPorts(known, one.ports) };
  const configuration: Configuration = {
    ...{ board, partition: one.partition, serial: one.serial },
    build: buildOf(one),
  };
  const device = simulatePass(shape, configuration, { tokens: one.tokens, logits: true });
  const beats = noBeats();
  for (const { command } of device.done) {
    const { read, written } = costOf(command, one.ports, configuration.build);
    beats[command.unit].read += read;
    beats[command.unit].written += written;
  }
  return { cycles: device.busy, beats };
}

/** Parameters of the simulated build: those of its line in a testbench, else those of every build. */
function buildOf({ ports, statePorts: parts }: Case): Build {
  const statePorts: number = parts ?? 0;
  const source = (path: string) => readFileSync(join(ROOT, "firmware/rtl", path), "utf8");
  const lines = ["sim/accelerator.cpp", "sim/accelerator_u280.cpp"].map(source).join("\n");
  const line = new RegExp(`^// rtl-build: ${buildName(ports, statePorts)} .*$`, "m").exec(lines)![0];
  const value = (name: string) => {
    const whole = new RegExp(`parameter int ${name} += *(\\d+)`).exec(source("lm_top.sv"));
    return Number((new RegExp(`\\b${name}=(\\d+)`).exec(line) ?? whole)![1]);
  };
  const multiplies = value("MULTIPLIES") as 1 | 2;
  return { stateLanes: value("STATE_LANES"), statePorts, multiplies, prefetch: value("PREFETCH") };
}
