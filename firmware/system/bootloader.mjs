/** U-Boot and TF-A from Debian's sources, for Versal, and the scripts that U-Boot reads. */
import { appendFileSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { BuildError, CACHE, folderOf, hashOf, run, SYSTEM } from "./shell.mjs";

const CROSS = "CROSS_COMPILE=aarch64-linux-gnu-";
const JOBS = `-j${Math.min(4, availableParallelism())}`;
const CONFIG = join(SYSTEM, "uboot.config");

/** Sources are unpacked to `source`, beside what is built. */
function unpackSource(packages, name, folder) {
  const source = join(folder, "source");
  run("dpkg-source", ["--no-check", "-x", packages.path(name), source]);
  return source;
}

function uBootFolder(packages) {
  const hash = hashOf([packages.packages["u-boot"].sha256], [CONFIG, join(SYSTEM, "bootloader.mjs")]);
  return folderOf("U-Boot", join(CACHE, "u-boot"), hash, (folder) => {
    const source = unpackSource(packages, "u-boot", folder);
    const build = join(folder, "build");
    mkdirSync(build);
    const make = (...args) => run("make", ["-s", "-C", source, CROSS, `O=${build}`, "NO_PYTHON=1", ...args]);
    make("xilinx_versal_virt_defconfig");
    appendFileSync(join(build, ".config"), readFileSync(CONFIG));
    make("olddefconfig");
    checkConfig(readFileSync(join(build, ".config"), "utf8"));
    make(JOBS, "u-boot.bin", "u-boot.elf");
    for (const name of ["u-boot.bin", "u-boot.elf"]) copyFileSync(join(build, name), join(folder, name));
    for (const name of [source, build]) rmSync(name, { recursive: true });
  });
}

/** Kconfig drops what it does not know without a word. */
function checkConfig(made) {
  const asked = readFileSync(CONFIG, "utf8")
    .split("\n")
    .map((line) => line.replace(/^# (CONFIG_\w+) is not set$/, "$1=n"));
  for (const line of asked.filter((one) => one.startsWith("CONFIG_"))) {
    const [name, value] = line.split("=");
    const found = new RegExp(`^${name}=(.*)$`, "m").exec(made)?.[1] ?? "n";
    if (found !== value)
      throw new BuildError(`uboot.config: ${name}: expected ${value}, found ${found} in U-Boot's own configuration`);
  }
}

function tfaFolder(packages) {
  const source = packages.packages["arm-trusted-firmware"];
  const hash = hashOf([source.sha256], [join(SYSTEM, "bootloader.mjs")]);
  return folderOf("TF-A", join(CACHE, "tf-a"), hash, (folder) => {
    const tree = unpackSource(packages, "arm-trusted-firmware", folder);
    const options = ["PLAT=versal", "RESET_TO_BL31=1", "VERSAL_PLATFORM=silicon", "LDFLAGS=--no-warn-rwx-segments"];
    // It says both on the console
    const names = [`BUILD_STRING=${source.version}`, 'BUILD_MESSAGE_TIMESTAMP="by lightmamba"'];
    run("make", ["-s", "-C", tree, CROSS, JOBS, ...options, ...names, "bl31"]);
    copyFileSync(join(tree, "build", "versal", "release", "bl31", "bl31.elf"), join(folder, "bl31.elf"));
    rmSync(tree, { recursive: true });
  });
}

/** Where U-Boot puts what it loads: name → address, of its own defaults. */
export function uBootAddresses(binary) {
  const text = binary.toString("latin1");
  const names = ["kernel_addr_r", "kernel_comp_addr_r", "ramdisk_addr_r", "fdt_addr_r", "scriptaddr", "pxefile_addr_r"];
  return Object.fromEntries(
    names.map((name) => {
      const found = new RegExp(`\\0${name}=(0x[0-9a-fA-F]+)\\0`).exec(text);
      if (found === null) throw new BuildError(`U-Boot does not say ${name}`);
      return [name, Number(found[1])];
    }),
  );
}

/**
 * U-Boot refuses to load anything into reserved memory. ranges: { name, address, bytes, reserved }; sizes: name of an address → bytes that
 * are loaded there, where they are known.
 */
export function checkAddresses(addresses, sizes, ranges) {
  for (const [name, address] of Object.entries(addresses)) {
    const end = address + (sizes[name] ?? 0x100000);
    const hit = ranges.find((range) => range.reserved && address < range.address + range.bytes && range.address < end);
    if (hit === undefined) continue;
    const [from, to] = [address, end].map((value) => `0x${value.toString(16)}`);
    throw new BuildError(
      `U-Boot loads to ${from}..${to} (${name}), which is in the accelerator's ${hit.name} at 0x${hit.address.toString(16)}`,
    );
  }
}

function packScript(commands, title, file) {
  const text = `${file}.cmd`;
  writeFileSync(text, commands);
  run("mkimage", ["-A", "arm64", "-T", "script", "-C", "none", "-n", title, "-d", text, file]);
  rmSync(text);
}

/** The partition that is the root, as Linux writes it. The one source of the disk's signature is the image's layout. */
export function rootPartition(layout = readFileSync(join(SYSTEM, "genimage.cfg"), "utf8")) {
  const found = /disk-signature = 0x([0-9a-f]{8})\b/.exec(layout);
  if (found === null) throw new BuildError("genimage.cfg: expected `disk-signature = 0x` and eight digits");
  return `${found[1]}-02`;
}

/** Writes extlinux.conf and boot.scr, either of which boots the card, and for QEMU jtag.scr. */
function writeScripts(board, folder) {
  const read = (name) => readFileSync(join(SYSTEM, name), "utf8").replaceAll("@ROOT@", `PARTUUID=${rootPartition()}`);
  writeFileSync(join(folder, "extlinux.conf"), read("extlinux.conf"));
  packScript(read("boot.cmd"), "LightMamba", join(folder, "boot.scr"));
  if (board === "qemu") packScript(read("jtag.cmd"), "LightMamba: QEMU", join(folder, "jtag.scr"));
}

/** Writes u-boot.bin, u-boot.elf, bl31.elf and scripts into a folder. */
export async function buildBootloader(packages, board, folder) {
  const uBoot = await uBootFolder(packages);
  const tfa = await tfaFolder(packages);
  for (const path of [join(uBoot, "u-boot.bin"), join(uBoot, "u-boot.elf"), join(tfa, "bl31.elf")]) {
    copyFileSync(path, join(folder, path.slice(dirname(path).length + 1)));
  }
  writeScripts(board, folder);
}
