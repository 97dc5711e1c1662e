/** The same bits from plain and relaxed SIMD, and from the oldest engine that the package supports. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { packageRoot } from "../../host/package.ts";
import { Model } from "../../host/runtime/model.ts";
import { caseName } from "../units/support.ts";
import { quantizedTiny, VARIANTS } from "./support.ts";

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

const FORMATS: Parameters<typeof quantizedTiny>[] = [
  [4],
  [5, { group: 16, stateBits: 16 }],
  [6, { wide: ["lm_head"], stateBits: 16 }],
  [8, { wide: ["layers.0.in_proj", "layers.1.out_proj"], group: 16 }],
];

for (const [bits, format] of FORMATS) {
  test(`engines, ${caseName({ bits, ...format })}`, async (t) => {
    const dir = await quantizedTiny(bits, format);
    const hashes = VARIANTS.map((variant) => logitsHash(Model.load(dir, { variant }), createHash, FIRST, TOKENS));

    await t.test("plain and relaxed SIMD", () => assert.equal(hashes[1], hashes[0]));

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
