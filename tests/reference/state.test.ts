import assert from "node:assert/strict";
import { test } from "node:test";
import { LightMambaError } from "../../host/errors.ts";
import {
  type Maxima,
  maximaHook,
  type ObservedName,
  Reference,
  type ReferenceWeights,
} from "../../host/reference/index.ts";
import { loadWeights, relativeError } from "./support.ts";

const IDS = Int32Array.from({ length: 23 }, (_, i) => (i * 37 + 11) % 250);

function run(weights: ReferenceWeights, cuts: number[]): Float32Array {
  const reference = new Reference(weights, { sequences: 1 });
  const out: number[] = [];
  let at = 0;
  for (const length of cuts) {
    out.push(...reference.forward(IDS.subarray(at, at + length)).logits!);
    at += length;
  }
  return Float32Array.from(out);
}

for (const model of ["tests/golden/odd-a", "tests/golden/odd-b"]) {
  test(`${model}: a sequence cut into calls gives the same bits as one call`, () => {
    const weights = loadWeights(model);
    const whole = run(weights, [23]);
    assert.deepEqual(run(weights, [1, 2, 3, 17]), whole);
    assert.deepEqual(
      run(
        weights,
        Array.from(IDS, () => 1),
      ),
      whole,
    );
  });
}

test("sequences that run side by side do not see each other", () => {
  const weights = loadWeights("tests/golden/odd-a");
  const { vocabSize } = weights.config;
  const single = new Reference(weights, { sequences: 1 });
  const triple = new Reference(weights, { sequences: 3 });
  const texts = [0, 1, 2].map((s) => IDS.map((id) => (id + 5 * s) % 250));
  const part = (from: number, to: number) => Int32Array.from(texts.flatMap((text) => [...text.subarray(from, to)]));

  triple.forward(part(0, 9), { logits: "none" });
  const last = triple.forward(part(9, 23), { logits: "last" }).logits!;
  assert.equal(last.length, 3 * vocabSize);
  texts.forEach((text, s) => {
    single.reset();
    const alone = single.forward(text, { logits: "last" }).logits!;
    assert.deepEqual(last.subarray(s * vocabSize, (s + 1) * vocabSize), alone);
  });
});

test("reset starts over, and weights read block by block compute what resident ones do", () => {
  const weights = loadWeights("tests/golden/odd-b");
  let reads = 0;
  const layer = (index: number) => {
    reads++;
    return weights.layer(index);
  };
  const counted = { ...weights, layer };
  const streamed = new Reference(counted, { sequences: 1, residentBytes: 0 });
  const first = streamed.forward(IDS).logits!;
  streamed.reset();
  assert.deepEqual(streamed.forward(IDS).logits, first);
  assert.equal(reads, 2 * weights.config.nLayers);
  assert.deepEqual(first, run(weights, [23]));
});

test("linearInput sees the live input of every matrix product and may change it", () => {
  const weights = loadWeights("tests/golden/odd-b");
  const { nLayers, dModel, dInner } = weights.config;
  const reference = new Reference(weights, { sequences: 1 });
  const sites: string[] = [];
  reference.forward(IDS, {
    linearInput: (site, x, rows) => {
      sites.push(`${site.layer} ${site.matrix}`);
      assert.equal(rows, IDS.length);
      assert.equal(x.length, rows * (site.matrix === "out_proj" ? dInner : dModel));
    },
  });
  const expected = Array.from({ length: nLayers }, (_, i) => [`${i} in_proj`, `${i} out_proj`]).flat();
  assert.deepEqual(sites, [...expected, `${nLayers} lm_head`]);

  reference.reset();
  const silenced = reference.forward(IDS, { linearInput: (site, x) => site.matrix === "lm_head" && x.fill(0) });
  assert.ok(silenced.logits!.every((value) => value === 0));
});

