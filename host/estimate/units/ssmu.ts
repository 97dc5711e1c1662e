/** SSMU (docs/units/ssmu.md): rows and constants a row a cycle, those of z four, the state LANES groups of 16 a cycle, heads one after the other. */
import { type BuildParameters, type Counts, part, type SizedPart } from "../counts.ts";
import type { ReadMaster, WriteMaster } from "../memory.ts";
import type { Process, Traffic, Unit } from "../unit.ts";

export interface SsmCommand {
  unit: "ssmu";
  tokens: number;
  heads: number;
  headDim: number;
  /** N, and groups of B and C. */
  state: number;
  groups: number;
  width: number;
  /** Channels of a norm group; 0: the norm is of the whole vector. */
  normGroup: number;
}

export interface SsmuMasters {
  /** Layer record, F and taps, constants. */
  constants: ReadMaster;
  rows: ReadMaster;
  /** One for each port that has a part of the state, and so on. */
  exponents: readonly ReadMaster[];
  codes: readonly ReadMaster[];
  exponentsOut: readonly WriteMaster[];
  codesOut: readonly WriteMaster[];
  u: WriteMaster;
  ring: WriteMaster;
}

const GROUP = 16;
/** Heads that are prepared ahead; heads that z lags behind x; heads of y that wait for z. */
const BANKS = 4;
const SKEW = 6;
const Y_HEADS = 8;
/** z that wait for their y, and rows of z a cycle; of all others one. */
const Z_FIFO = 128;
const Z_ROWS = 4;
const CONV_LATENCY = 8;
const HEAD_CYCLES = 24;
const SCAN_LATENCY = 17;
const GATE_LATENCY = 9;
const FACTOR = 10;
/** lm_ssmu_shape; the first taps; from a head's last x to its scan. */
const SHAPE = 11;
const TAPS = 9;
const HEAD_END = 5;
const ROWS_A_BEAT = 32;
const CONSTANTS_A_BEAT = 4;
const GROUPS_A_BEAT = 4;
const EXPONENTS_A_BEAT = 64;

/** Cycles for the rows of a token. */
function rowCycles(parts: readonly Part[]): number {
  return parts.reduce((sum, { kind, rows }) => sum + padded(rows) / (kind === "z" ? Z_ROWS : 1), 0);
}

const padded = (rows: number) => 8 * Math.ceil(rows / 8);

/** Beats of each part: docs/device.md, Layouts in memory. */
export function ssmBeats(c: SsmCommand) {
  const inner = c.heads * c.headDim;
  const words = Math.ceil(c.state / GROUP);
  const channels = inner + 2 * c.groups * c.state;
  const rows = 2 * padded(c.groups * c.state) + padded(c.heads) + 2 * c.heads * padded(c.headDim);
  return {
    words,
    rows: Math.ceil(rows / 32),
    constants: Math.ceil(rows / 4),
    ring: Math.ceil(c.heads / GROUP) + Math.ceil(((c.width - 1) * channels) / 32),
    exponents: Math.ceil((inner * words) / 64),
    codes: Math.ceil((inner * words) / 4),
    u: Math.ceil(inner / 16),
  };
}

export function ssmuTraffic(command: SsmCommand, statePorts: number): Traffic {
  const { ring, constants, rows, exponents, codes, u } = ssmBeats(command);
  const parts = Math.max(1, statePorts);
  const state = exponents + parts * Math.ceil(codes / parts);
  return {
    read: (statePorts > 0 ? 2 : 1) + ring + command.tokens * (constants + rows + state),
    written: ring + command.tokens * (state + u + 1),
  };
}

/** lm_ssmu by its lanes, each counted by yosys: what brings values to lanes and sums from them grows faster than their number. */
const SCANS: readonly (Partial<Counts> & { lanes: number })[] = [
  { lanes: 1, luts: 11_684, memoryLuts: 958, flipFlops: 6431 },
  { lanes: 2, luts: 20_473, memoryLuts: 1262, flipFlops: 6958 },
  { lanes: 4, luts: 34_643, memoryLuts: 1870, flipFlops: 8012 },
  { lanes: 8, luts: 150_690, memoryLuts: 3086, flipFlops: 16_274 },
];

/** What it takes, by yosys: groups of 16 state values side by side; convolution, heads and gate, of which there is one each. */
export function ssmuParts({ stateLanes }: BuildParameters): SizedPart[] {
  const { lanes, ...scan } = SCANS.find((one) => one.lanes >= stateLanes) ?? SCANS.at(-1)!;
  return [
    part("lm_ssmu_unit", 1, { luts: 9200, memoryLuts: 720, flipFlops: 5812, dsps: 11, blockRams: 18.5 }),
    part("lm_ssmu", 1, { ...scan, dsps: 16 }),
    part("lm_state_group", stateLanes, { luts: 6021, memoryLuts: 18, flipFlops: 2875, dsps: 32 }),
    part("lm_gate", 1, { luts: 3243, memoryLuts: 16, flipFlops: 1291, dsps: 10, ultraRams: 2 }),
  ];
}

