/** Every kernel against the formula it stands for, in float64 and one element at a time, on shapes that fit no vector. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Arena, Offline } from "../../host/reference/offline.ts";
import { noise, relativeError } from "./support.ts";

const CLOSE = 3e-6;

/** A kernel instance and a way to put arrays into its memory. */
function workbench() {
  const offline = new Offline();
  const arena = new Arena(offline.start);
  const room = (count: number) => {
    const pointer = arena.floats(count);
    offline.reserve(arena.end);
    return pointer;
  };
  return {
    kernels: offline.kernels,
    room,
    put(values: Float32Array): number {
      const pointer = room(values.length);
      offline.floats(pointer, values.length).set(values);
      return pointer;
    },
    putBytes(values: Int8Array): number {
      const pointer = room(values.length);
      offline.bytes(pointer, values.length).set(values);
      return pointer;
    },
    get: (pointer: number, count: number) => offline.floats(pointer, count).slice(),
  };
}

const silu = (x: number) => x / (1 + Math.exp(-x));

for (const [T, R, K] of [
  [1, 1, 1],
  [1, 4, 3],
  [2, 4, 4],
  [3, 7, 5],
  [5, 9, 66],
  [4, 326, 48],
  [3, 210, 1283],
] as const) {
  for (const withBias of [false, true]) {
    test(`matmul [${T}, ${K}] · [${R}, ${K}]^T${withBias ? " + bias" : ""}`, () => {
      const bench = workbench();
      const x = noise(T * K, 1);
      const w = noise(R * K, 2);
      const bias = noise(R, 3);
      const y = bench.room(T * R);
      bench.kernels.matmul(y, bench.put(x), bench.put(w), withBias ? bench.put(bias) : 0, T, R, K);
      const expected = Float64Array.from({ length: T * R }, (_, i) => {
        const [t, r] = [Math.floor(i / R), i % R];
        let sum = withBias ? bias[r]! : 0;
        for (let k = 0; k < K; k++) sum += x[t * K + k]! * w[r * K + k]!;
        return sum;
      });
      assert.ok(relativeError(bench.get(y, T * R), expected) < CLOSE);
    });
  }
}

test("matmul of an empty product is the bias", () => {
  const bench = workbench();
  const y = bench.put(noise(6, 1));
  bench.kernels.matmul(y, bench.room(1), bench.room(1), bench.put(Float32Array.of(1, 2, 3)), 2, 3, 0);
  assert.deepEqual([...bench.get(y, 6)], [1, 2, 3, 1, 2, 3]);
});

for (const [T, n, groups] of [
  [1, 1, 1],
  [3, 10, 1],
  [2, 96, 2],
  [4, 15, 3],
] as const) {
  test(`rmsNorm of ${T} rows of ${n} in ${groups} group(s)`, () => {
    const bench = workbench();
    const x = noise(T * n, 4);
    const gamma = noise(n, 5);
    const eps = 1e-5;
    const size = n / groups;
    const pointer = bench.put(x);
    bench.kernels.rmsNorm(pointer, pointer, bench.put(gamma), T, n, size, eps);
    const expected = Float64Array.from(x, (value, i) => {
      const start = Math.floor(i / size) * size;
      const squares = x.subarray(start, start + size).reduce((sum, v) => sum + v * v, 0);
      return (value / Math.sqrt(squares / size + eps)) * gamma[i % n]!;
    });
    assert.ok(relativeError(bench.get(pointer, T * n), expected) < CLOSE);
  });
}

