/** The row scale of linear layers against section 3.2, over every shift and at the ends of every width. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { rowOut } from "../oracle/mmu.ts";
import { clamp, pow2, sat } from "../oracle/primitives.ts";
import { Random } from "../oracle/random.ts";
import { assertSame } from "../units/support.ts";
import { Request, runBench, STALLS, simulate, skipReason } from "./support.ts";

const BUILDS = [
  { name: "rows-1", tokens: 1, rows: 1 },
  { name: "rows-2", tokens: 2, rows: 2 },
  { name: "rows-8", tokens: 3, rows: 8 },
] as const;

/** As the module numbers them. */
const KINDS = { in_proj: 0, out_proj: 1, lm_head: 2 } as const;
type Kind = keyof typeof KINDS;

interface RowsCase {
  kind: Kind;
  /** Of each token. */
  factors: { m: number; shift: number }[];
  /** Of each block: rw of 8 rows, and f. */
  exponents: number[][];
  fractions: number[];
  /** Of each block, 8; or none. */
  biases?: number[][];
  /** [block][token], 8 each. */
  sums: number[][][];
  residuals: number[][][];
}

const list = <T>(length: number, f: (i: number) => T): T[] => Array.from({ length }, (_, i) => f(i));

function finish(kind: Kind, value: bigint, bias: number, residual: number): number {
  const sum = value + BigInt(bias);
  if (kind === "out_proj") return Number(clamp(sum + BigInt(residual), 1n - pow2(30), pow2(30) - 1n));
  return Number(sat(sum, kind === "in_proj" ? 16 : 32));
}

function expected({ kind, factors, exponents, fractions, biases, sums, residuals }: RowsCase): number[] {
  return sums.flatMap((ofBlock, block) =>
    ofBlock.flatMap((row, token) =>
      row.map((acc, r) => {
        const { m, shift } = factors[token]!;
        const value = rowOut(acc, m, shift - exponents[block]![r]! - fractions[block]!);
        return finish(kind, value, biases?.[block]?.[r] ?? 0, residuals[block]![token]![r]!);
      }),
    ),
  );
}

function requestOf({ kind, factors, exponents, fractions, biases, sums, residuals }: RowsCase, stall: number): Request {
  const request = new Request(stall + sums.length, stall);
  request.words(KINDS[kind], sums.length, factors.length, biases ? 1 : 0);
  for (const { m, shift } of factors) request.words(m, shift);
  exponents.forEach((rows, block) => {
    request.bytes8([...rows, fractions[block]!]);
  });
  request.words32((biases ?? []).flat());
  request.word64(...sums.flat(2));
  if (kind === "out_proj") request.words32(residuals.flat(2));
  return request;
}

function check(name: string, cases: readonly RowsCase[], stall: number): { cycles: number; first: number }[] {
  const result = simulate(
    name,
    cases.map((one) => requestOf(one, stall)),
  );
  return cases.map((one) => {
    const wanted = expected(one);
    assertSame(result.words32(wanted.length), wanted, `${name}, ${one.kind}`);
    return { cycles: result.cycles(), first: result.cycles() };
  });
}

/** Every size of sum is as likely, so that at any shift some results are within range. */
function anySize(random: Random, bits: number): number {
  return Math.floor(random.uniform(-1, 1) * 2 ** random.integer(0, bits));
}

function randomCase(random: Random, kind: Kind, blocks: number, tokens: number, biased: boolean): RowsCase {
  const per = <T>(f: () => T): T[][][] => list(blocks, () => list(tokens, () => list(8, f)));
  return {
    kind,
    factors: list(tokens, () => ({ m: random.integer(0, 65535), shift: random.integer(-40, 40) })),
    exponents: list(blocks, () => list(8, () => random.integer(-30, 14))),
    fractions: list(blocks, () => random.integer(-8, 24)),
    ...(biased && { biases: list(blocks, () => list(8, () => anySize(random, 31))) }),
    sums: per(() => anySize(random, 36)),
    residuals: per(() => anySize(random, 30)),
  };
}

/** The ends of every range, every shift from where all saturates to where all is 0. */
function extremes(kind: Kind, tokens: number): RowsCase[] {
  const bound = 2 ** 36;
  const sums = [0, 1, -1, 3, -3, bound - 1, -bound, 2 ** 31];
  return list(190, (i) => i - 60).flatMap((s) =>
    [1, 32768, 65535].map((m) => {
      const block = list(tokens, () => sums);
      const odd = s % 2 === 0 ? 1 : -1;
      return {
        kind,
        factors: list(tokens, () => ({ m, shift: s })),
        exponents: [Array(8).fill(0), [-100, 14, -128, 127, 1, -1, 2, -2]],
        fractions: [0, s % 7],
        biases: [list(8, (r) => (r % 2 === 0 ? 2 ** 31 - 1 : -(2 ** 31))), list(8, (r) => odd * r)],
        sums: [block, block],
        residuals: list(2, (b) => list(tokens, () => list(8, (r) => ((b + r) % 3 === 0 ? 2 ** 30 - 1 : 1 - 2 ** 30)))),
      };
    }),
  );
}

const skip = skipReason("rows");

describe("lm_rows", { skip }, () => {
  for (const { name, tokens, rows } of BUILDS) {
    for (const kind of Object.keys(KINDS) as Kind[]) {
      for (const stall of STALLS) {
        test(`${name}, ${kind}, stalls ${stall}/256`, () => {
          const random = new Random(stall + 1);
          const cases = list(24, (i) => randomCase(random, kind, 1 + i, 1 + (i % tokens), i % 2 === 0));
          const measured = check(name, cases, stall);
          if (stall > 0) return;
          // The command, a block every 8 / rows cycles, and the way through.
          const steps = 8 / rows;
          cases.forEach(({ sums, factors }, i) => {
            assert.equal(measured[i]!.first, 1 + steps - 1 + 7, "latency");
            assert.equal(measured[i]!.cycles, measured[i]!.first + 1 + (sums.length * factors.length - 1) * steps);
          });
        });
      }

      test(`${name}, ${kind}, extremes`, () => {
        check(name, extremes(kind, tokens), 0);
      });
    }
  }

  test("a command of no blocks does nothing", () => {
    const random = new Random(3);
    const result = simulate("rows-1", requestOf(randomCase(random, "lm_head", 0, 1, false), 0));
    assert.ok(result.cycles() < 10);
  });

  test("a request that cannot be is refused by the testbench", () => {
    const short = new Request(1, 0)
      .words(0, 2, 1, 1)
      .words(1, 0)
      .bytes8(Array(18 + 64).fill(0));
    assert.equal(runBench("rows-1", short).status, 2, "no sums");
    assert.equal(runBench("rows-1", new Request(1, 0).words(0, 1, 2, 0)).status, 2, "more vectors than it has");
  });
});
