/** The format of bmaptool: what is written is read again, and nothing else is. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { BLOCK, describeBlocks, formatBmap, parseBmap } from "../../host/image/bmap.ts";
import { failureOf } from "../device/support.ts";
import { scratchFolder } from "./support.ts";

const folder = scratchFolder();

function contentOf(blocks: readonly number[], bytes: number): Buffer {
  const content = Buffer.alloc(bytes);
  for (const block of blocks) content.fill((block % 255) + 1, block * BLOCK, Math.min((block + 1) * BLOCK, bytes));
  return content;
}

/** A file with these blocks written, and so many bytes in all. */
function fileOf(blocks: readonly number[], bytes: number): string {
  const path = join(folder, `${blocks.join("-")}.${bytes}`);
  writeFileSync(path, contentOf(blocks, bytes));
  return path;
}

describe("blocks of an image", () => {
  const cases: [name: string, blocks: number[], bytes: number, ranges: [number, number][]][] = [
    ["all zeros", [], 8 * BLOCK, []],
    [
      "one at each end",
      [0, 7],
      8 * BLOCK,
      [
        [0, 0],
        [7, 7],
      ],
    ],
    [
      "runs",
      [1, 2, 3, 5],
      8 * BLOCK,
      [
        [1, 3],
        [5, 5],
      ],
    ],
    ["the last block is short", [2], 2 * BLOCK + 100, [[2, 2]]],
    ["across what is read at once", [255, 256, 257], 600 * BLOCK, [[255, 257]]],
    ["nothing at all", [], 0, []],
  ];
  for (const [name, blocks, bytes, ranges] of cases) {
    it(name, () => {
      const path = fileOf(blocks, bytes);
      const bmap = describeBlocks(path);
      assert.equal(bmap.imageBytes, bytes);
      assert.deepEqual(
        bmap.ranges.map(({ first, last }) => [first, last]),
        ranges,
      );
      const all = contentOf(blocks, bytes);
      for (const { first, last, sha256 } of bmap.ranges)
        assert.equal(
          sha256,
          createHash("sha256")
            .update(all.subarray(first * BLOCK, (last + 1) * BLOCK))
            .digest("hex"),
        );
      assert.deepEqual(parseBmap(formatBmap(bmap), path), bmap);
    });
  }
});

describe("a bmap that is none", () => {
  const good = formatBmap(describeBlocks(fileOf([1, 2, 5], 8 * BLOCK)));
  /** With a checksum that holds again. */
  const resealed = (text: string) => {
    const bare = text.replace(/<BmapFileChecksum> [0-9a-f]{64}/, `<BmapFileChecksum> ${"0".repeat(64)}`);
    return bare.replace("0".repeat(64), createHash("sha256").update(bare).digest("hex"));
  };
  const cases: [name: string, text: string, message: RegExp][] = [
    ["nothing", "", /element is missing/],
    ["something else", "<html></html>", /element is missing/],
    ["a changed byte", good.replace("<Range", "<range"), /checksum does not hold/],
    ["a cut end", good.slice(0, -20), /checksum does not hold/],
    [
      "another size of blocks",
      resealed(good.replace("> 4096 <", "> 512 <")),
      /BlockSize: other blocks.*expected 4096, found 512/,
    ],
    ["a size that is no number", resealed(good.replace("> 32768 <", "> -1 <")), /ImageSize: not a whole number/],
    [
      "a range beyond the image",
      resealed(good.replace("> 5 <", "> 8 <")),
      /Range: a range out of order, or beyond the image/,
    ],
    ["ranges that overlap", resealed(good.replace("> 5 <", "> 2 <")), /out of order/],
    [
      "a range that is missing",
      resealed(good.replace(/ {4}<Range[^\n]*> 5 <[^\n]*\n/, "")),
      /ranges are missing.*expected 3, found 2/,
    ],
  ];
  for (const [name, text, message] of cases)
    it(name, () => assert.match(failureOf(() => parseBmap(text, "x.bmap")).message, message));
});