/** Cycles of its own: the scan of the state or the rows, memory apart. */
export function ssmuCycles(command: SsmCommand, lanes: number): number {
  const { tokens, heads, headDim, groups, state } = command;
  const beats = ssmBeats(command);
  const head = Math.max(headDim * Math.ceil(beats.words / lanes), headDim + 5, HEAD_CYCLES);
  const first = 2 * groups * (state + beats.words + 1) + padded(heads) + headDim + CONV_LATENCY;
  return (
    tokens * (Math.max(heads * head, rowCycles(partsOf(command))) + first + SCAN_LATENCY + GATE_LATENCY) +
    2 * beats.ring
  );
}

/** How far the processes of a token are. */
class Token {
  begun = false;
  codesDone = false; // B and C
  dt = 0; //            heads whose dt came
  x = 0; //             values of x and z that left the rows
  z = 0;
  prepared = 0; //      heads
  freed = 0;
  y = 0; //             values out of the scan
  u = 0; //             values that the gate took
  rowsOver = false;
  scanned = false;
  over = false; //      u is on its way
}

interface Part {
  kind: "b" | "c" | "dt" | "x" | "z";
  rows: number;
}

/** in_proj's rows as stored: B, C, dt, then x of head h and z of head h - SKEW. */
function partsOf({ heads, headDim, state, groups }: SsmCommand): Part[] {
  const parts: Part[] = [
    { kind: "b", rows: groups * state },
    { kind: "c", rows: groups * state },
    { kind: "dt", rows: heads },
  ];
  for (let h = 0; h < heads + SKEW; h++) {
    if (h < heads) parts.push({ kind: "x", rows: headDim });
    if (h >= SKEW) parts.push({ kind: "z", rows: headDim });
  }
  return parts;
}

export class SsmuUnit implements Unit<SsmCommand> {
  readonly #m: SsmuMasters;
  readonly #rate: { lanes: number; cycles: number };
  /** Beats of rows that the MULTIPLY before has written. */
  readonly #followed: () => number;

  /** rate: groups of 16 in so many cycles. */
  constructor(masters: SsmuMasters, rate: { lanes: number; cycles: number }, followed: () => number) {
    this.#m = masters;
    this.#rate = rate;
    this.#followed = followed;
  }

  start(command: SsmCommand, hold: () => boolean): Process[] {
    const tokens = Array.from({ length: command.tokens }, () => new Token());
    return [
      this.#run(command, tokens, hold),
      this.#rows(command, tokens),
      this.#prepare(command, tokens),
      this.#scan(command, tokens),
      this.#gate(command, tokens),
    ];
  }

  *#run(command: SsmCommand, tokens: Token[], hold: () => boolean): Process {
    const { constants, rows, exponents, codes, exponentsOut, codesOut, u, ring } = this.#m;
    const beats = ssmBeats(command);
    const records = exponents.length > 1 ? 2 : 1; // with where the parts of the state are
    constants.ask(records);
    yield SHAPE;
    constants.ask(beats.ring);
    for (let beat = 0; beat < records; beat++) while (!constants.take()) yield;
    const limit = () => (hold() ? this.#followed() : Number.POSITIVE_INFINITY);
    tokens.forEach((_, t) => {
      constants.ask(beats.constants);
      rows.ask(beats.rows, { limit, stride: command.tokens, first: t });
    });
    for (let beat = 0; beat < beats.ring; beat++) {
      while (!constants.take()) yield;
      yield;
    }
    for (const token of tokens) {
      yield;
      token.begun = true;
      // What the token before wrote can be read
      while (![...exponentsOut, ...codesOut].every((master) => master.idle)) yield;
      for (const [port, master] of exponents.entries()) master.ask(partOf(beats.exponents, port, exponents.length));
      for (const master of codes) master.ask(Math.ceil(beats.codes / codes.length));
      for (const [port, master] of exponentsOut.entries())
        master.begin(partOf(beats.exponents, port, exponents.length));
      for (const master of codesOut) master.begin(Math.ceil(beats.codes / codes.length));
      // F and taps leave as soon as they are the last token's
      if (token === tokens.at(-1)) while (token.prepared < command.heads) yield;
      else while (!token.scanned || !token.rowsOver) yield;
    }
    ring.begin(beats.ring);
    for (let beat = 0; beat < beats.ring; beat++) {
      while (!ring.room) yield;
      ring.push();
      yield;
    }
    const masters = [constants, rows, ...exponents, ...codes, ...exponentsOut, ...codesOut, u, ring];
    while (!masters.every((master) => master.idle)) yield;
  }

