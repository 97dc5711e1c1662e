/** Images as a user builds, examines and boots them: the same bytes again, the same tokens on the emulated board, and a clear end of all that is wrong. */
import assert from "node:assert/strict";
import {
  copyFileSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { EXIT } from "../../host/errors.ts";
import { describeBlocks, parseBmap } from "../../host/image/bmap.ts";
import { readPartitions } from "../../host/image/layout.ts";
import { idCode } from "../../host/image/pdi.ts";
import { lightmamba } from "../cli/lightmamba.ts";
import { failureOf, skipModels } from "../device/support.ts";
import { makePdi, scratchFolder, skipImages, withoutProgram } from "./support.ts";

const folder = scratchFolder();
const skip = skipImages();
const IMAGE = join(folder, "sdcard.img");
const QEMU = ["image", "build", "--board", "qemu", "-q"];
/** docs/boot.md: without a model. */
const MOST_BYTES = 64 * 2 ** 20;
/** Of wall time; the machine may be busy. */
const FIRST_TOKEN_SECONDS = 40;

/** A copy, with what lies beside it. */
function copyOf(name: string): string {
  const path = join(folder, name);
  for (const suffix of ["", ".sha256", ".manifest.json"]) copyFileSync(`${IMAGE}${suffix}`, `${path}${suffix}`);
  return path;
}

function overwrite(path: string, offset: number, text: string): void {
  writeSync(openSync(path, "r+"), text, offset);
}

describe("image build", { skip }, () => {
  before(async () => {
    const { code, stdout, stderr } = await lightmamba([...QEMU, "-o", IMAGE, "--json"]);
    assert.equal(code, 0, stdout + stderr);
  });

  it("gives the same bytes again, and leaves nothing else behind", async () => {
    const again = join(folder, "again.img");
    assert.equal((await lightmamba([...QEMU, "-o", again])).code, 0);
    assert.ok(readFileSync(again).equals(readFileSync(IMAGE)));
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.startsWith("again")),
      ["again.img", "again.img.bmap", "again.img.manifest.json", "again.img.sha256"],
    );
    for (const name of readdirSync(folder).filter((name) => name.startsWith("again"))) rmSync(join(folder, name));
  });

  it("writes the blocks that hold anything, and a manifest with licences", () => {
    assert.deepEqual(parseBmap(readFileSync(`${IMAGE}.bmap`, "utf8"), IMAGE), describeBlocks(IMAGE));
    const { components } = JSON.parse(readFileSync(`${IMAGE}.manifest.json`, "utf8"));
    const names = components.map(({ name }: { name: string }) => name);
    for (const name of ["linux", "busybox", "u-boot"]) assert.ok(names.includes(name), name);
    for (const { name, version, licence } of components) assert.ok(version !== "" && licence !== "", name);
  });

  it("without a model is small", async () => {
    const path = join(folder, "bare.img");
    assert.equal((await lightmamba([...QEMU, "--no-model", "-o", path])).code, 0);
    assert.ok(statSync(path).size <= MOST_BYTES, `${statSync(path).size} bytes`);
    const { code, stdout } = await lightmamba(["image", "inspect", path]);
    assert.deepEqual([code, /^model: none$/m.test(stdout)], [0, true]);
    rmSync(path);
  });

  const refused: [name: string, args: string[], exit: keyof typeof EXIT, message: RegExp][] = [
    ["no such board", ["--board", "zcu102", "-o", "x.img"], "usage", /Expected one of vck190, qemu/],
    ["no such folder", ["--board", "qemu", "-o", "/no/such/x.img"], "usage", /no such folder/],
    ["a drive as output", ["--board", "qemu", "-o", "/dev/null"], "usage", /is there, and no file/],
    ["a model that is none", ["--board", "qemu", "-m", folder, "-o", join(folder, "x.img")], "badInput", /./],
    [
      "a PDI that is not there",
      ["--board", "vck190", "--base-pdi", "none", "-o", "x.img"],
      "usage",
      /--base-pdi: no such file/,
    ],
    [
      "both ways to BOOT.BIN",
      ["--board", "vck190", "--base-pdi", "a", "--boot-bin", "b", "-o", "x"],
      "usage",
      /not beside/,
    ],
  ];
  for (const [name, args, exit, message] of refused) {
    it(`refuses ${name}`, async () => {
      const { code, stderr } = await lightmamba(["image", "build", ...args]);
      assert.deepEqual([code, message.test(stderr)], [EXIT[exit], true], stderr);
      assert.ok(!existsSync(join(folder, "x.img")));
    });
  }
});

