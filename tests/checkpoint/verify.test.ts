/** No byte of a model directory changes unnoticed. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  closeSync,
  cpSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { SafetensorsFile, writeSafetensors } from "../../host/checkpoint/safetensors.ts";
import { fileSha256 } from "../../host/checkpoint/sha256.ts";
import { LightMambaError } from "../../host/errors.ts";
import { CHECKSUMS, checkQuickly, verifyModel, writeChecksums } from "../../host/verify.ts";
import { randomOf } from "../fuzz/random.ts";
import { editBytes, editJson, emptyDirectory, expectError, GOLDEN } from "./support.ts";

const MODEL = join(import.meta.dirname, "../../models/tiny-w4a4");
const WEIGHTS = "model.safetensors";

/** A model directory of a few kilobytes: the checks look at bytes, not at what they mean. */
function smallModel(): string {
  const dir = emptyDirectory();
  for (const name of ["config.json", "quantization.json", "generation_config.json", "tokenizer_config.json"]) {
    cpSync(join(MODEL, name), join(dir, name));
  }
  writeFileSync(join(dir, "tokenizer.json"), readFileSync(join(MODEL, "tokenizer.json")).subarray(0, 1500));
  const data = Uint8Array.from({ length: 1200 }, (_, i) => i * 7);
  writeSafetensors(join(dir, WEIGHTS), [{ name: "w", dtype: "U8", shape: [1200], data }], { align: 64 });
  editJson(join(dir, "quantization.json"), (json) => (json.weights_sha256 = fileSha256(join(dir, WEIGHTS))));
  writeChecksums(dir);
  return dir;
}

/** A copy of the embedded model, with checksums. */
function fullModel(): string {
  const dir = emptyDirectory();
  cpSync(MODEL, dir, { recursive: true });
  rmSync(join(dir, CHECKSUMS), { force: true });
  writeChecksums(dir);
  return dir;
}

/** Changes the byte at each place, one after another, and expects `check` to end in `verification`. */
function flipEach(path: string, places: Iterable<number>, seed: number, check: () => unknown): number {
  const pick = randomOf(seed);
  const descriptor = openSync(path, "r+");
  const byte = Buffer.alloc(1);
  let flips = 0;
  for (const at of places) {
    readSync(descriptor, byte, 0, 1, at);
    const before = byte[0]!;
    writeSync(descriptor, Buffer.from([before ^ (1 + pick(255))]), 0, 1, at);
    try {
      check();
      assert.fail(`${path}: byte ${at} was changed and nobody noticed`);
    } catch (error) {
      assert.ok(error instanceof LightMambaError && error.exit === "verification", `byte ${at}: ${error}`);
    }
    writeSync(descriptor, Buffer.from([before]), 0, 1, at);
    flips++;
  }
  closeSync(descriptor);
  return flips;
}

const upTo = (end: number) => Array.from({ length: end }, (_, i) => i);

describe("a changed byte", () => {
  test("any of any file of a small model, its checksums too", () => {
    const dir = smallModel();
    let flips = 0;
    for (const name of readdirSync(dir)) {
      const path = join(dir, name);
      flips += flipEach(path, upTo(statSync(path).size), 1, () => verifyModel(dir));
    }
    assert.ok(flips > 6000, `${flips}`);
    assert.equal(verifyModel(dir).complete, true);
  });

  test("any of the small files, and of the weights' header, is noticed when the model is loaded", () => {
    const dir = smallModel();
    for (const name of readdirSync(dir)) {
      const path = join(dir, name);
      flipEach(path, upTo(statSync(path).size), 2, () => checkQuickly(dir));
    }
    const full = fullModel();
    const file = SafetensorsFile.open(join(full, WEIGHTS));
    file.close();
    const header = Math.min(...[...file.tensors.values()].map(({ begin }) => begin));
    const every = upTo(header).filter((at) => at % 40 === 0);
    flipEach(join(full, WEIGHTS), every, 3, () => checkQuickly(full));
  });

  test("500 of the embedded model's weights", () => {
    const dir = fullModel();
    const pick = randomOf(4);
    const { size } = statSync(join(dir, WEIGHTS));
    const places = Array.from({ length: 500 }, () => pick(size));
    assert.equal(
      flipEach(join(dir, WEIGHTS), places, 5, () => verifyModel(dir)),
      500,
    );
  });
});

