/** Other builds for the same model and board, and those that no other beats: explore, with few values of each part. */
import { setImmediate } from "node:timers/promises";
import { BOARDS } from "../device/boards.generated.ts";
import { explore, front, pointsOf, type Space } from "../estimate/explore.ts";
import { type Evaluated, evaluate, limited, type Point } from "../estimate/point.ts";
import type { BuildChoice, Subject } from "../estimate/subject.ts";
import { findShape } from "../model/shapes.ts";
import { packageVersion } from "../package.ts";

export interface Pareto {
  all: Evaluated[];
  /** Of these, the best: as fast, with no more joules a token, LUTs and MHz. */
  front: Evaluated[];
}

export interface Work {
  jobs: number;
  progress?: (done: number, total: number) => void;
}

export async function pareto(subject: Subject, choice: BuildChoice, { jobs, progress }: Work): Promise<Pareto> {
  const points = pointsOf(spaceOf(subject, choice));
  const version = packageVersion();
  const published = findShape(subject.name) !== undefined;
  const found = published
    ? await explore({ points, version, jobs, ...(progress && { progress }) })
    : await evaluateAll(subject, points, version, progress);
  const all = limited(found, {}).filter(({ refused }) => refused === undefined);
  return { all, front: front(all) };
}

/** Threads know published shapes alone. */
async function evaluateAll(
  subject: Subject,
  points: readonly Point[],
  version: string,
  progress: Work["progress"],
): Promise<Evaluated[]> {
  const found: Evaluated[] = [];
  for (const point of points) {
    progress?.(found.length, points.length);
    await setImmediate();
    found.push(evaluate(point, version, subject));
  }
  return found;
}

function spaceOf({ name, description }: Subject, { board, partition, clock }: BuildChoice): Space {
  const { ports, clock_mhz, build } = BOARDS[board];
  const most = ports.length;
  const some = [1, most / 3, (2 * most) / 3, most].map(Math.ceil);
  const headBits = description.weights.wide.includes("lm_head") ? 8 : 4;
  return {
    ...{ shape: [name], activationBits: [description.activationBits], headBits: [headBits] },
    ...{ board: [board], partition: [partition], clockMhz: unique([200, clock ?? clock_mhz]) },
    ...{ ports: unique(some), stateLanes: [1, 2, 4], statePorts: [0], prefetch: [build.prefetch] },
  };
}

const unique = (values: readonly number[]) => [...new Set(values)].sort((a, b) => a - b);
