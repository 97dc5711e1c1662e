/** Folders that look like /sys/class/hwmon. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A monitor's files, a line each; its name is `ina226` where nothing else is said. */
export function addMonitor(folder: string, name: string, files: { readonly [file: string]: string }): string {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  for (const [file, text] of Object.entries({ name: "ina226", ...files })) writeFileSync(join(path, file), `${text}\n`);
  return path;
}

/** As a value of sysfs changes: at once, never half. */
export function setFile(path: string, text: string): void {
  writeFileSync(`${path}.new`, `${text}\n`);
  renameSync(`${path}.new`, path);
}

/** Takes one value and then the other, as long as something else goes on. */
export async function alternating<T>(
  path: string,
  values: readonly [string, string],
  periodMs: number,
  meanwhile: () => Promise<T>,
): Promise<T> {
  let turn = 0;
  const timer = setInterval(() => setFile(path, values[++turn % 2]!), periodMs);
  try {
    return await meanwhile();
  } finally {
    clearInterval(timer);
    rmSync(`${path}.new`, { force: true });
  }
}
