/** Images as a user builds them: the same bytes again, nothing left behind, and a clear end of all that is wrong. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { EXIT } from "../../host/errors.ts";
import { BLOCK, parseBmap } from "../../host/image/bmap.ts";
import { idCode } from "../../host/image/pdi.ts";
import { lightmamba } from "../cli/lightmamba.ts";
import { failureOf } from "../device/support.ts";
import { scratchFolder, withoutProgram } from "../firmware.ts";
import { buildQemu, makePdi, removeImage, skipImages } from "./support.ts";

const folder = scratchFolder();
const skip = skipImages();
const IMAGE = join(folder, "sdcard.img");
/** docs/board.md: without a model. */
const MOST_BYTES = 64 * 2 ** 20;

const named = (prefix: string) => readdirSync(folder).filter((name) => name.startsWith(prefix));

describe("image build", { skip }, () => {
  before(() => buildQemu(IMAGE));

  it("gives the same bytes again, whoever builds, and leaves nothing else behind", async () => {
    const again = join(folder, "again.img");
    const script = 'umask 077; exec "$0" host/cli/main.ts image build --board qemu -q -o "$1"';
    const env = { ...process.env, TZ: "Asia/Tokyo", LC_ALL: "C.UTF-8" };
    const { status, stderr } = spawnSync("sh", ["-c", script, process.execPath, again], { env, encoding: "utf8" });
    assert.equal(status, 0, stderr);
    assert.ok(readFileSync(again).equals(readFileSync(IMAGE)));
    assert.deepEqual(named("again"), ["again.img", "again.img.bmap", "again.img.manifest.json", "again.img.sha256"]);
    removeImage(again);
  });

  it("writes beside it its hash, and a manifest with licences", () => {
    const sha256 = createHash("sha256").update(readFileSync(IMAGE)).digest("hex");
    assert.equal(readFileSync(`${IMAGE}.sha256`, "utf8"), `${sha256}  sdcard.img\n`);
    const { components } = JSON.parse(readFileSync(`${IMAGE}.manifest.json`, "utf8"));
    const names = components.map(({ name }: { name: string }) => name);
    for (const name of ["linux", "busybox", "u-boot", "wasmtime"]) assert.ok(names.includes(name), name);
    for (const { name, version, licence } of components) assert.ok(version !== "" && licence !== "", name);
  });

  it("writes a .bmap that bmaptool takes", { skip: withoutProgram("bmaptool") }, () => {
    const copy = join(folder, "copy");
    const { status, stderr } = spawnSync("bmaptool", ["copy", IMAGE, copy], { encoding: "utf8" });
    assert.equal(status, 0, stderr);
    assert.ok(readFileSync(copy).equals(readFileSync(IMAGE)));
    rmSync(copy);
  });

  it("without a model is small: what is written to a card", async () => {
    const path = join(folder, "bare.img");
    await buildQemu(path, "--no-model");
    const { ranges } = parseBmap(readFileSync(`${path}.bmap`, "utf8"), path);
    const bytes = ranges.reduce((sum, { first, last }) => sum + (last - first + 1) * BLOCK, 0);
    assert.ok(bytes <= MOST_BYTES, `${bytes} bytes`);
    const { code, stdout } = await lightmamba(["image", "inspect", path]);
    assert.deepEqual([code, /^model: none$/m.test(stdout)], [0, true]);
    removeImage(path);
  });

  it("has the keys whose updates it takes, where there are some", async () => {
    const [key, path] = [join(folder, "update.key"), join(folder, "keyed.img")];
    assert.equal((await lightmamba(["bundle", "keygen", "-o", key, "-q"])).code, 0);
    await buildQemu(path, "--no-model", "--update-key", join(folder, "update.pub"));
    const { stdout } = await lightmamba(["image", "inspect", path]);
    assert.match(stdout, /^ +\d+ {2}system-a:etc\/lightmamba\/update\.pub$/m);
    const without = await lightmamba(["image", "inspect", IMAGE]);
    assert.doesNotMatch(without.stdout, /update\.pub/);
    removeImage(path);
  });

  it("leaves nothing behind when it is interrupted", async () => {
    const path = join(folder, "interrupted.img");
    for (const milliseconds of [0, 50, 200]) {
      let heard = false;
      const { code } = await lightmamba(["image", "build", "--board", "qemu", "-o", path], {
        onStderr: (all, child) => {
          if (heard || !all.includes("system and data")) return;
          heard = true;
          setTimeout(() => child.kill("SIGINT"), milliseconds);
        },
      });
      assert.deepEqual([code, named("interrupted")], [EXIT.interrupted, []]);
    }
  });

  it("keeps what programs said when one fails, and no half of an image", async () => {
    const [path, programs] = [join(folder, "failed.img"), join(folder, "bin")];
    mkdirSync(programs);
    writeFileSync(join(programs, "genimage"), "#!/bin/sh\necho no room on this disk\nexit 9\n");
    chmodSync(join(programs, "genimage"), 0o755);
    const { code, stderr } = await lightmamba(["image", "build", "--board", "qemu", "-q", "-o", path], {
      env: { PATH: `${programs}:${process.env.PATH}` },
    });
    assert.match(stderr, /^lightmamba: genimage ended with 9: no room on this disk\nhint: .*failed\.img\.log has all/);
    assert.deepEqual([code, named("failed")], [EXIT.bug, ["failed.img.log"]]);
    assert.match(readFileSync(`${path}.log`, "utf8"), /^\$ mksquashfs [\s\S]*\n\$ mke2fs [\s\S]*\n\$ genimage /);
    rmSync(`${path}.log`);
  });

  const refused: [name: string, args: string[], exit: keyof typeof EXIT, message: RegExp][] = [
    ["no board", ["-o", "x.img"], "usage", /required option '--board <name>' not specified/],
    ["no such board", ["--board", "zcu102", "-o", "x.img"], "usage", /Expected vck190 or qemu/],
    ["no such folder", ["--board", "qemu", "-o", "/no/such/x.img"], "usage", /\/no\/such: no such folder/],
    ["a drive as output", ["--board", "qemu", "-o", "/dev/null"], "usage", /is there, and no file/],
    ["a model that is none", ["--board", "qemu", "-m", folder, "-o", join(folder, "x.img")], "badInput", /./],
    ["no such key", ["--board", "qemu", "--update-key", "none", "-o", "x.img"], "usage", /--update-key: no such file/],
    [
      "a key that is none",
      ["--board", "qemu", "--update-key", "package.json", "-o", join(folder, "x.img")],
      "badInput",
      /package\.json: line 1: is no public key/,
    ],
    ["no such PDI", ["--board", "vck190", "--base-pdi", "none", "-o", "x.img"], "usage", /--base-pdi: no such file/],
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
      assert.match(stderr, message);
      assert.deepEqual([code, existsSync(join(folder, "x.img"))], [EXIT[exit], false]);
    });
  }
});

