/** Updates line by line, at the prompt and in `serve`: over connections that spoil lines, end anywhere, or say something else. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { describe, it } from "node:test";
import { EXIT } from "../../host/errors.ts";
import { scratchFolder, withoutProgram } from "../firmware.ts";
import { mutate, randomOf } from "../fuzz/random.ts";
import { Card, headOf, modelId, modelParts, newKey, runtimeOf } from "./bundle.ts";
import { Models } from "./models.ts";
import { dataLine, headLines, Talk, updateLines } from "./sender.ts";
import { run, runnerFor, start } from "./support.ts";

const { skip, runner, runtime: built } = runnerFor("native");
const folder = scratchFolder();
const models = skip ? undefined : new Models(folder);
const [model, other] = [models?.model ?? "", models?.other() ?? ""];
const [runtime, oldId, newId] = skip ? ["", "", ""] : [runtimeOf(model), modelId(model), modelId(other)];
const key = newKey();
const parts = skip ? undefined : modelParts(other);
const lines = parts ? updateLines(parts, key) : [];
const MOST_LINE = 65536;
const ROUNDS = 60;

const newCard = () => new Card(mkdtempSync(join(folder, "card-")), model, key);

function assertOld(card: Card): void {
  assert.equal(card.current(runtime), oldId);
  assert.deepEqual([card.names("models"), card.names("current")], [[oldId], [runtime]]);
}

/** `update receive` as the console has it, until it has ended. */
async function receiving(card: Card, action: (talk: Talk, kill: () => void) => Promise<void>) {
  const child = start(["update", "receive", ...card.options]);
  const closed = new Promise<number | null>((resolve) => child.once("close", resolve));
  const talk = new Talk(child.stdin!, child.stdout!);
  try {
    assert.match((await talk.line()) ?? "", new RegExp(`^update 1 ready ${runtime} qemu -$`));
    await action(talk, () => child.kill("SIGKILL"));
    talk.end();
    while ((await talk.line()) !== undefined);
    return { code: await closed, notes: talk.notes };
  } finally {
    child.kill("SIGKILL");
  }
}

/** All of them, answered well. */
async function send(talk: Talk, all: string[]): Promise<string | undefined> {
  let answer: string | undefined;
  for (const line of all) {
    answer = await talk.ask(line);
    assert.match(answer ?? "the end", /^(ok|want|done) /, line.slice(0, 60));
  }
  return answer;
}

