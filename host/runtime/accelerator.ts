/** Brings a model onto a device: what it needs, whether the build holds it, and the device itself. docs/accelerator.md. */
import { STATE_GROUP } from "../../assembly/contract.ts";
import * as lm from "../../assembly/device.generated.ts";
import { BOARDS, UNIT_NAMES } from "../device/boards.generated.ts";
import {
  type Board,
  type Build,
  buildName,
  Device,
  MappedMemory,
  Simulator,
  type SimulatorOptions,
} from "../device/index.ts";
import { LightMambaError } from "../errors.ts";
import type { ModelHeader } from "../model/description.ts";
import { modelTensors } from "../model/tensors.ts";
import type { Engine, RuntimeExports } from "./engine.ts";
import { allocate } from "./load.ts";
import { portMemories, portPatterns, withPorts } from "./ports.ts";

/** fused: the device does everything from the embedding to the logits. split: matrices and SSM alone, WebAssembly the rest. Same bits. */
export type Partition = "fused" | "split";

/** In the order of SERIAL_* in assembly/accel-build.ts. */
export const OVERLAPS = ["ssm", "weights", "htu"] as const;
export type Overlap = (typeof OVERLAPS)[number];

export interface AcceleratorOptions {
  /** "rtl": the accelerator's own RTL, simulated (Simulator). Or a device that is there; who made it closes it. Default: none, "wasm". */
  device?: "wasm" | "rtl" | Device;
  /** Default: fused. */
  partition?: Partition;
  /** Of the simulated RTL: memory ports that stream weights. Default: 1. */
  ports?: number;
  /** Of the simulated RTL: ports 1 to this one have a part of the state each. Default: 0, port 0 has it. */
  statePorts?: number;
  /** Whose memories, clock and timing the simulation has; of a device that was handed over, whose memories. Default: "sim". */
  board?: Board;
  /** For measurements, what does not overlap: SSM with in_proj (the paper's reordering), weights with codes (prefetch), HTU with the SSM. */
  serial?: readonly Overlap[];
  /** More for the simulation: stalls, waveforms. */
  simulator?: Pick<
    SimulatorOptions,
    "stall" | "seed" | "trace" | "hangAt" | "timeoutMs" | "watchdogCycles" | "ringLog2"
  >;
}

/** A model's device. */
export interface Accelerator {
  /** "rtl"; of those that were handed over "board", where it is mapped, or "device". */
  readonly name: "rtl" | "board" | "device";
  readonly device: Device;
  readonly partition: Partition;
  /** MHz of the simulated board; a device that was handed over may have any. */
  readonly clockMhz: number | undefined;
  /** Ends what was started for this model. */
  close(): void;
}

/** Limits of a build in the order of misfit in assembly/accel-build.ts. */
export const LIMITS: readonly (readonly [field: string, what: string])[] = [
  ["units", "the device lacks units"],
  ["state_bits", "the device has no such state"],
  ["activation_bits", "the device is not built for such activations"],
  ["d_model", "the device is built for less"],
  ["d_inner", "the device is built for less"],
  ["num_heads", "the device is built for fewer"],
  ["head_dim", "the device is built for less"],
  ["state_size", "the device is built for less"],
  ["n_groups", "the device is built for fewer"],
  ["n_groups times words of the state", "the device is built for fewer"],
  ["values of the convolution's ring", "the device is built for fewer"],
  ["channels of a norm group", "the device is built for fewer"],
  ["rows of a matrix", "the device is built for fewer"],
  ["order of the Hadamard matrix", "the device is built for less"],
];
const UNITS = 1;
const ORDER = LIMITS.length;

/** Arguments of setBuild. */
const BUILD_ORDER: readonly (keyof Build)[] = [
  ...(["ports", "tokens", "actBits", "maxInputs", "maxRows", "maxHeads", "maxHeadDim", "maxState"] as const),
  ...(["maxGroups", "units", "maxWords", "maxTaps", "maxNormGroup", "maxOrder", "maxLog2", "statePorts"] as const),
];
/** A limit that is not known yet: before there is a device. */
const OPEN = 0x7fffffff;
const MOST_PORTS = lm.PORT_PATTERN;

/** Devices that were handed over, while a model is on them. */
const taken = new WeakSet<Device>();

/** Where a device computes, threads have nothing to do. */
export function checkThreads(wanted: number | undefined): void {
  if (wanted === undefined || wanted === 1) return;
  const detail = { expected: 1, found: wanted, hint: "leave --threads out" };
  throw new LightMambaError("usage", "threads have nothing to do where a device computes", detail);
}

export function accelerate(engine: Engine, header: ModelHeader, options: AcceleratorOptions): Accelerator | undefined {
  const { device = "wasm", partition = "fused", serial = [] } = options;
  if (device === "wasm") return undefined;
  if (device instanceof Device) {
    if (taken.has(device)) throw new LightMambaError("usage", "the device has another model", { file: header.dir });
    bring(engine, header, device, { partition, serial, board: options.board ?? BOARDS.sim });
    taken.add(device);
    const close = () => {
      engine.link.attach(undefined);
      taken.delete(device);
    };
    const name = device.memory instanceof MappedMemory ? "board" : "device";
    return { name, device, partition, clockMhz: undefined, close };
  }
  const board = options.board ?? BOARDS.sim;
  const plan = { partition, serial, board };
  const simulator = simulate(engine, header, plan, options);
  try {
    bring(engine, header, simulator.device, plan);
  } catch (error) {
    simulator.close();
    throw error;
  }
  const close = () => {
    engine.link.attach(undefined);
    simulator.close();
  };
  return { name: "rtl", device: simulator.device, partition, clockMhz: board.clock_mhz, close };
}

