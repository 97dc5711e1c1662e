/** Real block devices: loops on files that these tests make, and nothing else. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { after } from "node:test";
import { programEnvironment } from "../../host/image/programs.ts";
import { run } from "../firmware.ts";

const loops: string[] = [];

/** Gone after the tests of the file. */
export function attachLoop(file: string, flags: string[] = []): string {
  if (loops.length === 0)
    after(() => {
      for (const path of loops) spawnSync("losetup", ["-d", path], { env: programEnvironment() });
    });
  const path = run("losetup", "--find", "--show", ...flags, file).trim();
  loops.push(path);
  return path;
}

export function numberOf(path: string): string {
  return readFileSync(`/sys/block/${basename(path)}/dev`, "utf8").trim();
}

/** A node for a part of a loop, in units of 512 bytes. Not every kernel here reads tables, and not everywhere somebody makes nodes. */
export function addPartition(loop: string, number: number, start: number, count: number, node: string): void {
  run("addpart", loop, `${number}`, `${start}`, `${count}`);
  const name = basename(loop);
  const [major, minor] = readFileSync(`/sys/block/${name}/${name}p${number}/dev`, "utf8").trim().split(":");
  run("mknod", node, "b", major!, minor!);
}

/** `action` on a device's file system, mounted there. */
export async function mounted<T>(device: string, mount: string, action: (mount: string) => T | Promise<T>): Promise<T> {
  mkdirSync(mount, { recursive: true });
  run("mount", device, mount);
  try {
    return await action(mount);
  } finally {
    run("umount", mount);
  }
}

/** Why tests with loops must be skipped: no root, no /dev/loop-control, or a container that may not mount. */
export function skipLoops(folder: string): string | false {
  try {
    const [file, mount] = [join(folder, "probe"), join(folder, "probe-mount")];
    writeFileSync(file, "");
    truncateSync(file, 2 ** 20);
    const loop = attachLoop(file);
    run("mke2fs", "-q", loop);
    mkdirSync(mount, { recursive: true });
    run("mount", loop, mount);
    run("umount", mount);
    return false;
  } catch (error) {
    return `no loop devices here: ${(error as Error).message}`;
  }
}
