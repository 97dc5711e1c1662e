/** A system: one squashfs with the root, our program, and in /boot what U-Boot loads. Either slot of a card holds one; an update carries one. */
import { chmodSync, copyFileSync, cpSync, mkdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { RunnerFiles } from "./components.ts";

/** What U-Boot loads. firmware/system/boot.cmd */
const BOOT_FILES = ["Image.gz", "initramfs.cpio.gz", "system.dtb"];

/** Where the board's program looks for the keys of updates. */
const UPDATE_KEYS = "etc/lightmamba/update.pub";

/** `system`: what firmware/system has built; `updateKey`: a file of public keys. */
export function stageSystem(root: string, system: string, { runner, cwasm }: RunnerFiles, updateKey?: string): void {
  cpSync(join(system, "overlay"), root, { recursive: true, verbatimSymlinks: true });
  const into = (from: string, to: string, mode = 0o644) => {
    mkdirSync(dirname(join(root, to)), { recursive: true });
    copyFileSync(from, join(root, to));
    chmodSync(join(root, to), mode);
  };
  for (const name of BOOT_FILES) into(join(system, name), join("boot", name));
  into(join(system, "busybox"), "bin/busybox", 0o755);
  cpSync(join(system, "modules"), join(root, "lib/modules"), { recursive: true });
  into(runner, "usr/bin/lightmamba", 0o755);
  for (const file of Object.values(cwasm)) into(file, join("usr/lib/lightmamba", basename(file)));
  if (updateKey !== undefined) into(updateKey, UPDATE_KEYS);
}
