/** Many configurations: which there are, who of several machines takes which, what is known already, and which are worth having. */
import { appendFileSync, existsSync, readFileSync, renameSync, truncateSync, writeFileSync } from "node:fs";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { badInput } from "../errors.ts";
import { type Counts, KINDS } from "./counts.ts";
import { type Evaluated, evaluate, type Point } from "./point.ts";
import { needsOf } from "./resources.ts";

/** Values of each part of a point. */
export type Space = { [part in keyof Point]: readonly Point[part][] };

/** All combinations, the last part the fastest. */
export function pointsOf(space: Space): Point[] {
  const parts = Object.entries(space) as [keyof Point, readonly unknown[]][];
  return parts.reduce<object[]>(
    (points, [part, values]) => points.flatMap((point) => values.map((value) => ({ ...point, [part]: value }))),
    [{}],
  ) as Point[];
}

/** Shard i of n: every n-th point, so that all shards have small and large ones. */
export function shardOf<T>(all: readonly T[], [index, count]: readonly [number, number]): T[] {
  return all.filter((_, i) => i % count === index);
}

export const keyOf = (point: Point) => JSON.stringify(Object.entries(point).sort());

// ---------------------------------------------------------------------------------------------------- what is known

/** Lines of a file of results. A last line that a crash has torn is cut off, any other that is no result is an error. */
export function readResults(file: string, { repair = false } = {}): Evaluated[] {
  const text = readFileSync(file, "utf8");
  const end = text.lastIndexOf("\n") + 1;
  if (end < text.length) {
    if (!repair)
      throw badInput("the last line is torn", { file, hint: "let explore go on with this file, then merge" });
    truncateSync(file, Buffer.byteLength(text.slice(0, end)));
  }
  return text
    .slice(0, end)
    .split("\n")
    .slice(0, -1)
    .map((line, i) => parse(line, `${file}:${i + 1}`));
}

function parse(line: string, file: string): Evaluated {
  try {
    const found: unknown = JSON.parse(line);
    if (isEvaluated(found)) return found;
  } catch {
    // said below
  }
  throw badInput("is no result of explore", {
    file,
    expected: "an object with point, tokensPerSecond and resources, or refused",
    hint: "another version wrote it: explore again into another file",
  });
}

function isEvaluated(found: unknown): found is Evaluated {
  if (typeof found !== "object" || found === null) return false;
  const { point, version, refused, tokensPerSecond, resources, joulesPerToken, joulesBand } =
    found as Partial<Evaluated>;
  if (typeof point !== "object" || point === null || typeof version !== "string") return false;
  if (typeof refused === "string") return true;
  const numbers = [tokensPerSecond, ...KINDS.map((kind) => resources?.[kind])];
  if (joulesPerToken !== undefined) numbers.push(joulesPerToken, joulesBand?.[0], joulesBand?.[1]);
  return numbers.every((value) => typeof value === "number");
}

export function writeResults(file: string, results: readonly Evaluated[]): void {
  writeFileSync(`${file}.new`, results.map((one) => `${JSON.stringify(one)}\n`).join(""));
  renameSync(`${file}.new`, file);
}

/** One result of each point, in the order of points. */
export function merged(results: readonly Evaluated[]): Evaluated[] {
  const byKey = new Map(results.map((one) => [keyOf(one.point), one]));
  return [...byKey.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one);
}

// ---------------------------------------------------------------------------------------------------- the work

export interface ExploreOptions {
  points: readonly Point[];
  version: string;
  /** Where results go as they come, and where they are looked for first. Without one nothing is kept. */
  file?: string | undefined;
  jobs: number;
  progress?: (done: number, total: number) => void;
}

export async function explore({ points, version, file, jobs, progress }: ExploreOptions): Promise<Evaluated[]> {
  const kept = file !== undefined && existsSync(file) ? readResults(file, { repair: true }) : [];
  const known = new Map(kept.filter((one) => one.version === version).map((one) => [keyOf(one.point), one]));
  const left = points.filter((point) => !known.has(keyOf(point)));
  progress?.(points.length - left.length, points.length);
  await inParallel(left, version, jobs, (found) => {
    if (file !== undefined) appendFileSync(file, `${JSON.stringify(found)}\n`);
    known.set(keyOf(found.point), found);
    progress?.(known.size, points.length);
  });
  return merged(points.map((point) => known.get(keyOf(point))!));
}

interface Task {
  explore: { version: string };
}

/** Each thread has one point at a time. */
async function inParallel(
  points: readonly Point[],
  version: string,
  jobs: number,
  take: (found: Evaluated) => void,
): Promise<void> {
  const left = [...points];
  const run = () =>
    new Promise<void>((resolve, reject) => {
      const worker = new Worker(new URL(import.meta.url), { workerData: { explore: { version } } satisfies Task });
      const next = () => {
        const point = left.shift();
        if (point === undefined) void worker.terminate().then(() => resolve());
        else worker.postMessage(point);
      };
      worker.on("message", (found: Evaluated) => {
        take(found);
        next();
      });
      worker.on("error", reject);
      next();
    });
  await Promise.all(Array.from({ length: Math.min(jobs, points.length) }, run));
}

const task = isMainThread ? undefined : (workerData as Partial<Task> | null)?.explore;
if (task !== undefined) {
  parentPort!.on("message", (point: Point) => parentPort!.postMessage(evaluate(point, task.version)));
}

// ---------------------------------------------------------------------------------------------------- the front

/** What a configuration takes, each the less the better. The clock is one: nobody knows yet which the logic reaches. */
const COSTS: readonly ((one: Evaluated) => number)[] = [
  ({ joulesPerToken }) => joulesPerToken ?? 0,
  ({ resources }) => lutsOf(resources!),
  ({ point }) => point.clockMhz,
];

/** Those that serve as memory among them. */
export function lutsOf(resources: Counts): number {
  return needsOf(resources).luts;
}

/** A choice between these is one of the model or of the machine, not of the build. */
const kindOf = ({ point }: Evaluated) =>
  [point.shape, point.activationBits, point.headBits, point.board, point.partition].join();

/** Those that no other beats: as fast, with no more joules a token, LUTs and MHz. The fastest first. */
export function front(results: readonly Evaluated[]): Evaluated[] {
  const possible = results.filter(({ tokensPerSecond }) => tokensPerSecond !== undefined);
  const beats = (a: Evaluated, b: Evaluated) =>
    kindOf(a) === kindOf(b) &&
    a.tokensPerSecond! >= b.tokensPerSecond! &&
    COSTS.every((cost) => cost(a) <= cost(b)) &&
    (a.tokensPerSecond! > b.tokensPerSecond! || COSTS.some((cost) => cost(a) < cost(b)));
  return possible
    .filter((one) => !possible.some((other) => beats(other, one)))
    .sort((a, b) => b.tokensPerSecond! - a.tokensPerSecond!);
}
