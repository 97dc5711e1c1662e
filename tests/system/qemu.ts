/** A card with a stand-in for our program, and QEMU that boots it. */
import { chmodSync, closeSync, cpSync, mkdirSync, openSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readPartitions } from "../../host/image/layout.ts";
import { guestMemory, type Machine, startMachine, variablesFile } from "../../host/image/qemu.ts";
import { COPIES, COPY_BYTES, type Copy, makeCopy, writeAt } from "../card.ts";
import { run } from "../firmware.ts";
import { SYSTEM } from "./support.ts";

const LIMIT_MS = 300_000;
/** QEMU wants a power of two. */
const CARD_BYTES = 2 ** 28;
/** 2024, as all of the system says. */
const TIME = "1704067200";

/** What cards are made of. */
export interface Parts {
  /** A board's system, as firmware/system builds it. */
  system: string;
  /** For whatever is under way. */
  folder: string;
  /** The board's program, which the stand-in has as `real`. */
  runner: string;
}

/** A system with a script in the place of /usr/bin/lightmamba, but for `lightmamba slot`. `change` what is in it before it is packed. Its path. */
export function makeSystem(parts: Parts, name: string, script: string, change?: (root: string) => void): string {
  const { system, folder, runner } = parts;
  const [root, packed] = [join(folder, name), join(folder, `${name}.squashfs`)];
  cpSync(join(system, "overlay"), root, { recursive: true, verbatimSymlinks: true });
  cpSync(join(system, "busybox"), join(root, "bin", "busybox"));
  cpSync(join(system, "modules"), join(root, "lib", "modules"), { recursive: true });
  for (const below of ["boot", "usr/bin"]) mkdirSync(join(root, below), { recursive: true });
  for (const file of ["Image.gz", "system.dtb", "initramfs.cpio.gz"])
    cpSync(join(system, file), join(root, "boot", file));
  const program = join(root, "usr", "bin", "lightmamba");
  cpSync(runner, join(root, "usr", "bin", "real"));
  writeFileSync(program, `#!/bin/sh\n[ "$1" = slot ] && exec real "$@"\n${script}`);
  chmodSync(program, 0o755);
  change?.(root);
  const times = ["-all-time", TIME, "-mkfs-time", TIME];
  run("mksquashfs", root, packed, "-all-root", "-noappend", "-quiet", "-no-progress", "-comp", "zstd", ...times);
  return packed;
}

/** A card by genimage.cfg, with a system in slot A. Its path. */
export function writeCard({ system, folder }: Parts, inA: string): string {
  const [root, input, data] = [join(folder, "none"), join(folder, "input"), join(folder, "data")];
  for (const below of [root, input, join(data, "model"), join(data, "states")]) mkdirSync(below, { recursive: true });
  cpSync(join(system, "boot.scr"), join(input, "boot.scr"));
  cpSync(inA, join(input, "system.squashfs"));
  // Without checksums, so that tests can write into it
  const ext4 = ["-q", "-t", "ext4", "-O", "^metadata_csum", "-L", "lm-data", "-d", data, "-E", "root_owner=0:0"];
  run("mke2fs", ...ext4, join(input, "data.ext4"), "8M");
  const places = ["--rootpath", root, "--inputpath", input, "--outputpath", folder, "--tmppath", join(folder, "tmp")];
  run("genimage", "--config", join(SYSTEM, "genimage.cfg"), ...places);
  const card = join(folder, "sdcard.img");
  truncateSync(card, CARD_BYTES);
  return card;
}

export interface Changes {
  /** A system for slot B. */
  inB?: string;
  /** Copies of U-Boot's variables; a number stands for bytes of it, which are none. */
  copies?: readonly (Copy | number)[];
  /** Bytes at an offset of the card. */
  bytes?: readonly (readonly [offset: number, bytes: Uint8Array])[];
}

/** A copy of a card in which something is changed. */
export function changedCard(card: string, name: string, { inB, copies = [], bytes = [] }: Changes): string {
  const path = `${card}.${name}`;
  run("cp", "--sparse=always", "--reflink=auto", card, path);
  if (inB !== undefined) writeAt(path, readPartitions(path)[2]!.offset, readFileSync(inB));
  for (const [i, copy] of copies.entries())
    writeAt(path, COPIES[i]!, typeof copy === "number" ? Buffer.alloc(COPY_BYTES, copy) : makeCopy(copy));
  for (const [offset, some] of bytes) writeAt(path, offset, some);
  return path;
}

/**
 * Boots a card, with this at the end of the kernel's command line. What the console said, until the guest was off, or started anew, unless
 * it `restarts`. The card is written to.
 */
export async function boot(system: string, card: string, cmdline: string, restarts = false): Promise<string> {
  const memory = guestMemory();
  const files = [openSync(card, "r+"), variablesFile(cmdline)] as const;
  try {
    const machine = startMachine({ system, memory: memory.fd, card: files[0], variables: files[1], restarts });
    return await consoleOf(machine);
  } finally {
    for (const fd of files) closeSync(fd);
    memory.close();
  }
}

function consoleOf({ process: qemu, console, messages }: Machine): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = "";
    const timer = setTimeout(() => qemu.kill("SIGKILL"), LIMIT_MS);
    for (const stream of [console, messages]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        said += text;
      });
    }
    qemu.on("error", reject);
    qemu.on("close", (code) => {
      clearTimeout(timer);
      const text = said.replaceAll("\r", "");
      if (code === 0) resolve(text);
      else reject(new Error(`QEMU ended with ${code ?? `a signal, after ${LIMIT_MS / 1000} s or less`}:\n${text}`));
    });
  });
}
