/** Speed of a model on a board before anything is built: the simulation of units and memory, and what the processor does beside it. docs/estimate.md. */
import * as lm from "../../assembly/device.generated.ts";
import type { Board } from "../device/index.ts";
import { LightMambaError } from "../errors.ts";
import type { Overlap, Partition } from "../runtime/accelerator.ts";
import { portPatterns } from "../runtime/ports.ts";
import { Accelerator, type Build, type Command, UNITS, type UnitName } from "./device.ts";
import type { Power } from "./energy.ts";
import { type Processor, processorSeconds } from "./processor.ts";
import type { Logic } from "./resources.ts";
import type { Traffic } from "./unit.ts";
import { embedCycles, embedTraffic } from "./units/embed.ts";
import { htuCycles, htuTraffic } from "./units/htu.ts";
import { mmuCycles, mmuTraffic, sharesOf } from "./units/mmu.ts";
import { nquCycles, nquTraffic } from "./units/nqu.ts";
import { ssmuCycles, ssmuTraffic } from "./units/ssmu.ts";
import { headBlocks, passLists, type Shape } from "./workload.ts";

export interface EstimateBoard extends Board {
  readonly processor?: Processor;
  readonly logic?: Logic;
  readonly power?: Power;
  readonly build: { readonly max_log2: number };
}

export interface Configuration {
  /** With as many ports as the build is to have (withPorts). */
  board: EstimateBoard;
  build: Build;
  partition: Partition;
  serial: readonly Overlap[];
}

type PerUnit = { [unit in UnitName]: number };

export interface PassEstimate {
  /** With a command at work, the processor's time not among them. */
  cycles: number;
  bytesRead: number;
  bytesWritten: number;
  /** Of these, in both directions, what each memory moves. */
  memoryBytes: { [memory: string]: number };
  /** Cycles in which memory and ports could move these bytes at best. */
  boundCycles: number;
  /** Cycles of each unit alone, with a memory that never waits; and in which it worked while it followed nobody. */
  unitCycles: PerUnit;
  exposedCycles: PerUnit;
  /** In which the device waits for the processor: hand-overs, and sampling where there are logits. */
  processorSeconds: number;
  seconds: number;
}

/** Of equal layers so many are simulated; the others take what the last of these took. */
const LAYERS = 3;
/** Of lm_head so many blocks. */
const HEAD_BLOCKS = 1024;

export function estimatePass(
  shape: Shape,
  configuration: Configuration,
  { tokens, logits }: { tokens: number; logits: boolean },
): PassEstimate {
  const { board, partition } = configuration;
  const short = shortened(shape);
  const simulated = summarize(short, simulatePass(short, configuration, { tokens, logits }));
  const layers = shape.config.nLayers - short.config.nLayers;
  const blocks = logits ? headBlocks(shape) - headBlocks(short) : 0;
  const extra = blocks * simulated.cyclesABlock;
  const cycles = simulated.busy + layers * simulated.layer.busy + extra;
  const exposedCycles = perUnit((unit) => simulated.exposed[unit] + layers * simulated.layer.exposed[unit]);
  exposedCycles.mmu += extra;
  const { traffic, memoryBytes, unitCycles } = costsOf(shape, configuration, { tokens, logits });
  const outside = processorSeconds(shape, board.processor, { partition, tokens, logits });
  return {
    cycles: Math.round(cycles),
    bytesRead: traffic.read * lm.BEAT,
    bytesWritten: traffic.written * lm.BEAT,
    memoryBytes,
    boundCycles: Math.round(boundOf(traffic, board)),
    unitCycles,
    exposedCycles,
    processorSeconds: outside,
    seconds: cycles / (board.clock_mhz * 1e6) + outside,
  };
}

/** The same with fewer layers and a shorter lm_head, where the rest is like these. */
function shortened({ config, description }: Shape): Shape {
  const alike = (names: number) => names === 0 || names === config.nLayers;
  const wide = (matrix: string) => description.weights.wide.filter((name) => name.endsWith(`.${matrix}`)).length;
  const uniform = alike(description.rotation.unrotated.length) && alike(wide("in_proj")) && alike(wide("out_proj"));
  const nLayers = uniform ? Math.min(config.nLayers, LAYERS) : config.nLayers;
  const vocabSize = Math.min(config.vocabSize, HEAD_BLOCKS * 8);
  return { config: { ...config, nLayers, vocabSize }, description };
}

interface Work {
  busy: number;
  exposed: PerUnit;
}

function perUnit(value: (unit: UnitName) => number): PerUnit {
  return Object.fromEntries(UNITS.map((unit) => [unit, value(unit)])) as PerUnit;
}

/** The whole pass, command by command. */
export function simulatePass(
  shape: Shape,
  configuration: Configuration,
  pass: { tokens: number; logits: boolean },
): Accelerator {
  const device = new Accelerator(configuration.board, configuration.build);
  for (const list of passOf(shape, configuration, pass)) device.run(list);
  return device;
}

export function passOf(
  shape: Shape,
  { board, build, partition, serial }: Configuration,
  pass: { tokens: number; logits: boolean },
): Command[][] {
  const patterns = portPatterns(shape, board, build.statePorts ?? 0);
  return passLists(shape, { ...pass, partition, serial, patterns, maxLog2: board.build.max_log2 });
}

