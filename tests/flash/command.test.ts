/** `lightmamba flash` as a user calls it, with drives that are files; and what it says of itself with the real ones, of which none is named. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { EXIT, type ExitName } from "../../host/errors.ts";
import type { Drive } from "../../host/flash/drives.ts";
import { BLOCK } from "../../host/image/bmap.ts";
import { lightmamba, type RunOptions } from "../cli/lightmamba.ts";
import { scratchFolder } from "../firmware.ts";
import { fakeDrive, imageContent, MIB, writeImageFile } from "./support.ts";

const folder = scratchFolder();
const CHILD = join(import.meta.dirname, "child.ts");
const CONTENT = imageContent();
const IMAGE = writeImageFile(folder, "sdcard.img", CONTENT, true);
const CARD = join(folder, "card");
const LIST = join(folder, "drives.json");
const PARTITION = { path: `${CARD}1`, bytes: 4 * MIB, fileSystem: "vfat", label: "HOLIDAYS" };
const DRIVE = fakeDrive({ path: CARD, partitions: [PARTITION] });
const INTERNAL = fakeDrive({ path: join(folder, "internal"), model: "Inside", removable: false });

/** With these drives, beside one of the system. */
function flash(args: string[], drives: Drive[] = [DRIVE], options: RunOptions = {}) {
  writeFileSync(LIST, JSON.stringify([INTERNAL, ...drives]));
  return lightmamba([LIST, ...args], { main: CHILD, ...options });
}

const YES = [IMAGE, "--drive", CARD, "--yes"];

beforeEach(() => rmSync(CARD, { force: true }));

/** As far as the image goes; a card that was never opened is not there. */
function onCard(): Buffer {
  return readFileSync(CARD).subarray(0, CONTENT.length);
}

describe("flash", () => {
  it("shows device, model, size and partitions, asks, writes, reads back", async () => {
    const { code, stdout, stderr } = await flash([IMAGE, "--no-bmap"], [DRIVE], { env: { FLASH_TEST_ANSWER: "yes" } });
    assert.equal(code, 0, stderr);
    assert.match(
      stdout,
      new RegExp(
        `^drive  ${CARD}: Generic Card, 8\\.4 MB, usb, serial 0001\n {7}${CARD}1  4\\.2 MB  vfat  HOLIDAYS$`,
        "m",
      ),
    );
    assert.match(stdout, /sdcard\.img is on .*: 7\.3 MB written, read back, and the same$/m);
    assert.match(stderr, /All that is on .* will be lost\. Type yes to write:/);
    for (const phase of ["check", "write", "verify"]) assert.match(stderr, new RegExp(`^${phase}: .* s\\)$`, "m"));
    assert.ok(onCard().equals(CONTENT));
  });

  it("writes what the map beside the image names, and a packed image too", async () => {
    const packed = `${IMAGE}.gz`;
    writeFileSync(packed, gzipSync(CONTENT));
    for (const image of [IMAGE, packed]) {
      const { code, stdout, stderr } = await flash([image, "--drive", CARD, "--yes"]);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /: 7\.3 MB, 2\.2 MB of it to write$/m);
      assert.ok(
        onCard()
          .subarray(256 * BLOCK, 301 * BLOCK)
          .equals(CONTENT.subarray(256 * BLOCK, 301 * BLOCK)),
      );
      assert.ok(
        onCard()
          .subarray(BLOCK, 256 * BLOCK)
          .equals(Buffer.alloc(255 * BLOCK, 0xa5)),
      );
    }
  });

  it("--json: one document, and nothing else", async () => {
    const { code, stdout } = await flash([...YES, "--json", "-q"]);
    const { image, drive, bytesWritten, bytesVerified } = JSON.parse(stdout);
    assert.deepEqual([code, image.bytes, drive.path, bytesWritten === bytesVerified], [0, CONTENT.length, CARD, true]);
  });

  it("--no-verify: says that nothing was read back", async () => {
    const { code, stdout } = await flash([...YES, "--no-verify", "-q"]);
    assert.deepEqual([code, /written, not read back$/m.test(stdout)], [0, true]);
  });

  it("warns of a drive that is large for a card", async () => {
    const { stderr } = await flash([IMAGE, "--dry-run"], [{ ...DRIVE, bytes: 2e12 }]);
    assert.match(stderr, /is large for a card/);
  });
});

