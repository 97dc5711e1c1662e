/** The sender, with a board that is a socket, and faults between. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { after, before, describe, it } from "node:test";
import { EXIT } from "../../host/errors.ts";
import { BoardLines, type Pace } from "../../host/update/lines.ts";
import { openBundle } from "../../host/update/read.ts";
import { sendFile } from "../../host/update/send.ts";
import { begin } from "../../host/update/session.ts";
import { updateBoard } from "../../host/update/update.ts";
import { lightmamba, type RunOptions, succeed } from "../cli/lightmamba.ts";
import { rejectionOf } from "../device/support.ts";
import { scratchFolder } from "../firmware.ts";
import { OWN } from "../flash/cards.ts";
import { FakeBoard, type Faults } from "./fake-board.ts";
import { changed, manifestOf, resigned, TINY } from "./support.ts";

const folder = scratchFolder();
const at = (name: string) => join(folder, name);
const [KEY, BUNDLE, SOCKET] = ["update.key", "model.lmb", "socket"].map(at) as [string, string, string];
const TO = ["--to", `unix:${SOCKET}`];
let board: FakeBoard | undefined;

before(async () => {
  await succeed("bundle", "keygen", "-o", KEY);
  await succeed("bundle", "create", "--board", "qemu", "--model", TINY, "--key", KEY, "-o", BUNDLE);
});
after(() => board?.close());

/** `lightmamba update` to a board with these faults. */
async function update(faults: Faults = {}, args: string[] = [BUNDLE, ...TO], options: RunOptions = {}) {
  board?.close();
  rmSync(SOCKET, { force: true });
  board = new FakeBoard(SOCKET, faults);
  const ended = await lightmamba(["update", ...args], options);
  return { ...ended, board };
}

/** What `update` fails with, in this process. */
async function failure(faults: Faults) {
  board?.close();
  rmSync(SOCKET, { force: true });
  board = new FakeBoard(SOCKET, faults);
  return { error: await rejectionOf(updateBoard(BUNDLE, { to: `unix:${SOCKET}`, baud: 0 })), board };
}

const hashOf = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

function assertWhole({ files }: FakeBoard): void {
  for (const { path, sha256 } of manifestOf(readFileSync(BUNDLE)).files)
    assert.equal(hashOf(files.get(path) ?? Buffer.alloc(0)), sha256, path);
}

