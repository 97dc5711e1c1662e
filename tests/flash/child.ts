/**
 * `lightmamba flash` in a process of its own, with a list and a card from a test: child.ts <drives.json> <arguments…>. Drives are files. The last
 * one of the variables slows writing down, that a test can interrupt.
 */
import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { define } from "../../host/cli/commands/flash.ts";
import { report } from "../../host/cli/failure.ts";
import { installSignalHandlers } from "../../host/cli/interrupt.ts";
import { createOutput, readFlags } from "../../host/cli/output.ts";
import { confirmOnTerminal } from "../../host/cli/prompt.ts";
import type { Drive } from "../../host/flash/drives.ts";
import { FileCard } from "./support.ts";

const [drives, ...args] = process.argv.slice(2);
const answer = process.env.FLASH_TEST_ANSWER;
const delay = Number(process.env.FLASH_TEST_DELAY ?? 0);
const output = createOutput(readFlags(args));

class SlowCard extends FileCard {
  override async sync(): Promise<void> {
    await setTimeout(delay);
  }
  override async write(data: Uint8Array, at: number): Promise<number> {
    await setTimeout(delay);
    return super.write(data, at);
  }
}

installSignalHandlers();
const command = define(output, {
  list: async () => JSON.parse(readFileSync(drives!, "utf8")) as Drive[],
  open: async ({ path, bytes }) => new SlowCard(path, bytes),
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
