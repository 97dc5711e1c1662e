/** The board's program on the accelerator: the simulator plays it, on a file that stands for the UIO node. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import * as lm from "../../assembly/device.generated.ts";
import { prepareBoardModel } from "../../host/board/prepare.ts";
import { BOARDS } from "../../host/device/boards.generated.ts";
import { buildName, DeviceMemory, simulatorPath } from "../../host/device/index.ts";
import { EXIT } from "../../host/errors.ts";
import { boundCycles } from "../../host/estimate/estimate.ts";
import { readModelHeader } from "../../host/model/description.ts";
import { lightmamba } from "../cli/lightmamba.ts";
import { skipModels } from "../device/support.ts";
import { scratchFolder } from "../firmware.ts";
import { skipReason } from "../rtl/support.ts";
import { boardModel, MODEL, run, runnerFor, start } from "./support.ts";

const skip = runnerFor("native").skip || skipModels();
const folder = scratchFolder();
const model = skip ? "" : boardModel(folder);
const BYTES = 2 ** 24;
const ADDRESS = 0x6000_0000;
const FAR = 0x500_0000_0000;
const file = join(folder, "uio");
const board = boardOptions(model, [`${ADDRESS},${BYTES},4096`]);

let simulator: ChildProcess | undefined;

function boardOptions(model: string, places: readonly string[]): string[] {
  const memories = places.flatMap((place) => ["--memory", `${file},${place}`]);
  return ["--model", model, "--device", "board", "--uio", file, ...memories];
}

/** On a file with the register page, and memories behind it. */
async function startSimulator(build = "top", places = [`${ADDRESS},${BYTES},4096`]): Promise<void> {
  writeFileSync(file, "");
  truncateSync(file, 4096 + places.length * BYTES);
  const regions = places.flatMap((place) => ["--region", place]);
  simulator = spawn(simulatorPath(build), ["--file", file, ...regions], { stdio: "ignore" });
  const shared = DeviceMemory.open(file, 0, []);
  while (shared.readRegister(lm.REG_ID) !== lm.ID) await new Promise((resolve) => setTimeout(resolve, 5));
  shared.close();
}

describe("on the accelerator", { skip }, () => {
  before(() => startSimulator());
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

  it("bench tells the share of what memories and ports allow, where all of a token is the device's", () => {
    const bench = (partition: string) => {
      const { code, stdout, stderr } = run([
        "bench",
        ...board,
        "--partition",
        partition,
        "-n",
        "2",
        "--prefill",
        "2",
        "--json",
      ]);
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout);
    };
    const { boundTokensPerSecond, shareOfBound, decodeTokensPerSecond, cyclesPerToken } = bench("fused");
    assert.equal(shareOfBound, decodeTokensPerSecond / boundTokensPerSecond);
    // Of the board's memory: this simulation's has no such timing
    const build = { stateLanes: 2, prefetch: 1024 };
    const configuration = { board: BOARDS.qemu, build, partition: "fused", serial: [] } as const;
    const cycles = boundCycles(readModelHeader(MODEL), configuration);
    assert.equal(boundTokensPerSecond, (BOARDS.qemu.clock_mhz * 1e6) / cycles);
    assert.ok(cycles > 0.5 * cyclesPerToken && cycles < 2 * cyclesPerToken, `${cycles}, ${cyclesPerToken}`);
    const split = bench("split");
    assert.deepEqual([split.boundTokensPerSecond, split.shareOfBound], [null, null]);
  });

  it("doctor opens it, and names one that is not there", () => {
    assert.match(run(["doctor", ...board]).stdout, /^ok {4}device: as --device says: version 1\.2, 1 ports, 16 MB$/m);
    const none = board.map((word) => (word === file ? join(folder, "none") : word));
    const { code, stdout } = run(["doctor", ...none]);
    assert.match(stdout, /^fail {2}device: .*none: cannot be opened/m);
    assert.equal(code, EXIT.prerequisite);
  });

  it("auto takes what is named, and says so; two at once are refused", async () => {
    const auto = board.map((word) => (word === "board" ? "auto" : word));
    const first = start(["serve", ...auto, "-n", "4"]);
    try {
      first.stdin!.write("It was\n");
      for await (const chunk of first.stdout!) if (String(chunk).includes("\n")) break;
      const second = run(["run", "Hello", "-n", "1", ...board]);
      assert.deepEqual([second.code, /in use by process \d+/.test(second.stderr)], [EXIT.device, true], second.stderr);
      assert.match(run(["doctor", ...board]).stdout, /^ok {4}device: .*in use by process \d+$/m);
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

describe("on an accelerator with four ports at two memories", { skip: skip || skipReason("top-p4") }, () => {
  const places = [`${ADDRESS},${BYTES},4096`, `${FAR},${BYTES},${4096 + BYTES}`];
  const prepared = join(folder, "model-vck190");
  const options = boardOptions(prepared, places);
  const text = ["run", "Once upon", "--seed", "3", "-n", "3"];
  before(async () => {
    prepareBoardModel(MODEL, prepared, { board: "vck190" });
    await startSimulator(buildName(4), places);
  });
  after(() => simulator?.kill("SIGKILL"));

  it("the tokens of the host", async () => {
    const expected = await lightmamba(text);
    const { code, stdout, stderr } = run([...text, ...options]);
    assert.deepEqual([code, stdout], [0, expected.stdout], stderr);
    assert.match(stderr, /\[board, fused, 4 ports: \d+ cycles a token\]/);
  });

  it("a memory that is missing is named", () => {
    const { code, stderr } = run([...text, ...boardOptions(prepared, places.slice(0, 1))]);
    assert.match(stderr, /memory 1: the device's memory is too small for the model/);
    assert.equal(code, EXIT.device);
  });
});
