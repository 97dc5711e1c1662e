/** Passes on the simulated RTL: each overlap switched off, ports, tokens a pass, partitions. */
import { join } from "node:path";
import * as lm from "../../assembly/device.generated.ts";
import type { Mamba2Config } from "../../host/checkpoint/types.ts";
import { BOARDS } from "../../host/device/boards.generated.ts";
import type { Board, BoardName, Completion, Device } from "../../host/device/index.ts";
import { buildName } from "../../host/device/simulator.ts";
import type { UnitName } from "../../host/estimate/device.ts";
import { measuredTimeline, type Span } from "../../host/estimate/timeline.ts";
import type { Shape } from "../../host/estimate/workload.ts";
import { type ShapeName, shapeConfig } from "../../host/model/shapes.ts";
import type { SimRow, SimSetting } from "../../host/report/recorded.ts";
import { Model } from "../../host/runtime/model.ts";
import { withPorts } from "../../host/runtime/ports.ts";
import { syntheticDescription } from "../../host/runtime/synthetic.ts";
import { buffersOf, totalOf } from "../buffers.ts";
import { UNIT_OF } from "../estimate/cases.ts";
import { ROOT } from "../paths.ts";

/** Layers of the shape have no use for more; lm_head is added by its bytes. */
const SHORT_VOCABULARY = 64;

const FUSED: SimSetting = { name: "all overlaps", ports: 6, tokens: 1, partition: "fused", serial: [] };
export const SETTINGS: readonly SimSetting[] = [
  { ...FUSED, name: "everything in turn", serial: ["ssm", "weights", "htu"] },
  { ...FUSED, name: "all but the reordering: SSM after in_proj", serial: ["ssm"] },
  { ...FUSED, name: "all but the prefetch: weights after the codes", serial: ["weights"] },
  { ...FUSED, name: "all but HTU along with the SSM", serial: ["htu"] },
  FUSED,
  { ...FUSED, name: "one port", ports: 1 },
  { ...FUSED, name: "four ports", ports: 4 },
  { ...FUSED, name: "two tokens a pass", tokens: 2 },
  { ...FUSED, name: "four tokens a pass", tokens: 4 },
  { ...FUSED, name: "split", partition: "split" },
];

export const WORKING = ["mmu", "ssmu", "htu", "nqu"] as const;

export interface Subject extends Shape {
  name: string;
  layers: number;
  /** Layers of the whole, and rows of its lm_head. */
  fullLayers: number;
  fullRows: number;
  load(options: object): Model;
}

export function shapeSubject(name: ShapeName, layers: number): Subject {
  const whole = shapeConfig(name, layers);
  const config = { ...whole, vocabSize: SHORT_VOCABULARY, vocabUsed: SHORT_VOCABULARY };
  const description = syntheticDescription(config, { seed: 1 });
  const full = { fullLayers: shapeConfig(name).nLayers, fullRows: whole.vocabSize };
  const load = (options: object) => Model.synthetic(config, description, options);
  return { name, layers, config, description, ...full, load };
}

export function embeddedSubject(): Subject {
  const tiny = join(ROOT, "models", "tiny-w4a4");
  const { config, description } = Model.load(tiny, { threads: 1 });
  const full = { fullLayers: config.nLayers, fullRows: config.vocabSize };
  const load = (options: object) => Model.load(tiny, options);
  return { name: "embedded", layers: config.nLayers, config, description, ...full, load };
}

/** Completions of a device from command `first` on. */
function completions(device: Device, first: number): Completion[] {
  const end = device.memory.readRegister(lm.REG_HEAD);
  return Array.from({ length: end - first }, (_, i) => device.completion(first + i)!);
}

/** A pass of the setting's tokens, after another that has warmed up nothing but fills the state. */
export function measure(subject: Subject, setting: SimSetting, boardName: BoardName, a72: number): SimRow {
  const { ports, tokens, partition, serial } = setting;
  const board: Board = BOARDS[boardName];
  const model = subject.load({ device: "rtl", board, ports, partition, serial, simulator: { ringLog2: 10 } });
  try {
    const device = model.accelerator!.device;
    const session = model.session({ temperature: 0 });
    const ids = Array.from({ length: tokens }, (_, i) => (7 * i + 5) % SHORT_VOCABULARY);
    session.prefill(ids);
    const first = device.memory.readRegister(lm.REG_HEAD);
    const before = device.cycles();
    session.prefill(ids);
    const all = Number(device.cycles() - before);
    const commands = completions(device, first);
    const spans = spansOf(subject, setting, boardName, commands);
    return { ...rowOf(subject, setting, board, a72, commands, all), spans };
  } finally {
    model.close();
  }
}

