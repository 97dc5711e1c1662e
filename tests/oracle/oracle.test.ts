/** The oracle against mathematics in floating point. Set ORACLE_REPORT=1 to print the errors that are measured. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { hadamardOf, hadamardShape, hadamardSigns, paleyKind, transform } from "./hadamard.ts";
import { accumulate, type OracleLinear, planesOf, scalesPerRow } from "./mmu.ts";
import { initialState, randomModel, step, TOKEN_PERIOD } from "./model.ts";
import { type ActivationBits, type Codes, nqu, nqu4, nqu8, nquSymmetric } from "./nqu.ts";
import { bitlen, floorDiv, rsh, rshN, rshSmall, sat, sat7 } from "./primitives.ts";
import { Random, type RandomShape } from "./random.ts";
import { realState, realStep } from "./real.ts";
import { bitrev8, decay, dtTimesX, quantizeBC, readout, type StateBits, type StateGroup, updateGroup } from "./ssmu.ts";
import { DITHER1, DITHER2, EXP2, exp2n, LOG1P, norm, RSQRT, rootOf, rsqrt, SILU, silu, softplus } from "./tables.ts";

function report(name: string, value: number | string): void {
  if (process.env.ORACLE_REPORT === "1") console.log(`${name}: ${value}`);
}

function under(name: string, error: number, bound: number): void {
  report(name, error);
  assert.ok(error <= bound, `${name}: ${error} passes ${bound}`);
}

describe("primitives", () => {
  test("rsh rounds ties up, and multiplies for a negative shift", () => {
    assert.deepEqual(
      [-3n, -2n, -1n, 0n, 1n, 2n, 3n].map((x) => rsh(x, 1)),
      [-1n, -1n, 0n, 0n, 1n, 1n, 2n],
    );
    assert.equal(rsh(-3n, -4), -48n);
    assert.equal(rsh(-(2n ** 62n), 63), 0n);
  });

  test("the number forms agree with the big ones", () => {
    const random = new Random(1);
    for (let i = 0; i < 5000; i++) {
      const x = random.integer(-(2 ** 31), 2 ** 31);
      const s = random.integer(-5, 35);
      assert.equal(rshSmall(x, s), Number(rsh(BigInt(x), s)));
      assert.equal(rshN(x, s), Number(rsh(BigInt(x), s)));
    }
  });

  test("floorDiv, sat, sat7, bitlen at their edges", () => {
    assert.deepEqual([floorDiv(-1n, 4n), floorDiv(-4n, 4n), floorDiv(7n, 4n)], [-1n, -1n, 1n]);
    assert.deepEqual([sat(128n, 8), sat(-129n, 8), sat7(-128n)], [127n, -128n, -127n]);
    assert.deepEqual([bitlen(0n), bitlen(1n), bitlen(255n), bitlen(256n), bitlen(2n ** 46n)], [0, 1, 8, 9, 47]);
  });
});

describe("tables", () => {
  test("entries are the nearest 16-bit fractions", () => {
    const near = (entries: readonly number[], f: (i: number) => number) =>
      entries.forEach((value, i) => {
        assert.ok(Math.abs(value - f(i) * 65536) <= 0.5 + 1e-9, `${i}: ${value}, ${f(i) * 65536}`);
      });
    near(SILU, (i) => i / 16 / (1 + Math.exp(i / 16)));
    near(EXP2, (i) => 2 ** (-i / 64));
    near(LOG1P, (i) => Math.exp(i / 4) * Math.log1p(Math.exp(-i / 4)));
    near(RSQRT, (i) => 1 / Math.sqrt(i / 64 + 1));
    assert.deepEqual([SILU.length, EXP2.length, LOG1P.length, RSQRT.length], [257, 65, 65, 193]);
    assert.deepEqual([EXP2[0], LOG1P[64], RSQRT[0], SILU[256]], [65536, 65536, 65536, 0]);
  });

  test("silu over all of Q11", () => {
    let worst = 0;
    for (let u = -(2 ** 15) - 200; u <= 2 ** 15 + 200; u += 3) {
      const x = u / 2048;
      const exact = x / (1 + Math.exp(-x));
      for (const fo of [8, 11, 16]) {
        const limited = Math.max(-(2 ** 15), Math.min(2 ** 15 - 1, exact * 2 ** fo));
        worst = Math.max(worst, (Math.abs(silu(BigInt(u), fo) - limited) - 0.5) / 2 ** fo);
      }
    }
    under("silu, absolute, beyond half a unit of the result", worst, 2.5e-4);
    for (const u of [2 ** 15, 2 ** 20 - 1, 2 ** 20, 2 ** 40]) {
      assert.equal(silu(BigInt(-u), 8), 0);
      assert.equal(silu(BigInt(u), 4), Math.min(u, 2 ** 20 - 1) >= 2 ** 20 - 64 ? 8192 : Math.round(u / 128));
    }
    assert.equal(silu(2n ** 40n, 8), 32767);
  });

  test("exp2n", () => {
    let worst = 0;
    for (let f = 0; f <= 2 ** 24; f += 211) {
      const exact = 2 ** (16 - f / 2 ** 24);
      worst = Math.max(worst, Math.abs(exp2n(BigInt(f)) / exact - 1));
    }
    under("exp2n, relative", worst, 4e-5);
    assert.equal(exp2n(2n ** 24n), 32768);
  });

  test("softplus", () => {
    let worst = 0;
    for (let v = -(2 ** 22) - 400; v <= 2 ** 22 + 400; v += 131) {
      const x = v / 65536;
      const limited = Math.max(-64, Math.min(64, x));
      const exact = Math.max(limited, 0) + Math.log1p(Math.exp(-Math.abs(limited)));
      const error = Math.max(0, Math.abs(softplus(BigInt(v)) - exact * 2 ** 24) - 0.5) / (exact * 2 ** 24);
      worst = Math.max(worst, error);
    }
    under("softplus, relative, beyond half a unit of Q24", worst, 8e-4);
  });

  test("rsqrt and norm over all lengths", () => {
    let [worst, worstNorm] = [0, 0];
    const random = new Random(2);
    for (let bits = 0; bits <= 62; bits++) {
      for (let i = 0; i < 400; i++) {
        const S =
          BigInt(Math.floor(2 ** Math.min(bits, 30) * random.uniform(1, 2))) * 2n ** BigInt(Math.max(0, bits - 30));
        const { q, j } = rsqrt(S);
        worst = Math.max(worst, Math.abs(q * 2 ** (-23 - j) * Math.sqrt(Number(S)) - 1));
        const n = random.integer(1, 8192);
        const factor = norm(S, rootOf(n));
        const value = factor.m * 2 ** (-7 - factor.j - factor.ne);
        worstNorm = Math.max(worstNorm, Math.abs(value * Math.sqrt(Number(S) / n) - 1));
      }
    }
    under("rsqrt, relative", worst, 6.5e-5);
    under("norm, relative", worstNorm, 1e-4);
  });

  test("roots", () => {
    for (let n = 1; n <= 8192; n++) {
      const { nm, ne } = rootOf(n);
      assert.ok(nm >= 2 ** 15 && nm < 2 ** 16);
      assert.ok(Math.abs(nm - Math.sqrt(n) * 2 ** ne) <= 0.5, `${n}`);
    }
  });

  test("dither", () => {
    for (const permutation of [DITHER1, DITHER2]) {
      assert.deepEqual(
        [...permutation].sort((a, b) => a - b),
        Array.from({ length: 256 }, (_, i) => i),
      );
    }
    assert.notDeepEqual(DITHER1, DITHER2);
    assert.deepEqual([0, 1, 2, 0x80, 0xa1, 255].map(bitrev8), [0, 128, 64, 1, 0x85, 255]);
  });
});

describe("hadamard", () => {
  test("orders and fallbacks", () => {
    const shape = (size: number) => Object.values(hadamardShape(size)).join(" ");
    const expected: [number, string][] = [
      [4096, "1 1 12"],
      [12, "1 12 0"],
      [1536, "1 12 7"],
      [5120, "1 20 8"],
      [40, "1 20 1"],
      [28, "1 28 0"],
      [36, "1 36 0"],
      [104, "1 104 0"],
      [52, "13 1 2"],
      [7, "7 1 0"],
      [10, "5 1 1"],
      [1, "1 1 0"],
    ];
    for (const [size, blocksMK] of expected) assert.equal(shape(size), blocksMK, `${size}`);
    // 52 = 2 * 26: 51 = 3 * 17 is no prime, nor is 25; 104 does not divide it.
    assert.deepEqual([12, 20, 28, 36, 44, 60, 68, 76, 84].map(paleyKind), [
      "I",
      "I",
      "II",
      "II",
      "I",
      "I",
      "I",
      "II",
      "I",
    ]);
  });

  test("rows are orthogonal", () => {
    for (const m of [1, 12, 20, 24, 28, 36, 44, 60, 68, 76, 84, 104, 200]) {
      const signs = hadamardSigns(m);
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < m; j++) {
          let sum = 0;
          for (let c = 0; c < m; c++) sum += signs[i]![c]! * signs[j]![c]!;
          assert.equal(sum, i === j ? m : 0, `order ${m}, rows ${i} and ${j}`);
          assert.equal(Math.abs(signs[i]![j]!), 1);
        }
      }
    }
  });

  test("the transform of unit vectors is orthogonal, symmetric ones are their own inverse", () => {
    for (const size of [8, 12, 20, 28, 36, 40, 44, 60, 96, 52, 80]) {
      const hadamard = hadamardOf(size);
      const n = size / hadamard.blocks;
      const columns: number[][] = [];
      for (let i = 0; i < size; i++) columns.push(transform(unit(size, i), hadamard));
      for (let i = 0; i < size; i++) {
        for (let j = 0; j < size; j++) {
          const sum = columns[i]!.reduce((total, value, c) => total + value * columns[j]![c]!, 0);
          assert.equal(sum, i === j ? n : 0, `${size}: ${i}, ${j}`);
        }
      }
      const symmetric = columns.every((column, i) => column.every((value, j) => value === columns[j]![i]));
      assert.equal(symmetric, hadamard.m === 1 || paleyKind(hadamard.m) === "II", `${size}`);
      if (!symmetric) continue;
      const u = Array.from({ length: size }, (_, i) => ((i * 7919) % 263) - 131);
      assert.deepEqual(
        transform(transform(u, hadamard), hadamard),
        u.map((value) => value * n),
      );
    }
  });
});

function unit(size: number, i: number): number[] {
  return Array.from({ length: size }, (_, j) => (j === i ? 1 : 0));
}

function randomVector(random: Random, length: number, scale: number): number[] {
  return Array.from({ length }, () => Math.round(random.normal() * scale * 4 ** random.integer(-2, 2)));
}

describe("nqu", () => {
  test("A4 reconstructs within a step, its codes in range", () => {
    const random = new Random(3);
    let worst = 0;
    for (let i = 0; i < 400; i++) {
      const a = randomVector(random, random.integer(1, 200), 2 ** random.integer(0, 24));
      const { v, sa, e, S } = nqu4(a);
      assert.equal(v.length % 32, 0);
      a.forEach((value, index) => {
        const scale = sa[Math.floor(index / 16)]!;
        // Rounding costs half a step; where u is clamped at an end, the zero point's half step adds to it.
        worst = Math.max(worst, Math.abs(value - v[index]! * scale * 2 ** e) / (scale * 2 ** e));
        if (value === 0) assert.equal(v[index], 0);
      });
      for (const scale of sa) assert.ok(scale >= 1 && scale <= 255);
      if (e > 0) assert.ok(Math.max(...sa) >= 128, `largest scale ${Math.max(...sa)} at e = ${e}`);
      checkSquares(a, e - 5, S);
    }
    under("nqu A4, in steps", worst, 0.55);
  });

  test("A4 at the ends of 32 bits", () => {
    const limit = 2 ** 30 - 1;
    const { v, sa, e } = nqu4([limit, -limit, ...Array.from({ length: 30 }, () => 0)]);
    assert.equal(e, 20);
    assert.deepEqual([v[0], v[1], sa[0]], [7, -7, 137]);
    assert.deepEqual(nqu4([]), { bits: 4, v: [], sa: [], e: 0, S: 0n });
    assert.deepEqual(nqu4([0]).sa, [1, 1]);
    assert.deepEqual(nqu4([7]).v[0], 7);
    assert.deepEqual(nqu4([-15]).v[0], -15);
  });

  for (const [bits, levels, bound] of [
    [5, 15, 0.56],
    [6, 31, 0.63],
  ] as const) {
    test(`A${bits} reconstructs within a step, its codes in range`, () => {
      const random = new Random(bits);
      let worst = 0;
      for (let i = 0; i < 400; i++) {
        const a = randomVector(random, random.integer(1, 200), 2 ** random.integer(0, 24));
        const { v, sa, e, S } = nquSymmetric(a, bits);
        assert.deepEqual([v.length % 32, sa.length], [0, v.length / 16]);
        a.forEach((value, index) => {
          const scale = sa[Math.floor(index / 16)]!;
          assert.ok(Math.abs(v[index]!) <= levels);
          worst = Math.max(worst, Math.abs(value - v[index]! * scale * 2 ** e) / (scale * 2 ** e));
        });
        for (let group = 0; group < sa.length; group += 2) assert.equal(sa[group], sa[group + 1]);
        for (const scale of sa) assert.ok(scale >= 1 && scale <= 255);
        if (e > 0) assert.ok(Math.max(...sa) >= 128, `largest scale ${Math.max(...sa)} at e = ${e}`);
        checkSquares(a, e - 5, S);
      }
      under(`nqu A${bits}, in steps`, worst, bound);
    });

    test(`A${bits} at its ends`, () => {
      const limit = 2 ** 30 - 1;
      const { v, e } = nquSymmetric([limit, -limit, ...Array.from({ length: 30 }, () => 0)], bits);
      assert.deepEqual([v[0], v[1], v[2]], [levels, -levels, 0]);
      // The largest magnitude of an exponent, and one more.
      for (const power of [0, 3, 17]) {
        const most = 255 * levels * 2 ** power;
        assert.deepEqual([nquSymmetric([most], bits).e, nquSymmetric([-most - 1], bits).e], [power, power + 1]);
        assert.deepEqual(nquSymmetric([most], bits).sa, [255, 255]);
      }
      assert.ok(255 * levels * 2 ** e >= limit);
      assert.deepEqual(nquSymmetric([0], bits).sa, [1, 1]);
      assert.deepEqual(nquSymmetric([levels, -1], bits).v.slice(0, 3), [levels, -1, 0]);
    });
  }

  test("A8 reconstructs within half a step", () => {
    const random = new Random(4);
    let worst = 0;
    for (let i = 0; i < 400; i++) {
      const a = randomVector(random, random.integer(1, 200), 2 ** random.integer(0, 24));
      const { v, e, S } = nqu8(a);
      a.forEach((value, index) => {
        worst = Math.max(worst, Math.abs(value - v[index]! * 2 ** e) / 2 ** e);
      });
      const max = Math.max(...v.map(Math.abs));
      assert.ok(max <= 127 && (e === 0 || max >= 64));
      checkSquares(a, e - 8, S);
    }
    under("nqu A8, in steps", worst, 0.5);
  });
});

/** S is the sum of squares in units of 2^(2 shift). */
function checkSquares(a: readonly number[], shift: number, S: bigint): void {
  const exact = a.reduce((sum, value) => sum + (value / 2 ** shift) ** 2, 0);
  const error = Math.sqrt(exact * a.length) + a.length;
  assert.ok(Math.abs(Number(S) - exact) <= error, `${S}, ${exact}`);
}

