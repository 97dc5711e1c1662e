/** A program that is looked after: what crashes or is stuck starts again and is counted, what is well is left alone. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { EXIT } from "../../host/errors.ts";
import { scratchFolder } from "../firmware.ts";
import { Talk } from "./sender.ts";
import { boardModel, run, runnerFor, start } from "./support.ts";

const { skip: unbuilt } = runnerFor("native");
const skip = unbuilt || process.platform !== "linux";
const folder = scratchFolder();
const model = skip ? "" : boardModel(folder);
const serve = ["--", "serve", "--model", model, "--device", "wasm", "-n", "4"];

const newData = () => mkdtempSync(join(folder, "data-"));
const optionsOf = (data: string) => ["--data", data, "--watchdog", join(data, "watchdog"), "--silence", "3"];
const counters = (data: string) => JSON.parse(readFileSync(join(data, "crashes.json"), "utf8"));
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Of the program that is looked after. */
function childOf({ pid }: ChildProcess): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim());
}

const alive = (pid: number) =>
  existsSync(`/proc/${pid}`) && !/State:\sZ/.test(readFileSync(`/proc/${pid}/status`, "utf8"));

/** serve, looked after: what it says on standard error, and its conversation. */
async function supervised(
  data: string,
  action: (talk: Talk, supervisor: ChildProcess, said: () => string) => Promise<void>,
  args: string[] = serve,
): Promise<{ code: number | null; said: string }> {
  const supervisor = start(["supervise", ...optionsOf(data), ...args]);
  const closed = new Promise<number | null>((resolve) => supervisor.once("close", resolve));
  let said = "";
  supervisor.stderr!.on("data", (text) => {
    said += text;
  });
  const talk = new Talk(supervisor.stdin!, supervisor.stdout!);
  try {
    await action(talk, supervisor, () => said);
    talk.end();
    while ((await talk.line()) !== undefined);
    return { code: await closed, said };
  } finally {
    supervisor.kill("SIGKILL");
  }
}

