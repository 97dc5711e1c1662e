/** Real block devices: loops on files that these tests make, and nothing else. Where none can be made, they are skipped. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { LightMambaError } from "../../host/errors.ts";
import { checkImage } from "../../host/flash/check.ts";
import type { Drive } from "../../host/flash/drives.ts";
import { alignedBuffer, openDrive } from "../../host/flash/target.ts";
import { writeImage } from "../../host/flash/write.ts";
import { BLOCK } from "../../host/image/bmap.ts";
import { run, scratchFolder } from "../firmware.ts";
import { addPartition, attachLoop, mounted, numberOf, skipLoops } from "./loops.ts";
import { fakeDrive, imageContent, MIB, writeImageFile } from "./support.ts";

const folder = scratchFolder();
const skip = skipLoops(folder);
let files = 0;

/** A loop on a new file, and what a list would say of it. */
function makeLoop(bytes = 8 * MIB, flags: string[] = []): { drive: Drive; file: string } {
  const file = join(folder, `file${files++}`);
  writeFileSync(file, Buffer.alloc(bytes, 0xa5));
  const path = attachLoop(file, flags);
  return { drive: fakeDrive({ path, number: numberOf(path), bytes, model: "Loop" }), file };
}

const image = () => checkImage(writeImageFile(folder, "sdcard.img", imageContent(), true), { room: 8 * MIB });

async function openFailure(drive: Drive, now: Drive[] = [drive]): Promise<LightMambaError> {
  try {
    await (await openDrive(drive, async () => now)).close();
  } catch (error) {
    assert.ok(error instanceof LightMambaError, String((error as Error).stack));
    assert.equal(error.exit, "device");
    return error;
  }
  throw new assert.AssertionError({ message: "was opened" });
}

describe("a real block device", { skip }, () => {
  it("is written, and read back past the system's memory", async () => {
    const { drive, file } = makeLoop();
    const target = await openDrive(drive, async () => [drive]);
    await writeImage(target, await image(), { verify: true });
    await target.close();
    run("cmp", "-n", String(BLOCK), join(folder, "sdcard.img"), file);
    const content = readFileSync(file);
    const expected = imageContent();
    assert.ok(content.subarray(256 * BLOCK, 301 * BLOCK).equals(expected.subarray(256 * BLOCK, 301 * BLOCK)));
    assert.ok(content.subarray(BLOCK, 256 * BLOCK).equals(Buffer.alloc(255 * BLOCK, 0xa5)));
  });

  it("is read from itself: a change under the system's memory is found", async () => {
    const { drive, file } = makeLoop();
    const target = await openDrive(drive, async () => [drive]);
    await target.write(Buffer.alloc(BLOCK, 1), 0);
    await target.sync();
    const content = readFileSync(file);
    content[100] = 2;
    writeFileSync(file, content);
    const found = alignedBuffer(BLOCK);
    await target.read(found, 0);
    assert.equal(found[100], 2);
    await target.close();
  });

  it("cannot be mounted while it is written to", async () => {
    const { drive } = makeLoop();
    run("mke2fs", "-q", drive.path);
    const mount = join(folder, "mount-a");
    mkdirSync(mount);
    const target = await openDrive(drive, async () => [drive]);
    assert.throws(() => run("mount", drive.path, mount), /busy|already mounted/);
    await target.close();
  });
});

describe("a real block device is refused", { skip }, () => {
  it("while it is mounted, even if the list does not know", async () => {
    const { drive } = makeLoop();
    run("mke2fs", "-q", drive.path);
    await mounted(drive.path, join(folder, "mount-b"), async () =>
      assert.match((await openFailure(drive)).message, /is in use by another program/),
    );
  });

  it("while one of its partitions is mounted", async () => {
    const { drive } = makeLoop(8 * MIB, ["--partscan"]);
    const partition = join(folder, "partition");
    addPartition(drive.path, 1, 2048, 4096, partition);
    run("mke2fs", "-q", partition);
    await mounted(partition, join(folder, "mount-c"), async () =>
      assert.match((await openFailure(drive)).message, /is in use by another program/),
    );
  });

  it("where it is locked, at the first byte if the list does not know", async () => {
    const { drive, file } = makeLoop(8 * MIB, ["--read-only"]);
    const written = openDrive(drive, async () => [drive]).then(async (target) => {
      try {
        await writeImage(target, await image(), { verify: true });
      } finally {
        await target.close();
      }
    });
    await assert.rejects(written, { exit: "device", message: /write-protected|no permission|cannot be written/ });
    assert.ok(readFileSync(file).equals(Buffer.alloc(8 * MIB, 0xa5)));
  });

  it("where it ends before it should", async () => {
    const { drive } = makeLoop();
    const larger = { ...drive, bytes: drive.bytes + MIB };
    assert.match((await openFailure(larger)).message, /is smaller than it says/);
  });

  it("where another one has taken its place", async () => {
    const { drive } = makeLoop();
    const cases: [change: Partial<Drive>, message: RegExp][] = [
      [{ serial: "0002" }, /serial: is another drive than a moment ago \(expected 0001, found 0002\)/],
      [{ model: "Backup" }, /model: is another drive/],
      [{ bytes: 9 * MIB }, /bytes: is another drive/],
      [{ number: "8:32" }, /number: is another drive/],
      [{ removable: false }, /is not removable: it is never written to/],
      [{ mounts: ["/media/x"] }, /is mounted at/],
      [{ path: "/dev/none" }, /is not there any more/],
    ];
    for (const [change, message] of cases)
      assert.match((await openFailure(drive, [{ ...drive, ...change }])).message, message);
  });

  it("where the name leads to another one than the list says", async () => {
    const { drive } = makeLoop();
    const wrong = { ...drive, number: "8:16" };
    assert.match(
      (await openFailure(wrong)).message,
      new RegExp(`is not what was opened .*8:16, found ${drive.number}`),
    );
  });
});

describe("what is no block device is refused", () => {
  it("a file, a name that is not there", async () => {
    const path = join(folder, "plain");
    writeFileSync(path, "");
    truncateSync(path, 8 * MIB);
    assert.match(
      (await openFailure(fakeDrive({ path }))).message,
      /is not what was opened \(expected 8:16, found no drive\)/,
    );
    rmSync(path);
    assert.match((await openFailure(fakeDrive({ path }))).message, /is not there any more/);
  });
});