describe("update receive", { skip }, () => {
  it("installs and tests what has come, and then another", async () => {
    const card = newCard();
    const { code, notes } = await receiving(card, async (talk) => {
      assert.equal(await send(talk, lines), `done model ${newId}`);
      assert.equal(card.current(runtime), newId);
      const back = updateLines(modelParts(model), key);
      assert.equal(await send(talk, back), `done model ${oldId}`);
      talk.send("quit");
    });
    assert.equal(code, 0);
    assert.ok(notes.includes("note A test") && notes.some((note) => /text: 8 tokens/.test(note)), notes.join("\n"));
    assertOld(card);
  });

  it("wants only what is not there", async () => {
    const again = modelParts(models!.again());
    await receiving(newCard(), async (talk) => {
      const [head = ""] = headLines(headOf(JSON.stringify(again.manifest), key));
      assert.equal(await talk.ask(head), "want model/setup.json");
      talk.send("quit");
    });
  });

  it("takes a head in several lines, and says how much has come", async () => {
    await receiving(newCard(), async (talk) => {
      const head = headOf(JSON.stringify(parts!.manifest), key);
      assert.equal(await talk.ask(`head+ ${head.subarray(0, 99).toString("base64")}`), "ok 99");
      assert.match((await talk.ask(`head ${head.subarray(99).toString("base64")}`)) ?? "", /^want model\/model/);
      talk.send("quit");
    });
  });

  it("asks again for lines that were spoilt on their way, and for those out of order", async () => {
    const card = newCard();
    await receiving(card, async (talk) => {
      const [head = "", file = "", first = "", second = ""] = lines;
      await send(talk, [head, file, first]);
      const at = 24 * 1024;
      const spoilt = [
        first,
        second.replace(/ [0-9a-f]+ /, " 0 "),
        second.replace(/.{8}$/, "AAAAAAA="),
        second.replace("data", "dat\u0000"),
        `${second} more`,
        "data",
        "data -1 0 AAAA",
        dataLine(Buffer.alloc(100), at + 100),
        "install",
        Buffer.from([0xff, 0xfe]),
        "x".repeat(MOST_LINE + 1),
        "",
      ];
      for (const line of spoilt) assert.equal(await talk.ask(line), `again ${at}`, String(line).slice(0, 40));
      assert.equal(await send(talk, lines.slice(3)), `done model ${newId}`);
      talk.send("quit");
    });
    assert.equal(card.current(runtime), newId);
  });

  it("begins anew for a sender that does", async () => {
    const card = newCard();
    await receiving(card, async (talk) => {
      await send(talk, lines.slice(0, 5));
      assert.match((await talk.ask("\u0015/update")) ?? "", /^update 1 ready/);
      assert.equal(await send(talk, lines), `done model ${newId}`);
      talk.send("quit");
    });
    assert.equal(card.current(runtime), newId);
  });

  it("keeps the model that is there where the new one fails its test", async () => {
    const card = newCard();
    const wrong = modelParts(models!.wrong());
    const { code } = await receiving(card, async (talk) => {
      const [head = ""] = headLines(headOf(JSON.stringify(wrong.manifest), key));
      const setup = wrong.files[2]!;
      await send(talk, [head, "file model/setup.json"]);
      for (let at = 0; at < setup.length; at += 20_000)
        await send(talk, [dataLine(setup.subarray(at, at + 20_000), at)]);
      await send(talk, ["end"]);
      assert.match((await talk.ask("install")) ?? "", /^error .*its self-test failed: exit code 6/);
    });
    assert.equal(code, EXIT.verification);
    assertOld(card);
  });

  it("two at once: the second is told", async () => {
    const card = newCard();
    await receiving(card, async (talk) => {
      await send(talk, lines.slice(0, 2));
      const { code } = await receiving(card, async (second) => {
        assert.match((await second.ask(lines[0] ?? "")) ?? "", /^error another update is under way/);
      });
      assert.equal(code, EXIT.usage);
      talk.send("quit");
    });
    assertOld(card);
  });
});

