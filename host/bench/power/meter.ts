/** Reads all power monitors in a thread of its own, many times a second, while the others measure. */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { LightMambaError } from "../../errors.ts";
import { findRails, type Rail, readMicrowatts } from "./hwmon.ts";
import { lengthOf, type RailEnergy, type Reading, railEnergy, type Span } from "./integrate.ts";

const PERIOD_MS = 50;
const START_TIMEOUT_MS = 20_000;
/** Fewer of them in the measured time say little. */
const FEW_READINGS = 10;

/** What was drawn in some spans of time, and what each rail had of it. */
export interface PowerUse {
  seconds: number;
  /** Of the rails that could be counted; null where none could. */
  joules: number | null;
  watts: number | null;
  rails: RailEnergy[];
  notes: string[];
}

/** Words that the threads share. */
const [READY, STOP, WORDS] = [0, 1, 2];
const ROLE = "lightmamba power";

interface Part {
  role: typeof ROLE;
  rails: readonly Rail[];
  words: Int32Array;
}

/** Of the clock that both threads have. */
export function monotonicSeconds(): number {
  return Number(process.hrtime.bigint()) / 1e9;
}

export class PowerMeter {
  readonly rails: readonly Rail[];
  readonly #words = new Int32Array(new SharedArrayBuffer(4 * WORDS));
  readonly #readings: Promise<Reading[][]>;

  /** Nothing where the folder has no monitor of power. */
  static open(folder: string): PowerMeter | undefined {
    const rails = findRails(folder);
    return rails.length === 0 ? undefined : new PowerMeter(rails);
  }

  private constructor(rails: readonly Rail[]) {
    this.rails = rails;
    const data: Part = { role: ROLE, rails, words: this.#words };
    const worker = new Worker(new URL(import.meta.url), { workerData: data });
    this.#readings = new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
    this.#readings.catch(() => {});
    if (Atomics.wait(this.#words, READY, 0, START_TIMEOUT_MS) === "timed-out")
      throw new LightMambaError("prerequisite", "the thread that reads power monitors did not start");
  }

  /** Ends the reading; gives a function that tells the use in any spans of monotonicSeconds(). */
  async stop(): Promise<(spans: readonly Span[]) => PowerUse> {
    this.#end();
    const readings = await this.#readings;
    return (spans) =>
      powerUse(
        this.rails.map(({ name, chip }, i) => railEnergy(name, chip, readings[i]!, spans)),
        spans,
      );
  }

  /** Without a result. */
  close(): void {
    this.#end();
  }

  #end(): void {
    Atomics.store(this.#words, STOP, 1);
    Atomics.notify(this.#words, STOP);
  }
}

function powerUse(rails: RailEnergy[], spans: readonly Span[]): PowerUse {
  const seconds = lengthOf(spans);
  const counted = rails.flatMap(({ joules }) => (joules === null ? [] : [joules]));
  const joules = counted.length === 0 ? null : counted.reduce((sum, one) => sum + one, 0);
  const notes = rails.flatMap(({ rail, note }) => (note === undefined ? [] : [`${rail}: ${note}; left out`]));
  const most = Math.max(0, ...rails.map(({ readings }) => readings));
  if (joules !== null && most < FEW_READINGS)
    notes.push(`only ${most} readings in ${seconds.toFixed(2)} s: more tokens say more`);
  return { seconds, joules, watts: joules === null ? null : joules / seconds, rails, notes };
}

/** The life of the thread. */
function read({ rails, words }: Part): void {
  const readings = rails.map((): Reading[] => []);
  for (let due = performance.now(); Atomics.load(words, STOP) === 0; due += PERIOD_MS) {
    for (const [i, rail] of rails.entries()) {
      const microwatts = readMicrowatts(rail);
      readings[i]!.push([monotonicSeconds(), microwatts]);
    }
    Atomics.store(words, READY, 1);
    Atomics.notify(words, READY);
    // After a pause of the whole machine no reading is made up for
    due = Math.max(due, performance.now() - PERIOD_MS);
    Atomics.wait(words, STOP, 0, Math.max(0, due + PERIOD_MS - performance.now()));
  }
  parentPort!.postMessage(readings);
}

if (!isMainThread && (workerData as Part | undefined)?.role === ROLE) read(workerData as Part);
