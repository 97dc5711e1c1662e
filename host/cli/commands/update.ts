import type { Command } from "commander";
import type { Connection } from "../../update/connect.ts";
import { type Updated, type UpdateState, updateBoard } from "../../update/update.ts";
import { defineCommand } from "../command.ts";
import { onInterrupt } from "../interrupt.ts";
import { integer } from "../options.ts";
import type { Output } from "../output.ts";
import { withState } from "../state.ts";

interface UpdateCommandOptions {
  to: string;
  baud: number;
}

export function define(output: Output): Command {
  return defineCommand("update", "Bring a bundle onto a running board, over its console or a socket.", [
    ["over the console", "update model.lmb --to /dev/ttyUSB0"],
    ["to `lightmamba serve --listen`", "update model.lmb --to unix:/run/lightmamba"],
    ["the same by TCP", "update system.lmb --to 192.168.1.20:7000"],
  ])
    .argument("<bundle>", "bundle of `bundle create`")
    .requiredOption("--to <place>", "unix:PATH, ADDRESS:PORT, or a serial line such as /dev/ttyUSB0")
    .option("--baud <rate>", "speed of a serial line", integer({ min: 1200, max: 4_000_000 }), 115_200)
    .action((bundle: string, options: UpdateCommandOptions) => update(bundle, options, output));
}

const STATES: Record<UpdateState, string> = {
  unchanged: "nothing has changed on the board",
  installing: "the board was about to install it: it has either all of it or nothing",
  done: "the board has installed it",
};

async function update(bundle: string, { to, baud }: UpdateCommandOptions, output: Output): Promise<void> {
  let connection: Connection | undefined;
  const release = onInterrupt(() => connection?.hangUp());
  try {
    const updated = await withState(to, STATES, "unchanged", output, ({ reached, progress }) =>
      updateBoard(bundle, {
        to,
        baud,
        onConnection: (open) => {
          connection = open;
        },
        onBoard: ({ board, slot, runtime }, { title }) =>
          output.note(`${title}, to ${board}${slot === "-" ? "" : `, slot ${slot}`}, runtime ${runtime}`),
        onNote: (text) => output.note(`board: ${text}`),
        onState: reached,
        progress,
      }),
    );
    report(to, updated, output);
  } finally {
    release();
  }
}

function report(to: string, updated: Updated, output: Output): void {
  if (output.json) {
    output.record({ to, ...updated });
    return;
  }
  const { bytesSent, bytesAgain, done } = updated;
  const again = bytesAgain > 0 ? `, ${(bytesAgain / 1e3).toFixed(1)} kB of it a second time` : "";
  output.line(`${to}: ${done.text} (${(bytesSent / 1e6).toFixed(1)} MB sent${again})`);
}
