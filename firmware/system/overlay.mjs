/** The root's own files: what is in overlay/, links to busybox, places to mount at, and what the banner says. */
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SYSTEM } from "./shell.mjs";

/** Programs of busybox that the root offers, none of them for a network. */
const BIN =
  "[ ash awk base64 basename cat chmod chown clear cmp cp cttyhack cut date dd df diff dirname dmesg du echo egrep env expr false " +
  "fdisk fgrep find free grep gunzip gzip head hexdump hostname kill killall less ln ls lsmod md5sum mkdir mkfifo mknod mktemp " +
  "modinfo more mount mv nproc od paste pidof printf ps pwd readlink realpath rm rmdir sed seq setsid sh sha256sum sleep sort stat " +
  "stty sync tail tar taskset tee test time timeout top touch tr true tty umount uname uniq uptime vi watch wc which xargs xxd yes zcat";
const SBIN = "findfs halt init insmod poweroff reboot rmmod";
const MOUNTS = ["data", "dev", "proc", "run", "sys", "tmp"];

/** Nobody can log in: there is no password that would be right, and no program that would ask for one. */
const PASSWD = "root:*:0:0:root:/tmp:/bin/sh\n";

/** Versions, as the banner prints them. */
function release(components, board) {
  const { "lightmamba-system": own, ...others } = Object.fromEntries(components.map((one) => [one.name, one]));
  const lines = Object.values(others).map(
    ({ name, version, release }) => `  ${name} ${version}${release ? ` (${release})` : ""}`,
  );
  return [`LightMamba ${own.version}, ${board}`, ...lines, ""].join("\n");
}

/** Writes overlay/ into a folder. */
export function buildOverlay(components, board, folder) {
  const root = join(folder, "overlay");
  cpSync(join(SYSTEM, "overlay"), root, { recursive: true });
  for (const name of [...MOUNTS, "bin", "sbin", "lib/modules"]) mkdirSync(join(root, name), { recursive: true });
  for (const name of BIN.split(" ")) symlinkSync("busybox", join(root, "bin", name));
  for (const name of SBIN.split(" ")) symlinkSync("../bin/busybox", join(root, "sbin", name));
  writeFileSync(join(root, "etc", "lightmamba-release"), release(components, board));
  writeFileSync(join(root, "etc", "passwd"), PASSWD);
  writeFileSync(join(root, "etc", "group"), "root:*:0:\n");
}