describe("what is refused ends the session, and changes nothing", { skip }, () => {
  const [head = "", ...rest] = lines;
  const [file = "", first = "", ...more] = rest;
  const end = rest.indexOf("end");
  const cases: [name: string, before: string[], line: string | Buffer, message: RegExp][] = [
    ["an unknown line", [], "rm -rf", /not a line that is expected here: rm -rf/],
    ["a line for a terminal", [], "\u001b[2J", /expected here: \\u\{1b\}\[2J/],
    ["a line that is too long", [], `head ${"A".repeat(MOST_LINE)}`, /the line is too long/],
    ["no UTF-8", [], Buffer.from([0xff]), /not UTF-8/],
    ["a file before the head", [], "file model/setup.json", /not a line that is expected here/],
    ["data before the file", [head], first, /not a line that is expected here/],
    ["install before anything", [], "install", /nothing has come/],
    ["install before the files", [head], "install", /files are missing \(expected model\/model\.safetensors\)/],
    ["a second head", [head], head, /not a line that is expected here/],
    ["no base64", [], "head !", /head: not base64/],
    ["no bundle", [], `head ${Buffer.alloc(4096, "x").toString("base64")}`, /magic: not a bundle/],
    ["a head that was cut", [], `head ${headOf("{}", key).subarray(0, 80).toString("base64")}`, /the head was cut/],
    [
      "a head that is too long",
      [],
      headLines(Buffer.concat([headOf("{}", key), Buffer.alloc(1)]))[0] ?? "",
      /another size/,
    ],
    [
      "another's key",
      [],
      headLines(headOf(JSON.stringify(parts?.manifest), newKey()))[0] ?? "",
      /key id: signed with a key/,
    ],
    ["a file that is not wanted", [head], "file system.squashfs", /system\.squashfs: not a file that is wanted/],
    ["a path outside", [head], "file ../../etc/passwd", /not a file that is wanted/],
    ["a file that ends too early", [head, file, first], "end", /the file was cut \(expected \d+ bytes, found 24576\)/],
    ["a file twice", [head, file, first, ...more.slice(0, end - 1)], file, /not a file that is wanted/],
  ];
  for (const [name, before, line, message] of cases) {
    it(name, async () => {
      const card = newCard();
      const { code } = await receiving(card, async (talk) => {
        await send(talk, before);
        assert.match((await talk.ask(line)) ?? "the end", /^error /);
        talk.send("never read");
      });
      assert.notEqual(code, 0);
      assertOld(card);
      // Once more, for what it says
      const input = Buffer.concat([...before, line].flatMap((one) => [Buffer.from(one), Buffer.from("\n")]));
      assert.match(run(["update", "receive", ...card.options], { stdin: input }).stderr, message);
    });
  }

  it("a head of many lines is bounded", async () => {
    const card = newCard();
    await receiving(card, async (talk) => {
      const line = `head+ ${Buffer.alloc(30_000).toString("base64")}`;
      let answer: string | undefined;
      for (let i = 0; i < 40 && !answer?.startsWith("error"); i++) answer = await talk.ask(line);
      assert.match(answer ?? "", /error head: too large \(expected at most 1048664 bytes/);
    });
    assertOld(card);
  });

  it("a changed byte, and one too many", async () => {
    const card = newCard();
    const setup = parts!.files[2]!;
    const tokenizer = rest.indexOf("file model/setup.json");
    const before = [head, ...rest.slice(0, tokenizer)];
    const changed = Buffer.from(setup);
    changed[100]! ^= 1;
    for (const [bytes, message] of [
      [changed, /error model\/setup\.json: the file was changed/],
      [Buffer.concat([setup, Buffer.alloc(1)]), /error model\/setup\.json: more than the manifest says/],
    ] as const) {
      await receiving(card, async (talk) => {
        await send(talk, [...before, "file model/setup.json"]);
        let answer: string | undefined = "ok";
        for (let at = 0; at < bytes.length && answer?.startsWith("ok"); at += 24_000)
          answer = await talk.ask(dataLine(bytes.subarray(at, at + 24_000), at));
        if (answer?.startsWith("ok")) answer = await talk.ask("end");
        assert.match(answer ?? "", message);
      });
      assertOld(card);
    }
  });

  it("only noise", async () => {
    const card = newCard();
    await receiving(card, async (talk) => {
      await send(talk, [head, file]);
      let count = 0;
      while ((await talk.ask("noise")) === "again 0") count++;
      assert.equal(count, 1000);
    });
    assertOld(card);
  });
});

describe("lines of any kind", { skip }, () => {
  it(`end in an error, ${ROUNDS} times, and change nothing`, () => {
    const card = newCard();
    const good = [...lines.slice(0, 4), "end", "install", "quit", "/update", "head+ AAAA"].map((line) =>
      Buffer.from(line),
    );
    const pick = randomOf(17);
    for (let round = 0; round < ROUNDS; round++) {
      // Seldom anything that is good to its end: installing takes all lines of a file
      const sent = Array.from({ length: 1 + pick(12) }, () => good[pick(good.length)]!);
      sent.unshift(...good.slice(0, pick(4)));
      const spoilt = sent.map((line) => (pick(2) === 0 ? line : mutate(line, pick)));
      const stdin = Buffer.concat(spoilt.flatMap((line) => [line, Buffer.from("\n")]));
      const { code, stdout } = run(["update", "receive", ...card.options], { stdin });
      assert.ok(
        [0, ...Object.values(EXIT)].includes(code!) && code !== EXIT.bug,
        `round ${round}: ${code} ${stdout.slice(-200)}`,
      );
      assertOld(card);
    }
  });
});

describe("a connection that ends", { skip }, () => {
  const last = lines.length - 1;
  const ends = lines.flatMap((line, i) => (/^(head|file|end|install)/.test(line) ? [i] : []));
  const moments = [0, ...ends.flatMap((i) => [i, i + 1]), 3, 50].filter(
    (count, i, all) => count <= last && all.indexOf(count) === i,
  );

  for (const count of moments) {
    it(`after ${count} lines: nothing is left`, async () => {
      const card = newCard();
      const { code } = await receiving(card, (talk) => send(talk, lines.slice(0, count)).then(() => {}));
      assert.equal(code, EXIT.badInput);
      assertOld(card);
    });

    it(`killed after ${count} lines: the next start removes what is left`, async () => {
      const card = newCard();
      await receiving(card, async (talk, kill) => {
        await send(talk, lines.slice(0, count));
        kill();
      });
      assert.equal(card.current(runtime), oldId);
      assert.equal(run(["update", "finish", ...card.options]).code, 0);
      assertOld(card);
    });
  }
});

describe("serve and /update", { skip }, () => {
  const words = ["-n", "4"];

  it("on the console: the conversation goes on, then it begins anew with the new model", async () => {
    const card = newCard();
    const child = start(["serve", ...card.options, ...words]);
    const talk = new Talk(child.stdin!, child.stdout!);
    try {
      const text = await talk.ask("It was");
      assert.match((await talk.ask("/update")) ?? "", /^update 1 ready/);
      assert.match((await talk.ask("nothing")) ?? "", /^error not a line/);
      assert.equal(await talk.ask("/reset"), "ok");
      assert.equal(await talk.ask("It was"), text);
      assert.match((await talk.ask("/update")) ?? "", /^update 1 ready/);
      assert.equal(await send(talk, lines), `done model ${newId}`);
      assert.match(talk.notes.at(-1)!, /serve begins anew when nobody talks to it/);
      assert.equal(card.current(runtime), oldId);
      talk.send("quit");
      while (card.names("current").length > 1 || card.current(runtime) === oldId)
        await new Promise((go) => setTimeout(go, 50));
      assert.equal(await talk.ask("It was"), text);
      assert.equal(card.current(runtime), newId);
      talk.end();
      assert.equal(await new Promise((resolve) => child.once("close", resolve)), 0);
    } finally {
      child.kill("SIGKILL");
    }
  });

  it("on a socket: others are answered meanwhile; when the last has gone it begins anew", async () => {
    const card = newCard();
    const path = join(folder, "socket");
    const child = start(["serve", ...card.options, ...words, "--listen", `unix:${path}`]);
    const listening = async () => {
      for await (const chunk of child.stderr!.iterator({ destroyOnReturn: false }))
        if (String(chunk).includes("listening on")) return;
    };
    const user = () => {
      const socket = createConnection(path);
      return new Talk(socket, socket);
    };
    try {
      await listening();
      const [sender, friend] = [user(), user()];
      const text = await friend.ask("It was");
      assert.match((await sender.ask("/update")) ?? "", /^update 1 ready/);
      await send(sender, lines.slice(0, 100));
      await friend.ask("/reset");
      assert.equal(await friend.ask("It was"), text);
      assert.equal(await send(sender, lines.slice(100)), `done model ${newId}`);
      sender.send("quit");
      assert.equal(await sender.ask("It was"), text);
      sender.end();
      assert.match((await friend.ask("")) ?? "", /./);
      assert.equal(card.current(runtime), oldId);
      friend.end();
      await listening();
      assert.equal(card.current(runtime), newId);
      assert.equal(await user().ask("It was"), text);
    } finally {
      child.kill("SIGKILL");
    }
  });
});

describe("on a terminal", { skip: skip || withoutProgram("script") }, () => {
  it("lines of any length come, nothing is echoed, and the terminal is as before", async () => {
    const card = newCard();
    const command = [
      "stty -a",
      `${runner} update receive ${card.options.join(" ")} --runtime ${built}`,
      "stty -a",
    ].join("; ");
    const child = spawn("script", ["-q", "-c", command, "/dev/null"], { stdio: ["pipe", "pipe", "inherit"] });
    const talk = new Talk(child.stdin!, child.stdout!);
    const setting = async () => {
      let text = "";
      for (let line = await talk.line(); line !== undefined; line = await talk.line()) {
        if (line.startsWith("update 1 ready")) break;
        text += `${line}\n`;
      }
      return text;
    };
    try {
      const before = await setting();
      assert.match(before, / icanon/);
      assert.ok(lines[3]!.length > 4096);
      assert.equal(await send(talk, lines), `done model ${newId}`);
      talk.send("quit");
      assert.equal(await setting(), before);
    } finally {
      child.kill("SIGKILL");
    }
    assert.equal(card.current(runtime), newId);
  });
});