describe("supervise", { skip }, () => {
  it("leaves alone what is well: waiting, busy, or at its end", async () => {
    const data = newData();
    const { code, said } = await supervised(data, async (talk, supervisor) => {
      await talk.ask("It was");
      await pause(5000);
      assert.equal(await talk.ask("/tokens 100000"), "ok");
      const answer = talk.ask("");
      await pause(5000);
      process.kill(childOf(supervisor), "SIGINT");
      assert.ok(await answer);
    });
    assert.deepEqual([code, said], [0, ""]);
    const { starts, crashes, last } = counters(data);
    assert.deepEqual([starts, crashes, last], [1, {}, null]);
  });

  it("starts again what was killed, and what is stuck", async () => {
    const data = newData();
    const { code, said } = await supervised(data, async (talk, supervisor) => {
      const text = await talk.ask("It was");
      process.kill(childOf(supervisor), "SIGABRT");
      assert.equal(await talk.ask("It was"), text);
      process.kill(childOf(supervisor), "SIGSTOP");
      assert.equal(await talk.ask("It was"), text);
    });
    assert.equal(code, 0);
    assert.equal(
      said,
      "serve crashed (signal 6); it starts again in 1 s\nserve gave no sign of life for 3 s, and was killed; it starts again in 2 s\n",
    );
    const { starts, crashes, last } = counters(data);
    assert.deepEqual([starts, crashes, last.reason], [3, { "signal 6": 1, stuck: 1 }, "stuck"]);
    assert.ok(Math.abs(last.time - Date.now() / 1000) < 60);
  });

  it("gives up what crashes again and again", async () => {
    const data = newData();
    const { code, said } = await supervised(data, async (talk, supervisor) => {
      for (let i = 0; i < 5; i++) {
        assert.ok(await talk.ask("It was"));
        process.kill(childOf(supervisor), "SIGKILL");
      }
    });
    assert.match(
      said,
      /starts again in 8 s\nlightmamba: serve crashed \(signal 9\): 5 times within 10 minutes, it is not started again\nhint/,
    );
    assert.equal(code, EXIT.bug);
    const { starts, crashes, given_up } = counters(data);
    assert.deepEqual([starts, crashes, given_up], [5, { "signal 9": 5 }, 1]);
  });

  it("does not start again what ended by its own decision", async () => {
    const data = newData();
    const none = ["--", "serve", "--model", join(folder, "none"), "--device", "wasm"];
    const { code, said } = await supervised(data, async () => {}, none);
    assert.match(said, /^lightmamba: .*none\/setup\.json: no such file.*\nhint: .*\n$/);
    assert.equal(code, EXIT.badInput);
    assert.equal(counters(data).starts, 1);
  });

  it("ends with its child, and its child with it", async () => {
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      let pid = 0;
      await supervised(newData(), async (talk, supervisor) => {
        await talk.ask("It was");
        pid = childOf(supervisor);
        supervisor.kill(signal);
      });
      for (let i = 0; i < 50 && alive(pid); i++) await pause(100);
      assert.ok(!alive(pid), signal);
    }
  });

  it("keeps the watchdog quiet, and switches it off at its end", async () => {
    const data = newData();
    const path = join(data, "watchdog");
    writeFileSync(path, "");
    await supervised(data, async (talk) => {
      await talk.ask("It was");
      await pause(2500);
      const count = readFileSync(path).length;
      assert.ok(count >= 3, `${count} signs`);
    });
    assert.match(readFileSync(path, "latin1"), /^\0+V$/);
    // A machine without one
    rmSync(path);
    mkdirSync(path);
    const { code, said } = await supervised(data, async () => {});
    assert.match(said, /watchdog: Is a directory.*: nobody restarts a board that is stuck/);
    assert.equal(code, 0);
  });

  it("counts anew where the counters are damaged, and serves where they cannot be written", async () => {
    const data = newData();
    const path = join(data, "crashes.json");
    for (const [text, message] of [
      ["{", /crashes\.json: damaged: .*: counters begin anew/],
      ["x".repeat(70_000), /crashes\.json: too large/],
      [
        `{"format":"lightmamba-crashes","version":2,"starts":1,"crashes":{},"given_up":0,"last":null}`,
        /another version/,
      ],
    ] as const) {
      writeFileSync(path, text);
      const { code, said } = await supervised(data, async () => {});
      assert.match(said, message);
      assert.deepEqual([code, counters(data).starts], [0, 1]);
    }
    const { code, said } = await supervised(join(folder, "no-data"), async () => {});
    assert.match(said, /^counters: .*no-data\/crashes\.json: cannot be written/);
    assert.equal(code, 0);
  });

  it("nothing, and what is no option, is refused; --clear clears", () => {
    const data = newData();
    assert.match(run(["supervise", ...optionsOf(data)]).stderr, /nothing to supervise/);
    assert.equal(run(["supervise", "--silence", "0", ...serve]).code, EXIT.usage);
    writeFileSync(join(data, "crashes.json"), "{");
    assert.deepEqual(run(["supervise", "--clear", "--data", data]), {
      code: 0,
      stdout: "counters are 0\n",
      stderr: "",
    });
    assert.equal(counters(data).starts, 0);
  });
});

describe("doctor", { skip }, () => {
  it("tells of crashes, updates and slots", () => {
    const data = newData();
    const doctor = ["doctor", "--model", model, "--data", data, "--device", "wasm"];
    const rows = (stdout: string) =>
      stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
    const crashesOf = () => rows(run([...doctor, "--json"]).stdout).find(({ name }) => name === "crashes");
    assert.deepEqual(crashesOf().counters.crashes, {});
    const last = { reason: "stuck", time: 5 };
    const record = {
      format: "lightmamba-crashes",
      version: 1,
      starts: 9,
      crashes: { "signal 9": 2, stuck: 1 },
      given_up: 1,
      last,
    };
    writeFileSync(join(data, "crashes.json"), JSON.stringify(record));
    assert.deepEqual(crashesOf().counters, record);
    const { code, stdout } = run(doctor);
    assert.match(
      stdout,
      /^ok {4}crashes: 9 starts, 3 crashes, given up 1 times \(signal 9: 2, stuck: 1\); the last at 1970-01-01 00:00 UTC: stuck$/m,
    );
    assert.match(stdout, /^ok {4}updates: none under way; without a key there are none$/m);
    assert.match(stdout, /^ok {4}slots: none: not one of our cards$/m);
    assert.equal(code, 0);
    writeFileSync(join(data, "crashes.json"), "{");
    const damaged = run(doctor);
    assert.match(damaged.stdout, /^fail {2}crashes: .*damaged/m);
    assert.equal(damaged.code, EXIT.prerequisite);
  });
});
