/** Whole models: every logit, and the residual after every layer, equal the oracle's. The bound is 0. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { shapeConfig } from "../../host/model/shapes.ts";
import { Model } from "../../host/runtime/model.ts";
import { syntheticDescription } from "../../host/runtime/synthetic.ts";
import { initialState, type OracleModel, type RandomShape, randomModel, step } from "../oracle/model.ts";
import { Random } from "../oracle/random.ts";
import { assertSame, caseName } from "../units/support.ts";
import { emptyDirectory, openRuntime, quantizedTiny, readModel, VARIANTS, writeModel } from "./support.ts";

const TOKENS = 10;
/** How they are cut for passes over the weights: of one, several, and the rest. */
const PASSES = [
  [0, 1],
  [1, 6],
  [6, TOKENS],
] as const;

/** normGroups is G: a model directory has no other. */
type Base = Omit<RandomShape, keyof Format | "stress" | "normGroups">;
type Format = Pick<RandomShape, "activationBits" | "weightGroup" | "stateBits" | "wide" | "unrotated">;

const SHAPES: readonly Base[] = [
  { D: 32, H: 4, P: 8, N: 16, G: 1, W: 4, V: 40, layers: 2 },
  { D: 24, H: 5, P: 8, N: 24, G: 1, W: 3, V: 17, layers: 2, projectionBias: true },
  { D: 33, H: 3, P: 7, N: 5, G: 1, W: 2, V: 9, layers: 3 },
  { D: 48, H: 8, P: 12, N: 16, G: 2, W: 4, V: 33, layers: 2, projectionBias: true },
  { D: 40, H: 16, P: 5, N: 32, G: 8, W: 4, V: 64, layers: 2 },
  { D: 1, H: 1, P: 1, N: 1, G: 1, W: 2, V: 1, layers: 1, projectionBias: true },
  { D: 300, H: 10, P: 24, N: 64, G: 1, W: 4, V: 50, layers: 1 },
  { D: 17, H: 7, P: 6, N: 40, G: 7, W: 3, V: 23, layers: 4, projectionBias: true },
  { D: 64, H: 2, P: 64, N: 128, G: 1, W: 4, V: 30, layers: 1 },
];

function compare(dir: string, model: OracleModel, tokens: readonly number[]): void {
  const state = initialState(model);
  let last: ArrayLike<number> = [];
  const runtimes = VARIANTS.map((variant) => {
    const whole = Model.load(dir, { variant });
    return { variant, whole, session: whole.session(), staged: openRuntime(dir, variant) };
  });
  tokens.forEach((token, t) => {
    const expected = step(model, state, token);
    for (const { variant, whole, session, staged } of runtimes) {
      const what = `${variant}, token ${t}`;
      session.feed(token);
      assertSame(whole.rawLogits(), expected.logits, `${what}: logits`);
      const residual = expected.residuals.at(-1)!.map((value) => value / 2 ** model.FR);
      assertSame(whole.residual(), residual, `${what}: residual, in real numbers`);
      staged.session.feedByLayer(token, (layer) => {
        assertSame(staged.residual(), expected.residuals[layer + 1]!, `${what}: residual after layer ${layer}`);
      });
      assertSame(staged.logits(), expected.logits, `${what}: logits by layer`);
    }
    last = expected.logits;
  });
  for (const { variant, whole, session } of runtimes) {
    const passes = whole.session();
    for (const [from, to] of PASSES) passes.prefill(tokens.slice(from, to));
    assertSame(whole.rawLogits(), last, `${variant}: logits after passes of several tokens`);
    assert.deepEqual(passes.state(), session.state(), `${variant}: state after passes of several tokens`);
  }
}

/** As text: deepEqual tells 0 from -0, which the random numbers have, and would print two whole models. */
function text(model: OracleModel): string {
  const { shape, layers, lmHead, hadamard, embedding, ...rest } = model;
  const sorted = (object: object) =>
    Object.entries(object)
      .map(([key, value]) => [key, typeof value === "bigint" ? String(value) : value])
      .sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([shape, layers.map(sorted), lmHead, hadamard, embedding, sorted(rest)]);
}

const ACTIVATIONS = [4, 5, 6, 8] as const;
/** Matrices of 8-bit weights. */
const WIDE: readonly (readonly string[])[] = [
  [],
  ["lm_head"],
  ["layers.0.in_proj"],
  ["layers.0.in_proj", "layers.0.out_proj", "lm_head"],
];

