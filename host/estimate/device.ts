/** The accelerator as lm_top is: units, masters and ports, and the command processor that starts units in order (lm_cmd). */
import type { Board } from "../device/index.ts";
import { Dram, type MasterSize, Port, ReadMaster, WriteMaster } from "./memory.ts";
import { type Process, Schedule, type Unit } from "./unit.ts";
import { type EmbedCommand, EmbedUnit } from "./units/embed.ts";
import { type HtuCommand, HtuUnit } from "./units/htu.ts";
import { MmuUnit, type MultiplyCommand } from "./units/mmu.ts";
import { type NquCommand, NquUnit } from "./units/nqu.ts";
import { type SsmCommand, SsmuUnit } from "./units/ssmu.ts";

/** wait: starts when all before have ended; follow: at once, and takes what it reads as it comes; plain: when its unit is free. */
export type Order = "plain" | "wait" | "follow";
export type Command = (EmbedCommand | NquCommand | MultiplyCommand | SsmCommand | HtuCommand) & {
  when: Order;
  /** -1: of no layer. */
  layer: number;
};
export type UnitName = Command["unit"];
export const UNITS: readonly UnitName[] = ["mmu", "ssmu", "htu", "nqu", "embed"];

/** What a command was measured to take, as its completion says. */
export interface Done {
  command: Command;
  start: number;
  /** Busy cycles of the device before it. */
  busy: number;
  cycles: number;
  /** Of these, waiting for the one before. */
  held: number;
}

/** A build: parameters of lm_top that cost or bring time. */
export interface Build {
  stateLanes: number;
  /** Ports that the state is dealt out to, from port 1 on; default: 0, it is with port 0, as all else. */
  statePorts?: number;
  /** MULTIPLYs at a time: with two a port has weights of the next one as soon as it has all of this one. Default: 1. */
  multiplies?: 1 | 2;
  /** Beats of weights that a port reads ahead. */
  prefetch: number;
  /** Of other designs than ours, which takes one: cycles of a lane for a beat, and of the SSMU for `stateLanes` groups. */
  laneCycles?: number;
  scanCycles?: number;
}

const BEAT = 64;
const MASTER: MasterSize = { burst: 16, outstanding: 16, depth: 64 };
const FETCH: MasterSize = { burst: 2, outstanding: 2, depth: 2 };
const WRITER: MasterSize = { burst: 16, outstanding: 16, depth: 32 };
/** Short bursts where somebody may follow. */
const FOLLOWED: MasterSize = { ...WRITER, burst: 2 };
const COMPLETIONS: MasterSize = { burst: 2, outstanding: 2, depth: 2 };
const TABLES: MasterSize = { burst: 16, outstanding: 2, depth: 16 };
/** Codes of a part of the state, which share their port with weights: lm_state_port. */
const STATE_CODES: MasterSize = { ...MASTER, depth: 256 };

/** What may have a command: the units, and the MMU a second time. */
type SlotName = UnitName | "mmu2";

const SLOTS: readonly SlotName[] = [...UNITS, "mmu2"];

interface Slot {
  done: Done;
  ended: boolean;
}

export class Accelerator {
  readonly #ports: Port[];
  readonly #drams: Dram[];
  readonly #schedule = new Schedule();
  readonly #units: { [name in UnitName]: Unit<never> };
  readonly mmu: MmuUnit;
  readonly #fetch: ReadMaster;
  readonly #completions: WriteMaster;
  readonly #slots = new Map<SlotName, Slot>();
  readonly #multiplies: number;
  #latest: SlotName | undefined;
  /** Whose turn of the MMU's two it is; the MULTIPLY that an SSM follows. */
  #second = false;
  #followed: Command | undefined;
  readonly done: Done[] = [];
  cycle = 0;
  /** Cycles with a command at work. */
  busy = 0;

