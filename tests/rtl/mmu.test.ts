/** MMU: a lane on the table of cases of mmu.test.ts, several matrices in a row, with and without stalls. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { plainOrder } from "../../host/model/frames.ts";
import { accumulate, type OracleLinear } from "../oracle/mmu.ts";
import type { ActivationBits, Codes } from "../oracle/nqu.ts";
import { Random } from "../oracle/random.ts";
import { MMU_CASES, type MmuCase } from "../units/cases.ts";
import { packLinear, randomCodes, randomWeights } from "../units/linear.ts";
import { assertSame, caseName } from "../units/support.ts";
import { Request, type Result, runBench, STALLS, simulate, skipReason } from "./support.ts";

/** As the lines rtl-build of mmu_lane.cpp say. */
const BUILDS: readonly { name: string; bits: readonly ActivationBits[]; tokens: number }[] = [
  { name: "mmu-a5", bits: [4, 5], tokens: 1 },
  { name: "mmu-a6", bits: [5, 6], tokens: 1 },
  { name: "mmu-a8", bits: [4, 6, 8], tokens: 2 },
];
/** Groups of 16 inputs in a lane's buffer. */
const DEPTH = 1024;
const MODE: Record<ActivationBits, number> = { 4: 1, 5: 1, 6: 2, 8: 0 };

interface Job {
  shape: MmuCase;
  linear: OracleLinear;
  vectors: Codes[];
}

const groupsOf = ({ K }: MmuCase): number => Math.ceil(K / 32) * 2;
const blocksOf = ({ rows }: MmuCase): number => Math.ceil(rows / 8);

function jobOf(shape: MmuCase, seed: number, tokens: number): Job {
  const random = new Random(seed + 1);
  const linear = randomWeights(shape, random);
  return { shape, linear, vectors: Array.from({ length: tokens }, () => randomCodes(shape, random)) };
}

function addJob(request: Request, { shape, linear, vectors }: Job, base: number): void {
  const { frames } = packLinear(linear, plainOrder(shape.rows));
  const [wide, group16] = [shape.weightBits === 8 ? 1 : 0, shape.group === 16 ? 1 : 0];
  const groups = groupsOf(shape);
  request.words(groups, blocksOf(shape), vectors.length, wide, group16, MODE[shape.bits], base, frames.length);
  for (const { v, sa } of vectors) {
    for (let group = 0; group < groups; group++)
      request.bytes8([...v.slice(16 * group, 16 * group + 16), sa[group] ?? 0]);
  }
  request.bytes8(frames);
}

/** As many jobs a request as the buffer holds vectors of. */
function parted(jobs: readonly Job[]): Job[][] {
  const parts: Job[][] = [];
  let free = 0;
  for (const job of jobs) {
    const groups = groupsOf(job.shape);
    if (groups > free) {
      parts.push([]);
      free = DEPTH;
    }
    parts.at(-1)!.push(job);
    free -= groups;
  }
  return parts;
}

function requestOf(jobs: readonly Job[], stall: number): Request {
  const request = new Request(jobs.length + stall, stall).words(jobs.length);
  let base = 0;
  for (const job of jobs) {
    addJob(request, job, base);
    base += groupsOf(job.shape);
  }
  return request;
}

/** Sums of a job as rows of its vectors; rows up to a whole block must be 0. */
function checkJob(result: Result, { shape, linear, vectors }: Job): void {
  const found = vectors.map((): number[] => []);
  for (let block = 0; block < blocksOf(shape); block++)
    for (const sums of found) sums.push(...result.words64(8).map(Number));
  vectors.forEach((vector, token) => {
    const padding = Array(8 * blocksOf(shape) - shape.rows).fill(0);
    assertSame(found[token]!, [...accumulate(linear, vector), ...padding], `${caseName(shape)}, vector ${token}`);
  });
}

/** Cycles of a request without stalls: a beat a cycle, one idle cycle a command, and the way through the lane. */
function plannedCycles(jobs: readonly Job[]): number {
  const beats = jobs.map(({ shape, linear }) => packLinear(linear, plainOrder(shape.rows)).frames.length / 64);
  return beats.reduce((sum, count) => sum + count + 1, 0) + LATENCY + (jobs.at(-1)!.vectors.length - 1);
}

/** Cycles from a block's last beat to its first sum. */
const LATENCY = 6;

const skip = skipReason("mmu_lane");

describe("lm_mmu_lane", { skip }, () => {
  for (const { name, bits, tokens } of BUILDS) {
    const cases = MMU_CASES.map((shape, seed) => ({ shape, seed })).filter(({ shape }) => bits.includes(shape.bits));
    const nameOf = ({ K, rows, fill }: MmuCase): string => caseName({ K, rows, extremes: fill !== undefined });
    for (const what of new Set(cases.map(({ shape }) => nameOf(shape)))) {
      const members = cases.filter(({ shape }) => nameOf(shape) === what);
      test(`${name}: ${what}`, () => {
        const jobs = members.map(({ shape, seed }) => jobOf(shape, seed, 1 + (seed % tokens)));
        for (const stall of STALLS) {
          const parts = parted(jobs);
          const result = simulate(
            name,
            parts.map((part) => requestOf(part, stall)),
          );
          for (const part of parts) {
            for (const job of part) checkJob(result, job);
            const cycles = result.cycles();
            result.cycles();
            // Below 64 inputs sums of several vectors may wait for each other.
            if (stall === 0 && part.every(({ shape }) => shape.K >= 64)) assert.equal(cycles, plannedCycles(part));
          }
          assert.ok(result.done);
        }
      });
    }
  }

  test("latency", () => {
    for (const { name, bits } of BUILDS) {
      const shape: MmuCase = { K: 320, rows: 8, bits: bits[0]!, weightBits: 4, group: 32 };
      const result = simulate(name, requestOf([jobOf(shape, 1, 1)], 0));
      result.words64(8);
      result.cycles();
      assert.equal(result.cycles(), LATENCY, name);
    }
  });

  test("a command of no blocks or no groups takes no beat and gives no sum", () => {
    const shape: MmuCase = { K: 96, rows: 9, bits: 4, weightBits: 4, group: 16 };
    const job = jobOf(shape, 2, 1);
    const request = new Request(1, 64).words(4);
    request.words(0, 5, 1, 0, 0, 1, 0, 0);
    addJob(request, job, 0);
    request.words(0, 0, 1, 1, 1, 2, 0, 0);
    addJob(request, job, 6);
    const result = simulate("mmu-a5", request);
    checkJob(result, job);
    checkJob(result, job);
  });

  test("too few beats: the lane waits, and the testbench says so", () => {
    const shape: MmuCase = { K: 96, rows: 9, bits: 4, weightBits: 4, group: 32 };
    const request = new Request(1, 0)
      .words(1)
      .words(6, 3, 1, 0, 0, 1, 0, 64)
      .bytes8(Array(6 * 17 + 64).fill(0));
    assert.ok(groupsOf(shape) === 6);
    const { status, stderr } = runBench("mmu-a5", request);
    assert.equal(status, 4);
    assert.match(stderr, /no progress/);
  });

  test("more groups or vectors than the build has are refused by the testbench", () => {
    assert.equal(runBench("mmu-a5", new Request(1, 0).words(1, 1024, 1, 1, 0, 0, 1, 2, 0)).status, 2);
    assert.equal(runBench("mmu-a5", new Request(1, 0).words(1, 2, 1, 2, 0, 0, 1, 0, 0)).status, 2);
  });
});