describe("mmu", () => {
  test("planes of an 8-bit weight", () => {
    for (let q = -136; q <= 119; q++) {
      const { hi, lo } = planesOf(q);
      assert.equal(16 * hi + lo, q);
      assert.ok(Math.min(hi, lo) >= -8 && Math.max(hi, lo) <= 7);
    }
    for (const q of [-137, 120]) assert.throws(() => planesOf(q), RangeError);
  });

  for (const activation of [4, 5, 6, 8] as const) {
    for (const bits of [4, 8] as const) {
      for (const group of [16, 32] as const) {
        test(`acc against the real product, A${activation}, ${bits}-bit weights in groups of ${group}`, () => {
          const random = new Random(activation + bits + group);
          for (let i = 0; i < 10; i++) {
            const K = random.integer(1, 300);
            const codes = nqu(randomVector(random, K, 1000), activation);
            const linear: OracleLinear = { bits, group, q: [], sw: [], rw: [] };
            for (let row = 0; row < 8; row++) {
              linear.q.push(
                Array.from({ length: K }, () => (bits === 4 ? random.integer(-8, 7) : random.integer(-136, 119))),
              );
              linear.sw.push(Array.from({ length: scalesPerRow(K, group) }, () => random.integer(1, 255)));
              linear.rw.push(0);
            }
            accumulate(linear, codes).forEach((acc, row) => {
              const { exact, bound } = realProduct(linear, row, codes);
              assert.ok(Math.abs(acc - exact) <= bound, `K ${K}: ${acc}, ${exact}`);
            });
          }
        });
      }
    }
  }

  test("the largest sums fit 32 bits", () => {
    const K = 8192;
    const linear = (bits: 4 | 8, group: 16 | 32): OracleLinear => ({
      bits,
      group,
      q: [Array.from({ length: K }, () => (bits === 4 ? -8 : -136))],
      sw: [Array.from({ length: K / group }, () => 255)],
      rw: [0],
    });
    const codes = (bits: ActivationBits, v: number): Codes => {
      const sa = bits === 8 ? [] : Array.from({ length: K / 16 }, () => 255);
      return { bits, v: Array.from({ length: K }, () => v), sa, e: 0, S: 0n };
    };
    for (const group of [16, 32] as const) {
      assert.deepEqual(accumulate(linear(4, group), codes(4, 15)), [-512 * 1920 * 2032]);
      assert.deepEqual(accumulate(linear(4, group), codes(5, 15)), [-512 * 1920 * 2032]);
      assert.deepEqual(accumulate(linear(4, group), codes(6, 31)), [-512 * 3968 * 1016]);
      assert.deepEqual(accumulate(linear(4, group), codes(8, 127)), [-256 * 32512 * 255]);
      assert.deepEqual(accumulate(linear(8, group), codes(6, 31)), [-17 * 512 * 3968 * 1016]);
    }
  });
});