describe("flash writes nothing, and opens no drive,", () => {
  const cases: [
    name: string,
    args: string[],
    exit: ExitName | "ok",
    message: RegExp,
    drives?: Drive[],
    answer?: string,
  ][] = [
    ["with --dry-run", [IMAGE, "--dry-run"], "ok", /nothing was written: --dry-run/],
    ["with --dry-run --json", [IMAGE, "--dry-run", "--json"], "ok", /"dryRun":true/],
    ["without an answer", [IMAGE], "cancelled", /nobody is here to say yes.*\nhint: --yes/],
    ["with --json and without --yes", [IMAGE, "--json"], "cancelled", /"exit":"cancelled","code":3/],
    ["after a no", [IMAGE], "cancelled", /nothing was written/, [DRIVE], "no"],
    ["with --yes and no drive named", [IMAGE, "--yes"], "usage", /--drive: with --yes, a drive must be named/],
    ["without an image", [], "usage", /either an image or --model/],
    ["with an image that is not there", [join(folder, "none"), "--dry-run"], "usage", /no such file/],
    ["with a hash that is none", [IMAGE, "--sha256", "12"], "usage", /Expected 64 hexadecimal digits/],
    ["with another hash", [...YES, "--sha256", "0".repeat(64)], "verification", /not the one that it should be/],
    ["with no card", YES, "device", /no such drive/, []],
    ["with two cards", [IMAGE], "device", /more than one drive/, [DRIVE, { ...DRIVE, path: join(folder, "other") }]],
    [
      "onto a drive of the system",
      [IMAGE, "--drive", INTERNAL.path, "--yes"],
      "device",
      /is not removable: it is never written to/,
    ],
    [
      "onto a mounted card",
      YES,
      "device",
      /is mounted at \/media\/x.*\nhint: sudo umount \/media\/x/,
      [{ ...DRIVE, mounts: ["/media/x"] }],
    ],
    ["onto a locked card", YES, "device", /is write-protected/, [{ ...DRIVE, readOnly: true }]],
    ["onto an empty slot", YES, "device", /has no card in it/, [{ ...DRIVE, bytes: 0 }]],
    ["onto a card that is too small", YES, "device", /larger than the drive/, [{ ...DRIVE, bytes: 7 * MIB - 512 }]],
    [
      "onto a partition",
      [IMAGE, "--drive", PARTITION.path, "--yes"],
      "device",
      /is a partition.*\nhint: the whole drive is/,
    ],
    ["with a file that is no image", [LIST, "--drive", CARD, "--yes"], "badInput", /not an image/],
  ];
  for (const [name, args, exit, message, drives, answer] of cases)
    it(name, async () => {
      const env = answer === undefined ? {} : { FLASH_TEST_ANSWER: answer };
      const { code, stdout, stderr } = await flash(args, drives ?? [DRIVE], { env });
      assert.equal(code, EXIT[exit], stderr);
      assert.match(stdout + stderr, message);
      for (const path of [CARD, INTERNAL.path]) assert.ok(!existsSync(path), path);
    });
});

