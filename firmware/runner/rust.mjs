/**
 * The Rust compiler that makes the board's program: rustup's, where it has the board's libraries or brings them; otherwise that of Debian's rustc-web,
 * unpacked into the cache, since rustup's archive is not to be reached from everywhere.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HOST, privateApt, unpack } from "../system/debian.mjs";
import { BuildError, CACHE, folderOf, hashOf, MissingError, run } from "../system/shell.mjs";

/** Older ones cannot build wasmtime. */
const LEAST = [1, 95];

/** Environment for cargo, and the compiler's version. */
export async function rustFor(triple) {
  if (process.env.LIGHTMAMBA_RUST !== "debian" && rustupHas(triple)) {
    return { env: {}, version: run("rustc", ["--version"]), cargo: "cargo" };
  }
  const rustc = join(await debianRust(), "rustc");
  const version = run(rustc, ["--version"]);
  const found = /^rustc (\d+)\.(\d+)/.exec(version).slice(1).map(Number);
  if (found[0] === LEAST[0] && found[1] < LEAST[1])
    throw new MissingError(
      `Rust for ${triple}: rustup target add ${triple} (Debian's is ${version.trim()}, ${LEAST.join(".")} is needed)`,
    );
  // Objects of the one are of no use for the other
  return { env: { RUSTC: rustc }, version, cargo: "cargo-debian" };
}

function rustupHas(triple) {
  const folder = run("rustc", ["--print", "target-libdir", "--target", triple]).trim();
  return existsSync(folder) || spawnSync("rustup", ["target", "add", triple]).status === 0;
}

function debianRust() {
  return folderOf("Rust of Debian", join(CACHE, "rust-debian"), hashOf([LEAST.join(".")]), (folder) => {
    try {
      fetch(folder);
    } catch (error) {
      if (!(error instanceof BuildError)) throw error;
      throw new MissingError(`${error.message}\nneither rustup nor Debian has Rust for the board`);
    }
  });
}

function fetch(folder) {
  const apt = privateApt(folder);
  apt("apt-get", "update", "--error-on=any");
  const own = ["rustc-web", `libstd-rust-web-dev:${HOST}`, "libstd-rust-web-dev:arm64"];
  const libraries = dependencies(
    apt,
    dependencies(apt, own.slice(0, 2), /^(libstd-rust-web-[\d.]+)$/),
    /^(libstd-rust-web-[\d.]+|libllvm\d+)$/,
  );
  apt("apt-get", "download", ...own, ...libraries);
  const root = join(folder, "root");
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".deb"))) {
    unpack(join(folder, file), root);
    rmSync(join(folder, file));
  }
  rmSync(join(folder, "apt"), { recursive: true });
  const here = '$(dirname "$(readlink -f "$0")")/root/usr';
  writeFileSync(
    join(folder, "rustc"),
    `#!/bin/sh\nroot=${here}\nLD_LIBRARY_PATH="$root/lib/${GNU[HOST]}" exec "$root/bin/rustc" --sysroot "$root" "$@"\n`,
  );
  chmodSync(join(folder, "rustc"), 0o755);
}

/** As Debian names folders of libraries. */
const GNU = { amd64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" };

/** These packages, and what they depend on by these names; for this machine. */
function dependencies(apt, packages, names) {
  const found = new Set(packages.filter((name) => names.test(name)));
  for (const one of packages) {
    for (const [, name] of apt("apt-cache", "depends", one).matchAll(/^ +Depends: ([^\s<]+)/gm)) {
      if (names.test(name.replace(/:.*/, ""))) found.add(name.replace(/:.*/, ""));
    }
  }
  return [...found];
}
