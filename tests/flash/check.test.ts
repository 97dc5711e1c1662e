/** What is found out about an image before a drive is touched. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { copyFileSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import * as zlib from "node:zlib";
import { type ExitName, LightMambaError } from "../../host/errors.ts";
import { type CheckOptions, checkImage } from "../../host/flash/check.ts";
import { imagePieces, PIECE, partsWithin } from "../../host/flash/source.ts";
import { BLOCK, formatBmap } from "../../host/image/bmap.ts";
import { scratchFolder } from "../firmware.ts";
import { FILLED, IMAGE_BYTES, imageContent, MIB, writeImageFile } from "./support.ts";

const folder = scratchFolder();
const CONTENT = imageContent();
const SHA256 = createHash("sha256").update(CONTENT).digest("hex");
const ROOM = 8 * MIB;

const { zstdCompressSync } = zlib as { zstdCompressSync?: (data: Buffer) => Buffer };
const PACKINGS: [packing: string, suffix: string, pack: ((data: Buffer) => Buffer) | undefined][] = [
  ["none", "", (data) => data],
  ["gzip", ".gz", zlib.gzipSync],
  ["zstd", ".zst", zstdCompressSync],
];

async function failure(path: string, options: Partial<CheckOptions> = {}): Promise<LightMambaError> {
  try {
    await checkImage(path, { room: ROOM, ...options });
  } catch (error) {
    assert.ok(error instanceof LightMambaError, String((error as Error).stack));
    return error;
  }
  throw new assert.AssertionError({ message: "did not fail" });
}

async function assertRefused(path: string, exit: ExitName, message: RegExp, options?: Partial<CheckOptions>) {
  const error = await failure(path, options);
  assert.match(error.message, message);
  assert.equal(error.exit, exit);
}

for (const [packing, suffix, pack] of PACKINGS) {
  describe(`an image packed with ${packing}`, { skip: pack === undefined && "this Node has no zstd" }, () => {
    const plain = `${packing}.img`;
    const path = join(folder, `${plain}${suffix}`);

    it("is read to its end", async () => {
      writeFileSync(path, pack!(CONTENT));
      const bytes: Buffer[] = [];
      for await (const { data } of imagePieces(path, packing as "none")) bytes.push(Buffer.from(data));
      assert.ok(bytes.slice(0, -1).every(({ length }) => length === PIECE));
      assert.ok(Buffer.concat(bytes).equals(CONTENT));
    });

    it("is written whole where there is no map", async () => {
      const found = await checkImage(path, { room: ROOM });
      assert.deepEqual([found.packing, found.bytes, found.sha256], [packing, IMAGE_BYTES, SHA256]);
      assert.deepEqual([found.extents, found.checkedAgainst], [[{ offset: 0, bytes: IMAGE_BYTES }], []]);
      assert.deepEqual(
        found.partitions.map(({ name }) => name),
        ["boot", "system-a", "system-b", "data"],
      );
    });

    it("is compared with map and hash beside it", async () => {
      writeImageFile(folder, "made.img", CONTENT, true);
      copyFileSync(join(folder, "made.img.bmap"), join(folder, `${plain}.bmap`));
      writeFileSync(join(folder, `${plain}.sha256`), `${SHA256}  ${plain}\n`);
      const { extents, checkedAgainst } = await checkImage(path, { room: ROOM });
      assert.deepEqual(
        checkedAgainst,
        [".bmap", ".sha256"].map((end) => join(folder, `${plain}${end}`)),
      );
      const expected = FILLED.map(([first, last]) => ({ offset: first * BLOCK, bytes: (last - first + 1) * BLOCK }));
      assert.deepEqual(extents, expected);
      const whole = await checkImage(path, { room: ROOM, bmap: false });
      assert.deepEqual(whole.extents, [{ offset: 0, bytes: IMAGE_BYTES }]);
    });

    it("is refused where the hash is another", async () => {
      const message = /should be \(expected sha256 0{64}, found [0-9a-f]{64}\)/;
      await assertRefused(path, "verification", message, { sha256: "0".repeat(64) });
      writeFileSync(join(folder, `${plain}.sha256`), `${"0".repeat(64)}  ${plain}\n`);
      await assertRefused(path, "verification", message);
      await checkImage(path, { room: ROOM, sha256: SHA256 });
      writeFileSync(join(folder, `${plain}.sha256`), "no hash\n");
      await assertRefused(path, "badInput", /\.sha256: not a SHA-256/);
    });

    it("is refused where the drive is smaller", async () => {
      const message = /larger than the drive \(expected at most 7340031 bytes, found \d+\)/;
      await assertRefused(path, "device", message, { room: IMAGE_BYTES - 1, sha256: SHA256 });
      await checkImage(path, { room: IMAGE_BYTES, sha256: SHA256 });
    });

    it("is refused where it is cut", async () => {
      const cut = join(folder, `cut.${plain}${suffix}`);
      copyFileSync(path, cut);
      truncateSync(cut, Math.floor(readFileSync(cut).length / 2));
      await assertRefused(cut, "badInput", packing === "none" ? /reaches beyond the end/ : /cannot be unpacked/);
    });
  });
}

describe("an image that is none", () => {
  const cases: [name: string, content: Buffer, exit: ExitName, message: RegExp][] = [
    ["empty", Buffer.alloc(0), "badInput", /not an image: too short/],
    ["text", Buffer.alloc(4096, "x"), "badInput", /no partition table/],
    ["packed text", zlib.gzipSync(Buffer.alloc(4096, "x")), "badInput", /no partition table/],
    ["damaged gzip", Buffer.concat([zlib.gzipSync(CONTENT).subarray(0, 40), Buffer.alloc(99)]), "badInput", /unpacked/],
    ["xz", Buffer.from("fd377a585a0000", "hex"), "unsupported", /packed with xz \(expected gzip, zstd or not packed\)/],
    ["zip", Buffer.from("PK\x03\x04zip"), "unsupported", /packed with zip/],
  ];
  for (const [name, content, exit, message] of cases)
    it(`${name} is refused`, () => assertRefused(writeImageFile(folder, name, content), exit, message));

  it("a folder or a device is refused", async () => {
    for (const path of [folder, "/dev/null"]) await assertRefused(path, "badInput", /is no file/);
  });

  it("what unpacks to more than the drive is not unpacked to its end", async () => {
    const path = writeImageFile(folder, "bomb", zlib.gzipSync(Buffer.alloc(64 * MIB)));
    const error = await failure(path);
    assert.equal(error.detail.found, ROOM + PIECE);
  });
});

describe("the map of an image", () => {
  const map = (ranges: [first: number, last: number, content?: Buffer][], imageBytes = IMAGE_BYTES) =>
    formatBmap({
      imageBytes,
      ranges: ranges.map(([first, last, content = CONTENT]) => {
        const part = content.subarray(first * BLOCK, (last + 1) * BLOCK);
        return { first, last, sha256: createHash("sha256").update(part).digest("hex") };
      }),
    });
  const path = writeImageFile(folder, "mapped.img");

  it("may name ranges of all lengths, also empty blocks", async () => {
    writeFileSync(
      `${path}.bmap`,
      map([
        [0, 0],
        [1, 1],
        [100, 1000],
        [1791, 1791],
      ]),
    );
    const { extents } = await checkImage(path, { room: ROOM });
    assert.equal(
      extents.reduce((sum, { bytes }) => sum + bytes, 0),
      904 * BLOCK,
    );
  });

  const refused: [name: string, text: string, exit: ExitName, message: RegExp][] = [
    [
      "a range with other bytes",
      map([
        [0, 0],
        [256, 300, imageContent().fill(1)],
      ]),
      "verification",
      /blocks 256-300: the image is not the one of this map/,
    ],
    ["another size", map([[0, 0]], IMAGE_BYTES - 1), "badInput", /ImageSize: the map of another image/],
    ["a larger size", map([[0, 0]], IMAGE_BYTES + BLOCK), "badInput", /ImageSize: the map of another image/],
    ["damage", map([[0, 0]]).replace("7340032", "7340033"), "badInput", /checksum does not hold/],
  ];
  for (const [name, text, exit, message] of refused)
    it(`with ${name} is refused`, async () => {
      writeFileSync(`${path}.bmap`, text);
      await assertRefused(path, exit, message);
      await checkImage(path, { room: ROOM, bmap: false });
    });
});

describe("parts of a piece", () => {
  it("are cut where the extents are", () => {
    const extents = [
      [0, 10],
      [20, 10],
      [35, 1],
      [60, 9],
    ].map(([offset, bytes]) => ({ offset: offset!, bytes: bytes! }));
    const found = [...partsWithin(Buffer.alloc(40), 5, extents)].map(({ at, data, extent }) => [
      at,
      data.length,
      extent,
    ]);
    assert.deepEqual(found, [
      [5, 5, 0],
      [20, 10, 1],
      [35, 1, 2],
    ]);
    assert.deepEqual([...partsWithin(Buffer.alloc(5), 30, extents)], []);
    assert.deepEqual([...partsWithin(Buffer.alloc(5), 100, extents)], []);
  });
});
