/**
 * What runs in parallel: processes are generators that give up a cycle, or several, with each yield. A unit is the processes of a command, and ends when
 * the last of them has.
 */

/** Yields the cycles until it wants to go on; nothing: one. */
export type Process = Generator<number | undefined, void, void>;

/** Beats of 64 bytes that a command moves. */
export interface Traffic {
  read: number;
  written: number;
}

export interface Unit<Command> {
  /**
   * The processes of a command. hold: it follows the command before, which has not ended. waits: the unit has an older command, whose completion is not
   * written.
   */
  start(command: Command, hold: () => boolean, waits: () => boolean): Process[];
}

/** Runs processes, each when it is due. */
export class Schedule {
  readonly #waiting: { process: Process; due: number; ended: () => void }[] = [];

  add(process: Process, cycle: number, ended: () => void = () => {}): void {
    this.#waiting.push({ process, due: cycle, ended });
  }

  step(cycle: number): void {
    const all = this.#waiting;
    for (let i = 0; i < all.length; i++) {
      const one = all[i]!;
      if (one.due > cycle) continue;
      const { done, value } = one.process.next();
      if (done !== true) {
        one.due = cycle + (value ?? 1);
        continue;
      }
      all.splice(i--, 1);
      one.ended();
    }
  }
}
