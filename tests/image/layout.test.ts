/** The partition table of an image, and everything that is none. */
import assert from "node:assert/strict";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { readPartitions, SECTOR } from "../../host/image/layout.ts";
import { failureOf } from "../device/support.ts";
import { scratchFolder } from "../firmware.ts";

const folder = scratchFolder();
const SECTORS = 8192;

/** A table as genimage writes it, changed. */
function imageWith(change: (table: Buffer) => void, bytes = SECTORS * SECTOR): string {
  const table = Buffer.alloc(SECTOR);
  table.writeUInt32LE(0x4c4d4d42, 440);
  table.writeUInt16LE(0xaa55, 510);
  const entries: [type: number, from: number, count: number][] = [
    [0x0c, 2048, 2048],
    [0x83, 4096, 1024],
    [0x83, 5120, 1024],
    [0x83, 6144, 2048],
  ];
  entries.forEach(([type, from, count], i) => {
    table[446 + 16 * i + 4] = type;
    table.writeUInt32LE(from, 446 + 16 * i + 8);
    table.writeUInt32LE(count, 446 + 16 * i + 12);
  });
  change(table);
  const path = join(folder, "image");
  writeFileSync(path, table.subarray(0, Math.min(SECTOR, bytes)));
  truncateSync(path, bytes);
  return path;
}

describe("an image's partitions", () => {
  it("are read", () => {
    assert.deepEqual(readPartitions(imageWith(() => {})), [
      { name: "boot", offset: 2048 * SECTOR, size: 2048 * SECTOR },
      { name: "system-a", offset: 4096 * SECTOR, size: 1024 * SECTOR },
      { name: "system-b", offset: 5120 * SECTOR, size: 1024 * SECTOR },
      { name: "data", offset: 6144 * SECTOR, size: 2048 * SECTOR },
    ]);
  });

  const cases: [name: string, change: (table: Buffer) => void, message: RegExp, bytes?: number][] = [
    ["an empty file", () => {}, /not an image: too short \(expected 512 bytes, found 0\)/, 0],
    ["a sector of zeros", (table) => void table.fill(0), /not an image: no partition table/],
    [
      "a card of somebody else",
      (table) => void table.writeUInt32LE(1, 440),
      /disk signature: not one of our images .*found 0x1\)/,
    ],
    [
      "another type",
      (table) => void table.writeUInt8(7, 450),
      /partition 1 \(boot\): wrong type \(expected 12, found 7\)/,
    ],
    [
      "an empty partition",
      (table) => void table.writeUInt32LE(0, 446 + 28),
      /partition 2 \(system-a\): overlaps .*or is empty/,
    ],
    ["one over the table", (table) => void table.writeUInt32LE(0, 446 + 8), /partition 1 \(boot\): overlaps/],
    ["one over another", (table) => void table.writeUInt32LE(4000, 446 + 24), /partition 2 \(system-a\): overlaps/],
    [
      "one beyond the end",
      (table) => void table.writeUInt32LE(2049, 446 + 60),
      /partition 4 \(data\): reaches beyond the end/,
    ],
    ["one of 2 TiB", (table) => void table.writeUInt32LE(0xffffffff, 446 + 60), /reaches beyond the end/],
    [
      "a cut image",
      () => {},
      /reaches beyond the end of the image \(expected 4194304, found 4194303\)/,
      SECTORS * SECTOR - 1,
    ],
  ];
  for (const [name, change, message, bytes] of cases) {
    it(`${name} is refused`, () => {
      const error = failureOf(() => readPartitions(imageWith(change, bytes)));
      assert.match(error.message, message);
      assert.equal(error.exit, "badInput");
    });
  }

  it("a file that is not there is refused", () => {
    assert.match(failureOf(() => readPartitions(join(folder, "none"))).message, /no such file/i);
  });
});