/** Σ q v sw sa / 2^P in real numbers, and how far rounding the scales may take acc from it. */
function realProduct(linear: OracleLinear, row: number, codes: Codes): { exact: number; bound: number } {
  let [exact, bound] = [0, 0];
  const scaled = codes.sa.length > 0;
  const unit = codes.bits === 6 ? 64 : 32;
  const dots = Array.from({ length: codes.v.length / 16 }, () => 0);
  linear.q[row]!.forEach((q, i) => {
    dots[Math.floor(i / 16)]! += q * codes.v[i]!;
  });
  dots.forEach((dot, group) => {
    const sw = linear.sw[row]![Math.floor((group * 16) / linear.group)]!;
    exact += scaled ? (dot * sw * codes.sa[group]!) / unit : dot * sw;
    bound += scaled ? Math.abs(dot) / 2 : 0;
  });
  return { exact, bound };
}

/** One channel of one head of N states, driven by integers; y of the oracle and of the exact recurrence. */
interface Drive {
  decay: number;
  steps: number;
  x: (t: number) => number;
  seed: number;
  bits: StateBits;
}

const N = 128;
const FXS = 11;
const FBC = 12;

function runHead({ decay: rate, steps, x, seed, bits }: Drive): { integer: number[]; exact: number[] } {
  const random = new Random(seed);
  const sizes = Array.from({ length: N / 16 }, () => 2 ** random.uniform(-4, 0));
  const values = () =>
    sizes.flatMap((size) => Array.from({ length: 16 }, () => Math.round(size * random.uniform(0.2, 1) * 2 ** 12)));
  const [B, C] = [values(), values()];
  const [Bq, Cq] = [quantizeBC(B, FBC), quantizeBC(C, FBC)];
  const dt = Math.round(random.uniform(0.01, 0.05) * 2 ** 24);
  const wanted = -Math.log2(rate) / (dt / 2 ** 24);
  const ae = 15 - Math.floor(Math.log2(wanted));
  const am = Math.round(wanted * 2 ** ae);
  const weight = B.reduce((sum, b, n) => sum + b * C[n]!, 0) / 2 ** (2 * FBC);
  let groups: StateGroup[] = sizes.map(() => ({ h: Array.from({ length: 16 }, () => 0), eh: -64 }));
  const slices = sizes.map((_, g) => Bq.codes.slice(g * 16, g * 16 + 16));
  let [F, state] = [0, 0];
  const result = { integer: [] as number[], exact: [] as number[] };
  for (let t = 0; t < steps; t++) {
    const moved = decay(F, dt, am, ae);
    F = moved.F;
    const input = dtTimesX(dt, moved.ci, [x(t)], FXS);
    const update = { k: moved.k, q: input.codes[0]!, ex: input.exponent, eB: Bq.exponent, t, ch: 5 };
    groups = groups.map((group, g) => updateGroup(group, { ...update, Bq: slices[g]!, n0: g * 16 }, bits));
    result.integer.push((readout(groups, Cq.codes, Cq.exponent) * moved.c) / 2 ** 28);
    state = state * rate + (dt / 2 ** 24) * (x(t) / 2 ** FXS);
    result.exact.push(state * weight);
  }
  return result;
}

