/**
 * Builds everything of a card's image that is neither our program nor a model.
 *
 *   node firmware/system/build.mjs --board qemu|vck190 [--update] [--output FOLDER]
 *
 * Prints one line of JSON, { "folder": … }. The folder holds:
 *
 *   Image.gz, initramfs.cpio.gz, system.dtb what U-Boot loads from a system's /boot
 *   boot.scr                                from which of two systems
 *   u-boot.bin, u-boot.elf, bl31.elf        what runs before, for BOOT.BIN
 *   busybox, modules/, overlay/             the root: /bin/busybox, /lib/modules/ (with the order to load them), and all of overlay/
 *   accelerator.dtsi                        for device trees of others
 *   jtag.scr                                qemu: what U-Boot runs first
 *   components.json                         what is in it: names, versions, licences, sources, files, SHA-256
 *
 * --update fetches the newest packages of Debian; without it, those of the first build are kept. The folder is build/system/<board>
 * unless --output says another.
 * Exit code 1: it cannot be built, and why; 2: usage; 3: a program is missing, or packages of Debian that are not in the cache.
 */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { gunzipSync } from "node:zlib";
import { buildBootloader } from "./bootloader.mjs";
import { writeComponents } from "./components.mjs";
import { debianPackages } from "./debian.mjs";
import { buildDeviceTree, rangesOf } from "./devicetree.mjs";
import { buildKernel } from "./kernel.mjs";
import { buildOverlay } from "./overlay.mjs";
import { checkAddresses, uBootAddresses, writeScripts } from "./scripts.mjs";
import { allow, BuildError, end, folderOf, hashOf, ownFiles, ROOT } from "./shell.mjs";

const BOARDS = ["qemu", "vck190"];
const USAGE = `usage: node firmware/system/build.mjs --board ${BOARDS.join("|")} [--update] [--output FOLDER]`;

/** Bytes behind the addresses of U-Boot: the kernel is unpacked from one to the other. */
function loadedSizes(folder) {
  const read = (name) => readFileSync(join(folder, name));
  const image = read("Image.gz");
  return {
    kernel_addr_r: gunzipSync(image).length,
    kernel_comp_addr_r: image.length,
    ramdisk_addr_r: read("initramfs.cpio.gz").length,
    fdt_addr_r: read("system.dtb").length,
  };
}

/** What is in the place of the folder is replaced: that must be one of ours. */
function checkOutput(folder) {
  if (existsSync(folder) && !existsSync(join(folder, "stamp"))) {
    throw new BuildError(`--output ${folder}: expected nothing there, or what an earlier build has written`);
  }
}

async function build({ board, update, output = join(ROOT, "build", "system", board) }) {
  checkOutput(resolve(output));
  const packages = await debianPackages({ update });
  const boards = [board, "contract"].map((name) => join(ROOT, "boards", `${name}.yaml`));
  const hash = hashOf([board, JSON.stringify(packages)], [...ownFiles(), ...boards]);
  return folderOf(`system for ${board}`, resolve(output), hash, async (folder) => {
    buildDeviceTree(board, folder);
    await buildKernel(packages, folder);
    await buildBootloader(packages, folder);
    writeScripts(board, folder);
    checkAddresses(uBootAddresses(readFileSync(join(folder, "u-boot.bin"))), loadedSizes(folder), rangesOf(board));
    const components = writeComponents(packages, folder);
    buildOverlay(components, board, folder);
    allow(folder);
  });
}

function options(args) {
  const update = { type: "boolean", default: false };
  try {
    const { values } = parseArgs({ args, options: { board: { type: "string" }, output: { type: "string" }, update } });
    return BOARDS.includes(values.board) ? values : undefined;
  } catch {
    return undefined;
  }
}

function main(args) {
  const asked = options(args);
  if (asked === undefined) {
    process.stderr.write(`${USAGE}\n`);
    return 2;
  }
  return end(async () => ({ folder: await build(asked) }));
}

process.exitCode = await main(process.argv.slice(2));
