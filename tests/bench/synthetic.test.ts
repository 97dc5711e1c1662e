/** Shapes, and models without a file: that they load, run and stay alive, and that the same seed gives the same bits. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LightMambaError } from "../../host/errors.ts";
import { checkLimits } from "../../host/model/description.ts";
import { findShape, SHAPE_NAMES, shapeConfig } from "../../host/model/shapes.ts";
import { Model } from "../../host/runtime/model.ts";
import { type SyntheticRecipe, syntheticDescription } from "../../host/runtime/synthetic.ts";

const LAYERS = 2;
const TOKENS = 12;
const RESIDUAL_LIMIT = 2 ** 30 - 1;

function synthetic(recipe: SyntheticRecipe, variant: "plain" | "relaxed" = "relaxed"): Model {
  const config = shapeConfig("mamba2-130m", LAYERS);
  return Model.synthetic(config, syntheticDescription(config, recipe), { variant });
}

/** Logits after some tokens, and the state then. */
function follow(model: Model): { logits: Int32Array; state: Uint8Array } {
  const session = model.session({ temperature: 0 });
  let token = 1;
  for (let i = 0; i < TOKENS; i++) {
    session.feed(token);
    token = session.sample();
  }
  const state = session.state();
  session.close();
  return { logits: model.rawLogits().slice(), state };
}

function deviation(values: ArrayLike<number>): number {
  const list = Array.from(values);
  const mean = list.reduce((sum, value) => sum + value, 0) / list.length;
  return Math.sqrt(list.reduce((sum, value) => sum + (value - mean) ** 2, 0) / list.length);
}

describe("shapes", () => {
  const PARAMETERS = { "130m": 129, "370m": 368, "780m": 780, "1.3b": 1344, "2.7b": 2703 };

  for (const [short, millions] of Object.entries(PARAMETERS)) {
    test(`${short} has as many parameters as its name says`, () => {
      const name = findShape(short)!;
      assert.equal(name, findShape(`mamba2-${short}`));
      const config = shapeConfig(name);
      const { dModel: D, dInner: E, nLayers, nHeads: H, dState: N, vocabSize } = config;
      const layer = (2 * E + 2 * N + H) * D + E * D + 5 * (E + 2 * N) + 3 * H + E + D;
      assert.equal(Math.round((nLayers * layer + vocabSize * D + D) / 1e6), millions);
      checkLimits(config, name);
    });
  }

  test("there are no others", () => {
    assert.equal(SHAPE_NAMES.length, Object.keys(PARAMETERS).length);
    for (const text of ["", "mamba2-", "130M", "2.8b", "toString"]) assert.equal(findShape(text), undefined);
  });
});

describe("synthetic models", () => {
  const RECIPES: SyntheticRecipe[] = [
    { activationBits: 4, headBits: 4 },
    { activationBits: 8, headBits: 4 },
    { activationBits: 4, headBits: 8 },
    { activationBits: 8, headBits: 8, stateBits: 16 },
  ];

  for (const recipe of RECIPES) {
    test(`alive, and neither saturated nor stuck: ${JSON.stringify(recipe)}`, () => {
      const model = synthetic(recipe);
      const session = model.session({ temperature: 0 });
      for (let i = 0; i < TOKENS; i++) session.feed(4099 * i);
      assert.ok(session.sample() < model.config.vocabUsed);
      const spread = deviation(model.logits());
      assert.ok(spread > 0.5 && spread < 6, `logits with a deviation of ${spread}`);
      const residual = deviation(model.residual());
      assert.ok(residual > 0.1 && residual < 10, `residual with a deviation of ${residual}`);
      const limit = RESIDUAL_LIMIT / 2 ** model.description.residualFraction;
      assert.ok(model.residual().every((value) => Math.abs(value) < limit / 100));
      const zeros = session.state().filter((byte) => byte === 0).length / model.stateBytes;
      assert.ok(zeros < 0.2, `${zeros} of the state is zero`);
    });
  }

  test("the same seed gives the same bits, plain or relaxed; another seed others", () => {
    const first = follow(synthetic({ seed: 5 }));
    assert.deepEqual(follow(synthetic({ seed: 5 }, "plain")), first);
    assert.notDeepEqual(follow(synthetic({ seed: 6 })).logits, first.logits);
  });

  test("the tokens before matter", () => {
    const model = synthetic({});
    const logitsAfter = (...ids: number[]) => {
      const session = model.session();
      for (const id of ids) session.feed(id);
      session.close();
      return model.rawLogits().slice();
    };
    assert.notDeepEqual(logitsAfter(1, 2, 3), logitsAfter(7, 2, 3));
  });

  test("a state belongs to one seed", () => {
    const [one, other] = [synthetic({ seed: 1 }), synthetic({ seed: 2 })];
    assert.notEqual(one.description.weightsSha256, other.description.weightsSha256);
  });

  test("a model beyond 4 GiB is refused, with its size", () => {
    const config = shapeConfig("mamba2-2.7b", 250);
    assert.throws(
      () => Model.synthetic(config, syntheticDescription(config)),
      (error: unknown) => {
        assert.ok(error instanceof LightMambaError);
        assert.equal(error.exit, "unsupported");
        assert.ok((error.detail.found as number) > 2 ** 32);
        return /does not fit a 32-bit address space/.test(error.message);
      },
    );
  });
});
