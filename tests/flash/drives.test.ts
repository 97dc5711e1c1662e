/** Drives as lsblk tells of them, and which of them may be written to. */
import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { LightMambaError } from "../../host/errors.ts";
import { chooseDrive, foreign, liesOn, obstacle, shownDrives } from "../../host/flash/choose.ts";
import { type Drive, parseDrives } from "../../host/flash/drives.ts";
import { failureOf } from "../device/support.ts";
import { scratchFolder } from "../firmware.ts";
import { fakeDrive } from "./support.ts";

const folder = scratchFolder();
const IMAGE = join(folder, "sdcard.img");
writeFileSync(IMAGE, "");

/** What lsblk says of a thing, with the defaults of a card in a USB reader. */
function node(path: string, change: Record<string, unknown> = {}): Record<string, unknown> {
  const kname = path.split("/").at(-1);
  const card = { size: 32e9, rm: true, ro: false, tran: "usb", subsystems: "block:scsi:usb:pci" };
  const names = { vendor: "Generic ", model: "Card Reader  ", serial: "0001", fstype: null, label: null };
  return { kname, path, type: "disk", "maj:min": "  8:16", ...card, ...names, mountpoints: [null], ...change };
}

const part = (path: string, change: Record<string, unknown> = {}) =>
  node(path, { type: "part", rm: false, tran: null, vendor: null, model: null, serial: null, ...change });

function parse(...nodes: unknown[]): Drive[] {
  return parseDrives(JSON.stringify({ blockdevices: nodes }), (name) => (name === "mmcblk0" ? "MMC" : "SD"));
}

const INTERNAL = { rm: false, tran: "nvme", subsystems: "block:nvme:pci" };

describe("the list of drives", () => {
  it("has maker, model, size, partitions", () => {
    const partitions = [part("/dev/sdb1", { size: 4e7, fstype: "vfat", label: "LM-BOOT" }), part("/dev/sdb2")];
    assert.deepEqual(parse(node("/dev/sdb", { children: partitions })), [
      {
        path: "/dev/sdb",
        number: "8:16",
        model: "Generic Card Reader",
        serial: "0001",
        bus: "usb",
        bytes: 32e9,
        removable: true,
        readOnly: false,
        partitions: [
          { path: "/dev/sdb1", bytes: 4e7, fileSystem: "vfat", label: "LM-BOOT" },
          { path: "/dev/sdb2", bytes: 32e9, fileSystem: "", label: "" },
        ],
        mounts: [],
        holders: [],
      },
    ]);
  });

  it("has whole drives only", () => {
    const others = ["loop", "rom", "part", "lvm", "crypt", "raid1"].map((type, i) => node(`/dev/x${i}`, { type }));
    assert.deepEqual(parse(...others), []);
  });

  it("tells cards from chips on the board", () => {
    const mmc = { rm: false, tran: null, subsystems: "block:mmc:mmc_host:platform" };
    const found = parse(node("/dev/mmcblk0", mmc), node("/dev/mmcblk1", mmc));
    assert.deepEqual(
      found.map(({ bus, removable }) => [bus, removable]),
      [
        ["mmc", false],
        ["mmc", true],
      ],
    );
  });

  it("takes a drive on USB as removable, whatever it says of itself", () => {
    assert.equal(parse(node("/dev/sdb", { rm: false }))[0]!.removable, true);
  });

  it("finds mounts and holders however deep", () => {
    const root = part("/dev/mapper/root", { type: "lvm", mountpoints: ["/", "/home"] });
    const crypt = part("/dev/mapper/luks", { type: "crypt", children: [root] });
    const [drive] = parse(node("/dev/sdb", { children: [part("/dev/sdb1", { children: [crypt] })] }));
    assert.deepEqual(
      [drive!.mounts, drive!.holders],
      [
        ["/", "/home"],
        ["crypt", "lvm"],
      ],
    );
  });

  it("keeps control characters away from the terminal", () => {
    assert.equal(parse(node("/dev/sdb", { vendor: null, model: "a\u001b[2Jb\n" }))[0]!.model, "a[2Jb");
  });

  const broken: [name: string, text: string][] = [
    ["nothing", ""],
    ["no JSON", "NAME SIZE"],
    ["another JSON", "{}"],
    ["a drive without a size", JSON.stringify({ blockdevices: [{ ...node("/dev/sdb"), size: undefined }] })],
    ["a size in words", JSON.stringify({ blockdevices: [node("/dev/sdb", { size: "32G" })] })],
    ["flags in digits", JSON.stringify({ blockdevices: [node("/dev/sdb", { rm: "0" })] })],
    ["no list of mounts", JSON.stringify({ blockdevices: [node("/dev/sdb", { mountpoints: undefined })] })],
    ["a child that is none", JSON.stringify({ blockdevices: [node("/dev/sdb", { children: [{}] })] })],
  ];
  for (const [name, text] of broken)
    it(`${name} is refused`, () => {
      const error = failureOf(() => parseDrives(text, () => undefined));
      assert.deepEqual([error.exit, /lsblk does not say/.test(error.message)], ["prerequisite", true]);
    });
});

