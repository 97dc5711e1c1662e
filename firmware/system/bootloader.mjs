/** U-Boot and TF-A from Debian's sources, for Versal. */
import { appendFileSync, copyFileSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import { BuildError, cacheFolder, hashOf, run, SYSTEM } from "./shell.mjs";

const CROSS = "CROSS_COMPILE=aarch64-linux-gnu-";
const JOBS = `-j${Math.min(4, availableParallelism())}`;
const CONFIG = join(SYSTEM, "uboot.config");

/** Sources are unpacked to `source`, beside what is built. */
function unpackSource(packages, name, folder) {
  const source = join(folder, "source");
  run("dpkg-source", ["-x", packages.path(name), source]);
  return source;
}

function uBootFolder(packages) {
  const hash = hashOf([packages.packages["u-boot"].sha256], [CONFIG, join(SYSTEM, "bootloader.mjs")]);
  return cacheFolder("U-Boot", "u-boot", hash, (folder) => {
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
  return cacheFolder("TF-A", "tf-a", hash, (folder) => {
    const tree = unpackSource(packages, "arm-trusted-firmware", folder);
    const options = ["PLAT=versal", "RESET_TO_BL31=1", "VERSAL_PLATFORM=silicon", "LDFLAGS=--no-warn-rwx-segments"];
    // It says both on the console
    const names = [`BUILD_STRING=${source.version}`, 'BUILD_MESSAGE_TIMESTAMP="by lightmamba"'];
    run("make", ["-s", "-C", tree, CROSS, JOBS, ...options, ...names, "bl31"]);
    copyFileSync(join(tree, "build", "versal", "release", "bl31", "bl31.elf"), join(folder, "bl31.elf"));
    rmSync(tree, { recursive: true });
  });
}

/** Writes u-boot.bin, u-boot.elf and bl31.elf into a folder. */
export async function buildBootloader(packages, folder) {
  const uBoot = await uBootFolder(packages);
  const tfa = await tfaFolder(packages);
  for (const path of [join(uBoot, "u-boot.bin"), join(uBoot, "u-boot.elf"), join(tfa, "bl31.elf")]) {
    copyFileSync(path, join(folder, basename(path)));
  }
}
