/** MMU (docs/units/mmu.md): MULTIPLY. A lane a port takes a beat of weights a cycle; one row scale serves all lanes. */
import { type BuildParameters, blockRams, part, type SizedPart } from "../counts.ts";
import type { ReadMaster, WriteMaster } from "../memory.ts";
import type { Process, Traffic, Unit } from "../unit.ts";

export interface MultiplyCommand {
  unit: "mmu";
  /** For messages: in_proj, out_proj, lm_head. */
  matrix: string;
  blocks: number;
  /** Beats of a block's weights, both planes of 8 bits among them. */
  blockBeats: number;
  inputs: number;
  tokens: number;
  /** Of activations; with 8 there are no group scales. */
  bits: number;
  route: "segments" | "residual" | "logits";
  bias: boolean;
  /** The port of block b, b mod length. */
  pattern: Uint8Array;
}

/** Rows of the row scale a cycle: ROWS of lm_top. */
const ROWS = 2;
const BLOCK_ROWS = 8;
const GROUP_INPUTS = 16;
const SCALE_CYCLES = BLOCK_ROWS / ROWS;
const QUEUE = 4;
const RECORDS_A_BEAT = 4;
/** From a block's last beat to its sums, and from there through the row scale. */
const LANE_LATENCY = 6;
const SCALE_LATENCY = 7 + SCALE_CYCLES - 1;
const DIVIDE = 18;

const paddedGroups = (inputs: number) => 2 * Math.ceil(inputs / 32);

/** Beats of a coded vector beside its header: group scales, and codes. */
export function codedBeats(inputs: number, bits: number): { scales: number; codes: number } {
  const groups = paddedGroups(inputs);
  return { scales: bits === 8 ? 0 : Math.ceil(groups / 64), codes: Math.ceil(groups / 4) };
}

/** Blocks of each port. */
export function sharesOf({ blocks, pattern }: MultiplyCommand, ports: number): number[] {
  const counts = Array.from({ length: ports }, () => 0);
  const whole = Math.floor(blocks / pattern.length);
  pattern.forEach((port, place) => {
    counts[port]! += whole + Number(place < blocks % pattern.length);
  });
  return counts;
}

/** Cycles of its own: the longest lane or the row scale, behind the loading of the codes. Memory apart. */
export function mmuCycles(command: MultiplyCommand, ports: number): number {
  const { blocks, blockBeats, inputs, tokens, bits } = command;
  const lanes = Math.max(...sharesOf(command, ports)) * blockBeats;
  const load = tokens * (1 + codedBeats(inputs, bits).scales + paddedGroups(inputs));
  return load + Math.max(lanes, blocks * tokens * SCALE_CYCLES) + LANE_LATENCY + SCALE_LATENCY;
}

export function mmuTraffic(command: MultiplyCommand, ports: number): Traffic {
  const { blocks, blockBeats, inputs, tokens, bits, route, bias } = command;
  const coded = codedBeats(inputs, bits);
  const rows = tokens * rowBeats(command);
  const side = tableBeats(ports) + recordBeats(blocks, bias) + tokens * (1 + coded.scales + coded.codes);
  return { read: blocks * blockBeats + side + (route === "residual" ? rows : 0), written: rows };
}

/**
 * What it takes, by yosys (bench/results/size.json, resources.json). A lane: 8 rows for each vector, whose products, sum and scale grow with the activation's
 * bits; a memory of the vector's groups, 16 codes and a scale a word.
 */
export function mmuParts({ ports, tokens, actBits, maxInputs }: BuildParameters): SizedPart[] {
  const wider = actBits - 5;
  return [
    part("lm_mmu_unit", 1, {
      luts: 2050 + 275 * ports + 100 * tokens,
      memoryLuts: 750 + 190 * ports + 30 * tokens,
      flipFlops: 2135 + 155 * ports,
      dsps: 2 + ports,
    }),
    part("lm_mmu_lane", ports, {
      luts: 536 + 8 * tokens * (700 + 111 * wider),
      memoryLuts: 3,
      flipFlops: 1667 + tokens * (2740 + 176 * wider),
      dsps: 16 * tokens,
      blockRams: tokens * blockRams(maxInputs / GROUP_INPUTS, GROUP_INPUTS * actBits + 8),
    }),
    part("lm_rows", 1, { luts: 2177 + 68 * tokens, memoryLuts: 8, flipFlops: 1476 + 29 * tokens, dsps: 4 }),
  ];
}

const tableBeats = (ports: number) => 1 + Math.ceil(ports / 8);
const recordBeats = (blocks: number, bias: boolean) => (bias ? blocks : Math.ceil(blocks / RECORDS_A_BEAT));
/** Of a token. */
const rowBeats = ({ blocks, route }: MultiplyCommand) => Math.ceil(blocks / (route === "segments" ? 4 : 2));

interface Lane {
  reader: ReadMaster;
  beats: number;
  ofBlock: number;
  /** Sums of the last block that are not in the queue, and from which cycle; those in the queue. */
  held: number;
  from: number;
  queued: number;
}

export interface MmuMasters {
  tables: ReadMaster;
  vectors: ReadMaster;
  records: ReadMaster;
  residual: ReadMaster;
  rows: WriteMaster;
  weights: readonly ReadMaster[];
}