  constructor(board: Board, build: Build) {
    const beats = (gigabytes: number) => (gigabytes * 1000) / (BEAT * board.clock_mhz);
    const drams = new Map(
      board.memories.map(({ name, gigabytes_per_second, efficiency, latency_ns }) => {
        const latency = Math.round((latency_ns * board.clock_mhz) / 1000);
        return [name, new Dram(beats(gigabytes_per_second * efficiency), latency)];
      }),
    );
    this.#drams = [...drams.values()];
    this.#ports = board.ports.map(
      (port) => new Port(drams.get(port.memory)!, beats(port.gigabytes_per_second), port.outstanding),
    );
    const [first, ...others] = this.#ports as [Port, ...Port[]];
    const reader = (size = MASTER) => new ReadMaster(first, size);
    const writer = (size = WRITER) => new WriteMaster(first, size);
    // In the order of RD_* and WR_* in lm_top, in which they take turns
    this.#fetch = reader(FETCH);
    this.#completions = writer(COMPLETIONS);
    const [vectors, records, residual] = [reader(), reader(), reader()];
    const ahead = (outstanding: number) => ({ burst: 16, outstanding, depth: build.prefetch });
    const state = others.slice(0, build.statePorts ?? 0);
    // Where a part of the state is, less of the weights is in flight, as at port 0
    const weights = [
      reader(ahead(others.length > 0 ? 4 : 8)),
      ...others.map((port, i) => new ReadMaster(port, ahead(i < state.length ? 4 : 16))),
    ];
    const rows = writer(FOLLOWED);
    const readers = (size: MasterSize) =>
      state.length === 0 ? [reader()] : state.map((port) => new ReadMaster(port, size));
    const writers = () => (state.length === 0 ? [writer()] : state.map((port) => new WriteMaster(port, WRITER)));
    const ssm = {
      ...{ constants: reader(), rows: reader(), exponents: readers(MASTER), codes: readers(STATE_CODES) },
      ...{ exponentsOut: writers(), codesOut: writers(), u: writer(FOLLOWED), ring: writer() },
    };
    const [htu, nqu, embed] = [
      new HtuUnit(reader(), writer(), () => ssm.u.done),
      new NquUnit(reader(), writer()),
      new EmbedUnit(reader(), writer()),
    ];
    this.mmu = new MmuUnit(
      { tables: reader(TABLES), vectors, records, residual, rows, weights },
      build.laneCycles ?? 1,
    );
    const rate = { lanes: build.stateLanes, cycles: build.scanCycles ?? 1 };
    const followed = () => (this.mmu.owner === this.#followed ? rows.done : 0);
    this.#units = { mmu: this.mmu, ssmu: new SsmuUnit(ssm, rate, followed), htu, nqu, embed };
    this.#multiplies = build.multiplies ?? 1;
    this.#schedule.add(this.#retire(), 0);
    this.#clear = { mmu: [], ssmu: [ssm.u], htu: [], nqu: [], embed: [] };
  }
  /** What a start of the unit sets back. */
  readonly #clear: { [name in UnitName]: WriteMaster[] };

  /** Executes a list from the doorbell to its last completion. */
  run(commands: readonly Command[]): void {
    const until = this.done.length + commands.length;
    this.#schedule.add(this.#issue(commands), this.cycle);
    while (this.done.length < until || this.#slots.size > 0) this.#step();
  }

  #step(): void {
    const { cycle } = this;
    for (const { budget } of this.#drams) budget.tick();
    const count = this.#ports.length;
    // Of ports that share a memory, each comes first every other cycle
    for (let p = 0; p < count; p++) this.#ports[cycle % 2 === 0 ? p : count - 1 - p]!.step(cycle);
    this.#schedule.step(cycle);
    if (this.#slots.size > 0) this.busy++;
    this.cycle++;
  }

  *#issue(commands: readonly Command[]): Process {
    for (const command of commands) {
      yield;
      this.#fetch.ask(1);
      while (!this.#fetch.take()) yield;
      yield 4;
      while (!this.#mayStart(command)) yield;
      this.#start(command);
    }
  }

  #slotOf(unit: UnitName): SlotName {
    return unit === "mmu" && this.#second ? "mmu2" : unit;
  }

  #mayStart({ unit, when }: Command): boolean {
    if (when === "wait") return this.#slots.size === 0;
    const latest = this.#latest === undefined ? undefined : this.#slots.get(this.#latest);
    const full = unit === "mmu" && this.mmu.full;
    return !full && !this.#slots.has(this.#slotOf(unit)) && !(when === "follow" && latest?.ended === true);
  }

  #start(command: Command): void {
    const { unit, when } = command;
    const slot: Slot = { done: { command, start: this.cycle, busy: this.busy, cycles: 0, held: 0 }, ended: false };
    const before = when === "follow" && this.#latest !== undefined ? this.#slots.get(this.#latest) : undefined;
    const name = this.#slotOf(unit);
    const elder = unit === "mmu" ? this.#slots.get(name === "mmu" ? "mmu2" : "mmu") : undefined;
    if (unit === "mmu" && this.#multiplies === 2) this.#second = !this.#second;
    if (unit === "ssmu") this.#followed = before?.done.command;
    this.#slots.set(name, slot);
    this.#latest = name;
    const waits = () => elder !== undefined && [...this.#slots.values()].includes(elder);
    const hold = () => before !== undefined && !before.ended;
    for (const master of this.#clear[unit]) master.done = 0;
    const begins = this.cycle + 1;
    const processes = (this.#units[unit] as unknown as Unit<Command>).start(command, hold, waits);
    let left = processes.length;
    for (const process of processes) {
      this.#schedule.add(process, begins, () => {
        if (--left > 0) return;
        slot.ended = true;
        slot.done.cycles = this.cycle - slot.done.start;
      });
    }
    if (before !== undefined || elder !== undefined)
      this.#schedule.add(
        this.#countHeld(slot, () => hold() || waits()),
        begins,
      );
  }

  *#countHeld(slot: Slot, hold: () => boolean): Process {
    for (; hold(); yield) slot.done.held++;
  }

  /** Completions, one after the other. */
  *#retire(): Process {
    for (;;) {
      const unit = SLOTS.find((name) => this.#slots.get(name)?.ended === true);
      if (unit === undefined) {
        yield;
        continue;
      }
      yield;
      this.#completions.begin(1);
      this.#completions.push();
      yield 2;
      while (!this.#completions.idle) yield;
      this.done.push(this.#slots.get(unit)!.done);
      this.#slots.delete(unit);
      yield;
    }
  }
}
