/**
 * Power cuts. A board does something; at a random moment of it the power is gone, and it is started again with the same card: then what it did is done or
 * was never begun, and what it had acknowledged is there.
 */
import { setTimeout } from "node:timers/promises";
import type { Random } from "../oracle/random.ts";
import { Board } from "./board.ts";
import {
  ask,
  COMMANDS,
  CONVERSATION,
  command,
  expectMatch,
  expectStory,
  expectStoryByCommand,
  expectText,
  inShell,
  READY,
  SIGN,
} from "./console.ts";
import { PROMPT } from "./story.ts";

/** On one card, from cut to cut. */
export interface Activity {
  cmdline: string;
  /** Of QEMU: a guest's reset is one. */
  restarts?: true;
  /** After a start: what was found, in a few words; throws where that is not allowed. */
  prove(board: Board): Promise<string>;
  /** What is cut, at any moment until it has ended. */
  act(board: Board): Promise<void>;
  /** When the latest cut comes: what it takes about, or a part of it of which there are to be as many cuts; in turn. */
  seconds: readonly number[];
}

export interface Place {
  system: string;
  card: string;
}

/** What was found after a cut → how often. */
export type Found = Record<string, number>;

/** Cuts the power so many times; the first start has none before it. */
export async function cutPower(
  { cmdline, restarts, prove, act, seconds }: Activity,
  place: Place,
  { tries, random, say }: { tries: number; random: Random; say: (text: string) => void },
): Promise<Found> {
  const all: Found = {};
  for (let tried = 0; ; tried++) {
    const board = new Board({ ...place, cmdline, ...(restarts ? { restarts } : {}) });
    try {
      const found = await prove(board);
      if (tried > 0) all[found] = (all[found] ?? 0) + 1;
      say(tried === 0 ? "before" : `${tried} of ${tries}: ${found}`);
      if (tried === tries) return all;
      // It never ends well: the board is gone in the middle of it
      act(board).catch(() => {});
      await setTimeout(1000 * seconds[tried % seconds.length]! * random.next());
    } finally {
      await board.cut();
    }
  }
}

/** Nothing is written; the next conversation says what this one would have. */
export function generating(story: readonly string[]): Activity {
  return {
    cmdline: CONVERSATION,
    async prove(board) {
      await board.until(SIGN);
      await expectStory(board, story);
      return "same text";
    },
    async act(board) {
      for (;;) await ask(board, "");
    },
    seconds: [3],
  };
}

/** A conversation is saved after each piece, under one name: `ok` means that it is there, whatever comes. */
export function saving(story: readonly string[]): Activity {
  let acknowledged = 0;
  return {
    cmdline: CONVERSATION,
    async prove(board) {
      await board.until(SIGN);
      const answer = await ask(board, "/load story");
      if (acknowledged === 0 && answer.startsWith("error: ")) return "nothing, and nothing acknowledged";
      expectText("/load", answer, "ok\n");
      const pieces = story.indexOf((await ask(board, "")).slice(0, -1));
      if (pieces < acknowledged || pieces > acknowledged + 1)
        throw new Error(`${acknowledged} pieces were saved, and what is there goes on with piece ${pieces}`);
      const found = pieces > acknowledged ? "a newer one than acknowledged" : "the last that was acknowledged";
      acknowledged = pieces;
      // Without the piece that was asked for here
      await ask(board, "/load story");
      return found;
    },
    async act(board) {
      for (let pieces = acknowledged; pieces + 1 < story.length; ) {
        await ask(board, pieces === 0 ? PROMPT : "");
        pieces++;
        if ((await ask(board, "/save story")) === "ok\n") acknowledged = pieces;
      }
    },
    seconds: [4],
  };
}

/** A state that was saved before all of it is still whole. */
async function expectSaved(board: Board): Promise<void> {
  expectMatch(
    "the saved state",
    await command(board, "state show /data/states/before.state"),
    /^\S*before\.state: \d+ bytes/,
  );
}

/** Of two models in turn: the one that the board does not have is installed. */
export function updatingModel(stories: Record<string, readonly string[]>): Activity {
  let current = "";
  return {
    cmdline: COMMANDS,
    async prove(board) {
      await board.until(READY);
      const found = await expectStoryByCommand(board, stories);
      await expectSaved(board);
      const outcome = found === current ? "the old model" : "the new model";
      current = found;
      return outcome;
    },
    async act(board) {
      const next = Object.keys(stories).find((name) => name !== current);
      expectMatch("update", await command(board, `update install /data/${next}.lmb`), /done model/);
    },
    // Until the switch, and until the model has passed its test
    seconds: [2, 8],
  };
}

/** The system is installed into the slot that does not run, which has another one or none, and tried. */
export function updatingSystem(story: readonly string[]): Activity {
  let current = "";
  return {
    cmdline: COMMANDS.replace("lightmamba.noselftest ", ""),
    restarts: true,
    async prove(board) {
      await board.until(READY);
      await expectStoryByCommand(board, { it: story });
      await expectSaved(board);
      const { 1: slot } = expectMatch("slot show", await command(board, "slot show"), /slot ([AB]): [^\n]*, runs\b/);
      const outcome = slot === current ? "the old system" : "the new system";
      current = slot!;
      await inShell(board, `dd if=/dev/zero of=/dev/mmcblk0p${current === "A" ? 3 : 2} bs=1M count=1; sync`);
      return outcome;
    },
    async act(board) {
      expectMatch("update", await command(board, "update install /data/system.lmb"), /done system/);
      board.type("reboot");
      await board.until(READY);
    },
    // While it is written, and until it has passed its test
    seconds: [5, 30],
  };
}