function headTest(bits: StateBits, rate: number, kind: "impulse" | "step", bound: number): void {
  const steps = Math.ceil(3 / (1 - rate));
  test(`${bits}-bit state, ${kind}, decay ${rate}: within ${100 * bound} %`, () => {
    const x = kind === "step" ? () => 5000 : (t: number) => (t === 0 ? 30000 : 0);
    const { integer, exact } = runHead({ decay: rate, steps, x, seed: 11, bits });
    let worst = 0;
    let at = 0;
    integer.forEach((y, t) => {
      const error = Math.abs(y / exact[t]! - 1);
      if (error > worst) [worst, at] = [error, t];
    });
    report(`${bits} bits, ${kind} ${rate} at the end`, integer.at(-1)! / exact.at(-1)! - 1);
    under(`${bits} bits, ${kind} ${rate}, relative, worst at ${at} of ${steps}`, worst, bound);
  });
}

describe("a head over three time constants", () => {
  for (const rate of [0.98, 0.99, 0.995, 0.999, 0.9995, 0.9999]) {
    for (const kind of ["impulse", "step"] as const) {
      headTest(8, rate, kind, 0.05);
      headTest(16, rate, kind, 0.01);
    }
  }
});

describe("a group of 16-bit codes", () => {
  const zeros = Array.from({ length: 16 }, () => 0);
  const nothing = { k: 0, q: 0, ex: 0, Bq: zeros, eB: 0, t: 0, n0: 0, ch: 0 };
  const first = (group: StateGroup): number[] => [group.h[0]!, group.eh];

  test("keeps its values over steps without input, whole bits of decay go into the exponent", () => {
    const group = { h: zeros.map((_, i) => i * 4000 - 30000), eh: 5 };
    assert.deepEqual(updateGroup(group, { ...nothing, ex: -40 }, 16), group);
    assert.deepEqual(updateGroup(group, { ...nothing, ex: -40, k: 3 }, 16), { ...group, eh: 2 });
    assert.deepEqual(updateGroup(group, { ...nothing, ex: -80, k: 69 }, 16), { ...group, eh: -64 });
    assert.deepEqual(updateGroup(group, { ...nothing, ex: -80, k: 70 }, 16), { h: zeros, eh: -64 });
  });

  test("takes the input into 16 bits, and flushes or clamps at the ends", () => {
    const one = { ...nothing, q: 127, Bq: zeros.map(() => 127) };
    // 16129 · 2^9 is 8258048: r = 8 leaves 32258 · 2^-1.
    assert.deepEqual(first(updateGroup({ h: zeros, eh: -64 }, one, 16)), [32258, -1]);
    assert.deepEqual(first(updateGroup({ h: zeros, eh: -64 }, { ...one, ex: -63 }, 16)), [32258, -64]);
    assert.deepEqual(first(updateGroup({ h: zeros, eh: -64 }, { ...one, ex: -64 }, 16)), [0, -64]);
    assert.deepEqual(first(updateGroup({ h: zeros, eh: -64 }, { ...one, ex: 70 }, 16)), [32258, 63]);
  });
});

