/** A long conversation: neither memory nor open files may grow. */
import { join } from "node:path";
import { Board } from "./board.ts";
import type { Card } from "./card.ts";
import { COMMANDS, openShell, READY } from "./console.ts";

const SCRIPT = join(import.meta.dirname, "soak.sh");
const TOKENS_A_ROUND = 10;
/** Enough for two quarters after the warm half, in which pages are touched for the first time. */
const LEAST_ROUNDS = 40;
/** kB that resident memory may grow by: pages of files come and go. */
const PLAY = 256;
/** kB of a state. The allocator comes to keep that once or twice, sooner or later: a step, where a leak goes on. */
const STATE = 768;
const ROUND_SECONDS = 30;

interface Look {
  kilobytes: number;
  files: number;
}

/** What was found, in a few words. */
export async function soak(system: string, card: Card, tokens: number): Promise<string> {
  card.put(SCRIPT, "/soak.sh");
  const rounds = Math.max(LEAST_ROUNDS, Math.ceil(tokens / TOKENS_A_ROUND));
  const board = new Board({ system, card: card.path, cmdline: COMMANDS });
  try {
    await board.until(READY);
    await openShell(board);
    board.type(`sh /data/soak.sh ${rounds} ${TOKENS_A_ROUND}`);
    const looks: Look[] = [];
    for (let round = 1; round <= rounds; round++) {
      const found = await board.until(new RegExp(`soak: round ${round}, (\\d+) kB, (\\d+) files\\n`), ROUND_SECONDS);
      looks.push({ kilobytes: Number(found[1]), files: Number(found[2]) });
    }
    await board.until(/soak: ended with 0\n/);
    return compare(looks);
  } finally {
    await board.cut();
  }
}

function compare(looks: readonly Look[]): string {
  const warmRounds = Math.ceil(looks.length / 2);
  const middle = looks[Math.ceil((3 * looks.length) / 4) - 1]!;
  const [warm, last] = [looks[warmRounds - 1]!, looks.at(-1)!];
  const grown = last.kilobytes - warm.kilobytes;
  const inBoth = Math.min(middle.kilobytes - warm.kilobytes, last.kilobytes - middle.kilobytes);
  if (inBoth > PLAY || grown > STATE + PLAY || looks.some(({ files }) => files !== warm.files))
    throw new Error(`it grows: ${looks.map(({ kilobytes, files }) => `${kilobytes} kB ${files}`).join(", ")}`);
  const [tokens, warmTokens] = [looks.length, warmRounds].map((rounds) => rounds * TOKENS_A_ROUND);
  return `${tokens} tokens: ${last.kilobytes} kB resident, ${grown} more than after ${warmTokens}; ${last.files} files open`;
}