export class MmuUnit implements Unit<MultiplyCommand> {
  readonly #masters: MmuMasters;
  /** Of a lane for a beat. */
  readonly #laneCycles: number;
  /** The command that has the masters beside tables and weights; a younger one is here too. */
  owner: MultiplyCommand | undefined;
  full = false;
  /** Of the second half of the last command: what more blocks would take. */
  cyclesABlock = 0;

  constructor(masters: MmuMasters, laneCycles: number) {
    this.#masters = masters;
    this.#laneCycles = laneCycles;
  }

  start(command: MultiplyCommand, hold: () => boolean, waits: () => boolean): Process[] {
    this.full = true;
    return [this.#run(command, hold, waits)];
  }

  *#run(command: MultiplyCommand, hold: () => boolean, waits: () => boolean): Process {
    const { blocks, inputs, tokens, bits, bias, route } = command;
    const { vectors, records, residual, rows } = this.#masters;
    if (!waits()) this.#claim(command);
    const lanes = yield* this.#fetch(command);
    while (waits()) yield;
    if (this.owner !== command) this.#claim(command);
    this.full = false;
    yield;
    records.ask(recordBeats(blocks, bias));
    rows.begin(rowBeats(command) * tokens);
    yield;
    while (hold()) yield;
    const coded = codedBeats(inputs, bits);
    vectors.ask((1 + coded.scales + coded.codes) * tokens);
    if (route === "residual") residual.ask(rowBeats(command) * tokens);
    yield;
    for (let t = 0; t < tokens; t++) {
      for (let beat = 0; beat < 1 + coded.scales; beat++) {
        while (!vectors.take()) yield;
        yield;
      }
      for (let group = 0; group < paddedGroups(inputs); group += 4) {
        while (!vectors.take()) yield;
        yield Math.min(4, paddedGroups(inputs) - group);
      }
    }
    yield 2;
    yield* this.#multiply(command, lanes);
    while (![vectors, records, residual, rows].every((master) => master.idle)) yield;
  }

  #claim(command: MultiplyCommand): void {
    this.owner = command;
    this.#masters.rows.done = 0;
  }

  /** Port table and commands for weights, at each port when all of the command before is there. */
  *#fetch(command: MultiplyCommand): Generator<number | undefined, Lane[], void> {
    const { tables, weights } = this.#masters;
    const { blockBeats, pattern } = command;
    tables.ask(tableBeats(weights.length));
    yield 1;
    for (let beat = 0; beat < tableBeats(weights.length); beat++) {
      while (!tables.take()) yield;
      yield;
    }
    yield DIVIDE + pattern.length + 1;
    const lanes = sharesOf(command, weights.length).map((share, port) => {
      const beats = share * blockBeats;
      return { reader: weights[port]!, beats, ofBlock: blockBeats, held: 0, from: 0, queued: 0 };
    });
    for (let left = lanes; left.length > 0; yield) {
      const ready = left.filter(({ reader }) => reader.arrived);
      for (const { reader, beats } of ready) reader.ask(beats);
      left = left.filter((lane) => !ready.includes(lane));
    }
    return lanes;
  }

  /** Lanes and the collector behind them, cycle by cycle. */
  *#multiply(command: MultiplyCommand, lanes: Lane[]): Process {
    const { blocks, tokens, route, bias, pattern, blockBeats } = command;
    const { records, residual, rows } = this.#masters;
    const results: number[] = []; // cycles in which a block leaves the row scale
    const blocksABeat = route === "segments" ? 4 : 2;
    const half = Math.floor(blocks / 2);
    let from = 0;
    let [block, token, free, given] = [0, 0, 0, 0];
    for (let cycle = 0; given < blocks * tokens; cycle++) {
      const takes = cycle % this.#laneCycles === 0;
      for (const lane of lanes) step(lane, cycle, tokens, blockBeats, takes);
      const lane = lanes[pattern[block % pattern.length]!]!;
      if (block < blocks && cycle >= free && lane.queued > 0 && rows.room) {
        const needsRecord = token === 0 && (bias || block % RECORDS_A_BEAT === 0);
        const needsResidual = route === "residual" && block % 2 === 0;
        if ((!needsRecord || records.level > 0) && (!needsResidual || residual.level > 0)) {
          if (needsRecord) records.take();
          if (needsResidual) residual.take();
          lane.queued--;
          free = cycle + SCALE_CYCLES;
          results.push(cycle + SCALE_LATENCY);
          if (++token === tokens) [block, token] = [block + 1, 0];
          if (block === half) from = cycle;
        }
      }
      if (results.length > 0 && results[0]! <= cycle) {
        results.shift();
        const of = Math.floor(given++ / tokens);
        if (of % blocksABeat === blocksABeat - 1 || of === blocks - 1) rows.push();
      }
      this.cyclesABlock = (cycle - from) / (blocks - half);
      yield;
    }
  }
}

function step(lane: Lane, cycle: number, tokens: number, blockBeats: number, takes: boolean): void {
  if (lane.held > 0 && cycle >= lane.from && lane.queued < QUEUE) {
    lane.held--;
    lane.queued++;
  }
  if (!takes || lane.beats === 0 || lane.reader.level === 0 || (lane.ofBlock === 1 && lane.held > 0)) return;
  lane.reader.take();
  lane.beats--;
  if (--lane.ofBlock > 0) return;
  lane.ofBlock = blockBeats;
  lane.held = tokens;
  lane.from = cycle + LANE_LATENCY;
}