describe("a drive that is not for this command", () => {
  const cases: [name: string, drive: Drive, why: RegExp][] = [
    ["is inside of the machine", parse(node("/dev/nvme0n1", INTERNAL))[0]!, /^is not removable$/],
    ["has the root", fakeDrive({ mounts: ["/"] }), /part of this system \(\/\)/],
    ["has the boot partition, and a card's mount", fakeDrive({ mounts: ["/media/me/x", "/boot/efi"] }), /\/boot\/efi/],
    ["has swap", fakeDrive({ mounts: ["[SWAP]"] }), /\[SWAP\]/],
    ["is mounted where nothing is plugged in", fakeDrive({ mounts: ["/mediation"] }), /\/mediation/],
    ["carries an encrypted volume that is open", fakeDrive({ holders: ["crypt"] }), /part of this system \(crypt\)/],
    ["is in a RAID", fakeDrive({ holders: ["raid1"] }), /raid1/],
  ];
  for (const [name, drive, why] of cases)
    it(`because it ${name}, is not shown, and refused by name`, () => {
      assert.match(foreign(drive)!, why);
      assert.deepEqual(shownDrives([drive, fakeDrive()]), [fakeDrive()]);
      const error = failureOf(() => chooseDrive([drive, fakeDrive({ path: "/dev/none/b" })], drive.path, IMAGE));
      assert.deepEqual([error.exit, /it is never written to/.test(error.message)], ["device", true]);
    });
});

describe("a drive that is not ready", () => {
  const cases: [name: string, change: Partial<Drive>, why: RegExp, hint?: string][] = [
    ["an empty slot", { bytes: 0 }, /has no card in it/],
    ["a locked card", { readOnly: true }, /is write-protected/],
    [
      "a mounted card",
      { mounts: ["/media/me/A", "/run/media/me/B"] },
      /is mounted at \/media\/me\/A, \/run\/media\/me\/B/,
      "sudo umount /media/me/A /run/media/me/B",
    ],
  ];
  for (const [name, change, why, hint] of cases)
    it(`${name} is shown, with the reason, and refused`, () => {
      const drive = fakeDrive(change);
      assert.match(obstacle(drive)!, why);
      assert.deepEqual(shownDrives([drive]), [drive]);
      for (const choice of [undefined, drive.path]) {
        const error = failureOf(() => chooseDrive([drive], choice, IMAGE));
        assert.deepEqual([error.exit, error.detail.hint], ["device", hint]);
        assert.match(error.message, why);
      }
    });

  it("a card that the image lies on is known by its mounts, also by a link", () => {
    const mount = join(folder, "card");
    for (const path of [mount, join(folder, "card2")]) mkdirSync(path);
    for (const path of ["card/a.img", "card2/a.img"]) writeFileSync(join(folder, path), "");
    symlinkSync(join(mount, "a.img"), join(folder, "link.img"));
    const drive = fakeDrive({ mounts: ["/media/x", mount] });
    const found = ["card/a.img", "link.img", "card2/a.img"].map((path) => liesOn(drive, join(folder, path)));
    assert.deepEqual(found, [true, true, false]);
  });
});

describe("the choice", () => {
  const [a, b] = [fakeDrive({ path: "/dev/none/a" }), fakeDrive({ path: "/dev/none/b" })];
  const internal = fakeDrive({ path: "/dev/none/c", removable: false });
  const locked = fakeDrive({ path: "/dev/none/d", readOnly: true });

  it("is the only one that is ready", () => {
    assert.equal(chooseDrive([internal, locked, a], undefined, IMAGE), a);
  });

  it("is the named one, also by a link", () => {
    assert.equal(chooseDrive([a, b], "/dev/none/b", IMAGE), b);
    const file = join(folder, "device");
    writeFileSync(file, "");
    symlinkSync(file, join(folder, "usb-Generic"));
    const linked = fakeDrive({ path: file });
    assert.equal(chooseDrive([a, linked], join(folder, "usb-Generic"), IMAGE), linked);
  });

  const refused: [name: string, drives: Drive[], choice: string | undefined, message: RegExp][] = [
    ["none at all", [], undefined, /no removable drive here/],
    ["none but the system's", [internal], undefined, /no removable drive here/],
    [
      "several",
      [a, b, locked],
      undefined,
      /more than one drive \(expected --drive <path>, found \/dev\/none\/a, \/dev\/none\/b\)/,
    ],
    ["a name that is not there", [a], "/dev/none/z", /\/dev\/none\/z: no such drive/],
    ["a file", [a], IMAGE, /is no drive/],
    ["a device that is no drive", [a], "/dev/null", /\/dev\/null: is no drive/],
    [
      "a partition",
      [fakeDrive({ partitions: [{ path: "/dev/none/card1", bytes: 1, fileSystem: "", label: "" }] })],
      "/dev/none/card1",
      /is a partition/,
    ],
  ];
  for (const [name, drives, choice, message] of refused)
    it(`${name}: refused`, () => {
      const error = failureOf(() => chooseDrive(drives, choice, IMAGE));
      assert.ok(error instanceof LightMambaError);
      assert.equal(error.exit, "device");
      assert.match(error.message, message);
    });
});
