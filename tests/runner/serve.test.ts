/** Conversations with the board's program: on the console and on sockets, with whatever users may send. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, openSync, readFileSync, statSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { join } from "node:path";
import { describe, it } from "node:test";
import { EXIT } from "../../host/errors.ts";
import { scratchFolder } from "../firmware.ts";
import { boardModel, run, runnerFor, start } from "./support.ts";

const { skip, runner, runtime } = runnerFor("native");
const folder = scratchFolder();
const model = skip ? "" : boardModel(folder);
const options = ["serve", "--model", model, "--device", "wasm"];
const MOST_USERS = 8;
const MOST_LINE = 65536;

const states = join(folder, "states");
const serve = (stdin: string | Buffer, args: string[] = [], place = states) =>
  run([...options, "-n", "6", "--states", place, ...args], { stdin });

describe("serve on the console", { skip }, () => {
  it("is a conversation: saved, forked, loaded, reset", () => {
    const { code, stdout } = serve(
      "It was\n/save a\n\n/load a\n\n/reset\n/seed 0\nIt was\n/states\n/quit\nnever read\n",
    );
    assert.equal(code, 0);
    const [first, saved, second, loaded, again, ...rest] = stdout.split("\n");
    assert.deepEqual([saved, loaded, again], ["ok", "ok", second]);
    assert.deepEqual(rest, ["ok", "ok", first, "a", ""]);
  });

  it("goes on with the text of a run", () => {
    const { stdout } = serve("It was\n/tokens 4\n\n", ["--seed", "9"]);
    const text = ["run", "It was", "-n", "10", "--seed", "9", "--model", model, "--device", "wasm"];
    assert.equal(`It was${stdout.replace("\nok\n", "")}`, run(text).stdout);
  });

  it("tells what is wrong with a line, and reads the next", () => {
    const bad: [line: string | Buffer, message: RegExp][] = [
      ["/nothing\u001b[2J", /no command \/nothing\\u\{1b\}\[2J/],
      ["/save ../a", /not a name .*found \.\.\/a/],
      ["/save", /not a name/],
      ["/load none", /none\.state: no such file/],
      ["/seed x", /not a number .*found x/],
      ["/tokens 99999999", /not a number \(expected 0 to 16777216/],
      ["x".repeat(MOST_LINE + 1), /the line is too long/],
      [Buffer.from([0x61, 0xff, 0xfe]), /the line is not UTF-8 \(at byte 1\)/],
    ];
    const input = Buffer.concat(bad.flatMap(([line]) => [Buffer.from(line), Buffer.from("\n")]));
    const { code, stdout } = serve(Buffer.concat([input, Buffer.from("/help\n")]));
    const lines = stdout.split("\n");
    for (const [i, [, message]] of bad.entries()) assert.match(lines[i]!, message);
    assert.ok(code === 0 && stdout.includes("/fork NAME"), stdout);
  });

  it("Ctrl-C ends an answer, and nothing else", async () => {
    const child = start([...options, "-n", "100000"]);
    let text = "";
    let asked = false;
    child.stdin!.write("It was\n");
    for await (const chunk of child.stdout!) {
      text += chunk;
      if (!asked) child.kill("SIGINT");
      if (!asked) child.stdin!.end("/tokens 1\n\n");
      asked = true;
    }
    const lines = text.split("\n");
    assert.deepEqual([lines.at(-3), lines.at(-1)], ["ok", ""], text.slice(-200));
    assert.ok(text.length < 100_000);
    assert.equal(child.exitCode ?? (await new Promise((resolve) => child.once("close", resolve))), 0);
  });

  it("ends where the console cannot be read", () => {
    const stdio: [number, "pipe", "pipe"] = [openSync(folder, "r"), "pipe", "pipe"];
    const env = { ...process.env, LIGHTMAMBA_RUNTIME: runtime };
    const { status, stderr } = spawnSync(runner, options, { env, stdio, encoding: "utf8", timeout: 20_000 });
    assert.match(stderr, /the console: Is a directory/);
    assert.equal(status, EXIT.prerequisite);
  });
});

class User {
  readonly socket: Socket;
  readonly #chunks: AsyncIterator<Buffer>;

  constructor(...place: [path: string] | [port: number, host: string]) {
    this.socket = (createConnection as (...place: unknown[]) => Socket)(...place);
    // Whoever is refused may hear of it before he has said anything
    this.socket.on("error", () => {});
    this.#chunks = this.socket[Symbol.asyncIterator]();
  }

  /** What is answered, up to so many lines, or the end. */
  async lines(count: number): Promise<string> {
    let text = "";
    while (text.split("\n").length <= count) {
      const { done, value } = await this.#chunks.next();
      if (done) break;
      text += value;
    }
    return text;
  }
}

