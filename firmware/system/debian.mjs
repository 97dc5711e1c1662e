/**
 * Packages of Debian 12, for the board's arm64 and as sources, by an apt of its own: its lists and downloads are in the cache, and the
 * machine's apt is left as it is. The archive offers one version of a package for some weeks only: what it offers when the packages
 * are first fetched is kept (packages.json) until `update` asks for newer ones.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BuildError, CACHE, folderOf, hashOf, MissingError, run, sha256 } from "./shell.mjs";

const RELEASE = "bookworm";
/** Modules are compiled by programs of this machine. */
export const HOST = { x64: "amd64", arm64: "arm64" }[process.arch];
const KERNEL = "linux-image-arm64:arm64";
const SOURCES = ["u-boot", "arm-trusted-firmware"];

/** Packages that are fetched, once it is known which kernel the archive offers. */
const PACKAGES = ({ kernel, version }) => {
  const [, series] = /^(\d+\.\d+)\./.exec(kernel);
  return {
    kernel: `linux-image-${kernel}-arm64:arm64=${version}`,
    headers: `linux-headers-${kernel}-arm64:arm64=${version}`,
    common: `linux-headers-${kernel}-common=${version}`,
    kbuild: `linux-kbuild-${series}:${HOST}=${version}`,
    source: `linux-source-${series}=${version}`,
    busybox: "busybox-static:arm64",
  };
};

const HASH = hashOf([RELEASE, HOST ?? "", PACKAGES.toString(), SOURCES.join()]);
const FOLDER = join(CACHE, `debian-${HASH.slice(0, 12)}`);

/** Lines of a sources.list with what this machine's apt uses of Debian. */
function sourcesList() {
  const format = "$(SITE) $(RELEASE) $(COMPONENT)";
  const lines = run("apt-get", ["indextargets", "--format", format, "Created-By: Packages"]).split("\n");
  const own = new Set(lines.filter((line) => new RegExp(` ${RELEASE}(-security|-updates)? main$`).test(line)));
  if (own.size === 0)
    throw new MissingError(`apt knows no archive of Debian 12 (${RELEASE}): this needs a machine that runs it`);
  return [...own].sort().flatMap((line) => [`deb ${line}`, `deb-src ${line}`]);
}

/** An apt whose state is in this folder: program, arguments → what it printed. */
export function privateApt(folder) {
  const state = join(folder, "apt");
  mkdirSync(join(state, "lists", "partial"), { recursive: true });
  mkdirSync(join(state, "cache", "archives", "partial"), { recursive: true });
  const list = join(state, "sources.list");
  writeFileSync(list, `${sourcesList().join("\n")}\n`);
  const options = [
    ...[`Dir::State=${state}`, `Dir::State::status=/dev/null`, `Dir::Cache=${join(state, "cache")}`],
    ...[`Dir::Etc::SourceList=${list}`, "Dir::Etc::SourceParts=/dev/null", "APT::Sandbox::User=root"],
    ...[HOST, "arm64"].map((name) => `APT::Architectures::=${name}`),
  ].flatMap((option) => ["-o", option]);
  return (program, ...args) => run(program, [...options, "-q", ...args], { cwd: folder });
}

/** The kernel that the archive offers, like { kernel: "6.1.0-56", version: "6.1.192-2" }. */
function newestKernel(apt) {
  const text = apt("apt-cache", "show", "--no-all-versions", KERNEL);
  const found = /^Depends:.*\blinux-image-(\S+)-arm64 \(= (\S+)\)/m.exec(text);
  if (found === null) throw new BuildError(`${KERNEL} names no kernel that it stands for:\n${text}`);
  return { kernel: found[1], version: found[2] };
}

function describePackage(folder, file) {
  const fields = run("dpkg-deb", ["-f", join(folder, file), "Package", "Version", "Architecture"]);
  const [name, version, architecture] = [...fields.matchAll(/^\w+: (.*)$/gm)].map(([, value]) => value);
  return { name, version, architecture, files: [file], sha256: sha256(join(folder, file)) };
}

function describeSource(folder, name) {
  const dsc = readdirSync(folder).find((file) => file.startsWith(`${name}_`) && file.endsWith(".dsc"));
  const text = readFileSync(join(folder, dsc), "utf8");
  const [, version] = /^Version: (.*)$/m.exec(text);
  const files = /^Files:\n((?: .*\n)+)/m
    .exec(text)[1]
    .trimEnd()
    .split("\n")
    .map((line) => line.trim().split(" ")[2]);
  return { name, version, architecture: "source", files: [dsc, ...files], sha256: sha256(join(folder, dsc)) };
}

function fetchAll(folder) {
  if (HOST === undefined)
    throw new MissingError(`kernel modules are compiled on x86-64 or arm64, not on ${process.arch}`);
  const apt = privateApt(folder);
  apt("apt-get", "update", "--error-on=any");
  const kernel = newestKernel(apt);
  const packages = {};
  for (const [name, specification] of Object.entries(PACKAGES(kernel))) {
    const before = new Set(readdirSync(folder));
    apt("apt-get", "download", specification);
    const [file] = readdirSync(folder).filter((one) => one.endsWith(".deb") && !before.has(one));
    packages[name] = describePackage(folder, file);
  }
  for (const name of SOURCES) {
    apt("apt-get", "source", "--download-only", name);
    packages[name] = describeSource(folder, name);
  }
  rmSync(join(folder, "apt"), { recursive: true });
  writeFileSync(join(folder, "packages.json"), `${JSON.stringify({ ...kernel, packages }, undefined, 2)}\n`);
}

/** Offline, or with an archive that is out of order, there is nothing that a change here could do. */
function fetchOrMiss(folder) {
  try {
    fetchAll(folder);
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    throw new MissingError(`${error.message}\npackages of Debian cannot be fetched`);
  }
}

/** Fetches them again. Where that cannot be, those that are there are kept. */
async function refetch() {
  const stamp = join(FOLDER, "stamp");
  const kept = existsSync(stamp) ? readFileSync(stamp) : undefined;
  // Without its stamp a folder is made anew
  rmSync(stamp, { force: true });
  try {
    await folderOf("packages of Debian", FOLDER, HASH, fetchOrMiss);
  } catch (error) {
    if (kept !== undefined) writeFileSync(stamp, kept);
    throw error;
  }
}

function pathOf({ name, files, sha256: expected }) {
  const path = join(FOLDER, files[0]);
  const found = sha256(path);
  if (found === expected) return path;
  throw new BuildError(`${path} (${name}): expected SHA-256 ${expected}, found ${found}: --update fetches it again`);
}

/** The packages: { kernel, version, packages: name → { name, version, files, sha256 } }, and `path(name)`, a package's first file. */
export async function debianPackages({ update = false } = {}) {
  if (update) await refetch();
  else await folderOf("packages of Debian", FOLDER, HASH, fetchOrMiss);
  const found = JSON.parse(readFileSync(join(FOLDER, "packages.json"), "utf8"));
  return { ...found, path: (name) => pathOf(found.packages[name]) };
}

export function unpack(file, folder) {
  mkdirSync(folder, { recursive: true });
  run("dpkg-deb", ["-x", file, folder]);
}
