/** A long conversation: neither memory nor open files may grow. */
import { join } from "node:path";
import { Board } from "./board.ts";
import type { Card } from "./card.ts";
import { COMMANDS, READY, SHELL } from "./console.ts";

const SCRIPT = join(import.meta.dirname, "soak.sh");
const TOKENS_A_ROUND = 20;
/** Until then pages are touched for the first time. */
const WARM_ROUNDS = 10;
/** kB that resident memory may grow by: pages of files come and go. */
const PLAY = 256;
const ROUND_SECONDS = 30;

interface Look {
  kilobytes: number;
  files: number;
}

/** What was found, in a few words. */
export async function soak(system: string, card: Card, tokens: number): Promise<string> {
  card.put(SCRIPT, "/soak.sh");
  const rounds = Math.max(2 * WARM_ROUNDS, Math.ceil(tokens / TOKENS_A_ROUND));
  const board = new Board({ system, card: card.path, cmdline: COMMANDS });
  try {
    await board.until(READY);
    board.type("shell");
    await board.until(SHELL);
    board.type(`sh /data/soak.sh ${rounds} ${TOKENS_A_ROUND}`);
    const looks: Look[] = [];
    for (let round = 1; round <= rounds; round++) {
      const found = await board.until(new RegExp(`soak: round ${round}, (\\d+) kB, (\\d+) files\\n`), ROUND_SECONDS);
      looks.push({ kilobytes: Number(found[1]), files: Number(found[2]) });
    }
    await board.until(/soak: ended with 0\n/);
    return compare(looks, rounds * TOKENS_A_ROUND);
  } finally {
    await board.cut();
  }
}

function compare(looks: readonly Look[], tokens: number): string {
  const [warm, last] = [looks[WARM_ROUNDS - 1]!, looks.at(-1)!];
  const grown = last.kilobytes - warm.kilobytes;
  if (grown > PLAY || looks.some(({ files }) => files !== warm.files))
    throw new Error(`it grows: ${looks.map(({ kilobytes, files }) => `${kilobytes} kB ${files}`).join(", ")}`);
  return `${tokens} tokens: ${last.kilobytes} kB resident, ${grown} more than after ${WARM_ROUNDS * (tokens / looks.length)}; ${last.files} files open`;
}