function check(shape: RandomShape, seed: number, tokens: number): void {
  test(`${caseName(shape)}, seed ${seed}`, () => {
    const model = randomModel(seed, shape);
    const dir = emptyDirectory();
    writeModel(model, dir);
    // The directory says all there is: read back, it is the same model.
    assert.ok(text(readModel(dir)) === text(model), "the directory reads back as another model");
    const random = new Random(seed);
    compare(
      dir,
      model,
      Array.from({ length: tokens }, () => random.integer(0, shape.V - 1)),
    );
  });
}

describe("random models of every shape", () => {
  let seed = 0;
  for (const base of SHAPES) {
    for (const activationBits of ACTIVATIONS) {
      for (const stress of [false, true]) {
        const own = ++seed;
        // The other formats take turns; each of them meets each activation below.
        const format: Format = {
          activationBits,
          weightGroup: own % 3 === 0 ? 16 : 32,
          stateBits: own % 5 < 2 ? 16 : 8,
          wide: WIDE[own % 7] ?? [],
          unrotated: own % 4 === 1 ? [0] : [],
        };
        check({ ...base, ...format, stress, normGroups: base.G }, own, TOKENS);
      }
    }
  }
});

/** D and E beyond one frame of 256 inputs, E of order 12, and norms both plain and grouped. */
const FORMAT_SHAPES: readonly Base[] = [
  { D: 40, H: 4, P: 9, N: 20, G: 1, W: 4, V: 30, layers: 2 },
  { D: 270, H: 6, P: 48, N: 16, G: 2, W: 3, V: 12, layers: 2, projectionBias: true },
];

describe("random models of every format", () => {
  let seed = 1000;
  for (const activationBits of ACTIVATIONS) {
    for (const weightGroup of [16, 32] as const) {
      for (const stateBits of [8, 16] as const) {
        for (const wide of WIDE) {
          for (const unrotated of [[], [1]]) {
            const own = ++seed;
            // The small shape mostly; the large one, which takes long, meets each format's parts in turn.
            const base = FORMAT_SHAPES[own % 11 === 0 ? 1 : 0]!;
            const format: Format = { activationBits, weightGroup, stateBits, wide, unrotated };
            check({ ...base, ...format, stress: own % 3 === 0, normGroups: base.G }, own, 4);
          }
        }
      }
    }
  }
});

/** D of order 1, 12 and 20, blocks of 2, and one beyond a frame. */
const TIED_SIZES: readonly number[] = [32, 48, 40, 50, 288, 1];

describe("random models whose embedding is out of the head", () => {
  let seed = 2000;
  for (const D of TIED_SIZES) {
    for (const tied of ["rotated", "plain"] as const) {
      for (const weightGroup of [16, 32] as const) {
        const own = ++seed;
        const base = { D, H: 4, P: 8, N: 16, G: 1, W: 4, V: 20, layers: 1, normGroups: 1 };
        const activationBits = ACTIVATIONS[own % 4]!;
        check({ ...base, tied, wide: ["lm_head"], weightGroup, activationBits, stress: own % 3 === 0 }, own, 8);
      }
    }
  }
});

test("models/tiny, quantized: most formats at once", async () => {
  const dir = await quantizedTiny(6, { group: 16, stateBits: 16, wide: ["lm_head", "layers.0.in_proj"] });
  compare(dir, readModel(dir), [1, 700, 4095]);
});

test("an 8-bit matrix of which one block is more than a part", () => {
  const size = { dModel: 8192, nHeads: 128, headDim: 64, dInner: 8192, vocabSize: 64, vocabUsed: 64 };
  const config = { ...shapeConfig("mamba2-130m", 2), ...size };
  const description = syntheticDescription(config);
  const wide = {
    ...description,
    weights: { ...description.weights, wide: ["layers.0.out_proj", "layers.1.out_proj"] },
  };
  const tokens = Array.from({ length: 16 }, (_, i) => i);
  const logits = VARIANTS.flatMap((variant) => {
    const model = Model.synthetic(config, wide, { variant });
    const [single, together] = [model.session(), model.session()];
    for (const token of tokens) single.feed(token);
    const found = [model.rawLogits().slice()];
    together.prefill(tokens);
    return [...found, model.rawLogits().slice()];
  });
  for (const found of logits) assertSame(found, logits[0]!, "logits");
});
