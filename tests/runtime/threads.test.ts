/** Threads and passes of several tokens: the same bits as one thread, token by token. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { Model } from "../../host/runtime/model.ts";
import { hasThreads } from "../../host/runtime/threads.ts";
import { quantizedTiny } from "./support.ts";

/** Across the 256 tokens of one dither, and no multiple of a pass. */
const TOKENS = Array.from({ length: 275 }, (_, i) => (i * 389 + 7) % 4096);
const FED = 3;

const TEAMS = [
  ["relaxed", 1],
  ["relaxed", 2],
  ["relaxed", 3],
  ["plain", 2],
] as const;

const CASES = [
  ["A4", 4, {}],
  ["A5, groups of 16", 5, { group: 16 }],
  ["A6, 16-bit state", 6, { stateBits: 16 }],
  ["A8, 8-bit head and layer", 8, { wide: ["lm_head", "layers.1.in_proj", "layers.2.out_proj"] }],
] as const;

/** Logits after the last token, and the state. */
function run(model: Model, consume: (session: ReturnType<Model["session"]>) => void) {
  const session = model.session();
  consume(session);
  const result = { logits: model.rawLogits().slice(), state: session.state() };
  session.close();
  return result;
}

describe("threads and passes", () => {
  for (const [name, activationBits, format] of CASES) {
    test(name, async () => {
      const dir = await quantizedTiny(activationBits, { ...format, wide: [...("wide" in format ? format.wide : [])] });
      const one = Model.load(dir, { threads: 1 });
      const expected = run(one, (session) => {
        for (const token of TOKENS) session.feed(token);
      });
      for (const [variant, threads] of TEAMS) {
        const model = Model.load(dir, { variant, threads });
        assert.equal(model.threads, threads);
        const found = run(model, (session) => {
          session.prefill(TOKENS.slice(0, -FED));
          for (const token of TOKENS.slice(-FED)) session.feed(token);
        });
        assert.deepEqual(found, expected, `${variant}, ${threads} threads`);
        model.close();
      }
    });
  }

  test("many small passes leave the state of one", async () => {
    const model = Model.load(await quantizedTiny(4), { threads: 2 });
    const whole = run(model, (session) => session.prefill(TOKENS));
    const parts = run(model, (session) => {
      for (let from = 0, length = 1; from < TOKENS.length; from += length++) {
        session.prefill(TOKENS.slice(from, from + length));
      }
    });
    assert.deepEqual(parts, whole);
    model.close();
  });

  test("no tokens, no change", async () => {
    const model = Model.load(await quantizedTiny(4));
    const session = model.session();
    const before = session.state();
    session.prefill([]);
    assert.deepEqual(session.state(), before);
  });

  test("a token that is none is refused before the first is consumed", async () => {
    const model = Model.load(await quantizedTiny(4));
    const session = model.session();
    const before = session.state();
    for (const bad of [-1, 4096, 0.5, Number.NaN]) {
      assert.throws(() => session.prefill([1, 2, bad]), /token id outside the vocabulary/);
    }
    assert.deepEqual(session.state(), before);
  });

  for (const threads of [0, -1, 1.5, 65, Number.NaN]) {
    test(`${threads} threads are refused`, async () => {
      const dir = await quantizedTiny(4);
      assert.throws(() => Model.load(dir, { threads }), /not a number of threads/);
    });
  }

  test("Node 20 has one thread only", () => {
    assert.deepEqual(
      ["20.20.2", "22.23.3", "24.21.0"].map((version) => hasThreads(version)),
      [false, true, true],
    );
  });

  test("threads do not keep a program alive", async () => {
    const dir = await quantizedTiny(4);
    const url = new URL("../../host/runtime/model.ts", import.meta.url);
    const program = `const { Model } = await import(${JSON.stringify(url)});
      const model = Model.load(${JSON.stringify(dir)}, { threads: 3 });
      model.session().prefill([1, 2, 3]);
      console.log("done");`;
    const child = spawnSync(process.execPath, ["--input-type=module", "--eval", program], {
      encoding: "utf8",
      timeout: 60_000,
    });
    assert.equal(child.stdout, "done\n", child.stderr);
    assert.equal(child.status, 0);
  });
});
