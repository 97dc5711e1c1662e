/** Primitives and tabulated functions over their whole input range. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { mantissa } from "../../host/quantize/fractions.ts";
import { rsh } from "../oracle/primitives.ts";
import { Random } from "../oracle/random.ts";
import { exp2n, norm, rootOf, silu, softplus } from "../oracle/tables.ts";
import { BACKENDS } from "./backend.ts";

/** Every `stride`-th value of low..high, its ends, and the neighbours of each edge. */
function* range(low: number, high: number, stride: number, edges: readonly number[] = []): Generator<number> {
  for (let value = low; value <= high; value += stride) yield value;
  for (const edge of [low, high, 0, ...edges]) {
    for (let near = edge - 3; near <= edge + 3; near++) if (near >= low && near <= high) yield near;
  }
}

/** Signed numbers of every length up to `bits`, with their neighbours. */
function* lengths(random: Random, bits: number, each: number): Generator<bigint> {
  for (let length = 0; length <= bits; length++) {
    const top = 2n ** BigInt(length);
    for (const value of [top, top - 1n, top - 2n]) yield* [value, -value];
    for (let i = 0; i < each; i++) {
      const value = (BigInt(random.integer(0, 2 ** 31)) * top) >> 31n;
      yield* [value + BigInt(random.integer(-2, 2)), -value];
    }
  }
}

for (const { name, fixed } of BACKENDS) {
  describe(`fixed, ${name}`, () => {
    test("rsh: every shift, saturating at ±2^62 where a left shift does not fit", () => {
      for (const x of lengths(new Random(1), 61, 6)) {
        for (let s = -70; s <= 70; s++) {
          const exact = rsh(x, s);
          const found = fixed.rsh(x, s);
          // A left shift may stand for anything beyond 2^62: every caller saturates to far less.
          const fits = exact < 2n ** 62n && exact > -(2n ** 62n);
          if (fits) assert.equal(found, exact, `rsh(${x}, ${s})`);
          else assert.ok(exact > 0n ? found >= 2n ** 62n : found <= -(2n ** 62n), `rsh(${x}, ${s}) = ${found}`);
        }
      }
    });

    test("silu: all of Q11 up to ±16, the clamp at ±512 and far beyond, every output format", () => {
      let fo = 0;
      for (const u of range(-33000, 33000, 1, [-32768, 32768])) {
        fo = (fo + 7) % 17;
        assert.equal(fixed.silu(BigInt(u), fo), silu(BigInt(u), fo), `silu(${u}, ${fo})`);
      }
      for (let each = 0; each <= 16; each++) {
        for (const u of range(-(2 ** 20) - 50, 2 ** 20 + 50, 3001, [-(2 ** 20), 2 ** 20, -(2 ** 15), 2 ** 15])) {
          assert.equal(fixed.silu(BigInt(u), each), silu(BigInt(u), each), `silu(${u}, ${each})`);
        }
        for (const u of lengths(new Random(2), 60, 1)) {
          assert.equal(fixed.silu(u, each), silu(u, each), `silu(${u}, ${each})`);
        }
      }
    });

    test("exp2n: 0 to 2^24", () => {
      for (const f of range(0, 2 ** 24, 251, [2 ** 18, 2 ** 23, 63 * 2 ** 18])) {
        assert.equal(fixed.exp2n(f), exp2n(BigInt(f)), `exp2n(${f})`);
      }
    });

    test("softplus: ±64 and beyond the clamp", () => {
      const edges = [-(2 ** 22), 2 ** 22, -(2 ** 20), 2 ** 20, -(2 ** 14), 2 ** 14];
      for (const v of range(-(2 ** 22) - 500, 2 ** 22 + 500, 127, edges)) {
        assert.equal(fixed.softplus(BigInt(v)), BigInt(softplus(BigInt(v))), `softplus(${v})`);
      }
      for (const v of lengths(new Random(3), 60, 2)) {
        assert.equal(fixed.softplus(v), BigInt(softplus(v)), `softplus(${v})`);
      }
    });

    test("norm: sums of every length up to 64 bits, roots of every size", () => {
      const random = new Random(4);
      for (const signed of lengths(random, 63, 40)) {
        const sum = BigInt.asUintN(64, signed);
        const root = rootOf(random.integer(1, 8192));
        const { m, j, ne } = norm(sum, root);
        assert.deepEqual(fixed.norm(sum, root), { m, s: 7 + j + ne }, `norm(${sum}, ${root.nm})`);
      }
    });
  });
}

test("the host's sqrt(n) is the page's, for every n", () => {
  for (let n = 1; n <= 8192; n++) {
    const { nm, ne } = rootOf(n);
    assert.deepEqual(mantissa(Math.sqrt(n)), { mantissa: nm, shift: ne }, `n = ${n}`);
  }
});
