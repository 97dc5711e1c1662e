/** What the build puts into its folder, for either board. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, it } from "node:test";
import { gunzipSync } from "node:zlib";
import type { Component } from "../../host/image/components.ts";
import { scratchFolder } from "../firmware.ts";
import { buildSystem, type Kernel, load, systemOf } from "./support.ts";

const scratch = scratchFolder();
const { dependenciesOf } = await load<Kernel>("kernel");

/** Of what Debian built, the kernel's release too. */
type SystemComponent = Component & { release?: string };

const LICENCES = [
  "Apache-2.0",
  "BSD-3-Clause",
  "GPL-2.0-only",
  "GPL-2.0-only AND LGPL-2.1-or-later",
  "GPL-2.0-only WITH Linux-syscall-note",
  "GPL-2.0-or-later",
];
/** Made for this folder alone, not for the card */
const OWN = ["components.json", "stamp", "jtag.scr"];
const ARM64_MAGIC = "ARMd";
const EM_AARCH64 = 183;

describe("build.mjs", () => {
  for (const args of [[], ["--board"], ["--board", "u280"], ["--boards", "qemu"], ["--board", "qemu", "more"]]) {
    it(`says how it is used: ${args.join(" ") || "nothing"}`, () => {
      const { status, stdout, stderr } = buildSystem(...args);
      assert.deepEqual([status, stdout], [2, ""]);
      assert.equal(stderr, "usage: node firmware/system/build.mjs --board qemu|vck190 [--update] [--output FOLDER]\n");
    });
  }
});

describe("build.mjs --output", () => {
  it("replaces nothing that it has not made", () => {
    const folder = join(scratch, "mine");
    mkdirSync(folder);
    const { status, stderr } = buildSystem("--board", "qemu", "--output", folder);
    assert.equal(status, 1);
    assert.equal(
      stderr,
      `build.mjs: --output ${folder}: expected nothing there, or what an earlier build has written\n`,
    );
    assert.ok(existsSync(folder));
  });
});

