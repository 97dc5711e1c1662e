/** `lightmamba update` over a serial line: a pseudo terminal, with a board behind it. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { EXIT } from "../../host/errors.ts";
import { lightmamba, type RunOptions, succeed } from "../cli/lightmamba.ts";
import { scratchFolder, withoutProgram } from "../firmware.ts";
import { FakeBoard, type Faults } from "./fake-board.ts";
import { manifestOf, TINY } from "./support.ts";

const folder = scratchFolder();
const at = (name: string) => join(folder, name);
const [KEY, BUNDLE, SOCKET] = ["update.key", "model.lmb", "socket"].map(at) as [string, string, string];
/** Of files that the board has already, so that a line that sends quickly is not asked for megabytes. */
const WEIGHTS = "model/model.safetensors";
const LINE = join(import.meta.dirname, "line.py");
const skip = withoutProgram("python3") || withoutProgram("stty");
let line: ChildProcess | undefined;
let board: FakeBoard | undefined;

/** A board behind a line; returns the line's path. */
async function attach(faults: Faults, period: number): Promise<{ path: string; board: FakeBoard }> {
  detach();
  board = new FakeBoard(SOCKET, { has: [WEIGHTS], ...faults });
  line = spawn("python3", [LINE, `${period}`, "socket", SOCKET], { stdio: ["ignore", "pipe", "inherit"] });
  const [path] = await once(line.stdout!, "data");
  return { path: String(path).trim(), board };
}

function detach(): void {
  line?.kill();
  board?.close();
  rmSync(SOCKET, { force: true });
}

async function update(faults: Faults = {}, period = 0, options: RunOptions = {}) {
  const { path, board } = await attach(faults, period);
  const before = spawnSync("stty", ["-F", path, "-g"], { encoding: "utf8" }).stdout;
  const ended = await lightmamba(["update", BUNDLE, "--to", path, "--baud", "4000000"], options);
  const same = spawnSync("stty", ["-F", path, "-g"], { encoding: "utf8" }).stdout === before;
  return { ...ended, board, same };
}

describe("update over a serial line", { skip }, () => {
  before(async () => {
    await succeed("bundle", "keygen", "-o", KEY);
    await succeed("bundle", "create", "--board", "qemu", "--model", TINY, "--key", KEY, "-o", BUNDLE);
  });
  after(detach);

  it("sends, and leaves the line as it was", async () => {
    const { code, stdout, stderr, board, same } = await update();
    assert.equal(code, 0, stderr);
    assert.match(stdout, /: model 0123456789abcdef \(0\.3 MB sent\)\n$/);
    const sizes = [...board.files].map(([path, { length }]) => [path, length]);
    const wanted = manifestOf(readFileSync(BUNDLE)).files.slice(1);
    assert.deepEqual(
      sizes,
      wanted.map(({ path, bytes }) => [path, bytes]),
    );
    assert.deepEqual([board.heard[0], board.heard.at(-1), same], ["\x15/update", "quit", true]);
  });

  it("sends again what the line has changed", async () => {
    const { code, stdout, stderr } = await update({}, 50_021);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /\(0\.\d MB sent, \d+\.\d kB of it a second time\)/);
  });

  it("finds a board at its prompt", async () => {
    const answers: Record<string, string> = { "\x15update receive": "/update", "\x15/update": "x" };
    const { code, stderr, board } = await update({
      toBoard: (text) => answers[text] ?? text,
      toHost: (text) => (text.startsWith("error") ? "lightmamba> unknown" : text),
    });
    assert.equal(code, 0, stderr);
    assert.deepEqual(board.heard.slice(0, 2), ["\x15/update", "\x15update receive"]);
  });

  it("interrupted: tells the board that it is over", async () => {
    let sent = false;
    const { code, stderr, board } = await update({ toHost: (text, count) => (count > 20 ? undefined : text) }, 0, {
      onStderr: (all, child) => {
        if (!sent && /^send: 10 %/m.test(all)) setTimeout(() => child.kill("SIGINT"), 300);
        sent ||= /^send: 10 %/m.test(all);
      },
    });
    assert.equal(code, EXIT.interrupted);
    assert.match(stderr, /lightmamba: \/dev\/pts\/\d+: interrupted: nothing has changed on the board/);
    assert.deepEqual(board.heard.slice(-2), ["", "quit"]);
  });
});