  /** A row and its constants a cycle, where it has room. */
  *#rows(command: SsmCommand, tokens: Token[]): Process {
    const { rows, constants } = this.#m;
    const { headDim, state } = command;
    const parts = partsOf(command);
    for (const token of tokens) {
      while (!token.begun) yield;
      yield TAPS;
      let row = 0;
      for (const { kind, rows: length } of parts) {
        for (let index = 0; index < padded(length); index++, row++) {
          if (row % ROWS_A_BEAT === 0) while (!rows.take()) yield;
          if (row % CONSTANTS_A_BEAT === 0) while (!constants.take()) yield;
          if (index < length) {
            if (kind === "x") while (token.x >= (token.freed + BANKS) * headDim + CONV_LATENCY) yield;
            if (kind === "z") while (token.z - token.u >= Z_FIFO) yield;
            if (kind === "dt") token.dt++;
            else if (kind === "x" || kind === "z") token[kind]++;
            else if (index % state === state - 1) yield Math.ceil(state / GROUP) + 1;
          }
          if (kind !== "z" || index % Z_ROWS === Z_ROWS - 1) yield;
        }
        if (kind === "c") token.codesDone = true;
      }
      token.rowsOver = true;
    }
  }

  /** Time step, decay and dt · x of each head, some ahead of the scan. */
  *#prepare({ heads, headDim }: SsmCommand, tokens: Token[]): Process {
    for (const token of tokens) {
      for (let h = 0; h < heads; h++) {
        while (h - token.freed >= BANKS || token.dt <= h) yield;
        let cycles = 0;
        for (; token.x < (h + 1) * headDim; cycles++) yield;
        yield Math.max(CONV_LATENCY + HEAD_END, HEAD_CYCLES - cycles);
        token.prepared++;
      }
    }
  }

  /** The state: up to `lanes` groups of one channel a cycle, in and out. */
  *#scan(command: SsmCommand, tokens: Token[]): Process {
    const { headDim, heads } = command;
    const { exponents, codes, exponentsOut, codesOut } = this.#m;
    const { words } = ssmBeats(command);
    const channels = heads * headDim;
    let cycle = 0;
    let due = 0; // for the next groups
    const wide = GROUPS_A_BEAT * codes.length;
    for (const token of tokens) {
      while (!token.codesDone) yield;
      const leaving: number[] = []; // cycles in which a channel's y comes
      let [from, to] = [0, 0]; // ports of the next beats of exponents
      let [channel, word, there, exponentsThere, given, exponentsGiven] = [0, 0, 0, 0, 0, 0];
      while (token.y < channels) {
        if (leaving.length > 0 && leaving[0]! <= cycle) {
          leaving.shift();
          if (++token.y % headDim === 0) token.freed++;
        }
        const count = Math.min(this.#rate.lanes, words - word);
        if (there < count && codes.every((master) => master.level > 0)) {
          for (const master of codes) master.take();
          there += wide;
        }
        if (exponentsThere < count && exponents[from]!.take()) {
          exponentsThere += EXPONENTS_A_BEAT;
          from = (from + 1) % exponents.length;
        }
        const ready = channel < token.prepared * headDim && there >= count && exponentsThere >= count;
        const room = codesOut.every((master) => master.room) && exponentsOut[to]!.room;
        if (ready && cycle >= due && room && token.y - token.u < Y_HEADS * headDim) {
          due = cycle + this.#rate.cycles;
          there -= count;
          exponentsThere -= count;
          given += count;
          exponentsGiven += count;
          word += count;
          if (word === words) {
            [channel, word] = [channel + 1, 0];
            leaving.push(cycle + SCAN_LATENCY);
          }
          const last = channel === channels;
          if (given >= wide || last) {
            for (const master of codesOut) master.push();
            given -= wide;
          }
          if (exponentsGiven >= EXPONENTS_A_BEAT || last) {
            exponentsOut[to]!.push();
            exponentsGiven -= EXPONENTS_A_BEAT;
            to = (to + 1) % exponents.length;
          }
        }
        cycle++;
        yield;
      }
      yield 4;
      token.scanned = true;
    }
  }

  /** y and z to u, a value a cycle; a norm of groups holds back one of them. */
  *#gate({ heads, headDim, normGroup }: SsmCommand, tokens: Token[]): Process {
    const { u } = this.#m;
    const inner = heads * headDim;
    const beats = Math.ceil(inner / GROUP);
    yield GATE_LATENCY;
    for (const token of tokens) {
      u.begin(beats + 1);
      let given = 0; // beats of u
      while (token.u < inner) {
        if (token.y > token.u && token.z > token.u) token.u++;
        const behind = normGroup === 0 ? 0 : normGroup;
        const values = token.u === inner ? inner : token.u - behind;
        if (u.room && given < Math.floor(values / GROUP)) {
          u.push();
          given++;
        }
        yield;
      }
      yield GATE_LATENCY;
      for (; given <= beats; given++) {
        if (given === beats) yield FACTOR;
        while (!u.room) yield;
        u.push();
        if (normGroup > 0) yield GROUP;
      }
      token.over = true;
    }
  }
}

/** Beat i of many is with port i mod ports. */
function partOf(beats: number, port: number, ports: number): number {
  return Math.ceil((beats - port) / ports);
}