function spansOf(
  shape: Shape,
  { ports, tokens, partition, serial }: SimSetting,
  name: BoardName,
  commands: readonly Completion[],
): Span[] {
  const known = BOARDS[name];
  const board = { ...known, ...withPorts(known, ports) };
  const configuration = { board, build: { stateLanes: 2, prefetch: known.build.prefetch }, partition, serial };
  const measured = commands.map(({ unit, start, cycles, held }) => {
    return { unit: UNIT_OF[unit]!, start: Number(start), cycles, held };
  });
  return measuredTimeline(shape, configuration, { tokens, logits: true }, measured);
}

function rowOf(
  { name, layers, config, fullLayers, fullRows }: Subject,
  setting: SimSetting,
  board: Board,
  a72: number,
  commands: readonly Completion[],
  all: number,
): Omit<SimRow, "spans"> {
  const { ports, tokens, partition } = setting;
  // Of the layers: without embedding and lm_head with its codes
  const inner = commands.filter(({ opcode }) => opcode !== lm.OP_EMBED).slice(0, partition === "fused" ? -2 : -1);
  const first = inner[0]!;
  const last = inner.at(-1)!;
  const fused = Number(last.start - first.start) + last.cycles;
  const handOvers = (2 * layers * a72 * board.clock_mhz) / tokens;
  const span = (partition === "fused" ? fused : all) / tokens + (partition === "fused" ? 0 : handOvers);
  const read = inner.reduce((sum, { beatsRead }) => sum + beatsRead, 0) / tokens;
  const written = inner.reduce((sum, { beatsWritten }) => sum + beatsWritten, 0) / tokens;
  const matrix = inner.filter(({ opcode }) => opcode === lm.OP_MULTIPLY);
  const lanes = matrix.reduce((sum, { beatsRead }) => sum + beatsRead, 0) / tokens;
  const { memoryRate, portRate } = ratesOf(board, ports);
  const least = Math.max((read + written) / memoryRate, read / portRate);
  const cycles = span / layers;
  return {
    ...{ model: name, setting, cycles, bound: least / layers, work: workOf(inner, layers * tokens) },
    memoryBusy: least / span,
    mmuBusy: lanes / span / ports,
    buffers: totalOf(buffersOf(buildName(ports))),
    tokensPerSecond:
      (board.clock_mhz * 1e6) / (cycles * fullLayers + headBeats(config, fullRows) / Math.min(memoryRate, portRate)),
  };
}

/** Beats a cycle. A port reads and writes at its rate, both from what its memory gives. */
function ratesOf(board: Board, ports: number): { memoryRate: number; portRate: number } {
  const used = withPorts(board, ports);
  const memories = board.memories.filter(({ name }) => used.ports.some((port) => port.memory === name));
  const beats = (gigabytes: readonly number[]) =>
    (gigabytes.reduce((sum, one) => sum + one, 0) * 1000) / (lm.BEAT * board.clock_mhz);
  return {
    memoryRate: beats(memories.map((one) => one.gigabytes_per_second * one.efficiency)),
    portRate: beats(used.ports.map((port) => port.gigabytes_per_second)),
  };
}

function workOf(commands: readonly Completion[], passes: number): SimRow["work"] {
  const of = (name: UnitName) => commands.filter(({ unit }) => UNIT_OF[unit] === name);
  const sum = (name: UnitName) => of(name).reduce((total, { cycles, held }) => total + cycles - held, 0);
  return Object.fromEntries(WORKING.map((name) => [name, sum(name) / passes]));
}

const headBeats = ({ dModel }: Mamba2Config, rows: number) => (rows * (dModel / 2) * (1 + 1 / 16)) / lm.BEAT;