describe("a random model", () => {
  test("is the same for the same seed, runs on, and its signals live", () => {
    const extras: Partial<RandomShape>[] = [
      {},
      { activationBits: 8, normGroups: 2, projectionBias: true },
      { activationBits: 5, weightGroup: 16, wide: ["lm_head"] },
      { activationBits: 6, stateBits: 16, unrotated: [1] },
      { stress: true },
    ];
    for (const extra of extras) {
      const shape = { D: 40, H: 4, P: 12, N: 20, G: 2, W: 4, V: 30, layers: 2, ...extra };
      const model = randomModel(7, shape);
      assert.deepEqual(randomModel(7, shape), model);
      const [first, second] = [initialState(model), initialState(model)];
      for (let t = 0; t < 6; t++) {
        const one = step(model, first, (t * 11) % 30);
        assert.deepEqual(step(model, second, (t * 11) % 30), one);
        assert.equal(one.residuals.length, 3);
        assert.equal(new Set(one.logits).size > 20, true);
      }
      assert.deepEqual(first, second);
      assert.equal(first.t, 6);
      first.t = TOKEN_PERIOD - 1;
      step(model, first, 1);
      assert.equal(first.t, 0);
    }
  });
});

/** |a - b| / |b| of two vectors, a in Q f. */
function distance(a: readonly number[], b: readonly number[], f: number): number {
  let [difference, size] = [0, 0];
  a.forEach((value, i) => {
    difference += (value / 2 ** f - b[i]!) ** 2;
    size += b[i]! ** 2;
  });
  return Math.sqrt(difference / size);
}

