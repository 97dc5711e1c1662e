/** `lightmamba update` and the board's own program: a new model and a new system, over a socket and over a console that changes bytes. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { pointerOf, stageData } from "../../host/board/data.ts";
import { EXIT } from "../../host/errors.ts";
import { readPartitions } from "../../host/image/layout.ts";
import { openBundle } from "../../host/update/read.ts";
import { lightmamba, succeed } from "../cli/lightmamba.ts";
import { scratchFolder, withoutProgram } from "../firmware.ts";
import { makeCard, OWN, skipCards } from "../flash/cards.ts";
import { run, runnerFor } from "../runner/support.ts";
import { quantizedTiny } from "../runtime/support.ts";
import { TINY } from "./support.ts";

const folder = scratchFolder();
const at = (name: string) => join(folder, name);
const { skip: noRunner, runner, runtime } = runnerFor("native");
const skip = noRunner || skipCards();
const [KEY, MODEL, SYSTEM, CARD, ETC] = ["update.key", "model.lmb", "system.lmb", "card.img", "etc"].map(at) as [
  string,
  string,
  string,
  string,
  string,
];
const WAIT_MS = 60_000;
let boards = 0;
let other = "";
const children: ChildProcess[] = [];

interface Board {
  data: string;
  card: string;
  /** Options of the board's program. */
  options: string[];
}

/** Folders and a card, as a board has them that was started anew. */
function newBoard(): Board {
  const [data, card] = [at(`data${boards}`), at(`card${boards++}`)];
  stageData(data, TINY, { board: "qemu" });
  copyFileSync(CARD, card);
  return { data, card, options: ["--data", data, "--etc", ETC, "--disk", card, "--running", "A", "--device", "wasm"] };
}

const current = ({ data }: Board) =>
  readlinkSync(join(data, pointerOf(OWN)))
    .split("/")
    .at(-1);
const bundleModel = (path: string) => {
  const { file, head } = openBundle(path);
  file.close();
  return head.manifest.model!.id;
};

function serve({ options }: Board, place: string) {
  const env = { ...process.env, LIGHTMAMBA_RUNTIME: runtime };
  const args = ["serve", "-n", "8", "--listen", place, ...options];
  const child = spawn(runner, args, { env, stdio: ["ignore", "ignore", "pipe"] });
  children.push(child);
  return child;
}

/** `serve` on a socket; returns where. */
async function serving(board: Board): Promise<string> {
  const socket = `${board.data}.socket`;
  serve(board, `unix:${socket}`);
  await until(() => existsSync(socket), "no socket");
  return socket;
}

async function until(reached: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + WAIT_MS; !reached(); await delay(50)) assert.ok(Date.now() < end, what);
}

/** What a board answers to a line. While it begins anew, nobody is there. */
async function conversation(socket: string): Promise<string> {
  const user = createConnection(socket);
  try {
    user.write("Once upon a time\n/quit\n");
    let text = "";
    for await (const chunk of user) text += chunk;
    return text.trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ECONNREFUSED") throw error;
    await delay(100);
    return conversation(socket);
  }
}