describe("BOOT.BIN", { skip: skip || withoutProgram("bootgen") }, () => {
  it("is packed from a PDI of the board's part; others, and other files, are refused", async () => {
    const path = join(folder, "vck190.img");
    const build = (...args: string[]) => lightmamba(["image", "build", "--board", "vck190", "-q", "-o", path, ...args]);
    const [right, wrong] = ["0x14ca8093", "0x14cd0093"].map((code) => makePdi(folder, code));
    const other = await build("--base-pdi", wrong!);
    assert.match(
      other.stderr,
      /IDCODE: a PDI of another device \(expected 0x04ca8093 \(XCVC1902\), found 0x14cd0093\)/,
    );
    const none = await build("--boot-bin", join(folder, "plm.elf"));
    assert.match(none.stderr, /width detection: not a PDI/);
    assert.deepEqual([other.code, none.code, existsSync(path)], [EXIT.badInput, EXIT.badInput, false]);
    const built = await build("--base-pdi", right!);
    assert.deepEqual([built.code, built.stderr], [0, ""]);
    const { stdout } = await lightmamba(["image", "inspect", path]);
    assert.match(stdout, /boot:BOOT\.BIN$/m);
    const verified = await lightmamba(["image", "verify", path, "--board", "qemu"]);
    assert.match(verified.stderr, /an image for another board \(expected qemu, found vck190\)/);
    rmSync(path);
    assert.match((await build()).stderr, /no BOOT\.BIN on it: .*only Vivado/);
  });

  it("an IDCODE is read from what bootgen says, not from what looks like one", () => {
    assert.equal(idCode("  id_code (0x18) : 0x14ca8093   extended_id_code (0x44) : 0x00000001", "x"), 0x14ca8093);
    assert.match(failureOf(() => idCode("extended_id_code (0x44) : 0x00000001", "x")).message, /without a device id/);
  });
});

describe("image verify", { skip }, () => {
  it("finds all as it was written", async () => {
    const { code, stdout } = await lightmamba(["image", "verify", IMAGE, "--board", "qemu"]);
    assert.equal(code, 0);
    for (const part of ["partitions", "sha256", "file systems", "manifest", "model"])
      assert.match(stdout, new RegExp(`ok +${part}: `));
  });

  it("names what is wrong", async () => {
    const [boot, root, data] = readPartitions(IMAGE);
    const cases: [name: string, change: (path: string) => void, exit: keyof typeof EXIT, message: RegExp][] = [
      [
        "cut",
        (path) => truncateSync(path, statSync(path).size - 4096),
        "badInput",
        /partition 3 \(data\): reaches beyond/,
      ],
      ["text", (path) => overwrite(path, 0, "x".repeat(512)), "badInput", /not an image/],
      ["changed", (path) => overwrite(path, boot!.offset + 2 ** 20, "x"), "verification", /the image has changed/],
      [
        "no-root",
        (path) => rmSync(`${path}.sha256`, overwrite(path, root!.offset, "xxxx") as undefined),
        "verification",
        /root: cannot be read/,
      ],
      [
        "no-data",
        (path) => rmSync(`${path}.sha256`, overwrite(path, data!.offset + 1024, "\0".repeat(2048)) as undefined),
        "verification",
        /data: cannot be read/,
      ],
      ["no-file", (path) => renameSync(path, `${path}.gone`), "badInput", /no such file/i],
    ];
    for (const [name, change, exit, message] of cases) {
      const path = copyOf(`${name}.img`);
      change(path);
      const { code, stderr } = await lightmamba(["image", "verify", path]);
      assert.match(stderr, message, name);
      assert.equal(code, EXIT[exit], `${name}: ${stderr}`);
      assert.equal(stderr.trim().split("\n").length, 1, stderr);
      for (const suffix of ["", ".gone", ".sha256", ".manifest.json"]) rmSync(`${path}${suffix}`, { force: true });
    }
  });
});

describe("image boot", { skip: skip || skipModels(), timeout: 900_000 }, () => {
  const text = ["--seed", "3", "-n", "16"];

  for (const device of ["wasm", "rtl"]) {
    it(`--device ${device}: U-Boot, Linux, init, and the tokens of this machine`, async () => {
      const before = readFileSync(IMAGE);
      const expected = await lightmamba(["run", "Once upon a time", ...text, "--json"]);
      const found = await lightmamba([
        "image",
        "boot",
        IMAGE,
        "--device",
        device,
        ...text,
        "--json",
        "--timeout",
        "400",
      ]);
      assert.equal(found.code, 0, found.stdout + found.stderr);
      const records = found.stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
      const ids = records.filter(({ id }) => id !== undefined).map(({ id }) => id);
      const all = expected.stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
      assert.deepEqual(
        ids,
        all.filter(({ id }) => id !== undefined).map(({ id }) => id),
      );
      assert.equal(ids.length, 16);
      const { exit, timeline } = records.at(-1);
      assert.equal(exit, 0);
      assert.deepEqual(
        timeline.map(({ name }: { name: string }) => name),
        ["U-Boot", "kernel", "init", "first token", "power off"],
      );
      if (device === "wasm")
        assert.ok(timeline[3].seconds <= FIRST_TOKEN_SECONDS, `first token after ${timeline[3].seconds} s`);
      assert.ok(readFileSync(IMAGE).equals(before), "the image has changed");
    });
  }

  it("tells the board's failure, and a board that does not come to its end; leaves nothing behind", async () => {
    const bare = join(folder, "bare.img");
    assert.equal((await lightmamba([...QEMU, "--no-model", "-o", bare])).code, 0);
    const failed = await lightmamba(["image", "boot", bare, "--device", "wasm"]);
    assert.equal(failed.code, EXIT.device);
    assert.match(failed.stderr, /the board's program failed \(expected exit code 0, found exit code \d+\)/);
    const late = await lightmamba(["image", "boot", bare, "--device", "wasm", "--timeout", "3"]);
    assert.equal(late.code, EXIT.device);
    assert.match(
      late.stderr,
      /did not come to its end \(expected an end within 3 s, found .* was the last that was seen\)/,
    );
    assert.deepEqual(
      readdirSync("/dev/shm").filter((name) => name.startsWith("lightmamba-boot")),
      [],
    );
  });
});