for (const board of ["qemu", "vck190"]) {
  const { folder, skip } = systemOf(board);
  describe(`system for ${board}`, { skip }, () => {
    if (skip) return;
    const read = (name: string) => readFileSync(join(folder, name));
    const components = JSON.parse(read("components.json").toString()) as SystemComponent[];
    const kernel = components.find(({ name }) => name === "linux")!.release!;
    const order = read("modules/order").toString().trimEnd().split("\n");

    it("names every file in components.json, and nothing that is not there", () => {
      const named = new Set(components.flatMap(({ files }) => files));
      const top = readdirSync(folder).filter((name) => name !== "modules" && !OWN.includes(name));
      const modules = readdirSync(join(folder, "modules")).filter((name) => name !== "order");
      assert.deepEqual([...named].sort(), [...top, ...modules.map((name) => `modules/${name}`)].sort());
    });

    it("says version, licence, source and hash of each", () => {
      assert.ok(components.length >= 6);
      for (const { name, version, licence, source, sha256 } of components) {
        assert.match(version, /^\d/, name);
        assert.ok(LICENCES.includes(licence), `${name}: ${licence}`);
        assert.ok(
          source.startsWith("Debian ") ? source.includes(` ${version} `) : source === "firmware/system",
          source,
        );
        assert.match(sha256, /^[0-9a-f]{64}$/, name);
      }
    });

    it("has a kernel and modules that fit it, each behind what it depends on", () => {
      assert.equal(gunzipSync(read("Image.gz")).subarray(0x38, 0x3c).toString(), ARM64_MAGIC);
      const loaded = new Set<string>(["squashfs"]);
      for (const name of order.map((line) => line.split(" ")[0]!)) {
        const module = read(`modules/${name}.ko`);
        assert.ok(module.toString("latin1").includes(`vermagic=${kernel} `), name);
        for (const other of dependenciesOf(module)) assert.ok(loaded.has(other), `${name} needs ${other}`);
        loaded.add(name.replaceAll("-", "_"));
      }
      assert.equal(loaded.size - 1, readdirSync(join(folder, "modules")).length - 1);
      assert.equal(order.at(-1), "uio_pdrv_genirq of_id=generic-uio");
    });

    it("has programs for arm64, and no path of this machine in them", () => {
      for (const name of ["busybox", "u-boot.elf", "bl31.elf", "modules/uio_pdrv_genirq.ko"]) {
        assert.equal(read(name).readUInt16LE(18), EM_AARCH64, name);
        assert.ok(!/\/(home|root|tmp)\/[\w.]+\//.test(read(name).toString("latin1")), name);
      }
    });

    it("has an initramfs of one owner and one time", () => {
      const listed = spawnSync("cpio", ["-itvn", "--quiet"], { input: gunzipSync(read("initramfs.cpio.gz")) });
      const lines = listed.stdout.toString().trim().split("\n");
      for (const line of lines) assert.match(line, /^\S+ +\d+ 0 +0 +\d+ Jan +1 +2024 /);
      const names = lines.map((line) => line.split(/ +/).at(-1)!);
      assert.deepEqual(names, [...names].sort());
      for (const name of ["init", "bin/busybox", "lib/modules/order"]) assert.ok(names.includes(name), name);
    });

    it("has scripts that find the root by its disk, whatever the card's number", () => {
      const script = read("boot.scr").toString();
      assert.match(script, / root=PARTUUID=4c4d4d42-0\$\{lm_part\} ro /);
      assert.ok(!/mmcblk\d|@/.test(script));
      assert.equal(existsSync(join(folder, "jtag.scr")), board === "qemu");
      for (const name of readdirSync(folder).filter((name) => name.endsWith(".scr"))) {
        const { status, stdout } = spawnSync("mkimage", ["-l", join(folder, name)], { encoding: "utf8" });
        assert.equal(status, 0);
        assert.match(stdout, /Created: +Mon Jan +1 00:00:00 2024\n.*AArch64 Linux Script/s);
      }
    });

    it("has a root without a password, a login or anything for a network", () => {
      const overlay = join(folder, "overlay");
      assert.equal(readFileSync(join(overlay, "etc", "passwd"), "utf8"), "root:*:0:0:root:/tmp:/bin/sh\n");
      const { stdout } = spawnSync("qemu-aarch64-static", [join(folder, "busybox"), "--list"], { encoding: "utf8" });
      const applets = stdout.trim().split("\n");
      const links = ["bin", "sbin"].flatMap((name) =>
        readdirSync(join(overlay, name)).map((one) => join(overlay, name, one)),
      );
      for (const path of links) {
        assert.ok(lstatSync(path).isSymbolicLink() && basename(readlinkSync(path)) === "busybox", path);
        assert.ok(applets.includes(basename(path)), `busybox has no ${basename(path)}`);
      }
      const names = links.map((path) => basename(path));
      for (const name of ["login", "getty", "su", "telnetd", "httpd", "ftpd", "udhcpc"])
        assert.ok(!names.includes(name));
    });

    it("says versions for the banner", () => {
      const text = read("overlay/etc/lightmamba-release").toString();
      for (const { name, version } of components) assert.ok(text.includes(version), name);
      assert.ok(statSync(join(folder, "overlay", "etc", "init.d", "start")).mode & 0o100);
    });

    it("is the same when it is made again, elsewhere, by someone more private", () => {
      const again = join(scratch, "elsewhere", board);
      const umask = process.umask(0o077);
      assert.equal(buildSystem("--board", board, "--output", again).status, 0);
      process.umask(umask);
      const modes = (path: string) => spawnSync("find", [".", "-printf", "%P %M\n"], { cwd: path, encoding: "utf8" });
      const listed = (path: string) =>
        modes(path)
          .stdout.split("\n")
          .filter((line) => !line.startsWith("stamp "))
          .sort();
      assert.deepEqual(listed(again), listed(folder));
      const { stdout } = spawnSync("diff", ["-r", "--no-dereference", folder, again], { encoding: "utf8" });
      assert.equal(stdout, "");
    });
  });
}
