/**
 * Linux: Debian's kernel for arm64, the modules that the board needs, and the one that Debian does not build, uio_pdrv_genirq, compiled from
 * Debian's sources against Debian's headers; the initramfs, since the card's driver and the root's file system are modules.
 */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { HOST, unpack } from "./debian.mjs";
import { allow, BuildError, cacheFolder, hashOf, run, SOURCE_DATE_EPOCH, SYSTEM } from "./shell.mjs";

/** Modules by name, with options; those that they depend on come by themselves. */
const INITRAMFS_MODULES = ["sdhci-of-arasan", "squashfs"];
/** crc32c_generic: ext4 asks for it by what it does, not by its name. The tables of names are what vfat takes for what. */
const ROOT_MODULES = [
  ...["crc32c_generic", "ext4", "nls_cp437", "nls_ascii", "nls_utf8", "vfat"],
  // A board on which nobody writes to /dev/watchdog for a minute starts anew, once somebody has begun to
  "softdog soft_margin=60",
  "uio_pdrv_genirq of_id=generic-uio",
];

const UIO_MODULE = "uio_pdrv_genirq";

/** The module is compiled without paths of this machine: without debug information, and with its source's name as in the kernel. */
function compileModule(packages, folder) {
  const tree = join(folder, "tree");
  for (const name of ["headers", "common", "kbuild", "source"]) unpack(packages.path(name), tree);
  const headers = join(tree, "usr", "src", `linux-headers-${packages.kernel}-arm64`);
  const makefile = join(headers, "Makefile");
  writeFileSync(makefile, readFileSync(makefile, "utf8").replaceAll("/usr/src", join(tree, "usr", "src")));
  const [archive] = readdirSync(join(tree, "usr", "src")).filter(
    (name) => name.startsWith("linux-source-") && name.endsWith(".tar.xz"),
  );
  const source = `drivers/uio/${UIO_MODULE}.c`;
  const module = join(folder, "module");
  mkdirSync(module);
  const place = ["--strip-components=3", "--occurrence=1", "-C", module];
  run("tar", ["-xf", join(tree, "usr", "src", archive), ...place, `${archive.replace(/\.tar\.xz$/, "")}/${source}`]);
  writeFileSync(join(module, "Makefile"), `obj-m := ${UIO_MODULE}.o\n`);
  const names = `KCFLAGS=-fmacro-prefix-map=${module}/=drivers/uio/`;
  const debian = [`DEB_BUILD_ARCH=${HOST}`, "DEB_HOST_ARCH=arm64", "DEB_HOST_GNU_TYPE=aarch64-linux-gnu"];
  run("make", ["-C", headers, `M=${module}`, "ARCH=arm64", ...debian, "CONFIG_DEBUG_INFO=", names, "modules"]);
  copyFileSync(join(module, `${UIO_MODULE}.ko`), join(folder, `${UIO_MODULE}.ko`));
  rmSync(tree, { recursive: true });
  rmSync(module, { recursive: true });
}

/** Debian's files of the kernel, and the module that is compiled, in one folder: Image.gz, *.ko, busybox. */
function kernelFolder(packages) {
  const { kernel, headers, common, kbuild, source, busybox } = packages.packages;
  const inputs = [kernel, headers, common, kbuild, source, busybox].map((one) => one.sha256);
  const hash = hashOf(inputs, [join(SYSTEM, "kernel.mjs")]);
  return cacheFolder("kernel and modules", "kernel", hash, (folder) => {
    compileModule(packages, folder);
    const tree = join(folder, "tree");
    unpack(packages.path("kernel"), tree);
    unpack(packages.path("busybox"), tree);
    const modules = run("find", [join(tree, "lib", "modules"), "-name", "*.ko"])
      .trim()
      .split("\n");
    const byName = new Map(modules.map((path) => [basename(path, ".ko"), path]));
    byName.set(UIO_MODULE, join(folder, `${UIO_MODULE}.ko`));
    for (const line of withDependencies([...INITRAMFS_MODULES, ...ROOT_MODULES], byName)) {
      const [name] = line.split(" ");
      if (name !== UIO_MODULE) copyFileSync(byName.get(name), join(folder, `${name}.ko`));
    }
    const vmlinuz = join(tree, "boot", `vmlinuz-${packages.kernel}-arm64`);
    writeFileSync(join(folder, "Image"), imageOf(readFileSync(vmlinuz)));
    run("gzip", ["-9n", join(folder, "Image")]);
    copyFileSync(join(tree, "bin", "busybox"), join(folder, "busybox"));
    rmSync(tree, { recursive: true });
  });
}