for (const [S, T, C, W] of [
  [1, 1, 3, 2],
  [2, 5, 7, 4],
  [3, 2, 22, 3],
] as const) {
  for (const withBias of [false, true]) {
    test(`conv over ${S} sequence(s) of ${T}, ${C} channels, ${W} taps${withBias ? ", bias" : ""}`, () => {
      const bench = workbench();
      const stride = C + 3;
      const x = noise(S * T * stride, 6);
      const w = noise(W * C, 7);
      const bias = noise(C, 8);
      const past = noise(S * (W - 1) * C, 9);
      const [y, state] = [bench.room(S * T * C), bench.put(past)];
      bench.kernels.conv(y, bench.put(x), stride, bench.put(w), withBias ? bench.put(bias) : 0, state, S, T, C, W);

      /** Input of sequence s at time t, which is negative for what was carried in. */
      const input = (s: number, t: number, c: number) =>
        t < 0 ? past[(s * (W - 1) + t + W - 1) * C + c]! : x[(s * T + t) * stride + c]!;
      const expected = Float64Array.from({ length: S * T * C }, (_, i) => {
        const [s, t, c] = [Math.floor(i / (T * C)), Math.floor(i / C) % T, i % C];
        let sum = withBias ? bias[c]! : 0;
        for (let j = 0; j < W; j++) sum += w[j * C + c]! * input(s, t - W + 1 + j, c);
        return silu(sum);
      });
      const carried = Float64Array.from({ length: past.length }, (_, i) =>
        input(Math.floor(i / ((W - 1) * C)), T - W + 1 + (Math.floor(i / C) % (W - 1)), i % C),
      );
      assert.ok(relativeError(bench.get(y, S * T * C), expected) < CLOSE);
      assert.deepEqual(bench.get(state, past.length), Float32Array.from(carried));
    });
  }
}

for (const [S, T, H, P, N, G] of [
  [1, 1, 1, 1, 1, 1],
  [2, 3, 6, 5, 7, 2],
  [1, 4, 4, 3, 16, 4],
  [2, 2, 3, 2, 6, 1],
] as const) {
  test(`scan of ${S} x ${T} tokens, ${H} heads of ${P}, state ${N}, ${G} group(s)`, () => {
    const bench = workbench();
    const width = H * P + 2 * G * N;
    const xbc = noise(S * T * width, 10);
    const dt = noise(S * T * H, 11).map(Math.abs);
    const a = noise(H, 12).map((v) => -2 * Math.abs(v));
    const d = noise(H, 13);
    const h0 = noise(S * H * P * N, 14);
    const [y, state, peak] = [bench.room(S * T * H * P), bench.put(h0), bench.room(H)];
    bench.kernels.scan(y, bench.put(xbc), bench.put(dt), bench.put(a), bench.put(d), state, peak, S, T, H, P, N, G);

    const h = Float64Array.from(h0);
    const expected = new Float64Array(S * T * H * P);
    const peaks = new Float64Array(H);
    for (let s = 0; s < S; s++) {
      for (let t = 0; t < T; t++) {
        for (let head = 0; head < H; head++) {
          const row = s * T + t;
          const step = dt[row * H + head]!;
          const b = row * width + H * P + Math.floor(head / (H / G)) * N;
          for (let p = 0; p < P; p++) {
            const x = xbc[row * width + head * P + p]!;
            let sum = d[head]! * x;
            for (let n = 0; n < N; n++) {
              const i = ((s * H + head) * P + p) * N + n;
              h[i] = Math.exp(step * a[head]!) * h[i]! + step * xbc[b + n]! * x;
              sum += h[i]! * xbc[b + G * N + n]!;
              peaks[head] = Math.max(peaks[head]!, Math.abs(h[i]!));
            }
            expected[(row * H + head) * P + p] = sum;
          }
        }
      }
    }
    assert.ok(relativeError(bench.get(y, expected.length), expected) < CLOSE);
    assert.ok(relativeError(bench.get(state, h.length), h) < CLOSE);
    assert.ok(relativeError(bench.get(peak, H), peaks) < CLOSE);
  });
}

