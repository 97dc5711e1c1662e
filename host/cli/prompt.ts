import { once } from "node:events";
import { createInterface } from "node:readline/promises";
import type { ReadStream, WriteStream } from "node:tty";
import { LightMambaError } from "../errors.ts";

/** Whether the user types yes; on a terminal only: `cancelled` where nobody can be asked. */
export type Confirm = (question: string) => Promise<boolean>;

/** What a terminal must offer here; tests pass their own. */
type Terminal = {
  input: Pick<ReadStream, "isTTY"> & NodeJS.ReadableStream;
  output: Pick<WriteStream, "isTTY"> & NodeJS.WritableStream;
};

export async function confirmOn({ input, output }: Terminal, question: string): Promise<boolean> {
  if (!input.isTTY || !output.isTTY)
    throw new LightMambaError("cancelled", "nobody is here to say yes", { hint: "--yes, where it is meant" });
  const lines = createInterface({ input, output });
  // Ctrl-C is a signal again, as everywhere
  lines.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
  try {
    // Ctrl-D closes, and is no answer
    const answer = await Promise.race([lines.question(`${question} `), once(lines, "close")]);
    return typeof answer === "string" && answer.trim().toLowerCase() === "yes";
  } finally {
    lines.close();
  }
}

export const confirmOnTerminal: Confirm = (question) =>
  confirmOn({ input: process.stdin, output: process.stderr }, question);