const GZIP = 0x8b1f;
const ARM64_MAGIC = 0x644d5241;

/** U-Boot's booti wants an Image, and Debian's is one, or a compressed one. A smaller file is read faster, also with the time to unpack it. */
function imageOf(vmlinuz) {
  const image = vmlinuz.readUInt16LE(0) === GZIP ? gunzipSync(vmlinuz) : vmlinuz;
  if (image.readUInt32LE(0x38) !== ARM64_MAGIC)
    throw new BuildError("Debian's vmlinuz is no Image for arm64, compressed or not");
  return image;
}

/** The names that a module says it depends on. */
export function dependenciesOf(module) {
  const found = /(?:^|\0)depends=([^\0]*)\0/.exec(module.toString("latin1"));
  if (found === null) throw new BuildError("a kernel module does not say what it depends on");
  return found[1].split(",").filter((name) => name !== "");
}

/** Lines of a load order: these modules, each behind what it depends on. byName: module → path of its file. */
export function withDependencies(modules, byName) {
  const lines = [];
  const add = (line) => {
    const [name] = line.split(" ");
    if (lines.some((one) => one.split(" ")[0] === name)) return;
    // Names and files differ in - and _
    const path = byName.get(name) ?? byName.get(name.replaceAll("_", "-")) ?? byName.get(name.replaceAll("-", "_"));
    if (path === undefined) throw new BuildError(`Debian's kernel has no module ${name}`);
    for (const other of dependenciesOf(readFileSync(path))) add(other);
    lines.push([basename(path, ".ko"), ...line.split(" ").slice(1)].join(" "));
  };
  for (const line of modules) add(line);
  return lines;
}

function copyModules(from, lines, folder) {
  mkdirSync(folder, { recursive: true });
  for (const name of lines.map((line) => `${line.split(" ")[0]}.ko`))
    copyFileSync(join(from, name), join(folder, name));
  writeFileSync(join(folder, "order"), lines.map((line) => `${line}\n`).join(""));
}

/** An archive with nothing of this machine in it: one owner, one time, sorted. */
function packInitramfs(tree, file) {
  run("find", [tree, "-exec", "touch", "-h", "-d", `@${SOURCE_DATE_EPOCH}`, "{}", "+"]);
  const names = run("find", [".", "-print"], { cwd: tree }).trim().split("\n").sort().join("\n");
  const archive = `${file}.cpio`;
  run("cpio", ["-o", "-H", "newc", "--owner=0:0", "--reproducible", "--quiet", "-F", archive], {
    cwd: tree,
    input: `${names}\n`,
  });
  run("sh", ["-c", 'gzip -9nc "$1" >"$2"', "sh", archive, file]);
  rmSync(archive);
}

/** Writes Image.gz, initramfs.cpio.gz, busybox, modules/ (of the root, with `order`) into a folder. */
export async function buildKernel(packages, folder) {
  const from = await kernelFolder(packages);
  const byName = new Map(
    readdirSync(from)
      .filter((name) => name.endsWith(".ko"))
      .map((name) => [basename(name, ".ko"), join(from, name)]),
  );
  const early = withDependencies(INITRAMFS_MODULES, byName);
  const late = withDependencies(ROOT_MODULES, byName).filter((line) => !early.includes(line));
  for (const name of ["Image.gz", "busybox"]) copyFileSync(join(from, name), join(folder, name));
  copyModules(from, late, join(folder, "modules"));

  const tree = join(folder, "initramfs");
  for (const name of ["bin", "dev", "proc", "sys", "root"]) mkdirSync(join(tree, name), { recursive: true });
  copyFileSync(join(from, "busybox"), join(tree, "bin", "busybox"));
  copyModules(from, early, join(tree, "lib", "modules"));
  copyFileSync(join(SYSTEM, "initramfs", "init"), join(tree, "init"));
  allow(tree);
  packInitramfs(tree, join(folder, "initramfs.cpio.gz"));
  rmSync(tree, { recursive: true });
}
