/** What else goes wrong: each fault gives a line on the console that says what it is, and leaves a state that is known. */
import { truncateSync } from "node:fs";
import { join } from "node:path";
import type { Board, BoardOptions } from "./board.ts";
import type { Card } from "./card.ts";
import {
  ask,
  COMMANDS,
  CONVERSATION,
  command,
  expectMatch,
  expectStory,
  expectText,
  inShell,
  ON_ACCELERATOR,
  openShell,
  READY,
  SIGN,
} from "./console.ts";

export interface Fault {
  name: string;
  cmdline: string;
  accelerator?: NonNullable<BoardOptions["accelerator"]>;
  restarts?: true;
  /** Of the card, before the board starts. */
  damage?(card: Card): void;
  /** From power on: what was said and what is left, in a few words; throws where that is not as it should be. */
  prove(board: Board, story: readonly string[]): Promise<string>;
}

/** The last line of what a board says of itself, before anything runs. */
const BANNER_END = "\n  up ";

/** A conversation that cannot begin says why, and the prompt follows. */
async function expectRefusal(board: Board, pattern: RegExp): Promise<void> {
  await board.until(READY);
  expectMatch("the console", board.said.slice(board.said.lastIndexOf(BANNER_END)), pattern);
}

async function expectConversation(board: Board, story: readonly string[]): Promise<void> {
  await board.until(SIGN);
  await expectStory(board, story);
}

export const FAULTS: readonly Fault[] = [
  {
    name: "a byte of the model has changed",
    cmdline: CONVERSATION,
    damage: (card) =>
      card.change(`${card.model()}/model.safetensors`, (bytes) => {
        bytes[999_999]! ^= 1;
        return bytes;
      }),
    async prove(board) {
      await expectRefusal(board, /^lightmamba: .*model\.safetensors/m);
      return "refused by its checksum";
    },
  },
  {
    name: "the model ends too early",
    cmdline: CONVERSATION,
    damage: (card) => card.change(`${card.model()}/model.safetensors`, (bytes) => bytes.subarray(0, bytes.length / 2)),
    async prove(board) {
      await expectRefusal(board, /^lightmamba: .*model\.safetensors/m);
      return "refused";
    },
  },
  {
    name: "the compiled runtime ends too early",
    cmdline: CONVERSATION,
    damage: (card) =>
      card.changeSystem((root) => {
        for (const name of ["relaxed", "plain"]) truncateSync(join(root, `usr/lib/lightmamba/${name}.cwasm`), 100_000);
      }),
    async prove(board) {
      await expectRefusal(board, /^lightmamba: .*\.cwasm/m);
      return "refused";
    },
  },
  {
    name: "the model was prepared for another runtime",
    cmdline: CONVERSATION,
    damage: (card) =>
      card.change(`${card.model()}/setup.json`, (bytes) => {
        const text = bytes.toString("utf8");
        return Buffer.from(text.replace(/("sha256":\s*")[0-9a-f]{8}/, "$100000000"));
      }),
    async prove(board) {
      await expectRefusal(board, /^lightmamba: .*(setup\.json|runtime)/m);
      return "refused";
    },
  },
  {
    name: "no accelerator answers",
    cmdline: ON_ACCELERATOR,
    async prove(board) {
      await expectRefusal(board, /^lightmamba: no answer from the device: waited \d+ ms/m);
      return "said; no silent fall-back";
    },
  },
  {
    name: "the accelerator stops answering",
    cmdline: ON_ACCELERATOR,
    accelerator: "whole",
    async prove(board, story) {
      await expectConversation(board, story);
      board.accelerator!.kill("SIGSTOP");
      expectMatch("the conversation", await ask(board, ""), /^error: .*waited \d+ ms/m);
      board.accelerator!.kill("SIGCONT");
      await ask(board, "/reset");
      await expectStory(board, story);
      return "said when its time is up; answers again, the same text";
    },
  },
  {
    name: "no interrupt arrives",
    cmdline: ON_ACCELERATOR,
    accelerator: "no interrupts",
    async prove(board, story) {
      await expectConversation(board, story);
      return "same text";
    },
  },
  {
    name: "the data partition is full",
    cmdline: COMMANDS,
    async prove(board) {
      await board.until(READY);
      await command(board, 'run "Once" -n 4 -q --save-state /data/states/a.state');
      await inShell(board, "dd if=/dev/zero of=/data/fill bs=64k");
      const failed = await command(board, 'run "Once" -n 8 -q --save-state /data/states/a.state');
      expectMatch("a full partition", failed, /^lightmamba: .*a\.state: .*No space left/m);
      expectMatch(
        "the state before",
        await command(board, "state show /data/states/a.state"),
        /^\S*a\.state: \d+ bytes/,
      );
      await command(board, 'run "Once" -n 4 -q');
      return "said; what was saved before is whole";
    },
  },
  {
    name: "there is no data partition",
    cmdline: CONVERSATION,
    damage: (card) => card.wipe("data"),
    async prove(board) {
      await expectRefusal(board, /lightmamba: .*no model/);
      return "said; the prompt follows";
    },
  },
  {
    name: "the clock says 1970",
    cmdline: CONVERSATION,
    async prove(board, story) {
      await expectConversation(board, story);
      expectText("/save", await ask(board, "/save a"), "ok\n");
      board.type("/quit");
      await board.until(READY);
      await openShell(board);
      board.type("date +%Y");
      await board.until(/\n1970\n/);
      return "same text, saved";
    },
  },
  {
    name: "the program is stuck, then crashes",
    cmdline: COMMANDS,
    async prove(board) {
      await superviseInShell(board);
      board.type("kill -STOP $(cat /proc/$!/task/$!/children)");
      await board.until(/serve gave no sign of life for 5 s, and was killed; it starts again in 1 s\n/);
      await board.until(LISTENING);
      board.type("kill -ABRT $(cat /proc/$!/task/$!/children)");
      await board.until(/serve crashed \([^)]+\); it starts again in 2 s\n/);
      await board.until(LISTENING);
      board.type("lightmamba doctor");
      await board.until(/crashes: 3 starts, 2 crashes/);
      return "started again, counted by doctor";
    },
  },
  {
    name: "whoever starts it again is stuck too",
    cmdline: COMMANDS,
    restarts: true,
    async prove(board) {
      await superviseInShell(board);
      board.type("kill -STOP $!");
      await board.until(/U-Boot 20/);
      await board.until(READY);
      return "the watchdog restarts the board";
    },
  },
];

const LISTENING = /listening on unix:\/tmp\/s\b/;

async function superviseInShell(board: Board): Promise<void> {
  await board.until(READY);
  await openShell(board);
  board.type("lightmamba supervise --silence 5 -- serve --listen unix:/tmp/s &");
  await board.until(LISTENING);
}
