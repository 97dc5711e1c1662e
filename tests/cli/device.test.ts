/** `run --device rtl` from end to end, and what becomes of it when it is stopped or its simulator dies. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import { EXIT } from "../../host/errors.ts";
import { skipModels } from "../device/support.ts";
import { built, type Ended } from "./lightmamba.ts";

const scratch = mkdtempSync(join(tmpdir(), "lightmamba-run-device-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

const skip = skipModels();

function records({ stdout }: Ended) {
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

/** Processes whose parent it is. */
function childrenOf(pid: number): number[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const text = readFileSync(`/proc/${name}/stat`, "utf8");
      return Number(text.slice(text.lastIndexOf(")") + 4).split(" ")[0]) === pid ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}

/** Gone, or ended and not collected by its parent yet. */
async function gone(pid: number): Promise<boolean> {
  for (let i = 0; i < 200; i++) {
    if (!existsSync(`/proc/${pid}`) || / [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"))) return true;
    await setTimeout(20);
  }
  return false;
}

/** In a process group of its own, as a shell starts it; `act` once the first token is there. */
function running(
  args: string[],
  act: (child: ChildProcess, simulator: number) => void,
): Promise<Ended & { simulator: number }> {
  return new Promise((resolve) => {
    const main = join(import.meta.dirname, "../../build/js/host/cli/main.js");
    const child = spawn(process.execPath, [main, "run", "--device", "rtl", ...args], {
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [stdout, stderr, simulator] = ["", "", 0];
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      if (stdout === "") {
        [simulator = 0] = childrenOf(child.pid!);
        assert.ok(simulator > 0);
        act(child, simulator);
      }
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr, simulator }));
  });
}

describe("run --device rtl", { skip }, () => {
  it("writes the text that --device wasm writes, and what it takes in simulation", async () => {
    const args = ["run", "The", "-n", "3", "--seed", "3", "--json"];
    const [wasm, rtl] = await Promise.all([built(args), built([...args, "--device", "rtl", "--ports", "4"])]);
    assert.equal(rtl.code, 0, rtl.stderr);
    assert.deepEqual(records(rtl).slice(0, -1), records(wasm).slice(0, -1));
    const { device, partition, ports, cyclesPerToken, clockMhz, simulatedTokensPerSecond } =
      records(rtl).at(-1).summary;
    assert.deepEqual([device, partition, ports, clockMhz], ["rtl", "fused", 4, 300]);
    assert.ok(cyclesPerToken > 10_000 && cyclesPerToken < 10_000_000, String(cyclesPerToken));
    assert.ok(Math.abs(simulatedTokensPerSecond - 300e6 / cyclesPerToken) < 0.01 * simulatedTokensPerSecond);
  });

  it("says so for people, and that it is a simulation", async () => {
    const { code, stderr } = await built([
      "run",
      "The",
      "-n",
      "2",
      "--greedy",
      "--device",
      "rtl",
      "--partition",
      "split",
    ]);
    assert.equal(code, 0, stderr);
    assert.match(
      stderr,
      /\[simulated RTL, split, 1 port: \d+ cycles a token, \d+ tok\/s at 300 MHz; never measured on silicon\]\n$/,
    );
  });

  it("saves a conversation that WebAssembly goes on with, and the other way round", async () => {
    const ids = async (...args: string[]) =>
      records(await built(["run", ...args, "--json", "--greedy"]))
        .slice(0, -1)
        .map(({ id }) => id);
    const [one, two] = [join(scratch, "1.state"), join(scratch, "2.state")];
    const whole = await ids("Once", "-n", "6");
    const first = await ids("Once", "-n", "2", "--device", "rtl", "--save-state", one);
    const second = await ids("-n", "2", "--load-state", one, "--save-state", two);
    const third = await ids("-n", "2", "--device", "rtl", "--load-state", two);
    assert.deepEqual([...first, ...second, ...third], whole);
  });

  it("ends with 130 at Ctrl-C, which the simulator hears too, and leaves nothing behind", async () => {
    const { code, stdout, stderr, simulator } = await running(["-n", "1000"], (child) => {
      process.kill(-child.pid!, "SIGINT");
    });
    assert.deepEqual([code, stderr], [EXIT.interrupted, ""]);
    assert.ok(stdout.endsWith("\n"));
    assert.ok(await gone(simulator));
  });

  it("ends with 130 where it alone hears of it", async () => {
    const { code, simulator } = await running(["-n", "1000"], (child) => void child.kill("SIGINT"));
    assert.equal(code, EXIT.interrupted);
    assert.ok(await gone(simulator));
  });

  it("whose simulator is killed at work, says so and does not hang", async () => {
    const { code, stderr } = await running(["-n", "1000"], (_, simulator) => void process.kill(simulator, "SIGKILL"));
    assert.equal(code, EXIT.device);
    assert.match(stderr, /^lightmamba: the simulator has ended \(killed\?\), while waiting for command \d+/);
  });
});
