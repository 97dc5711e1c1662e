/** `npm run sim:report`: cycles of the simulated RTL: each overlap switched off, ports, tokens a pass, partitions; and what it keeps on chip. */
import { join } from "node:path";
import * as lm from "../assembly/device.generated.ts";
import { type Column, formatTable } from "../host/bench/table.ts";
import type { Mamba2Config } from "../host/checkpoint/types.ts";
import { BOARDS } from "../host/device/boards.generated.ts";
import type { Board, Completion, Device } from "../host/device/index.ts";
import { buildName } from "../host/device/simulator.ts";
import { LightMambaError } from "../host/errors.ts";
import { shapeConfig } from "../host/model/shapes.ts";
import type { Overlap, Partition } from "../host/runtime/accelerator.ts";
import { Model } from "../host/runtime/model.ts";
import { withPorts } from "../host/runtime/ports.ts";
import { syntheticDescription } from "../host/runtime/synthetic.ts";
import { readScriptOptions, runScript } from "../host/tools/script.ts";
import { BUILD_COLUMNS, buffersOf, buildRows, kilobytes, totalOf, unfused } from "./buffers.ts";
import { ROOT } from "./paths.ts";

const USAGE = `usage: npm run sim:report -- [options]

Runs two layers of the 2.7B shape, and the embedded model, on the simulated RTL with the memory of a board, and prints what its
cycle counters say; and the bytes that each unit of the RTL keeps on chip. Nothing here was measured on silicon.

  --board <name>   memory and clock: vck190 (default), u280, sim
  --layers <n>     of the 2.7B shape, at least 2. Default: 2
  --a72 <µs>       time of the processor for each hand-over of the split partition. Default: 40
  --json
  -h, --help

Examples:
  npm run sim:report
  npm run sim:report -- --board sim --json`;

const FULL_LAYERS = 64;
/** Layers of the shape have no use for more; lm_head is added by its bytes. */
const SHORT_VOCABULARY = 64;

interface Setting {
  name: string;
  ports: number;
  tokens: number;
  partition: Partition;
  serial: readonly Overlap[];
}

const FUSED: Setting = { name: "all", ports: 6, tokens: 1, partition: "fused", serial: [] };
const SETTINGS: readonly Setting[] = [
  { ...FUSED, name: "everything in turn", serial: ["ssm", "weights", "htu"] },
  { ...FUSED, name: "no reordering", serial: ["ssm"] },
  { ...FUSED, name: "no prefetch of weights", serial: ["weights"] },
  { ...FUSED, name: "HTU after the SSM", serial: ["htu"] },
  FUSED,
  { ...FUSED, name: "1 port", ports: 1 },
  { ...FUSED, name: "4 ports", ports: 4 },
  { ...FUSED, name: "2 tokens a pass", tokens: 2 },
  { ...FUSED, name: "4 tokens a pass", tokens: 4 },
  { ...FUSED, name: "split", partition: "split" },
];

interface Row {
  model: string;
  setting: string;
  ports: number;
  /** Cycles of a layer for a token, and what the memory could do it in at best. */
  cycles: number;
  bound: number;
  /** Share of what the memory can give. */
  memoryBusy: number;
  /** Beats that lanes took, of all they could have. */
  mmuBusy: number;
  /** Bytes on chip of the build. Overlaps are switched off by software, so that they change none. */
  buffers: number;
  /** Cycles of a layer in which a unit worked, waiting for the one before taken off. */
  work: Record<string, number>;
  /** Of the whole model, from these layers. */
  tokensPerSecond: number;
}

const UNITS = { [lm.UNIT_MMU]: "MMU", [lm.UNIT_SSMU]: "SSMU", [lm.UNIT_HTU]: "HTU", [lm.UNIT_NQU]: "NQU" };

interface Subject {
  name: string;
  layers: number;
  config: Mamba2Config;
  /** Layers of the whole, and rows of its lm_head. */
  fullLayers: number;
  fullRows: number;
  load(options: object): Model;
}

function subjects(layers: number): Subject[] {
  const whole = shapeConfig("mamba2-2.7b", layers);
  const config = { ...whole, vocabSize: SHORT_VOCABULARY, vocabUsed: SHORT_VOCABULARY };
  const description = syntheticDescription(config, { seed: 1 });
  const tiny = join(ROOT, "models", "tiny-w4a4");
  const embedded = Model.load(tiny, { threads: 1 });
  return [
    {
      name: "2.7B shape",
      layers,
      config,
      fullLayers: FULL_LAYERS,
      fullRows: whole.vocabSize,
      load: (options) => Model.synthetic(config, description, options),
    },
    {
      name: "embedded",
      layers: embedded.config.nLayers,
      config: embedded.config,
      fullLayers: embedded.config.nLayers,
      fullRows: embedded.config.vocabSize,
      load: (options) => Model.load(tiny, options),
    },
  ];
}

/** Completions of a device from command `first` on. */
function completions(device: Device, first: number): Completion[] {
  const end = device.memory.readRegister(lm.REG_HEAD);
  const found: Completion[] = [];
  for (let sequence = first; sequence < end; sequence++) {
    const one = device.completion(sequence);
    if (one !== undefined) found.push(one);
  }
  return found;
}

/** A pass of the setting's tokens, after another that has warmed up nothing but fills the state. */
function measure(subject: Subject, setting: Setting, board: Board, a72: number): Row {
  const { ports, tokens, partition, serial } = setting;
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
    return rowOf(subject, setting, board, a72, completions(device, first), all);
  } finally {
    model.close();
  }
}

