import { Command } from "commander";

/** What a user may want to do, and the words for it. */
export type Example = [what: string, line: string];

/** A command with its examples in the help; each command's file adds arguments, options and the action. */
export function defineCommand(name: string, summary: string, examples: readonly Example[]): Command {
  const text = examples.map(([what, line]) => `  # ${what}\n  lightmamba ${line}`).join("\n\n");
  return new Command(name).description(summary).addHelpText("after", `\nExamples:\n${text}`);
}