describe("update of a board", { skip, timeout: 600_000 }, () => {
  before(async () => {
    await succeed("bundle", "keygen", "-o", KEY);
    mkdirSync(join(ETC, "lightmamba"), { recursive: true });
    writeFileSync(join(ETC, "lightmamba-release"), "LightMamba 0.1.0, qemu\n");
    copyFileSync(at("update.pub"), join(ETC, "lightmamba/update.pub"));
    other = await quantizedTiny(8);
    copyFileSync(join(TINY, "tokenizer.json"), join(other, "tokenizer.json"));
    await succeed("bundle", "create", "--board", "qemu", "--model", other, "--key", KEY, "-o", MODEL);
    await makeCard(CARD);
    await succeed("bundle", "create", "--system", CARD, "--key", KEY, "-o", SYSTEM);
  });
  after(() => {
    for (const child of children) child.kill("SIGKILL");
  });

  it("brings a model to `serve`, which answers with it afterwards", async () => {
    const board = newBoard();
    const socket = await serving(board);
    const before = await conversation(socket);
    const { code, stdout, stderr } = await lightmamba(["update", MODEL, "--to", `unix:${socket}`, "--json"]);
    assert.equal(code, 0, stderr);
    const { done, sent, board: said } = JSON.parse(stdout);
    const id = bundleModel(MODEL);
    assert.deepEqual(
      [done.kind, done.name, sent, said],
      // Of the tokenizer, which is the same, the board has a copy
      ["model", id, ["model/model.safetensors", "model/setup.json"], { runtime: OWN, board: "qemu", slot: "A" }],
    );
    // It begins anew, with a test, when nobody talks to it
    await until(() => current(board) === id && !existsSync(join(board.data, `${pointerOf(OWN)}.next`)), "no new model");
    const now = await conversation(socket);
    const words = ["Once upon a time", "--seed", "0", "-n", "8", "-q", "--data", board.data, "--device", "wasm"];
    const { stdout: alone } = run(["run", ...words]);
    assert.notEqual(now, before);
    assert.equal(`Once upon a time ${now}`, alone.trim());
    assert.deepEqual(readdirSync(join(board.data, "models")), [id]);
  });

  it("sends nothing that the board has", async () => {
    const board = newBoard();
    const socket = await serving(board);
    const to = ["--to", `unix:${socket}`, "--json"];
    const own = at("own.lmb");
    await succeed("bundle", "create", "--board", "qemu", "--model", TINY, "--key", KEY, "-o", own);
    const { code, stdout } = await lightmamba(["update", own, ...to]);
    assert.deepEqual([code, JSON.parse(stdout).sent], [0, []]);
    assert.equal(current(board), bundleModel(own));
  });

  it("comes over TCP too", async () => {
    const board = newBoard();
    const { stderr: said } = serve(board, "127.0.0.1:0");
    let text = "";
    said.setEncoding("utf8").on("data", (piece: string) => {
      text += piece;
    });
    await until(() => /listening on \S+;/.test(text), "no address");
    const [, to] = /listening on (\S+);/.exec(text)!;
    const { code, stdout, stderr } = await lightmamba(["update", MODEL, "--to", to!, "--json"]);
    assert.equal(code, 0, stderr);
    assert.deepEqual(JSON.parse(stdout).sent, ["model/model.safetensors", "model/setup.json"]);
    await until(() => current(board) === bundleModel(MODEL), "no new model");
  });

  it("brings a system into the other slot, which is tried at the next start", async () => {
    const board = newBoard();
    const socket = await serving(board);
    const { code, stdout, stderr } = await lightmamba(["update", SYSTEM, "--to", `unix:${socket}`, "-q"]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /: system B, reboot to try it \(0\.0 MB sent\)\n$/);
    const [, first, second] = readPartitions(board.card);
    const card = readFileSync(board.card);
    const { file, files } = openBundle(SYSTEM);
    file.close();
    const slot = ({ offset }: { offset: number }) => card.subarray(offset, offset + files[0]!.bytes);
    assert.ok(slot(second!).equals(slot(first!)));
    const shown = run(["slot", "show", "--disk", board.card, "--running", "A"]);
    assert.match(shown.stdout, /B/);
    assert.match(shown.stdout, /trial/);
  });

  const refused: [name: string, make: (path: string) => Promise<unknown>, exit: keyof typeof EXIT, message: RegExp][] =
    [
      [
        "signed with another key",
        async (path) => {
          await succeed("bundle", "keygen", "-o", at("stranger.key"));
          const signed = ["--key", at("stranger.key"), "-o", path];
          return succeed("bundle", "create", "--board", "qemu", "--model", other, ...signed);
        },
        "device",
        /the board refuses: .*key/,
      ],
      [
        "for another board",
        (path) => succeed("bundle", "create", "--board", "vck190", "--model", other, "--key", KEY, "-o", path),
        "verification",
        /a bundle for another board \(expected vck190, found qemu\)/,
      ],
      [
        "with a system for which the card has no model",
        async (path) => {
          await makeCard(at("strange.img"), { runtimes: ["1".repeat(64), ""] });
          return succeed("bundle", "create", "--system", at("strange.img"), "--key", KEY, "-o", path);
        },
        "device",
        /the board refuses: .*model/,
      ],
    ];
  for (const [name, make, exit, message] of refused)
    it(`refuses a bundle ${name}`, async () => {
      const board = newBoard();
      const before = current(board);
      const path = at("refused.lmb");
      rmSync(path, { force: true });
      await make(path);
      const { code, stderr } = await lightmamba(["update", path, "--to", `unix:${await serving(board)}`, "-q"]);
      assert.match(stderr, message);
      assert.match(stderr, /\nhint: nothing has changed on the board/);
      assert.equal(code, EXIT[exit]);
      assert.deepEqual([current(board), readdirSync(join(board.data, "current"))], [before, [OWN]]);
      assert.ok(readFileSync(board.card).equals(readFileSync(CARD)));
    });

  const skipLine = withoutProgram("python3") || withoutProgram("stty");
  for (const [where, words] of [
    ["at its prompt", ["update", "receive"]],
    ["in `serve`", ["serve", "-n", "4"]],
  ] as const)
    it(`over a console that changes bytes, ${where}`, { skip: skipLine }, async () => {
      const board = newBoard();
      const env = { ...process.env, LIGHTMAMBA_RUNTIME: runtime };
      const script = `stty -echo; while read -r line; do case $line in "update receive") ;; *) echo unknown; continue ;; esac; ${[runner, ...words, ...board.options].join(" ")}; done`;
      const command = words[0] === "serve" ? [runner, ...words, ...board.options] : ["sh", "-c", script];
      const line = spawn("python3", [join(import.meta.dirname, "line.py"), "700001", "run", ...command], {
        env,
        stdio: ["ignore", "pipe", "inherit"],
      });
      children.push(line);
      const path = String((await once(line.stdout!, "data"))[0]).trim();
      const { code, stdout, stderr } = await lightmamba(["update", MODEL, "--to", path, "--baud", "4000000"]);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /model [0-9a-f]{16}.*\(5\.\d MB sent, \d+\.\d kB of it a second time\)/);
      await until(() => current(board) === bundleModel(MODEL), "no new model");
    });

  it("interrupted: the board has what it had", async () => {
    const board = newBoard();
    const before = current(board);
    const socket = await serving(board);
    let sent = false;
    const { code, stderr } = await lightmamba(["update", MODEL, "--to", `unix:${socket}`], {
      onStderr: (all, child) => {
        if (!sent && /^send: [1-9]0 %/m.test(all)) child.kill("SIGKILL");
        sent ||= /^send: [1-9]0 %/m.test(all);
      },
    });
    assert.equal(code, null, stderr);
    await conversation(socket);
    assert.deepEqual([current(board), readdirSync(join(board.data, "current"))], [before, [OWN]]);
    // Half of it goes with the next update, which is whole
    assert.equal((await lightmamba(["update", MODEL, "--to", `unix:${socket}`, "-q"])).code, 0);
    await until(() => current(board) === bundleModel(MODEL), "no new model");
  });
});
