/** Whatever is in a file, reading it ends well or in the package's own error. Seeded, so that a failure comes again. */

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseJson } from "../../host/checkpoint/json.ts";
import { unpickleStateDict } from "../../host/checkpoint/pickle.ts";
import { SafetensorsFile } from "../../host/checkpoint/safetensors.ts";
import { openTorchWeights } from "../../host/checkpoint/torch.ts";
import { closeWeights } from "../../host/checkpoint/weights.ts";
import { LightMambaError } from "../../host/errors.ts";
import { emptyDirectory, GOLDEN, pickledStateDict, pickledTensor, safetensorsBytes, zipBytes } from "./support.ts";

/** xorshift32. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Changes, drops, doubles or inserts a few bytes. */
function mutate(bytes: Uint8Array, pick: (below: number) => number): Uint8Array {
  let mutated = Buffer.from(bytes);
  for (let change = pick(4); change >= 0 && mutated.length > 0; change--) {
    const at = pick(mutated.length);
    const [before, after] = [mutated.subarray(0, at), mutated.subarray(at)];
    const length = 1 + pick(9);
    switch (pick(5)) {
      case 0:
        mutated[at] = pick(256);
        break;
      case 1:
        mutated[at]! ^= 1 << pick(8);
        break;
      case 2:
        mutated = Buffer.concat([before, after.subarray(length)]);
        break;
      case 3:
        mutated = Buffer.concat([before, after.subarray(0, length), after]);
        break;
      default:
        mutated = Buffer.concat([before, Buffer.from(Array.from({ length }, () => pick(256))), after]);
    }
  }
  return mutated;
}

function fuzz(name: string, rounds: number, seed: number, valid: Uint8Array, read: (bytes: Uint8Array) => void): void {
  test(`${name}, ${rounds} times`, () => {
    read(valid);
    const pick = random(seed);
    let refused = 0;
    for (let round = 0; round < rounds; round++) {
      const bytes = mutate(valid, pick);
      try {
        read(bytes);
      } catch (error) {
        const shown = () =>
          `round ${round}, ${Buffer.from(bytes).toString("hex").slice(0, 400)}: ${(error as Error).stack}`;
        assert.ok(
          error instanceof LightMambaError && (error.exit === "badInput" || error.exit === "unsupported"),
          shown(),
        );
        assert.ok(!error.message.includes("\n"), shown());
        refused++;
      }
    }
    assert.ok(refused > rounds / 4, `only ${refused} refused: the mutations hit nothing`);
  });
}

const path = join(emptyDirectory(), "fuzzed");
const onDisk = (read: (path: string) => void) => (bytes: Uint8Array) => {
  writeFileSync(path, bytes);
  read(path);
};

const header = {
  __metadata__: { format: "pt" },
  a: { dtype: "F32", shape: [2, 3], data_offsets: [0, 24] },
  b: { dtype: "BF16", shape: [4], data_offsets: [24, 32] },
};
fuzz(
  "a safetensors file",
  3000,
  1,
  safetensorsBytes(header, new Uint8Array(32)),
  onDisk((file) => SafetensorsFile.open(file).close()),
);

const pickle = pickledStateDict(pickledTensor());
fuzz("a small pickle", 4000, 2, pickle, (bytes) => unpickleStateDict(bytes, "x"));

const archive = readFileSync(join(GOLDEN, "odd-f-original/pytorch_model.bin"));
fuzz("a whole pickle", 1000, 3, archive.subarray(64, 64 + 2779), (bytes) => unpickleStateDict(bytes, "x"));

const zip = zipBytes(
  [
    { name: "a/data.pkl", data: pickle, zip64: true },
    { name: "a/data/0", data: new Uint8Array(24) },
  ],
  true,
);
fuzz(
  "a PyTorch file",
  3000,
  4,
  zip,
  onDisk((file) => closeWeights(openTorchWeights(file))),
);

const json = Buffer.from('{"a": [1, -2.5e3, Infinity, null, true], "b": {"c": "x\\n\\u00e9", "d": {}}}');
fuzz("JSON", 4000, 5, json, (bytes) => parseJson(Buffer.from(bytes).toString("latin1"), "x"));