test("timeStep clamps softplus(dt + bias) on both sides", () => {
  const bench = workbench();
  const [T, H, stride, low, high] = [2, 5, 8, 0.01, 30];
  const raw = noise(T * stride, 15).map((v) => v * 20);
  raw[0] = 90;
  raw[1] = -90;
  const bias = noise(H, 16);
  const dt = bench.room(T * H);
  bench.kernels.timeStep(dt, bench.put(raw), stride, bench.put(bias), T, H, low, high);
  const expected = Float64Array.from({ length: T * H }, (_, i) => {
    const v = raw[Math.floor(i / H) * stride + (i % H)]! + bias[i % H]!;
    return Math.min(high, Math.max(low, v > 30 ? v : Math.log1p(Math.exp(v))));
  });
  const got = bench.get(dt, T * H);
  assert.ok(relativeError(got, expected) < CLOSE);
  assert.ok(got.includes(high) && got.includes(Math.fround(low)));
});

test("gate leaves y · SiLU(z) in y and SiLU(z) in z, and survives z whose exp overflows", () => {
  const bench = workbench();
  const [T, n, stride] = [3, 5, 9];
  const z = noise(T * stride, 17).map((v) => v * 8);
  z[0] = -200;
  z[1] = 200;
  const y = noise(T * n, 18);
  const [yAt, zAt] = [bench.put(y), bench.put(z)];
  bench.kernels.gate(yAt, zAt, stride, T, n);
  const zs = Float64Array.from(z, (v, i) => (i % stride < n ? silu(v) : v));
  const expected = Float64Array.from(y, (v, i) => v * zs[Math.floor(i / n) * stride + (i % n)]!);
  assert.ok(relativeError(bench.get(zAt, z.length), zs) < CLOSE);
  assert.ok(relativeError(bench.get(yAt, y.length), expected) < CLOSE);
});

test("maxAbs sees the block and nothing between its rows", () => {
  const bench = workbench();
  for (const [T, n, stride] of [
    [1, 1, 1],
    [3, 7, 9],
    [2, 16, 21],
  ] as const) {
    const x = noise(T * stride, 19);
    // A large value where no row is.
    if (stride > n) x[n] = 100;
    const inside = x.filter((_, i) => i % stride < n);
    const expected = inside.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    assert.equal(bench.kernels.maxAbs(bench.put(x), stride, T, n), expected);
  }
});

for (const [m, k] of [
  [1, 0],
  [1, 5],
  [4, 1],
  [4, 3],
  [12, 2],
] as const) {
  test(`hadamard with m = ${m}, k = ${k} is the product with H_m ⊗ H_2^k`, () => {
    const bench = workbench();
    const [T, n, factor] = [3, m * 2 ** k, 0.25];
    const signs = Int8Array.from(noise(m * m, 20), (v) => (v < 0 ? -1 : 1));
    const x = noise(T * n, 21);
    const pointer = bench.put(x);
    bench.kernels.hadamard(pointer, T, m, k, bench.putBytes(signs), factor, bench.room(n));
    const sylvester = (i: number, j: number) => {
      let parity = i & j;
      for (const shift of [4, 2, 1]) parity ^= parity >> shift;
      return parity & 1 ? -1 : 1;
    };
    const expected = Float64Array.from(x, (_, at) => {
      const [row, out] = [Math.floor(at / n), at % n];
      let sum = 0;
      for (let i = 0; i < n; i++) {
        const outer = signs[(out >> k) * m + (i >> k)]!;
        sum += outer * sylvester(out & (2 ** k - 1), i & (2 ** k - 1)) * x[row * n + i]!;
      }
      return factor * sum;
    });
    assert.ok(relativeError(bench.get(pointer, T * n), expected) < CLOSE);
  });
}

test("add and scaleColumns work element by element", () => {
  const bench = workbench();
  const [T, n] = [3, 7];
  const [x, y] = [noise(T * n, 22), noise(T * n, 23)];
  const at = bench.put(x);
  bench.kernels.add(at, bench.put(y), T * n);
  assert.deepEqual(
    bench.get(at, T * n),
    x.map((v, i) => v + y[i]!),
  );
  const scaled = bench.room(T * n);
  bench.kernels.scaleColumns(scaled, bench.put(x), bench.put(y), T, n);
  assert.deepEqual(
    bench.get(scaled, T * n),
    x.map((v, i) => v * y[i % n]!),
  );
});
