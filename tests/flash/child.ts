/**
 * `lightmamba flash` in a process of its own, with a list and a card from a test: child.ts <drives.json> <arguments…>. Drives are files.
 * FLASH_TEST_ANSWER is what the user types; with FLASH_TEST_STUCK, read or write, the card does no more of this from its middle on.
 */
import { readFileSync } from "node:fs";
import { define } from "../../host/cli/commands/flash.ts";
import { report } from "../../host/cli/failure.ts";
import { installSignalHandlers } from "../../host/cli/interrupt.ts";
import { createOutput, readFlags } from "../../host/cli/output.ts";
import { confirmOnTerminal } from "../../host/cli/prompt.ts";
import type { Drive } from "../../host/flash/drives.ts";
import { FileCard } from "./support.ts";

const [drives, ...args] = process.argv.slice(2);
const answer = process.env.FLASH_TEST_ANSWER;
const stuck = process.env.FLASH_TEST_STUCK;
const output = createOutput(readFlags(args));

class StuckCard extends FileCard {
  override async write(data: Uint8Array, at: number): Promise<number> {
    return stuck === "write" && at >= this.bytes / 2 ? forever() : super.write(data, at);
  }
  override async read(into: Uint8Array, at: number): Promise<number> {
    return stuck === "read" && at >= this.bytes / 2 ? forever() : super.read(into, at);
  }
}

function forever(): Promise<number> {
  return new Promise(() => setInterval(() => {}, 1000));
}

installSignalHandlers();
const command = define(output, {
  list: async () => JSON.parse(readFileSync(drives!, "utf8")) as Drive[],
  open: async ({ path, bytes }) => new StuckCard(path, bytes),
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