/** How a model is to run. */
interface Plan {
  partition: Partition;
  serial: readonly Overlap[];
  board: Board;
}

/** A simulation with as much memory as the model needs. */
function simulate(engine: Engine, header: ModelHeader, plan: Plan, options: AcceleratorOptions): Simulator {
  const { ports = 1, statePorts = 0, simulator = {} } = options;
  if (!Number.isInteger(ports) || ports < 1 || ports > MOST_PORTS) {
    throw new LightMambaError("usage", "not a number of ports", { expected: `1 to ${MOST_PORTS}`, found: ports });
  }
  const { data, weights } = planDevice(engine, header, { ports, statePorts }, plan);
  const [first, ...others] = weights;
  const ringLog2 = simulator.ringLog2 ?? 9;
  const watchdogCycles = simulator.watchdogCycles ?? mostCycles(engine, header);
  return Simulator.start({
    build: buildName(ports, statePorts),
    board: withPorts(plan.board, ports),
    memoryBytes: [data + first! + 2 ** ringLog2 * (lm.DESCRIPTOR + lm.COMPLETION) + lm.BEAT, ...others],
    watchdogCycles,
    // The watchdog comes first: even a slow simulation makes more than 10,000 cycles a second.
    timeoutMs: 10_000 + watchdogCycles / 10,
    ...simulator,
    ringLog2,
  });
}

/** A bound that a command keeps by far: 16 cycles for each beat of the largest matrix, and for each word of a layer's state. */
function mostCycles({ exports }: Engine, { config, description }: ModelHeader): number {
  const frames = [...modelTensors(config, description.weights)].filter(([name]) => name.endsWith(".frames"));
  const beats = Math.max(...frames.map(([, { shape }]) => (shape[0]! * shape[1]!) / lm.BEAT));
  const words = exports.passTokens() * config.dInner * Math.ceil(config.dState / STATE_GROUP);
  return 100_000 + 16 * Math.max(beats, words);
}

function bring(engine: Engine, header: ModelHeader, device: Device, plan: Plan): void {
  const { data, weights, memories } = planDevice(engine, header, device.build, plan);
  const [first, ...others] = weights as [number, ...number[]];
  const { regions } = device.memory;
  const check = (memory: number, expected: number, found: number) => {
    if (found >= expected) return;
    const field = weights.length > 1 ? { field: `memory ${memory}` } : {};
    const detail = { file: header.dir, ...field, expected: `${expected} bytes`, found: `${found}` };
    throw new LightMambaError("device", "the device's memory is too small for the model", detail);
  };
  for (const [i, bytes] of others.entries()) check(i + 1, bytes, regions[i + 1]?.bytes ?? 0);
  device.reserveWeights(first, memories);
  check(0, data + first, device.dataBytes + first);
  engine.link.attach(device);
  engine.exports.setDeviceWeights(0, BigInt(device.weightAddress));
  for (const i of others.keys()) engine.exports.setDeviceWeights(i + 1, BigInt(regions[i + 1]!.address));
  engine.exports.openDevice(BigInt(device.dataAddress));
}

/** Bytes that the model needs on a build: written by the device, and only read in each memory. Throws where the build does not hold it. */
function planDevice(
  engine: Engine,
  header: ModelHeader,
  build: Partial<Build>,
  { partition, serial, board }: Plan,
): { data: number; weights: number[]; memories: number[] } {
  const { exports } = engine;
  exports.setBuild(...BUILD_ORDER.map((name) => build[name] ?? OPEN));
  const plan = portPlan(header, board, build.ports ?? 1, build.statePorts ?? 0);
  const [inProj, others, memoriesAt] = [withLength(plan.inProj), withLength(plan.others), plan.memories].map(
    (bytes) => {
      const at = allocate(engine, 1 + lm.PORT_PATTERN, "what ports have");
      new Uint8Array(engine.memory.buffer, at, bytes.length).set(bytes);
      return at;
    },
  );
  const mask = serial.reduce((bits, overlap) => bits | (1 << OVERLAPS.indexOf(overlap)), 0);
  const misfit = exports.planDevice(inProj!, others!, memoriesAt!, Number(partition === "split"), mask);
  if (misfit > 0) throw misfitError(exports, header, build, misfit);
  const weights = Array.from({ length: Math.max(...plan.memories) + 1 }, (_, i) =>
    Number(exports.deviceWeightBytes(i)),
  );
  return { data: Number(exports.deviceDataBytes()), weights, memories: plan.memories };
}

function withLength(pattern: readonly number[]): number[] {
  return [pattern.length, ...pattern];
}

/** Arguments of planDevice for so many ports: who has block b of in_proj, and of the other matrices; and in which memory each port is. */
export function portPlan(
  header: ModelHeader,
  board: Board,
  count: number,
  statePorts: number,
): Record<"inProj" | "others" | "memories", number[]> {
  const ports = withPorts(board, count);
  const { inProj, others } = portPatterns(header, ports, statePorts);
  return { inProj: [...inProj], others: [...others], memories: portMemories(ports) };
}

function misfitError(
  exports: RuntimeExports,
  header: ModelHeader,
  build: Partial<Build>,
  misfit: number,
): LightMambaError {
  const [field, what] = LIMITS[misfit - 1]!;
  const names = (bits: number) => UNIT_NAMES.filter((_, unit) => (bits >> unit) & 1).join(", ");
  const detail =
    misfit === UNITS
      ? { expected: names(exports.misfitFound() | (build.units ?? 0)), found: names(build.units ?? 0) }
      : { expected: `at most ${exports.misfitLimit()}`, found: exports.misfitFound() };
  const hint = misfit === ORDER ? { hint: "--partition split leaves the transform to WebAssembly" } : {};
  return new LightMambaError("unsupported", what, { file: header.dir, field, ...detail, ...hint });
}