/** What of it belongs to the last layer. */
function summarize(shape: Shape, device: Accelerator): Work & { layer: Work; cyclesABlock: number } {
  const last = shape.config.nLayers - 1;
  const of = (layer: number) => device.done.filter(({ command }) => command.layer === layer);
  const start = (layer: number) => Math.min(...of(layer).map((done) => done.busy));
  const exposed = (all: typeof device.done) =>
    perUnit((unit) =>
      all.reduce((sum, { command, cycles, held }) => sum + (command.unit === unit ? cycles - held : 0), 0),
    );
  // From one layer's start to the next one's, behind the first, which finds everything at rest
  const layer = last > 1 ? start(last) - start(last - 1) : 0;
  return {
    ...{ busy: device.busy, exposed: exposed(device.done), cyclesABlock: device.mmu.cyclesABlock },
    layer: { busy: layer, exposed: exposed(of(last)) },
  };
}

/** What a command moves, as its completion counts it, and its unit's own cycles with a memory that never waits. */
export function costOf(command: Command, ports: number, build: Build): Traffic & { cycles: number } {
  switch (command.unit) {
    case "embed":
      return { ...embedTraffic(command), cycles: embedCycles(command) };
    case "nqu":
      return { ...nquTraffic(command), cycles: nquCycles(command) };
    case "mmu":
      return { ...mmuTraffic(command, ports), cycles: mmuCycles(command, ports) };
    case "ssmu":
      return { ...ssmuTraffic(command, build.statePorts ?? 0), cycles: ssmuCycles(command, build.stateLanes) };
    case "htu":
      return { ...htuTraffic(command), cycles: htuCycles(command) };
  }
}

/** Cycles in which memories and ports could move the bytes of a decoded token at best. */
export function boundCycles(shape: Shape, configuration: Configuration): number {
  return Math.round(boundOf(costsOf(shape, configuration, { tokens: 1, logits: true }).traffic, configuration.board));
}

interface Costs {
  traffic: Traffic;
  memoryBytes: { [memory: string]: number };
  unitCycles: PerUnit;
}

function costsOf(shape: Shape, configuration: Configuration, pass: { tokens: number; logits: boolean }): Costs {
  const { board, build } = configuration;
  const costs: Costs = { traffic: { read: 0, written: 0 }, memoryBytes: {}, unitCycles: perUnit(() => 0) };
  for (const command of passOf(shape, configuration, pass).flat()) {
    const { read, written, cycles } = costOf(command, board.ports.length, build);
    addBytes(costs.memoryBytes, command, read + written, board);
    costs.traffic.read += read;
    costs.traffic.written += written;
    costs.unitCycles[command.unit] += cycles;
  }
  return costs;
}

/** Weights come from the memories of their ports, all else goes through port 0. */
function addBytes(bytes: { [memory: string]: number }, command: Command, beats: number, { ports }: Board): void {
  const add = (port: number, count: number) => {
    const { memory } = ports[port]!;
    bytes[memory] = (bytes[memory] ?? 0) + count * lm.BEAT;
  };
  const weights = command.unit === "mmu" ? sharesOf(command, ports.length).map((n) => n * command.blockBeats) : [];
  for (const [port, count] of weights.entries()) add(port, count);
  add(0, beats - weights.reduce((sum, count) => sum + count, 0));
}

/** A port reads and writes at its rate, both from what its memory gives. */
function boundOf({ read, written }: Traffic, board: Board): number {
  const cycles = (gigabytes: number) => (gigabytes * 1000) / (lm.BEAT * board.clock_mhz);
  const used = board.memories.filter(({ name }) => board.ports.some(({ memory }) => memory === name));
  const memory = used.reduce((sum, one) => sum + cycles(one.gigabytes_per_second * one.efficiency), 0);
  const ports = board.ports.reduce((sum, one) => sum + Math.min(1, cycles(one.gigabytes_per_second)), 0);
  return Math.max((read + written) / memory, read / ports);
}

export interface Estimate {
  decode: PassEstimate;
  tokensPerSecond: number;
  /** Share of the time that the memory's bound would take. */
  shareOfBound: number;
  prompt: { tokens: number; tokensAPass: number; passes: number; seconds: number };
}

/** Decoding token by token, and a prompt in passes of several. */
export function estimate(
  shape: Shape,
  configuration: Configuration,
  { tokens, prompt }: { tokens: number; prompt: number },
): Estimate {
  const decode = estimatePass(shape, configuration, { tokens: 1, logits: true });
  const clock = configuration.board.clock_mhz * 1e6;
  const whole = Math.floor((prompt - 1) / tokens);
  const rest = prompt - whole * tokens;
  const body = whole > 0 ? estimatePass(shape, configuration, { tokens, logits: false }).seconds : 0;
  const tail = rest === 1 ? decode : estimatePass(shape, configuration, { tokens: rest, logits: true });
  return {
    decode,
    tokensPerSecond: 1 / decode.seconds,
    shareOfBound: decode.boundCycles / clock / decode.seconds,
    prompt: { tokens: prompt, tokensAPass: tokens, passes: whole + 1, seconds: whole * body + tail.seconds },
  };
}

/** The board with all its banded figures at one end: all against us, or all for us. */
export function bandedBoard<Part extends Partial<EstimateBoard>>(
  board: Part,
  figures: { readonly [path: string]: { readonly band?: readonly [low: number, high: number] } },
  end: "worst" | "best",
): Part {
  const copy = structuredClone(board);
  for (const [path, { band }] of Object.entries(figures)) {
    if (band === undefined) continue;
    const less = /(_(ns|us|w|pj)|pj_per_byte)$/.test(path);
    setAt(copy, path.split("."), band[Number(less === (end === "worst"))]!);
  }
  return copy;
}

function setAt(target: object, path: readonly string[], value: number): void {
  const [key, ...rest] = path as [string, ...string[]];
  const record = target as { [key: string]: object | number };
  if (!(key in record)) throw new LightMambaError("bug", "no such figure of a board", { field: path.join(".") });
  if (rest.length === 0) record[key] = value;
  else setAt(record[key] as object, rest, value);
}
