/** Drives as they are shown, and the question before one is written to. */
import { LightMambaError } from "../errors.ts";
import type { Drive } from "../flash/drives.ts";
import type { Output } from "./output.ts";
import type { Confirm } from "./prompt.ts";

export function describeDrive({ model, bytes, bus, serial }: Drive): string {
  return [model || "unknown maker", size(bytes), bus, serial && `serial ${serial}`].filter(Boolean).join(", ");
}

export function partitionLines({ partitions }: Drive): string[] {
  return partitions.map(({ path, bytes, fileSystem, label }) =>
    [path, size(bytes), fileSystem, label].filter(Boolean).join("  "),
  );
}

export function size(bytes: number): string {
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

/** In a plan of what will be done. */
export function showDriveIn(drive: Drive, output: Output): void {
  output.line(`drive  ${output.style("bold", drive.path)}: ${describeDrive(drive)}`);
  for (const line of partitionLines(drive)) output.line(`       ${line}`);
}

/** Throws `cancelled` where the answer is not yes, or where there is nobody to ask. */
export async function ask(what: string, drive: Drive, output: Output, confirm: Confirm): Promise<void> {
  if (output.json)
    throw new LightMambaError("cancelled", "with --json nobody is asked", { hint: "--yes, where it is meant" });
  if (await confirm(`${what} Type yes to write:`)) return;
  throw new LightMambaError("cancelled", "nothing was written", { file: drive.path });
}
