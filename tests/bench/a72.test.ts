/** bench:a72 without a cross compiler: its options, its image, its sums and its tables. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type Counts, countsOf, mmu, own, partsOf, type Run, sumOf, total } from "../../bench/a72/counts.ts";
import { imageParts, takeImage } from "../../bench/a72/image.ts";
import { readOptions } from "../../bench/a72/options.ts";
import { countTables, type Row } from "../../bench/a72/table.ts";
import { pluginVersion } from "../../bench/a72/tools.ts";
import { markdown } from "../../bench/pages.ts";
import { ROOT } from "../../bench/paths.ts";
import { LightMambaError } from "../../host/errors.ts";
import { readModelHeader } from "../../host/model/description.ts";
import { instantiate } from "../../host/runtime/engine.ts";
import { loadWeights } from "../../host/runtime/load.ts";

const counts = (...[embedding, nqu, inProj, ssmu, htu, outProj, head]: number[]): Counts => ({
  embedding: embedding!,
  NQU: nqu!,
  "MMU in_proj": inProj!,
  SSMU: ssmu!,
  HTU: htu!,
  "MMU out_proj": outProj!,
  "MMU lm_head": head!,
});

const refused = (exit: string, message: RegExp) => (error: unknown) =>
  error instanceof LightMambaError && error.exit === exit && message.test(error.message);

describe("options", () => {
  it("have defaults", () => {
    const { shapes, save, json } = readOptions([]);
    assert.deepEqual(shapes, ["mamba2-130m", "mamba2-370m", "mamba2-2.7b"]);
    assert.deepEqual([save, json], [false, false]);
  });

  it("--shapes 3b and --fast are refused", () => {
    assert.throws(() => readOptions(["--shapes", "3b"]), refused("usage", /--shapes takes mamba2-130m, .*, not 3b/));
    assert.throws(() => readOptions(["--fast"]), refused("usage", /Unknown option '--fast'/));
  });
});

describe("the image", () => {
  const header = readModelHeader(join(ROOT, "models", "tiny-w4a4"));
  const image = takeImage(header, loadWeights, "plain", { before: [7, 8], tokens: [1, 300] });
  const file = Buffer.concat(imageParts(image));
  const words = new Uint32Array(file.buffer, file.byteOffset, 6);
  const memoryAt = 24 + 2 * 4 * header.config.vocabSize;

  it("has addresses, tokens, logits and memory, in this order", () => {
    assert.deepEqual([...words], [image.state, image.logitsAt, header.config.vocabSize, 2, 1, 300]);
    assert.deepEqual(file.subarray(24, memoryAt), Buffer.from(image.expected.buffer));
    assert.equal(file.length, memoryAt + image.memory.length);
  });

  it("is all that a fresh instance needs", () => {
    const { memory, exports } = instantiate("plain");
    const bytes = file.subarray(memoryAt);
    memory.grow((bytes.length - memory.buffer.byteLength) / 65536);
    new Uint8Array(memory.buffer).set(bytes);
    for (const token of words.subarray(4)) exports.forward(words[0]!, token);
    const logits = new Int32Array(memory.buffer, words[1], words[2]!);
    assert.deepEqual(logits, image.expected.subarray(header.config.vocabSize));
  });
});

describe("counts", () => {
  const run: Run = { tokens: [1000, 1060], units: [100, 200, 400, 600, 160, 200, 380, 0], wrong: 0 };

  it("are those of a token", () => {
    const found = countsOf(run);
    assert.deepEqual(found, counts(50, 100, 200, 300, 80, 100, 190));
    assert.equal(total(found), 1020);
    assert.equal(mmu(found), 490);
    assert.equal(own(found), 230);
  });

  it("of wrong logits are refused", () => {
    assert.throws(() => countsOf({ ...run, wrong: 3 }), refused("verification", /expected 0 differ, found 3/));
  });

  it("of a deep model are sums of a layer's and of what a token costs once", () => {
    const parts = partsOf(counts(50, 30, 100, 150, 40, 60, 200), counts(50, 50, 200, 300, 80, 120, 200));
    assert.deepEqual(parts, {
      layer: counts(0, 20, 100, 150, 40, 60, 0),
      once: counts(50, 10, 0, 0, 0, 0, 200),
    });
    assert.deepEqual(sumOf(parts, 24), counts(50, 490, 2400, 3600, 960, 1440, 200));
  });
});

describe("tables", () => {
  const row: Row = {
    model: "mamba2-130m",
    width: "W4A4",
    variant: "relaxed",
    part: "token",
    weightBytes: 2e6,
    counts: counts(500, 20_000, 2e6, 700_000, 9_500, 1e6, 1e6),
  };
  const rows: Row[] = [row, { ...row, part: "layer" }];
  const result = { date: "", qemu: "", rust: "", rows };

  it("show whole tokens, then parts, in thousands of instructions", () => {
    const { tokens, parts } = countTables(result);
    assert.match(tokens, /mamba2-130m +W4A4 +relaxed +4,730 +4,000 +700 +30\.0 +9\.5 +20\.0 +0\.5 +0\.6 +2\.00$/);
    assert.match(parts, /a layer +4,730 +2,000 +1,000 +1,000 +700/);
  });

  it("have as many cells in each line of Markdown", () => {
    for (const table of Object.values(countTables(result, markdown))) {
      const cells = table.split("\n").map((line) => line.split("|").length);
      assert.equal(new Set(cells).size, 1, `cells ${cells}`);
    }
  });
});

it("QEMU before 9 takes plug-ins of version 1", () => {
  assert.equal(pluginVersion("qemu-aarch64 version 7.2.22 (Debian 1:7.2+dfsg-7)"), 1);
  assert.equal(pluginVersion("qemu-aarch64 version 10.0.2"), 2);
});