describe("a model directory", () => {
  const refused = (edit: (dir: string) => unknown, ...parts: string[]) => {
    const dir = smallModel();
    edit(dir);
    expectError(() => verifyModel(dir), "verification", ...parts);
    expectError(() => checkQuickly(dir), "verification", ...parts);
  };

  test("with a file longer, shorter, missing, replaced or more", () => {
    refused(
      (dir) => editBytes(join(dir, "config.json"), (bytes) => Buffer.concat([bytes, Buffer.from(" ")])),
      "another size",
    );
    refused((dir) => editBytes(join(dir, WEIGHTS), (bytes) => bytes.subarray(1)), WEIGHTS, "another size");
    refused((dir) => rmSync(join(dir, "tokenizer.json")), "tokenizer.json", "the file is missing");
    refused((dir) => rmSync(join(dir, WEIGHTS)), WEIGHTS, "the file is missing");
    const unlisted = (dir: string) => {
      const bytes = readFileSync(join(dir, "tokenizer.json"));
      rmSync(join(dir, "tokenizer.json"));
      writeChecksums(dir);
      writeFileSync(join(dir, "tokenizer.json"), bytes);
    };
    refused(unlisted, "tokenizer.json", "not in checksums.json");
  });

  const list = (edit: (text: string) => string, ...parts: string[]) =>
    refused(
      (dir) => editBytes(join(dir, CHECKSUMS), (bytes) => Buffer.from(edit(bytes.toString()))),
      CHECKSUMS,
      ...parts,
    );

  test("with a list that is not one", () => {
    list(() => "", "not valid JSON");
    list(() => "[]", "not a JSON object");
    list((text) => text.replace("lightmamba-checksums", "x"), "format");
    list((text) => text.replace('version": 1', 'version": 2'), "format_version", "expected 1");
    list((text) => text.replace('"config.json"', '"../config.json"'), "wrong name");
    list((text) => text.replace(/"bytes":\d+/, '"bytes":-1'), "bytes");
    list((text) => text.replace(/[0-9a-f]{64}/, "0"), "64 hexadecimal digits");
    list((text) => text.replaceAll(WEIGHTS, "weights"), `${WEIGHTS}, no smaller`);
    list((text) => `${text}\n`, "not as it was written");
    list((text) => text + " ".repeat(2 ** 20), "too large");
    list((text) => text.replace('"files": {', '"files": 3, "x": {'), "files");
  });

  test("whose description names other weights", () => {
    const dir = smallModel();
    editJson(join(dir, "quantization.json"), (json) => (json.weights_sha256 = "0".repeat(64)));
    writeChecksums(dir);
    expectError(() => verifyModel(dir), "verification", "not those that quantization.json names");
  });

  test("without a list: only the weights are compared", () => {
    const dir = smallModel();
    rmSync(join(dir, CHECKSUMS));
    assert.equal(checkQuickly(dir), false);
    const { complete, files } = verifyModel(dir);
    assert.deepEqual([complete, files.map(({ name }) => name)], [false, [WEIGHTS]]);
    editBytes(join(dir, WEIGHTS), (bytes) => bytes.fill(1, bytes.length - 1));
    expectError(() => verifyModel(dir), "verification", WEIGHTS);
  });

  test("that is none", () => {
    expectError(() => verifyModel(join(GOLDEN, "odd-a")), "badInput", "not a model directory");
    expectError(() => verifyModel(join(GOLDEN, "none")), "badInput", "not a model directory");
  });

  test("is checked in under 5 ms when it is loaded", () => {
    const dir = fullModel();
    const times = upTo(20).map(() => {
      const start = performance.now();
      checkQuickly(dir);
      return performance.now() - start;
    });
    assert.ok(Math.min(...times) < 5, `${times}`);
  });
});

describe("lightmamba inspect --verify", () => {
  const main = join(import.meta.dirname, "../../host/cli/main.ts");
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [main, "inspect", "--verify", ...args], { encoding: "utf8" });

  test("exit codes 0, 6 and 7", () => {
    const dir = smallModel();
    const good = run(dir, "--json");
    assert.equal(good.status, 0, good.stderr);
    assert.equal(JSON.parse(good.stdout).files.length, 6);
    assert.match(run(dir).stdout, /^ok {4}config\.json, 538 bytes$/m);
    editBytes(join(dir, WEIGHTS), (bytes) => bytes.fill(1, bytes.length - 1));
    const bad = run(dir);
    assert.deepEqual([bad.status, bad.stdout], [6, ""]);
    assert.match(bad.stderr, /model\.safetensors: the file was changed/);
    assert.equal(run(join(GOLDEN, "odd-a")).status, 7);
  });
});
