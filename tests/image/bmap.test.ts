/** The format of bmaptool: what is written is read again, and nothing else is. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { BLOCK, describeBlocks, formatBmap, parseBmap } from "../../host/image/bmap.ts";
import { parseFree } from "../../host/image/ext4.ts";
import { failureOf } from "../device/support.ts";
import { scratchFolder } from "../firmware.ts";

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
      const bmap = describeBlocks(path, [{ offset: 0, bytes }]);
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

describe("blocks of zeros", () => {
  const ranges = (free: [offset: number, bytes: number][]) =>
    describeBlocks(
      fileOf([2, 5], 8 * BLOCK),
      free.map(([offset, bytes]) => ({ offset, bytes })),
    ).ranges.map(({ first, last }) => [first, last]);

  it("are written where somebody has them", () => assert.deepEqual(ranges([]), [[0, 7]]));
  it("are left out where they are free", () => {
    assert.deepEqual(
      ranges([
        [0, BLOCK],
        [3 * BLOCK, 2 * BLOCK],
        [7 * BLOCK, BLOCK],
      ]),
      [
        [1, 2],
        [5, 6],
      ],
    );
  });
  it("are written where a part of them is not free, or free in two parts that nobody has joined", () => {
    assert.deepEqual(
      ranges([
        [1, 2 * BLOCK],
        [6 * BLOCK, BLOCK / 2],
        [6.5 * BLOCK, BLOCK / 2],
      ]),
      [
        [0, 0],
        [2, 7],
      ],
    );
  });
  it("that hold anything are written, free or not", () => {
    assert.deepEqual(ranges([[0, 8 * BLOCK]]), [
      [2, 2],
      [5, 5],
    ]);
  });
});

describe("free blocks of ext4", () => {
  const groups =
    "Free blocks:              5\nBlock size:               1024\nGroup 0:\n  Free blocks: 2-3, 8\nGroup 1:\n  Free blocks: \n";

  it("are those of all groups, joined where they go on", () => {
    assert.deepEqual(parseFree(`${groups}Group 2:\n  Free blocks: 9-10\n`), [
      { offset: 2048, bytes: 2048 },
      { offset: 8192, bytes: 3072 },
    ]);
  });
  it("add up to what the file system says, or nothing is believed", () => {
    for (const text of [groups, "", `${groups}  Free blocks: 9-11\n`])
      assert.match(failureOf(() => parseFree(text)).message, /does not say which blocks are free/);
  });
});

describe("a bmap that is none", () => {
  const good = formatBmap(describeBlocks(fileOf([1, 2, 5], 8 * BLOCK), [{ offset: 0, bytes: 8 * BLOCK }]));
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