describe("a random model against real numbers", () => {
  const variants: Omit<RandomShape, "layers">[] = [
    { D: 40, H: 4, P: 12, N: 20, G: 2, W: 4, V: 30, normGroups: 1 },
    { D: 64, H: 8, P: 8, N: 32, G: 1, W: 2, V: 30, normGroups: 1, projectionBias: true },
    { D: 96, H: 6, P: 16, N: 16, G: 2, W: 3, V: 30, normGroups: 2, projectionBias: true },
    { D: 33, H: 7, P: 7, N: 17, G: 7, W: 4, V: 30, normGroups: 7 },
    { D: 40, H: 4, P: 12, N: 20, G: 2, W: 4, V: 30, weightGroup: 16, wide: ["lm_head"], stateBits: 16 },
    {
      D: 96,
      H: 6,
      P: 16,
      N: 16,
      G: 2,
      W: 3,
      V: 30,
      normGroups: 2,
      unrotated: [0, 1],
      wide: ["layers.0.out_proj", "layers.1.in_proj"],
    },
    { D: 50, H: 4, P: 8, N: 24, G: 1, W: 4, V: 30, unrotated: [0], stateBits: 16, weightGroup: 16 },
    { D: 40, H: 4, P: 8, N: 24, G: 1, W: 4, V: 30, tied: "rotated", wide: ["lm_head"] },
    { D: 40, H: 4, P: 8, N: 24, G: 1, W: 4, V: 30, tied: "plain", wide: ["lm_head"], weightGroup: 16 },
  ];
  // The second residual has one rounded layer behind it, the logits have two: A4 is coarse, and no code is fitted here.
  const bounds = { 4: [0.22, 0.33], 5: [0.15, 0.25], 6: [0.1, 0.13], 8: [0.1, 0.08] } as const;
  for (const bits of [4, 5, 6, 8] as const) {
    test(`${bits} bits: every exponent of the page is right`, () => {
      const worst = [0, 0];
      for (const [index, variant] of variants.entries()) {
        for (let seed = 1; seed <= 3; seed++) {
          const model = randomModel(seed * 10 + index, { ...variant, layers: 2, activationBits: bits });
          const [state, real] = [initialState(model), realState(model)];
          for (let t = 0; t < 12; t++) {
            const [got, exact] = [step(model, state, (t * 7) % 30), realStep(model, real, (t * 7) % 30)];
            assert.ok(distance(got.residuals[0]!, exact.residuals[0]!, model.FR) < 2e-3);
            worst[0] = Math.max(worst[0]!, distance(got.residuals[1]!, exact.residuals[1]!, model.FR));
            worst[1] = Math.max(worst[1]!, distance(got.logits, exact.logits, 16));
          }
        }
      }
      under(`${bits} bits, first layer`, worst[0]!, bounds[bits][0]);
      under(`${bits} bits, logits`, worst[1]!, bounds[bits][1]);
    });
  }
});
