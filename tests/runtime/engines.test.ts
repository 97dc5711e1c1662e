/** The same bits from plain and relaxed SIMD, from the host's kernels, and from the oldest engine that the package supports. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { packageRoot } from "../../host/package.ts";
import { Model } from "../../host/runtime/model.ts";
import { type RandomShape, randomModel } from "../oracle/model.ts";
import { emptyDirectory, quantizedTiny, VARIANTS, writeModel } from "./support.ts";

const TOKENS = 64;
const FIRST = 17;

/** Greedy text from one token; the hash is over all logits. Also run, as source, by the other engine. */
function logitsHash(model: Model, createHash: typeof import("node:crypto").createHash, first: number, tokens: number) {
  const session = model.session({ temperature: 0 });
  const hash = createHash("sha256");
  let token = first;
  for (let i = 0; i < tokens; i++) {
    session.feed(token);
    hash.update(new Uint8Array(model.rawLogits().slice().buffer));
    token = session.sample();
  }
  return hash.digest("hex");
}

/** Only the compiled code runs where types are not stripped. */
function hashElsewhere(node: string, dir: string): string {
  const url = pathToFileURL(join(packageRoot(), "build/js/host/runtime/model.js"));
  const script = `
    import { createHash } from "node:crypto";
    import { Model } from ${JSON.stringify(url.href)};
    ${logitsHash}
    process.stdout.write(logitsHash(Model.load(${JSON.stringify(dir)}), createHash, ${FIRST}, ${TOKENS}));`;
  return execFileSync(node, ["--input-type=module", "-e", script], { encoding: "utf8" });
}

function randomDirectory(format: Partial<RandomShape>): string {
  const dir = emptyDirectory();
  const shape: RandomShape = { D: 72, H: 6, P: 16, N: 40, G: 2, W: 4, V: 500, layers: 3, normGroups: 2 };
  writeModel(randomModel(1, { ...shape, ...format }), dir);
  return dir;
}

const MODELS: Record<string, () => string | Promise<string>> = {
  "tiny, 4-bit activations": () => quantizedTiny(4),
  "random, 5-bit activations, groups of 16, 16-bit state": () =>
    randomDirectory({ activationBits: 5, weightGroup: 16, stateBits: 16 }),
  "tiny, 6-bit activations, 8-bit lm_head, 16-bit state": () => quantizedTiny(6, { wide: ["lm_head"], stateBits: 16 }),
  "random, 8-bit activations, a layer of 8-bit weights, one unrotated": () =>
    randomDirectory({ activationBits: 8, wide: ["layers.0.in_proj", "layers.0.out_proj"], unrotated: [1] }),
};

for (const [name, make] of Object.entries(MODELS)) {
  test(`engines: ${name}`, async (t) => {
    const dir = await make();
    const hashes = VARIANTS.map((variant) => logitsHash(Model.load(dir, { variant }), createHash, FIRST, TOKENS));

    for (const [i, variant] of VARIANTS.entries()) await t.test(variant, () => assert.equal(hashes[i], hashes[0]));

    await t.test("Node 20", (own) => {
      const node = process.env.LIGHTMAMBA_NODE20;
      if (node === undefined) return own.skip("LIGHTMAMBA_NODE20 does not name a Node 20");
      if (!existsSync(join(packageRoot(), "build/js"))) return own.skip("the host code is not compiled");
      const version = execFileSync(node, ["--version"], { encoding: "utf8" });
      assert.match(version, /^v20\./);
      assert.equal(hashElsewhere(node, dir), hashes[0]);
    });
  });
}
