/** What is typed on a board's console, and what it answers. The terminal shows what is typed. */
import type { Board } from "./board.ts";
import { PIECE, PROMPT, SEED } from "./story.ts";

/** A conversation's, before a question. */
export const SIGN = /(^|\n)> $/;
/** The prompt's, for commands. */
export const READY = /lightmamba> $/;

/** A shell's, which asks the terminal where it is. */
export const SHELL = /# (\p{Cc}\[6n)?$/u;

const ALONE = "lightmamba.noselftest";
export const CONVERSATION = `${ALONE} lightmamba.device=wasm lightmamba.run=serve+--seed+${SEED}+-n+${PIECE}`;
export const ON_ACCELERATOR = `${ALONE} lightmamba.run=serve+--device+board+--seed+${SEED}+-n+${PIECE}`;
/** To the prompt, behind a command that does nothing. */
export const COMMANDS = `${ALONE} lightmamba.device=wasm lightmamba.run=--version`;

/** A line of a conversation; the answer, until the next question. */
export const ask = (board: Board, line: string) => answerTo(board, line, "(?<=^|\\n)> $");

/** A command; what it wrote, until the prompt. */
export const command = (board: Board, line: string) => answerTo(board, line, "lightmamba> $");

async function answerTo(board: Board, line: string, end: string): Promise<string> {
  board.type(line);
  const { 1: answer } = await board.until(new RegExp(`^${literally(line)}\\n([\\s\\S]*?)${end}`));
  return answer!;
}

export async function openShell(board: Board): Promise<void> {
  board.type("shell");
  await board.until(SHELL);
}

/** A line for the shell, between two commands. */
export async function inShell(board: Board, line: string): Promise<void> {
  await openShell(board);
  board.type(`${line}; echo over`);
  await board.until(/\nover\n/);
  await board.until(SHELL);
  board.type("exit");
  await board.until(READY);
}

export function expectText(what: string, found: string, expected: string): void {
  if (found !== expected)
    throw new Error(`${what}: expected ${JSON.stringify(expected)}, found ${JSON.stringify(found)}`);
}

export function expectMatch(what: string, found: string, pattern: RegExp): RegExpExecArray {
  const match = pattern.exec(found);
  if (match === null) throw new Error(`${what}: expected ${pattern}, found ${JSON.stringify(found)}`);
  return match;
}

/** The first piece of the story, of a conversation that has not begun. */
export async function expectStory(board: Board, story: readonly string[]): Promise<void> {
  expectText("the story", await ask(board, PROMPT), `${story[0]}\n`);
}

/** The same by a command. */
export async function expectStoryByCommand(board: Board, stories: Record<string, readonly string[]>): Promise<string> {
  const said = await command(board, `run "${PROMPT}" --seed ${SEED} -n ${PIECE} -q`);
  const name = Object.keys(stories).find((one) => said.includes(`${PROMPT}${stories[one]![0]}`));
  if (name === undefined)
    throw new Error(`the story of ${Object.keys(stories).join(" or ")}: found ${JSON.stringify(said)}`);
  return name;
}

function literally(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
