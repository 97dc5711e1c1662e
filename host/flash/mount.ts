/** A card's data partition, mounted while something is done there. Linux, and root; the kernel's journal makes it safe against a loss of power. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, realpathSync, rmdirSync, statSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { LightMambaError } from "../errors.ts";
import { SECTOR } from "../image/layout.ts";
import { isProgramFailure, programEnvironment, runProgram } from "../image/programs.ts";
import type { Card } from "./card.ts";
import { deviceNumber } from "./target.ts";

/** Nothing of a card is run, and no time of reading is written to it. */
const OPTIONS = "noatime,nodev,noexec,nosuid";
const ENDINGS = ["SIGTERM", "SIGHUP"] as const;

export function assertMayMount(): void {
  if (process.getuid?.() === 0) return;
  throw new LightMambaError("prerequisite", "only root may mount the card's data partition", { hint: "sudo" });
}

/** `action` has its folder, and no file open there whenever it waits: however this process ends, but by SIGKILL, nothing stays mounted. */
export async function withData<T>(card: Card, action: (folder: string) => Promise<T>): Promise<T> {
  const node = dataNode(card);
  // First the kernel finishes what its journal has; only then can anybody say whether the rest is whole
  await withMounted(node, async () => {});
  await assertWhole(node);
  return withMounted(node, action);
}

/** The partition's own device, which must be a part of the drive, where the table says. */
function dataNode({ drive, data }: Card): string {
  const expected = [data.offset / SECTOR, data.size / SECTOR, drive.number].join();
  const found = drive.partitions.find(({ path }) => describePartition(path) === expected);
  if (found !== undefined) return found.path;
  const hint = `sudo partprobe ${drive.path}`;
  throw new LightMambaError("device", "the kernel has no partition where the card's table has its data", {
    file: drive.path,
    hint,
  });
}

/** Start, size and drive, as the kernel has them. */
function describePartition(path: string): string | undefined {
  try {
    const folder = `/sys/dev/block/${deviceNumber(statSync(path, { bigint: true }))}`;
    return ["start", "size", "../dev"].map((name) => readFileSync(`${folder}/${name}`, "utf8").trim()).join();
  } catch {
    return undefined;
  }
}

async function assertWhole(node: string): Promise<void> {
  try {
    await runProgram("e2fsck", ["-f", "-n", node]);
  } catch (error) {
    if (!isProgramFailure(error)) throw error;
    throw damage(node, "e2fsck finds errors in it");
  }
}

function damage(node: string, what: string): LightMambaError {
  const hint = `sudo e2fsck -f ${node}, or write the whole image`;
  return new LightMambaError("verification", `the data partition is damaged: ${what}`, { file: node, hint });
}

async function withMounted<T>(node: string, action: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "lightmamba-card-"));
  const unmount = () => unmountNow(folder);
  const end = (signal: NodeJS.Signals) => process.exit(128 + constants.signals[signal]);
  process.on("exit", unmount);
  for (const signal of ENDINGS) process.on(signal, end);
  try {
    await mount(node, folder);
    const result = await action(folder).catch((error) => Promise.reject(cardFault(node, error)));
    const left = unmount();
    if (left === undefined) return result;
    throw new LightMambaError("device", `cannot be unmounted from ${folder}: ${left}`, { file: node });
  } finally {
    unmount();
    process.off("exit", unmount);
    for (const signal of ENDINGS) process.off(signal, end);
  }
}

/** Whatever goes wrong on the card names it; also what the system says of its files. */
function cardFault(file: string, error: unknown): unknown {
  if (error instanceof LightMambaError && error.detail.file === undefined) {
    const { exit, message, detail } = error;
    return LightMambaError.revive({ exit, message: `${file}: ${message}`, detail: { ...detail, file } });
  }
  const { code, syscall, message } = error as NodeJS.ErrnoException;
  if (error instanceof LightMambaError || code === undefined || syscall === undefined) return error;
  return new LightMambaError("device", code === "ENOSPC" ? "no room is left on the card" : message, { file });
}

async function mount(node: string, folder: string): Promise<void> {
  try {
    await runProgram("mount", ["-t", "ext4", "-o", OPTIONS, node, folder]);
  } catch (error) {
    if (!isProgramFailure(error)) throw error;
    const hint = `dmesg may know more; where it is damaged: sudo e2fsck -f ${node}; where a desktop has mounted it: unmount it`;
    throw new LightMambaError("device", `cannot be mounted: ${error.message.split("\n")[1]?.trim()}`, {
      file: node,
      hint,
    });
  }
  const errors = errorsCounted(node);
  if (errors > 0) throw damage(node, `the kernel has counted ${errors} errors in it`);
}

/** Of this file system, as long as it has existed. */
function errorsCounted(node: string): number {
  const name = basename(realpathSync(`/sys/dev/block/${deviceNumber(statSync(node, { bigint: true }))}`));
  try {
    return Number(readFileSync(`/sys/fs/ext4/${name}/errors_count`, "utf8"));
  } catch {
    return 0;
  }
}

/** What is wrong, if it stays mounted. Whoever is called at the end of a process cannot wait. */
function unmountNow(folder: string): string | undefined {
  const isMounted = () => readFileSync("/proc/self/mounts", "utf8").includes(` ${folder} `);
  let said = "";
  if (isMounted()) said = spawnSync("umount", [folder], { encoding: "utf8", env: programEnvironment() }).stderr.trim();
  if (isMounted()) return said;
  try {
    rmdirSync(folder);
  } catch {
    // Gone already
  }
  return undefined;
}
