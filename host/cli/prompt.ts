import { createInterface } from "node:readline/promises";
import { LightMambaError } from "../errors.ts";

/** Whether the user types yes; on a terminal only: `cancelled` where nobody can be asked. */
export type Confirm = (question: string) => Promise<boolean>;

export const confirmOnTerminal: Confirm = async (question) => {
  if (!process.stdin.isTTY || !process.stderr.isTTY)
    throw new LightMambaError("cancelled", "nobody is here to say yes", { hint: "--yes, where it is meant" });
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    // Ctrl-C is a signal again, as everywhere
    lines.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
    return (await lines.question(`${question} `)).trim().toLowerCase() === "yes";
  } finally {
    lines.close();
  }
};