describe("flash, interrupted", () => {
  const interrupted = (fault: "read" | "write" | "table", when: RegExp, ...args: string[]) => {
    let sent = false;
    return flash([...YES, "--no-bmap", ...args], [DRIVE], {
      env: { FLASH_TEST_FAULT: fault },
      onStderr: (all, child) => {
        if (sent || !when.test(all)) return;
        sent = true;
        child.kill("SIGINT");
      },
    });
  };

  for (const [stuck, when] of [
    ["write", /^write: 50 %/m],
    ["read", /^verify: 50 %/m],
  ] as const)
    it(`in the middle of ${stuck === "read" ? "reading back" : "writing"}: says what the card is, and leaves no partition table`, async () => {
      const { code, stderr, stdout } = await interrupted(stuck, when);
      assert.equal(code, EXIT.interrupted);
      assert.match(stderr, /lightmamba: .*card: interrupted: it is incomplete and does not boot: write it again\n/);
      assert.doesNotMatch(stdout, /is on/);
      assert.ok(onCard().subarray(0, BLOCK).equals(Buffer.alloc(BLOCK)));
      assert.ok(
        onCard()
          .subarray(MIB, 4 * MIB)
          .equals(CONTENT.subarray(MIB, 4 * MIB)),
      );
    });

  it("between the partition table and its reading back: says that nobody knows", async () => {
    const { code, stderr } = await interrupted("table", /^verify: 100 %/m);
    assert.equal(code, EXIT.interrupted);
    assert.match(
      stderr,
      /card: interrupted: whether it has its partition table is not known, and it may boot: write it again\n/,
    );
    assert.ok(onCard().equals(CONTENT));
  });

  it("with --json: an object", async () => {
    const { code, stdout } = await interrupted("write", /^write: 50 %/m, "--json");
    const { error } = JSON.parse(stdout);
    assert.deepEqual([code, error.code, error.detail.state], [EXIT.interrupted, EXIT.interrupted, "incomplete"]);
  });
});

describe("flash, with a card that fails", () => {
  it("says so at the end of its progress, and what the card is", async () => {
    const { code, stderr } = await flash([...YES, "--no-bmap"], [DRIVE], { env: { FLASH_TEST_FAULT: "io" } });
    assert.equal(code, EXIT.device);
    assert.match(
      stderr,
      /^write: failed \(.*\)\nlightmamba: .*cannot be written: EIO.*\nhint: it is incomplete and does not boot: write it again\n$/m,
    );
    assert.doesNotMatch(stderr, /write: done/);
  });

  it("in a way that nobody thought of: tells what the card is all the same", async () => {
    const { code, stderr } = await flash(YES, [DRIVE], { env: { FLASH_TEST_FAULT: "defect" } });
    assert.equal(code, EXIT.bug);
    assert.match(
      stderr,
      /unexpected error: nobody thought of this \(it is incomplete and does not boot: write it again\)\n/,
    );
  });
});

describe("flash list", () => {
  const slot = fakeDrive({ path: "/dev/none/slot", bytes: 0, model: "", serial: "" });

  it("shows what could be meant, and why it cannot be now; of the system's drives, how many", async () => {
    const { code, stdout, stderr } = await flash(["list"], [DRIVE, slot]);
    assert.equal(code, 0);
    assert.equal(
      stdout,
      `${CARD}  Generic Card, 8.4 MB, usb, serial 0001\n  ${CARD}1  4.2 MB  vfat  HOLIDAYS\n` +
        "/dev/none/slot  unknown maker, 0.0 MB, usb; has no card in it\n",
    );
    assert.equal(stderr, "(1 not shown: not removable, or part of this system)\n");
  });

  it("--json", async () => {
    const { stdout } = await flash(["list", "--json"], [DRIVE, slot]);
    const { drives } = JSON.parse(stdout) as { drives: (Drive & { obstacle: string | null })[] };
    assert.deepEqual(
      drives.map(({ path, obstacle }) => [path, obstacle]),
      [
        [CARD, null],
        ["/dev/none/slot", "has no card in it"],
      ],
    );
  });
});

describe("flash, with the drives of this machine", {
  skip: process.platform !== "linux" && "only Linux has a list",
}, () => {
  it("lists none that is mounted at /", async () => {
    const { code, stdout } = await lightmamba(["flash", "list", "--json"]);
    if (code === EXIT.prerequisite) assert.match(stdout, /no lsblk|cannot be listed/);
    else assert.equal(code, 0, stdout);
    const { drives = [] } = JSON.parse(stdout) as { drives?: Drive[] };
    assert.ok(drives.every(({ mounts }) => !mounts.includes("/")));
  });

  it("has help with examples", async () => {
    const { code, stdout } = await lightmamba(["flash", "--help"]);
    assert.equal(code, 0);
    for (const word of ["--dry-run", "--no-verify", "lightmamba flash list", "/dev/disk/by-id/"])
      assert.ok(stdout.includes(word));
  });
});
