/** A card with a stand-in for our program, and QEMU that boots it. */
import { spawnSync } from "node:child_process";
import { chmodSync, closeSync, cpSync, mkdirSync, openSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DeviceMemory } from "../../host/device/index.ts";
import { GUEST_MEMORY, type Machine, startMachine } from "../../host/image/qemu.ts";
import { SYSTEM } from "./support.ts";

const LIMIT_MS = 180_000;
/** QEMU wants a power of two. */
const CARD_BYTES = 2 ** 26;
/** 2024, as all of the system says. */
const TIME = "1704067200";

export function run(program: string, args: readonly string[]): string {
  const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    env: { ...process.env, PATH },
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${error?.message ?? `${stdout}${stderr}`}`);
  return stdout;
}

/** Writes a card of a board's system by genimage.cfg; `program` is what stands for /usr/bin/lightmamba, a script. Its path. */
export function writeCard(system: string, folder: string, program: string): string {
  const [root, input, data] = [join(folder, "root"), join(folder, "input"), join(folder, "data")];
  cpSync(join(system, "overlay"), root, { recursive: true, verbatimSymlinks: true });
  cpSync(join(system, "busybox"), join(root, "bin", "busybox"));
  cpSync(join(system, "modules"), join(root, "lib", "modules"), { recursive: true });
  mkdirSync(join(root, "usr", "bin"), { recursive: true });
  writeFileSync(join(root, "usr", "bin", "lightmamba"), `#!/bin/sh\n${program}`);
  chmodSync(join(root, "usr", "bin", "lightmamba"), 0o755);
  for (const name of ["model", "states"]) mkdirSync(join(data, name), { recursive: true });

  mkdirSync(join(input, "extlinux"), { recursive: true });
  for (const name of ["Image.gz", "system.dtb", "initramfs.cpio.gz", "boot.scr"])
    cpSync(join(system, name), join(input, name));
  cpSync(join(system, "extlinux.conf"), join(input, "extlinux", "extlinux.conf"));
  const times = ["-all-time", TIME, "-mkfs-time", TIME];
  run("mksquashfs", [root, join(input, "root.squashfs"), "-all-root", "-quiet", "-no-progress", ...times]);
  // Without checksums, so that tests can write into it
  const ext4 = ["-q", "-t", "ext4", "-O", "^metadata_csum", "-L", "lm-data", "-d", data, "-E", "root_owner=0:0"];
  run("mke2fs", [...ext4, join(input, "data.ext4"), "8M"]);
  const places = ["--rootpath", root, "--inputpath", input, "--outputpath", folder, "--tmppath", join(folder, "tmp")];
  run("genimage", ["--config", join(SYSTEM, "genimage.cfg"), ...places]);
  const card = join(folder, "sdcard.img");
  truncateSync(card, CARD_BYTES);
  return card;
}

/** A copy of a card in which something is changed. */
export function changedCard(card: string, name: string, change: (bytes: Buffer) => void): string {
  const path = `${card}.${name}`;
  const bytes = readFileSync(card);
  change(bytes);
  writeFileSync(path, bytes);
  return path;
}

/** Boots a card, with this at the end of the kernel's command line. What the console said, until the guest was off. The card is written to. */
export async function boot(system: string, card: string, cmdline: string): Promise<string> {
  const memory = DeviceMemory.create(0, [{ address: 0, bytes: GUEST_MEMORY, offset: 0 }]);
  const variables = `${card}.variables`;
  writeFileSync(variables, `lightmamba=${cmdline}\n`);
  const files = [openSync(card, "r+"), openSync(variables, "r")] as const;
  try {
    const machine = startMachine({ system, memory: memory.fd, card: files[0], variables: files[1] });
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