describe("update", () => {
  it("sends the files, has them installed, and says what the board says", async () => {
    const { code, stdout, stderr, board } = await update();
    assert.equal(code, 0, stderr);
    assertWhole(board);
    assert.equal(stdout, `unix:${SOCKET}: model 0123456789abcdef (5.5 MB sent)\n`);
    assert.match(stderr, new RegExp(`^model [0-9a-f]{16}, to qemu, slot A, runtime ${OWN}$`, "m"));
    assert.match(stderr, /^board: testing it$/m);
    for (const phase of ["check", "send", "install"]) assert.match(stderr, new RegExp(`^${phase}: done \\(`, "m"));
    assert.deepEqual([board.heard[0], board.heard.at(-1)], ["/update", "quit"]);
  });

  it("sends what the board has not, and nothing where it has all", async () => {
    const paths = manifestOf(readFileSync(BUNDLE)).files.map(({ path }) => path);
    for (const has of [paths.slice(0, 1), paths]) {
      const { code, stdout, board } = await update({ has }, [BUNDLE, ...TO, "--json", "-q"]);
      const { sent, done } = JSON.parse(stdout);
      const expected = paths.filter((path) => !has.includes(path));
      assert.deepEqual([code, sent, [...board.files.keys()]], [0, expected, expected]);
      assert.deepEqual(done, { kind: "model", name: "0123456789abcdef", text: "model 0123456789abcdef" });
    }
  });

  const refused: [name: string, faults: Faults, exit: keyof typeof EXIT, message: RegExp][] = [
    [
      "another board",
      { ready: `update 1 ready ${OWN} vck190 A` },
      "verification",
      /a bundle for another board \(expected qemu, found vck190\)/,
    ],
    [
      "another runtime",
      { ready: "update 1 ready 0000000000000000 qemu A" },
      "verification",
      /for another runtime than the board's system \(expected runtime [0-9a-f]{16}, found 0{16}\)/,
    ],
    [
      "another protocol",
      { ready: "update 2 ready 0000000000000000 qemu A" },
      "unsupported",
      /another version of the protocol \(expected 1, found 2\)/,
    ],
    [
      "a board that takes none",
      { ready: "error this system has no key" },
      "device",
      /the board refuses: this system has no key/,
    ],
    ["a program without updates", { ready: "error: no such command" }, "device", /the board refuses: no such command/],
    [
      "too many users",
      { ready: "error: too many users (expected at most 8)" },
      "device",
      /the board refuses: too many users/,
    ],
    [
      "a signature that it does not know",
      { toHost: (line) => (line.startsWith("want") ? "error signed with another key" : line) },
      "device",
      /the board refuses: signed with another key/,
    ],
    [
      "a file that nobody has",
      { toHost: (line) => (line.startsWith("want") ? "want ../etc/passwd" : line) },
      "device",
      /wants a file that is not in the bundle \(found \.\.\/etc\/passwd\)/,
    ],
    [
      "another hash at the end",
      { toHost: (line) => line.replace(/^ok [0-9a-f]{64}$/, `ok ${"0".repeat(64)}`) },
      "verification",
      /model\/model\.safetensors: the board has other bytes than were sent/,
    ],
    [
      "an answer that does not fit",
      { toHost: (line) => line.replace(/^ok 24576$/, "ok 24577") },
      "device",
      /model\.safetensors, byte 0: the connection is too bad: no answer, or one that does not fit/,
    ],
    [
      "again and again",
      { toHost: (line) => line.replace(/^(ok [1-9]\d*|again \d+)$/, "again 0") },
      "device",
      /20 times nothing has arrived/,
    ],
    [
      "a board that is gone",
      { toBoard: (line, count) => (count === 30 ? "hang up" : line) },
      "device",
      /no connection to the board any more: /,
    ],
    [
      "no room",
      { toHost: (line, count) => (count === 40 ? "error no space left on the card" : line) },
      "device",
      /the board refuses: no space left on the card/,
    ],
    [
      "a self-test that fails",
      { install: ["note testing it", "error model 0123456789abcdef fails its self-test"] },
      "device",
      /fails its self-test/,
    ],
    [
      "something else that was done",
      { install: ["done nothing"] },
      "device",
      /the board did something else \(found nothing\)/,
    ],
  ];
  for (const [name, faults, exit, message] of refused)
    it(`ends where there is ${name}`, async () => {
      const { error, board } = await failure(faults);
      assert.match(error.message, message);
      assert.deepEqual([error.exit, board.installed], [exit, faults.install !== undefined]);
    });

  it("says at its end what the board has", async () => {
    for (const [faults, hint] of [
      [{ toBoard: (line, count) => (count === 30 ? "hang up" : line) }, /nothing has changed on the board$/m],
      [{ install: ["error it fails its self-test"] }, /the board was about to install it: it has either all of it or/],
    ] as [Faults, RegExp][]) {
      const { code, stdout, stderr } = await update(faults);
      assert.match(stderr, /^(send|install): failed \(.*\)$/m);
      assert.match(stderr, hint);
      assert.deepEqual([code, stdout], [EXIT.device, ""]);
    }
  });

  it("ends where nobody is", async () => {
    board?.close();
    rmSync(SOCKET, { force: true });
    for (const [to, exit, message] of [
      [
        `unix:${at("none")}`,
        "device",
        /none: no board answers: connect ENOENT.*\nhint: nothing has changed on the board; is `lightmamba serve --listen`/,
      ],
      ["127.0.0.1:1", "device", /127\.0\.0\.1:1: no board answers: connect ECONNREFUSED/],
      ["/dev/none", "device", /\/dev\/none: no such serial line/],
      [BUNDLE, "usage", /model\.lmb: is no serial line/],
      ["/dev/null", "device", /\/dev\/null: the serial line cannot be used: stty/],
      ["somewhere", "usage", /--to: not a way to a board \(expected unix:PATH, ADDRESS:PORT or .*, found somewhere\)/],
    ] as const) {
      const { code, stderr } = await lightmamba(["update", BUNDLE, "--to", to, "-q"]);
      assert.match(stderr, message);
      assert.equal(code, EXIT[exit]);
    }
  });

  it("says nothing to the board where the bundle is not whole", async () => {
    const bad = changed(BUNDLE, at("bad.lmb"), (bytes) => void bytes.writeUInt8(bytes[100_000]! ^ 1, 100_000));
    const strange = changed(
      BUNDLE,
      at("strange.lmb"),
      resigned(KEY, (m) => ({ ...m, board: "vck190" })),
    );
    for (const [path, exit, message] of [
      [bad, "verification", /the file is not as it was signed/],
      [strange, "badInput", /the model is for another board/],
      [at("none.lmb"), "badInput", /no such file/],
    ] as const) {
      const { code, stderr, board } = await update({}, [path, ...TO]);
      assert.match(stderr, message);
      assert.deepEqual([code, board.heard], [EXIT[exit], []]);
    }
  });

  for (const [name, when, state] of [
    ["while it sends", /^send: 50 %/m, "unchanged"],
    ["while the board installs", /^board: begins/m, "installing"],
  ] as const)
    it(`interrupted ${name}: says what the board has`, async () => {
      let sent = false;
      const { code, stdout, board } = await update({ install: ["note begins"] }, [BUNDLE, ...TO, "--json"], {
        onStderr: (all, child) => {
          if (!sent && when.test(all)) child.kill("SIGINT");
          sent ||= when.test(all);
        },
      });
      const { error } = JSON.parse(stdout);
      assert.deepEqual([code, error.exit, error.detail.state], [EXIT.interrupted, "interrupted", state]);
      assert.equal(board.installed, state === "installing");
    });
});

