/** What the host prepares for a board: a recording that makes the same memory once more, from whole files, or nothing at all. */
import assert from "node:assert/strict";
import { appendFileSync, cpSync, existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type BoardSetup, prepareBoardModel, SETUP_FILE } from "../../host/board/prepare.ts";
import type { RecordedCall } from "../../host/board/recording.ts";
import { fileSha256 } from "../../host/checkpoint/sha256.ts";
import { readModelHeader } from "../../host/model/description.ts";
import { type Engine, instantiate, runtimePath, type WasmVariant } from "../../host/runtime/engine.ts";
import { loadWeights } from "../../host/runtime/load.ts";
import { failureOf } from "../device/support.ts";
import { emptyDirectory, newPath, quantizedTiny } from "../runtime/support.ts";

const TINY = join(import.meta.dirname, "../../models/tiny-w4a4");

/** Does again what was recorded, with nothing but the prepared directory. */
function replay(dir: string, { calls, runtime }: BoardSetup): Engine {
  const engine = instantiate(runtime.variant);
  const exports = engine.exports as unknown as Record<string, (...args: (number | bigint)[]) => number | undefined>;
  const weights = readFileSync(join(dir, "model.safetensors"));
  for (const { call, args, result, bytes, file } of calls) {
    const found = exports[call]!(...args.map((arg) => (typeof arg === "string" ? BigInt(arg) : arg)));
    assert.equal(found, result, call);
    const memory = Buffer.from(engine.memory.buffer);
    if (bytes !== undefined) memory.set(Buffer.from(bytes, "base64"), Number(result) >>> 0);
    if (file !== undefined) memory.set(weights.subarray(file.offset, file.offset + file.bytes), file.at);
  }
  return engine;
}

function assertSameMemory(from: string, dir: string, variant: WasmVariant): void {
  const setup = JSON.parse(readFileSync(join(dir, SETUP_FILE), "utf8")) as BoardSetup;
  const loaded = instantiate(variant);
  loadWeights(loaded, readModelHeader(from));
  const again = replay(dir, setup);
  assert.ok(Buffer.from(again.memory.buffer).equals(Buffer.from(loaded.memory.buffer)), "memory differs");
}

describe("a recording", () => {
  for (const variant of ["plain", "relaxed"] as const) {
    it(`makes the memory of the loader once more: ${variant}`, () => {
      const dir = newPath();
      const { files, runtime } = prepareBoardModel(TINY, dir, { variant });
      assertSameMemory(TINY, dir, variant);
      assert.deepEqual(readdirSync(dir).sort(), [...Object.keys(files), SETUP_FILE].sort());
      for (const [name, { sha256 }] of Object.entries(files)) assert.equal(sha256, fileSha256(join(dir, name)));
      assert.equal(runtime.sha256, fileSha256(runtimePath(variant)));
    });
  }

  it("holds for tied embeddings, 8-bit matrices and biases too", async () => {
    const from = await quantizedTiny(8, { wide: ["lm_head", "layers.0.in_proj"], group: 16, stateBits: 16 });
    const dir = newPath();
    prepareBoardModel(from, dir);
    assertSameMemory(from, dir, "relaxed");
  });

  it("has contents for nothing but what was allocated", () => {
    const dir = newPath();
    const { calls } = prepareBoardModel(TINY, dir);
    const filled = ({ bytes, file }: RecordedCall) => bytes !== undefined || file !== undefined;
    assert.ok(calls.every((call) => filled(call) === (call.call === "allocate")));
    assert.equal(calls.filter(({ file }) => file !== undefined).length, 1);
    assert.equal(calls.at(-1)!.call, "finish");
  });

  it("is the same for the same model", () => {
    const [a, b] = [newPath(), newPath()];
    for (const dir of [a, b]) prepareBoardModel(TINY, dir, { board: "qemu" });
    for (const name of readdirSync(a)) assert.ok(readFileSync(join(a, name)).equals(readFileSync(join(b, name))), name);
  });
});

describe("what cannot be prepared leaves nothing behind", () => {
  const refused = (from: string, change: (dir: string) => void, expected: RegExp, exit: string) => {
    const [dir, to] = [newPath(), newPath()];
    cpSync(from, dir, { recursive: true });
    change(dir);
    const error = failureOf(() => prepareBoardModel(dir, to));
    assert.match(error.message, expected);
    assert.equal(error.exit, exit);
    assert.ok(!existsSync(to));
    assert.deepEqual(
      readdirSync(join(to, "..")).filter((name) => name.endsWith(".tmp")),
      [],
    );
  };

  it("a damaged model", () =>
    refused(TINY, (dir) => appendFileSync(join(dir, "model.safetensors"), "x"), /another size/, "verification"));
  it("one without a tokenizer", () =>
    refused(
      TINY,
      (dir) => {
        for (const name of ["tokenizer.json", "checksums.json"]) rmSync(join(dir, name));
      },
      /tokenizer\.json: cannot be read/,
      "badInput",
    ));
  it("no model", () => refused(emptyDirectory(), () => {}, /./, "badInput"));

  it("a directory that is in use stays as it is; an empty one is taken", () => {
    const to = emptyDirectory();
    prepareBoardModel(TINY, to);
    const before = readFileSync(join(to, SETUP_FILE));
    assert.match(failureOf(() => prepareBoardModel(TINY, to)).message, /exists already/);
    assert.ok(readFileSync(join(to, SETUP_FILE)).equals(before));
  });
});
