/** The board's program on the accelerator: the simulator plays it, on a file that stands for the UIO node. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import * as lm from "../../assembly/device.generated.ts";
import { DeviceMemory, simulatorPath } from "../../host/device/index.ts";
import { EXIT } from "../../host/errors.ts";
import { lightmamba } from "../cli/lightmamba.ts";
import { skipModels } from "../device/support.ts";
import { boardModel, run, runnerFor, scratchFolder, start } from "./support.ts";

const skip = runnerFor("native").skip || skipModels();
const folder = scratchFolder();
const model = skip ? "" : boardModel(folder);
const BYTES = 2 ** 24;
const ADDRESS = 0x6000_0000;
const file = join(folder, "uio");
const board = ["--model", model, "--device", "board", "--uio", file, "--memory", `${file},${ADDRESS},${BYTES},4096`];

let simulator: ChildProcess | undefined;

async function startSimulator(): Promise<void> {
  writeFileSync(file, "");
  truncateSync(file, 4096 + BYTES);
  simulator = spawn(simulatorPath("top"), ["--file", file, "--region", `${ADDRESS},${BYTES},4096`], {
    stdio: "ignore",
  });
  const shared = DeviceMemory.open(file, 0, []);
  while (shared.readRegister(lm.REG_ID) !== lm.ID) await new Promise((resolve) => setTimeout(resolve, 5));
  shared.close();
}

describe("on the accelerator", { skip }, () => {
  before(startSimulator);
  after(() => simulator?.kill("SIGKILL"));

  for (const partition of ["fused", "split"]) {
    it(`${partition}: the tokens of the host`, async () => {
      const text = ["run", "Once upon", "--seed", "3", "-n", "6"];
      const expected = await lightmamba(text);
      const { code, stdout, stderr } = run([...text, ...board, "--partition", partition]);
      assert.deepEqual([code, stdout], [0, expected.stdout], stderr);
      assert.match(stderr, new RegExp(`\\[board, ${partition}, 1 port: \\d+ cycles a token\\]`));
    });
  }

  it("selftest goes from the id to text", () => {
    const { code, stdout, stderr } = run(["selftest", ...board, "--json"]);
    const names = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).name);
    assert.deepEqual([code, names], [0, ["identity", "copy", "model", "text"]], stderr);
  });

  it("auto takes what is named, and says so; two at once are refused", async () => {
    const auto = board.map((word) => (word === "board" ? "auto" : word));
    const first = start(["serve", ...auto, "-n", "4"]);
    try {
      first.stdin!.write("It was\n");
      for await (const chunk of first.stdout!) if (String(chunk).includes("\n")) break;
      const second = run(["run", "Hello", "-n", "1", ...board]);
      assert.deepEqual([second.code, /in use by process \d+/.test(second.stderr)], [EXIT.device, true], second.stderr);
    } finally {
      first.kill();
    }
  });

  it("whose simulator has ended, or is too small for the model, is a clear error", async () => {
    const small = board.map((word) => word.replace(`,${BYTES},`, ",65536,"));
    const tight = run(["run", "Hello", "-n", "1", ...small]);
    assert.deepEqual([tight.code, /too small/.test(tight.stderr)], [EXIT.device, true], tight.stderr);
    const child = start(["serve", ...board, "-n", "200"]);
    let text = "";
    child.stdin!.write("It was\n");
    for await (const chunk of child.stdout!) {
      if (text === "") simulator!.kill("SIGKILL");
      text += chunk;
      if (text.includes("error:")) break;
    }
    assert.match(text, /error: .*has ended/);
    child.kill();
  });
});