describe("a bad line", () => {
  const NOISY: Pace = { window: 1, pieceBytes: 2048, quietMs: 30, answerMs: 300 };
  const path = "model/tokenizer.json";

  /** Sends a file over a pair of pipes, by way of the same board. */
  async function send(faults: Faults, pace: Pace) {
    const socket = at("line");
    rmSync(socket, { force: true });
    const fake = new FakeBoard(socket, faults);
    const stream = connect(socket);
    const bundle = openBundle(BUNDLE);
    try {
      const lines = new BoardLines("a line", pace, stream.pipe(new PassThrough()), stream);
      await begin(lines, ["/update"]);
      const file = bundle.files.find((one) => one.path === path)!;
      const sent = await sendFile(lines, bundle, file, () => {});
      const got = fake.files.get(path)!;
      assert.equal(hashOf(got), file.sha256);
      return { ...sent, bytes: file.bytes };
    } finally {
      stream.destroy();
      bundle.file.close();
      fake.close();
    }
  }

  const every = (period: number, change: (line: string) => string | undefined) => (line: string, count: number) =>
    /^(data|ok \d+$|again)/.test(line) && count % period === period - 1 ? change(line) : line;
  const noises: [name: string, faults: Faults][] = [
    ["letters change on the way there", { toBoard: every(7, (line) => `${line.slice(0, 50)}#${line.slice(51)}`) }],
    ["lines are lost on the way there", { toBoard: every(29, () => undefined) }],
    ["lines are cut", { toBoard: every(9, (line) => line.slice(0, 100)) }],
    ["answers are lost", { toHost: every(29, () => undefined) }],
    ["answers are damaged", { toHost: every(11, (line) => line.slice(0, -1)) }],
    ["the kernel writes between", { toHost: every(5, (line) => `[   12.3] mmc0: something\r\n${line}`) }],
    ["the kernel writes into an answer", { toHost: every(31, (line) => `[  12.3] x${line}`) }],
  ];
  for (const [name, faults] of noises)
    it(`brings the file all the same where ${name}`, async () => {
      const { again } = await send(faults, NOISY);
      assert.ok(again >= 0);
    });

  it("with lines under way: goes back to where the board is", async () => {
    const faults = { toBoard: every(17, (line: string) => line.slice(0, -8)) };
    const { again } = await send(faults, { window: 8, pieceBytes: 2048, answerMs: 20_000 });
    assert.ok(again > 0);
  });

  it("that lets nothing through, or says nothing, is given up", async () => {
    const silent = await rejectionOf(
      send({ toBoard: (line) => (/^data/.test(line) ? undefined : line) }, { ...NOISY, answerMs: 5 }),
    );
    assert.match(silent.message, /tokenizer\.json, byte 0: the connection is too bad: 20 times nothing has arrived/);
    const deaf = await rejectionOf(send({ toBoard: (line) => (/^data/.test(line) ? "data x" : line) }, NOISY));
    assert.match(deaf.message, /20 times nothing has arrived/);
  });
});
