/**
 * `lightmamba flash` in a process of its own, with a list and a card from a test: child.ts <drives.json> <arguments…>. Drives are files.
 * FLASH_TEST_ANSWER is what the user types. FLASH_TEST_FAULT is what the card does: read or write: no more of this from its middle on; table: no
 * reading of its first block; io: an error there; defect: one that nobody thought of. With FLASH_TEST_DEVICES drives are real devices, and
 * FLASH_TEST_PAUSE names what of a model is not gone on with from its middle on: write, verify or switch.
 */
import { readFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { define } from "../../host/cli/commands/flash.ts";
import { report } from "../../host/cli/failure.ts";
import { installSignalHandlers } from "../../host/cli/interrupt.ts";
import { createOutput, readFlags } from "../../host/cli/output.ts";
import { confirmOnTerminal } from "../../host/cli/prompt.ts";
import type { Drive } from "../../host/flash/drives.ts";
import { openDrive } from "../../host/flash/target.ts";
import { FileCard } from "./support.ts";

const [drives, ...args] = process.argv.slice(2);
const answer = process.env.FLASH_TEST_ANSWER;
const fault = process.env.FLASH_TEST_FAULT;
const output = createOutput(readFlags(args));

class FaultyCard extends FileCard {
  override async write(data: Uint8Array, at: number): Promise<number> {
    if (at < this.bytes / 2) return super.write(data, at);
    if (fault === "io") throw Object.assign(new Error("EIO: i/o error, write"), { code: "EIO" });
    if (fault === "defect") throw new TypeError("nobody thought of this");
    return fault === "write" ? forever() : super.write(data, at);
  }
  override async read(into: Uint8Array, at: number): Promise<number> {
    const stuck = (fault === "read" && at >= this.bytes / 2) || (fault === "table" && at === 0);
    return stuck ? forever() : super.read(into, at);
  }
}

function forever(): Promise<never> {
  return new Promise(() => setInterval(() => {}, 1000));
}

installSignalHandlers();
const command = define(output, {
  list: async () => JSON.parse(readFileSync(drives!, "utf8")) as Drive[],
  open: async (drive, list) =>
    process.env.FLASH_TEST_DEVICES ? openDrive(drive, list) : new FaultyCard(drive.path, drive.bytes),
  pause: (phase, done, total) =>
    phase === process.env.FLASH_TEST_PAUSE && 2 * done >= total - 1 ? forever() : setImmediate(),
  confirm: async (question) => {
    if (answer === undefined) return confirmOnTerminal(question);
    output.warn(question);
    return answer === "yes";
  },
});
for (const one of [command, ...command.commands]) one.exitOverride().configureOutput({ outputError: () => {} });
command.option("--json").option("-q, --quiet");
try {
  await command.parseAsync(args, { from: "user" });
} catch (error) {
  process.exitCode = report(error, output);
}