describe("BOOT.BIN", { skip: skip || withoutProgram("bootgen") }, () => {
  const path = join(folder, "vck190.img");
  const build = (...args: string[]) => lightmamba(["image", "build", "--board", "vck190", "-q", "-o", path, ...args]);

  it("is packed from a PDI of the board's part", async () => {
    const pdi = makePdi(folder, "0x14ca8093");
    const first = await build("--base-pdi", pdi, "--json");
    assert.deepEqual([first.code, first.stderr], [0, ""]);
    const { sha256, boots } = JSON.parse(first.stdout);
    assert.equal(boots, true);
    assert.equal(JSON.parse((await build("--base-pdi", pdi, "--json")).stdout).sha256, sha256);
    const { stdout } = await lightmamba(["image", "inspect", path]);
    assert.match(stdout, /boot:BOOT\.BIN$/m);
    const bootImage = join(folder, "BOOT.BIN");
    spawnSync("mcopy", ["-i", `${path}@@${2 ** 20}`, "::BOOT.BIN", bootImage]);
    const said = spawnSync("bootgen", ["-arch", "versal", "-read", bootImage], { encoding: "utf8" }).stdout;
    // Image headers of PLM's part and of the processors'; four partitions: PLM, device tree, TF-A, U-Boot
    assert.match(said, /total_images \(0x04\) : 0x00000002\s[\s\S]*total_partitions \(0x0c\) : 0x00000004/);
    assert.match(said, /apu_subsystem/);
    assert.match(stdout, /base PDI of the user +NOASSERTION/);
    for (const args of [
      ["verify", path, "--board", "qemu"],
      ["boot", path],
    ]) {
      const { code, stderr } = await lightmamba(["image", ...args]);
      assert.match(stderr, /an image for another board \(expected qemu, found vck190\)/);
      assert.equal(code, EXIT.verification);
    }
    removeImage(path);
  });

  it("makes room for itself", async () => {
    const pdi = makePdi(folder, "0x14ca8093");
    truncateSync(pdi, 60 * 2 ** 20);
    assert.equal((await build("--boot-bin", pdi)).code, 0);
    const { code, stdout } = await lightmamba(["image", "inspect", path]);
    assert.equal(code, 0);
    assert.match(stdout, /^boot: FAT32 LM-BOOT, 94\.0 MiB from 1 MiB on$/m);
    removeImage(path);
  });

  it("or taken as it is", async () => {
    const pdi = makePdi(folder, "0x04ca8093");
    assert.equal((await build("--boot-bin", pdi)).code, 0);
    const { files } = JSON.parse(readFileSync(`${path}.manifest.json`, "utf8"));
    const found = files.find((file: { path: string }) => file.path === "boot:BOOT.BIN");
    assert.equal(found.sha256, createHash("sha256").update(readFileSync(pdi)).digest("hex"));
    removeImage(path);
  });

  it("is not there without either, and the command says what only Vivado makes", async () => {
    const { code, stderr } = await build();
    assert.match(stderr, /no BOOT\.BIN on it: .*only Vivado[\s\S]*--base-pdi/);
    assert.equal(code, 0);
    removeImage(path);
  });

  it("is not made of anything else", async () => {
    const other = makePdi(folder, "0x14cd0093");
    const cut = join(folder, "cut.pdi");
    writeFileSync(cut, readFileSync(other).subarray(0, 4096));
    const text = join(folder, "text.pdi");
    writeFileSync(text, "x".repeat(5000));
    const cases: [file: string, message: RegExp][] = [
      [other, /IDCODE: a PDI of another device \(expected 0x04ca8093 \(XCVC1902\), found 0x14cd0093\)/],
      [join(folder, "plm.elf"), /width detection: not a PDI \(expected 0xaa995566, found 0x/],
      [text, /width detection: not a PDI \(expected 0xaa995566, found 0x78787878\)/],
      [cut, /cut\.pdi: (not a PDI that bootgen can read|a PDI without a device id)/],
      ["/dev/null", /not a PDI: too short \(expected at least 4096 bytes, found 0\)/],
    ];
    for (const [file, message] of cases)
      for (const option of ["--base-pdi", "--boot-bin"]) {
        const { code, stderr } = await build(option, file);
        assert.match(stderr, message);
        assert.deepEqual([code, existsSync(path)], [EXIT.badInput, false], stderr);
      }
  });

  it("an IDCODE is read from what bootgen says, not from what looks like one", () => {
    assert.equal(idCode("  id_code (0x18) : 0x14ca8093   extended_id_code (0x44) : 0x00000001", "x"), 0x14ca8093);
    assert.match(failureOf(() => idCode("extended_id_code (0x44) : 0x00000001", "x")).message, /without a device id/);
  });
});
