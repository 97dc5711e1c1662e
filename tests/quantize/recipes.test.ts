/** Recipes that choose for themselves: a KL budget, the basis of each site; and outliers, where the choice matters. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { evaluate } from "../../host/evaluate.ts";
import { type QuantizeOptions, type QuantizeResult, quantizeCheckpoint } from "../../host/quantize/index.ts";
import { Model } from "../../host/runtime/model.ts";
import { injectOutliers } from "./outliers.ts";
import { emptyDirectory, expectRejection, GOLDEN, goldenIds, newOutput, TINY } from "./support.ts";

const NEAREST: QuantizeOptions = { weights: { method: "rtn" }, activationBits: 8, calibrationTokens: 1024 };
const source = join(GOLDEN, "odd-a");

describe("a KL budget", () => {
  let plain: QuantizeResult;
  before(async () => {
    plain = await quantizeCheckpoint(source, newOutput().output, NEAREST);
  });

  it("that holds already changes nothing", async () => {
    const { output } = newOutput();
    const made = await quantizeCheckpoint(source, output, { ...NEAREST, klBudget: plain.calibrationKl * 1.01 });
    assert.deepEqual(made.description.weights.wide, []);
    assert.equal(made.description.weightsSha256, plain.description.weightsSha256);
  });

  it("gives 8 bits to the costliest matrices until it holds, and says which", async () => {
    const { output } = newOutput();
    const klBudget = plain.calibrationKl * 0.6;
    const { calibrationKl, description, notes } = await quantizeCheckpoint(source, output, { ...NEAREST, klBudget });
    assert.ok(calibrationKl <= klBudget, `${calibrationKl}, budget ${klBudget}`);
    const { wide } = description.weights;
    assert.ok(wide.length > 0 && wide.length < 7, wide.join());
    assert.match(notes.join("\n"), new RegExp(`8-bit codes for ${wide[0]}`));
    const session = Model.load(output).session();
    session.feed(1);
    assert.ok(session.sample() < description.vocabUsed);
  });

  it("beyond what 8-bit weights reach is refused, with what could help", async () => {
    const { parent, output } = newOutput();
    const act = quantizeCheckpoint(source, output, { ...NEAREST, activationBits: 4, klBudget: 1e-9 });
    await expectRejection(act, "unsupported", "KL budget cannot be held");
    assert.ok(!parent.includes("out"));
  });
});

describe("SmoothQuant", () => {
  it("is what the float simulation of its codes says, γ2 included", async () => {
    const { output } = newOutput();
    await quantizeCheckpoint(source, output, { ...NEAREST, smooth: true, rotation: "off" });
    const ids = goldenIds("odd-a/expected.safetensors");
    const { reference, simulation } = await evaluate(Model.load(output), ids, { reference: source, simulate: true });
    assert.ok(Math.abs(reference!.kl / simulation!.kl - 1) < 0.2, `${reference!.kl}, simulated ${simulation!.kl}`);
  });

  for (const rotation of ["on", "auto"] as const) {
    it(`with rotation ${rotation} is refused: it would be another function`, async () => {
      const act = quantizeCheckpoint(source, newOutput().output, { ...NEAREST, smooth: true, rotation });
      await expectRejection(act, "usage", "rotation");
    });
  }
});

describe("rotation auto", () => {
  it("is no further from FP32 on its calibration text than either choice", async () => {
    const kl = async (rotation: "on" | "off" | "auto") =>
      (await quantizeCheckpoint(source, newOutput().output, { ...NEAREST, rotation })).calibrationKl;
    const [on, off, auto] = [await kl("on"), await kl("off"), await kl("auto")];
    // The loss of a layer stands in for KL when a site is chosen: close, not equal.
    assert.ok(auto <= 1.05 * Math.min(on, off), `auto ${auto}, on ${on}, off ${off}`);
  });
});

describe("outliers: γ1, γ2 × 12 and in_proj, out_proj / 12 in 2 % of the channels of models/tiny", () => {
  const ids = goldenIds("eval.safetensors").subarray(0, 512);
  let checkpoint: string;
  before(() => {
    checkpoint = join(emptyDirectory(), "outliers");
    injectOutliers(TINY, checkpoint, { share: 0.02, factor: 12, residual: true });
  });
  const kl = async (options: QuantizeOptions, reference: string): Promise<number> => {
    const { output } = newOutput();
    await quantizeCheckpoint(reference, output, { ...NEAREST, ...options });
    return (await evaluate(Model.load(output), ids, { reference })).reference!.kl;
  };

  it("the FP32 model is what it was", async () => {
    const model = Model.load(join(TINY, "../tiny-w4a4"));
    const [there, here] = await Promise.all(
      [TINY, checkpoint].map(async (reference) => (await evaluate(model, ids, { reference })).reference!),
    );
    assert.ok(Math.abs(there!.referencePerplexity / here!.referencePerplexity - 1) < 1e-4);
  });

  it("rotated, one scale a vector holds; not rotated it loses", async () => {
    const [rotated, plain] = [await kl({}, checkpoint), await kl({ rotation: "off" }, checkpoint)];
    const without = await kl({}, TINY);
    assert.ok(rotated < plain, `rotated ${rotated}, plain ${plain}`);
    assert.ok(rotated < 2 * without, `with outliers ${rotated}, without ${without}`);
  });

  // A quarter of the default's calibration text, for the test's time: a little worse than docs/quantization.md says.
  const GPTQ: QuantizeOptions = { weights: { method: "gptq" }, calibrationTokens: 4096 };
  for (const [activationBits, bound] of [
    [4, 0.026],
    [8, 0.0085],
  ] as const) {
    it(`error feedback holds ${bound} nats a token with ${activationBits}-bit activations`, async () => {
      const found = await kl({ ...GPTQ, activationBits }, checkpoint);
      assert.ok(found <= bound, `KL ${found}`);
    });
  }
});