function rowOf(
  { name, layers, config, fullLayers, fullRows }: Subject,
  { name: setting, ports, tokens, partition }: Setting,
  board: Board,
  a72: number,
  commands: readonly Completion[],
  all: number,
): Row {
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
  // A port reads and writes at its rate, both from what its memory gives
  const used = withPorts(board, ports);
  const memory = board.memories.filter(({ name }) => used.ports.some((port) => port.memory === name));
  const memoryRate = beatsPerCycle(
    board,
    memory.map((one) => one.gigabytes_per_second * one.efficiency),
  );
  const portRate = beatsPerCycle(
    board,
    used.ports.map((port) => port.gigabytes_per_second),
  );
  const least = Math.max((read + written) / memoryRate, read / portRate);
  const work = Object.fromEntries(
    Object.entries(UNITS).map(([unit, title]) => {
      const of = inner.filter((one) => one.unit === Number(unit));
      return [title, of.reduce((sum, { cycles, held }) => sum + cycles - held, 0) / layers / tokens];
    }),
  );
  const head = (fullRows * (config.dModel / 2) * (1 + 1 / 16)) / lm.BEAT / Math.min(memoryRate, portRate);
  const cycles = span / layers;
  return {
    ...{ model: name, setting, ports, cycles, bound: least / layers, work },
    memoryBusy: least / span,
    mmuBusy: lanes / span / ports,
    buffers: totalOf(buffersOf(buildName(ports))),
    tokensPerSecond: (board.clock_mhz * 1e6) / (cycles * fullLayers + head),
  };
}

function beatsPerCycle(board: Board, gigabytes: readonly number[]): number {
  return (gigabytes.reduce((sum, one) => sum + one, 0) * 1000) / (lm.BEAT * board.clock_mhz);
}

const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
const whole = (value: number) => Math.round(value).toLocaleString("en-US");

const COLUMNS: readonly Column<Row>[] = [
  { title: "model", left: true, cell: ({ model }) => model },
  { title: "setting", left: true, cell: ({ setting }) => setting },
  { title: "ports", cell: ({ ports }) => String(ports) },
  { title: "cycles/layer", cell: ({ cycles }) => whole(cycles) },
  { title: "bound", cell: ({ bound }) => whole(bound) },
  { title: "memory busy", cell: ({ memoryBusy }) => percent(memoryBusy) },
  { title: "MMU busy", cell: ({ mmuBusy }) => percent(mmuBusy) },
  { title: "kB on chip", cell: ({ buffers }) => kilobytes(buffers) },
  ...Object.values(UNITS).map((unit) => ({ title: `${unit} work`, cell: ({ work }: Row) => whole(work[unit]!) })),
  { title: "tok/s", cell: ({ tokensPerSecond }) => tokensPerSecond.toFixed(1) },
];

function readOptions(args: string[]) {
  const text = { type: "string" } as const;
  const options = {
    board: { ...text, default: "vck190" },
    layers: { ...text, default: "2" },
    a72: { ...text, default: "40" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  } as const;
  return readScriptOptions(args, options);
}

function number(text: string, name: string, least: number): number {
  const value = Number(text);
  if (value >= least && Number.isFinite(value)) return value;
  throw new LightMambaError("usage", `${name}: not a number`, { expected: `at least ${least}`, found: text });
}

runScript("sim:report", () => {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  const board: Board | undefined = BOARDS[options.board as keyof typeof BOARDS];
  if (board === undefined) {
    throw new LightMambaError("usage", "no such board", {
      expected: Object.keys(BOARDS).join(", "),
      found: options.board,
    });
  }
  const layers = number(options.layers, "--layers", 2);
  const a72 = number(options.a72, "--a72", 0);
  const rows: Row[] = [];
  const all = subjects(layers).flatMap((subject) => SETTINGS.map((setting) => ({ subject, setting })));
  for (const [i, { subject, setting }] of all.entries()) {
    process.stderr.write(`${i + 1}/${all.length} ${subject.name}, ${setting.name}\n`);
    rows.push(measure(subject, setting, board, a72));
  }
  const builds = buildRows();
  const intermediates = unfused(shapeConfig("mamba2-2.7b"));
  if (options.json) {
    process.stdout.write(
      `${JSON.stringify({ board: options.board, layers, a72, rows, builds, intermediates }, null, 2)}\n`,
    );
    return;
  }
  process.stdout.write(`board ${options.board}, ${board.clock_mhz} MHz (a plan: nothing was placed and routed)

${formatTable(rows, COLUMNS)}

tok/s: ${FULL_LAYERS} layers like these and lm_head at the memory's speed, without sampling; split with ${a72} µs a hand-over.
The paper (VCK190, W4A4, 400 MHz): MMU busy 58 % without and 96 % with reordering; 2.23, 5.32, 7.21 tok/s; 67 to 72 % of its 12 GB/s.

${formatTable(builds, BUILD_COLUMNS)}

Arrays of the RTL as Verilator elaborates it; weights: read ahead for the MMU; masters' queues count with their unit. URAM: these bytes in blocks of
36,864, which is what they fill at least: nothing was synthesized. Builds that were not measured are elaborated alone.
Three int32 of E x N, which a scan without fusion and tiles holds beside that (2.7B): ${kilobytes(intermediates.bytes)} kB, ${intermediates.uram.toFixed(1)} URAM, computed from the shape.
The paper: 246 URAM without them, 61 with, the whole of an implemented design, beside 912 BRAM; its code keeps a layer's state in some, here it streams.
`);
});
