/**
 * The memory behind the accelerator's ports, and the masters in front of it: bursts of beats of 64 bytes. The rules are those of the RTL's masters
 * (lm_axi_rd, lm_axi_wr, their muxes) and of the simulator's memory (firmware/rtl/sim/memory.h), with nothing in the data.
 */

/** Beats a cycle, saved up for a few cycles. */
class Budget {
  readonly rate: number;
  saved = 0;
  constructor(rate: number) {
    this.rate = rate;
  }
  tick(): void {
    this.saved += this.rate;
    if (this.saved > 4) this.saved = 4;
  }
}

/** A memory: what all its ports together may move, and how long the first beat takes. */
export class Dram {
  readonly budget: Budget;
  readonly latency: number;
  constructor(rate: number, latency: number) {
    this.budget = new Budget(rate);
    this.latency = latency;
  }
}

interface ReadBurst {
  master: ReadMaster;
  left: number;
  at: number;
}

interface Answer {
  master: WriteMaster;
  beats: number;
  at: number;
}

/** One port: reads and writes have channels of their own. */
export class Port {
  readonly dram: Dram;
  readonly readers: ReadMaster[] = [];
  readonly writers: WriteMaster[] = [];
  readonly outstanding: number;
  readonly #in: Budget;
  readonly #out: Budget;
  readonly #reads: ReadBurst[] = [];
  readonly #answers: Answer[] = [];
  #readTurn = 0;
  #writeTurn = 0;
  #writing: WriteMaster | undefined;
  #writeFrom = 0;
  /** Masters with commands: where there are none, nobody is asked. */
  asking = 0;
  writing = 0;

  constructor(dram: Dram, rate: number, outstanding: number) {
    this.dram = dram;
    this.outstanding = outstanding;
    this.#in = new Budget(rate);
    this.#out = new Budget(rate);
  }