describe("serve on a socket", { skip }, () => {
  const path = join(folder, "socket");
  const listening = [...options, "-n", "4", "--listen", `unix:${path}`];
  const ask = async (line: string) => {
    const user = new User(path);
    if (line !== "") user.socket.write(line);
    return { user, text: await user.lines(1) };
  };

  /** Ends what was started, whatever happens. */
  async function whileListening(
    args: string[],
    action: (said: string) => Promise<unknown>,
    signal: "SIGKILL" | "SIGTERM",
  ) {
    const child = start(args);
    const closed = new Promise((resolve) => child.once("close", resolve));
    try {
      let said = "";
      for await (const chunk of child.stderr!) {
        said += chunk;
        if (said.includes("listening on")) break;
      }
      await action(said);
    } finally {
      child.kill(signal);
      await closed;
    }
  }

  it("everybody has a conversation, and hanging up ends nothing but that", () =>
    whileListening(
      listening,
      async () => {
        assert.equal(statSync(path).mode & 0o777, 0o600);
        const [first, second] = [await ask("It was\n"), await ask("It was\n")];
        assert.equal(first.text, second.text);
        first.user.socket.destroy();
        second.user.socket.write("/reset\nIt was\n");
        assert.equal(await second.user.lines(2), `ok\n${first.text}`);
        const third = await ask("It was\n/quit\n");
        assert.equal(third.text, first.text);
        assert.equal(await third.user.lines(1), "");
        second.user.socket.destroy();
      },
      "SIGKILL",
    ));

  it("takes the place of one that was killed, and of no other; too many are told", async () => {
    assert.ok(existsSync(path), "left by the test before");
    await whileListening(
      listening,
      async () => {
        const { code, stderr } = run(listening);
        assert.deepEqual([code, /--listen: .*in use/.test(stderr)], [EXIT.usage, true], stderr);
        const users: User[] = [];
        for (let i = 0; i < MOST_USERS; i++) {
          const { user, text } = await ask("/tokens 1\n");
          assert.equal(text, "ok\n");
          users.push(user);
        }
        assert.equal((await ask("")).text, `error: too many users (expected at most ${MOST_USERS})\n`);
        for (const { socket } of users) socket.destroy();
      },
      "SIGTERM",
    );
  });

  it("by TCP too, and says that nobody is asked", () =>
    whileListening(
      [...options, "-n", "4", "--listen", "127.0.0.1:0"],
      async (said) => {
        const user = new User(Number(/127\.0\.0\.1:(\d+); nobody/.exec(said)![1]), "127.0.0.1");
        user.socket.write("It was\n");
        assert.ok((await user.lines(1)).trim().length > 0);
        user.socket.destroy();
      },
      "SIGTERM",
    ));
});

describe("a folder that cannot be written", { skip }, () => {
  it("is told, and leaves nothing", () => {
    const saved = join(states, "a.state");
    serve("It was\n/save a\n");
    const before = readFileSync(saved);
    const { code, stdout } = serve("It was\n/save a\n", [], saved);
    assert.match(stdout, /error: .*a\.state/);
    assert.equal(code, 0);
    assert.ok(readFileSync(saved).equals(before));
  });
});