test("observe shows every quantity of a block with its shape, and they fit together", () => {
  const weights = loadWeights("tests/golden/odd-a");
  const { nLayers, dModel: D, dInner: E, nHeads: H, nGroups: G, dState: N } = weights.config;
  const columnsOf: Record<ObservedName, number> = {
    ...{ r: D, z: E, x: E, B: G * N, C: G * N, dt: H, xs: E, Bs: G * N, Cs: G * N, dts: H, h: H },
    ...{ y: E, zs: E, g: E, u0: E, u1: E, o: D },
  };
  const seen = new Map<string, Float32Array>();
  new Reference(weights, { sequences: 1 }).forward(IDS, {
    observe: (layer, name, block) => {
      assert.equal(block.columns, columnsOf[name]);
      assert.equal(block.rows, name === "h" ? 1 : IDS.length);
      const dense = Float32Array.from(
        { length: block.rows * block.columns },
        (_, i) => block.values[Math.floor(i / block.columns) * block.stride + (i % block.columns)]!,
      );
      assert.equal(
        block.maxAbs(),
        dense.reduce((most, v) => Math.max(most, Math.abs(v)), 0),
      );
      seen.set(`${layer} ${name}`, dense);
    },
  });
  assert.equal(seen.size, nLayers * Object.keys(columnsOf).length + 1);
  for (let layer = 0; layer < nLayers; layer++) {
    const at = (name: ObservedName) => seen.get(`${layer} ${name}`)!;
    const gamma = weights.layer(layer).gateNorm;
    const product = (a: Float32Array, b: (i: number) => number) => a.map((v, i) => v * b(i));
    assert.deepEqual(
      at("g"),
      product(at("y"), (i) => at("zs")[i]!),
    );
    assert.deepEqual(
      at("u0"),
      product(at("g"), (i) => gamma[i % E]!),
    );
    const next = at("r").map((v, i) => v + at("o")[i]!);
    assert.deepEqual(next, seen.get(`${layer + 1} r`));
  }
});

test("maximaHook gathers the largest magnitudes over calls", () => {
  const weights = loadWeights("tests/golden/odd-a");
  const reference = new Reference(weights, { sequences: 1 });
  const whole: Maxima = [];
  reference.forward(IDS, maximaHook(whole));
  assert.equal(whole.length, weights.config.nLayers + 1);

  reference.reset();
  const parts: Maxima = [];
  const hook = maximaHook(parts);
  for (const [from, to] of [[0, 8] as const, [8, 23] as const]) reference.forward(IDS.subarray(from, to), hook);
  assert.deepEqual(parts, whole);
});

test("the online Hadamard transform undoes one that was multiplied into out_proj", () => {
  const weights = loadWeights("tests/golden/odd-a");
  const { dInner: E, dModel: D } = weights.config;
  // 96 = 12 · 2^3.
  const signs = paley12();
  const m = 12;
  const k = 3;
  const entry = (i: number, j: number) => {
    let parity = i & j & 7;
    for (const shift of [2, 1]) parity ^= parity >> shift;
    return (signs[(i >> k) * m + (j >> k)]! * (parity & 1 ? -1 : 1)) / Math.sqrt(E);
  };
  const rotated: ReferenceWeights = {
    ...weights,
    online: { blocks: 1, order: m, log2: k, signs },
    layer: (index) => {
      const layer = weights.layer(index);
      // W·H^T, so that (W·H^T)·(H·x) = W·x.
      const outProj = layer.outProj.map((_, at) => {
        const [row, column] = [Math.floor(at / E), at % E];
        let sum = 0;
        for (let j = 0; j < E; j++) sum += layer.outProj[row * E + j]! * entry(column, j);
        return sum;
      });
      assert.equal(outProj.length, D * E);
      return { ...layer, outProj };
    },
  };
  assert.ok(relativeError(run(rotated, [23]), run(weights, [23])) < 1e-5);
});

test("wrong calls end in an error that says what was expected", () => {
  const weights = loadWeights("tests/golden/odd-a");
  const reference = new Reference(weights, { sequences: 2 });
  assert.throws(() => reference.forward(IDS), {
    name: "LightMambaError",
    message: /expected a multiple of 2, found 23/,
  });
  assert.throws(() => reference.forward(Int32Array.of()), LightMambaError);
  assert.throws(() => reference.forward(Int32Array.of(1, 259)), { message: /expected 0 to 258, found 259/ });
  assert.throws(() => new Reference(weights, { sequences: 2e5 }), { exit: "unsupported", message: /4294967296 bytes/ });
});

/** Paley's Hadamard matrix of order 12: quadratic residues modulo 11. */
function paley12(): Int8Array {
  const residues = new Set([1, 4, 9, 5, 3]);
  return Int8Array.from({ length: 144 }, (_, at) => {
    const [i, j] = [Math.floor(at / 12), at % 12];
    if (i === 0) return 1;
    if (j === 0) return -1;
    if (i === j) return 1;
    return residues.has((j - i + 11) % 11) ? 1 : -1;
  });
}