  step(cycle: number): void {
    this.#in.tick();
    this.#out.tick();
    if (this.#answers.length > 0 || this.#writing !== undefined) this.#moveWrites(cycle);
    if (this.#reads.length > 0) this.#moveReads(cycle);
    if (this.asking > 0) this.#grantRead(cycle);
    if (this.writing > 0 && this.#writing === undefined) this.#grantWrite(cycle);
  }

  #pay(channel: Budget): boolean {
    const { budget } = this.dram;
    if (channel.saved < 1 || budget.saved < 1) return false;
    channel.saved -= 1;
    budget.saved -= 1;
    return true;
  }

  #moveReads(cycle: number): void {
    const burst = this.#reads[0]!;
    if (burst.at > cycle || !this.#pay(this.#in)) return;
    burst.master.receive();
    if (--burst.left > 0) return;
    this.#reads.shift();
    burst.master.flying--;
  }

  #grantRead(cycle: number): void {
    if (this.#reads.length >= this.outstanding) return;
    const count = this.readers.length;
    for (let i = 0; i < count; i++) {
      const turn = (this.#readTurn + i) % count;
      const master = this.readers[turn]!;
      if (!master.wants || cycle < master.ready) continue;
      const left = master.request(cycle);
      if (left === 0) continue;
      // A register between master and bus, as in the RTL
      this.#reads.push({ master, left, at: cycle + 1 + this.dram.latency });
      this.#readTurn = (turn + 1) % count;
      return;
    }
  }

  #moveWrites(cycle: number): void {
    const answer = this.#answers[0];
    if (answer !== undefined && answer.at <= cycle) {
      this.#answers.shift();
      answer.master.answered(answer.beats);
    }
    const master = this.#writing;
    if (master === undefined || cycle < this.#writeFrom || !this.#pay(this.#out)) return;
    if (!master.send(cycle)) return;
    this.#answers.push({ master, beats: master.burst, at: cycle + this.dram.latency });
    this.#writing = undefined;
  }

  #grantWrite(cycle: number): void {
    const count = this.writers.length;
    for (let i = 0; i < count; i++) {
      const turn = (this.#writeTurn + i) % count;
      const master = this.writers[turn]!;
      if (!master.wants || cycle < master.ready || this.#answers.length >= this.outstanding) continue;
      if (!master.request()) continue;
      this.#writing = master;
      this.#writeFrom = cycle + 1;
      this.#writeTurn = (turn + 1) % count;
      return;
    }
  }
}

/** What a read command may ask for: everything, or so many beats as are in memory by now. */
export interface ReadOptions {
  /** Beats of the whole, over all tokens, that are there. */
  limit?: () => number;
  /** Beats from one to the next, and the first: of vectors that are interleaved. */
  stride?: number;
  first?: number;
}

interface ReadCommand extends ReadOptions {
  left: number;
  number: number;
}

export interface MasterSize {
  burst: number;
  outstanding: number;
  depth: number;
}

/** lm_axi_rd, with lm_stride in front of it: a command of single beats has one every third cycle. */
export class ReadMaster {
  readonly #port: Port;
  readonly size: MasterSize;
  readonly #commands: ReadCommand[] = [];
  /** Beats that are here; those on their way; bursts of these. */
  level = 0;
  promised = 0;
  flying = 0;
  beats = 0;
  ready = 0;

  constructor(port: Port, size: MasterSize) {
    this.#port = port;
    this.size = size;
    port.readers.push(this);
  }

  ask(beats: number, options: ReadOptions = {}): void {
    if (beats === 0) return;
    if (!this.wants) this.#port.asking++;
    this.#commands.push({ ...options, left: beats, number: options.first ?? 0 });
  }

  get wants(): boolean {
    return this.#commands.length > 0;
  }

  get idle(): boolean {
    return this.#commands.length === 0 && this.level === 0 && this.promised === 0;
  }

  /** Everything that was asked for is here, though it may not be taken yet. */
  get arrived(): boolean {
    return this.#commands.length === 0 && this.promised === 0;
  }

  /** Beats of the next burst, 0: none now. */
  request(cycle: number): number {
    const command = this.#commands[0]!;
    const { burst, outstanding, depth } = this.size;
    const stride = command.stride ?? 1;
    const limit = command.limit === undefined ? Number.POSITIVE_INFINITY : command.limit();
    const single = stride > 1 || limit !== Number.POSITIVE_INFINITY;
    if (command.number >= limit || this.flying >= outstanding) return 0;
    const length = single ? 1 : Math.min(burst, command.left);
    if (depth - this.level - this.promised < length) return 0;
    command.left -= length;
    command.number += stride * length;
    this.promised += length;
    this.flying++;
    if (single) this.ready = cycle + 3;
    if (command.left === 0) {
      this.#commands.shift();
      this.ready = cycle + 3;
      if (!this.wants) this.#port.asking--;
    }
    return length;
  }

  receive(): void {
    this.promised--;
    this.level++;
    this.beats++;
  }

  take(): boolean {
    if (this.level === 0) return false;
    this.level--;
    return true;
  }
}

/** lm_axi_wr: a burst leaves when all its beats are here. */
export class WriteMaster {
  readonly #port: Port;
  readonly size: MasterSize;
  readonly #commands: { left: number; single: boolean }[] = [];
  level = 0;
  /** Beats that are not answered, of the burst that goes out, and of it still to go. */
  #unanswered = 0;
  burst = 0;
  #going = 0;
  /** Beats that can be read. */
  done = 0;
  beats = 0;
  ready = 0;

  constructor(port: Port, size: MasterSize) {
    this.#port = port;
    this.size = size;
    port.writers.push(this);
  }

  begin(beats: number, single = false): void {
    if (beats === 0) return;
    if (this.#commands.length === 0) this.#port.writing++;
    this.#commands.push({ left: beats, single });
  }

  get wants(): boolean {
    return this.level > 0 && this.#going === 0 && this.#commands.length > 0;
  }

  get room(): boolean {
    return this.level < this.size.depth;
  }

  get idle(): boolean {
    return this.#commands.length === 0 && this.#unanswered === 0 && this.level === 0;
  }

  push(): void {
    this.level++;
  }

  request(): boolean {
    const command = this.#commands[0]!;
    const length = command.single ? 1 : Math.min(this.size.burst, command.left);
    if (this.level < length) return false;
    this.burst = length;
    this.#going = length;
    this.#unanswered += length;
    return true;
  }

  /** A beat; true with the last of a burst. */
  send(cycle: number): boolean {
    this.level--;
    this.beats++;
    if (--this.#going > 0) return false;
    const command = this.#commands[0]!;
    command.left -= this.burst;
    this.ready = cycle + (command.single ? 4 : 2);
    if (command.left > 0) return true;
    this.#commands.shift();
    if (this.#commands.length === 0) this.#port.writing--;
    return true;
  }

  answered(beats: number): void {
    this.#unanswered -= beats;
    this.done += beats;
  }
}
