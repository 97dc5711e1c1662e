/** The board's `bench` and power monitors: the same as the host's of the same folder (docs/power.md), and no fault where they are broken. */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import { addMonitor, alternating } from "../bench/monitors.ts";
import { lightmamba } from "../cli/lightmamba.ts";
import { scratchFolder } from "../firmware.ts";
import { boardModel, MODEL, run, runnerFor, start } from "./support.ts";

const { skip } = runnerFor("native");
const scratch = scratchFolder();
const model = skip ? "" : boardModel(scratch);
const folderOf = (name: string) => join(scratch, name);
const BENCH = ["bench", "--model", model, "--device", "wasm", "--prefill", "4"];

/** So many that the value changes often while they are decoded. */
const TOKENS = 4096;

interface Power {
  joulesPerToken: number | null;
  seconds: number;
  joules: number | null;
  watts: number | null;
  rails: { rail: string; chip: string; watts: number | null; readings: number; refused: number; note?: string }[];
  notes: string[];
}

/** While something else goes on, which spawnSync would not let. */
async function bench(args: readonly string[]): Promise<{ decodeTokensPerSecond: number; power: Power; hwmon: string }> {
  const child = start([...BENCH, ...args, "--json"]);
  child.stdin!.end();
  return JSON.parse(await text(child.stdout!));
}

describe("power monitors of the board's bench", { skip }, () => {
  it("give what the host's bench makes of the same folder, while its values change", async () => {
    const folder = folderOf("changing");
    const changing = addMonitor(folder, "hwmon0", { power1_input: "2000000", label: "vccint" });
    addMonitor(folder, "hwmon1", { in1_input: "1200", curr1_input: "500", label: "ddr4" });
    addMonitor(folder, "hwmon2", { power1_input: "-3", label: "idle" });
    const [theirs, ours] = await alternating(join(changing, "power1_input"), ["2000000", "6000000"], 120, async () => {
      const board = await bench(["--hwmon", folder, "-n", String(TOKENS)]);
      const args = [
        "bench",
        "--model",
        MODEL,
        "--threads",
        "1",
        "--rounds",
        "1",
        "-n",
        String(TOKENS),
        "--hwmon",
        folder,
        "--json",
        "-q",
      ];
      return [board.power, JSON.parse((await lightmamba(args)).stdout).runs[0].power as Power] as const;
    });
    for (const power of [theirs, ours]) assert.ok(Math.abs(power.watts! - 4.6) < 0.7, `${power.watts} W`);
    assert.deepEqual(
      theirs.rails.map(({ rail, chip, note }) => [rail, chip, note]),
      ours.rails.map(({ rail, chip, note }) => [rail, chip, note]),
    );
    assert.ok(Math.abs(theirs.rails[1]!.watts! - 0.6) < 1e-9 && Math.abs(ours.rails[1]!.watts! - 0.6) < 1e-9);
    assert.deepEqual(theirs.rails[2]!.watts, null);
    assert.deepEqual(Object.keys(theirs).sort(), Object.keys(ours).sort());
    assert.ok(Math.abs(theirs.joulesPerToken! - theirs.joules! / TOKENS) < 1e-12);
  });

  it("that vanish are left out, with a remark", async () => {
    // When the program begins to read is its own affair
    for (const delayMs of [300, 600, 1200, 2400]) {
      const folder = folderOf(`vanishing-${delayMs}`);
      const gone = addMonitor(folder, "hwmon0", { power1_input: "1000000", label: "gone" });
      addMonitor(folder, "hwmon1", { power1_input: "3000000", label: "stays" });
      const running = bench(["--hwmon", folder, "-n", "4000"]);
      await setTimeout(delayMs);
      rmSync(gone, { recursive: true });
      const { power } = await running;
      const rail = power.rails.find((one) => one.rail === "gone");
      if (rail === undefined) continue;
      assert.match(rail.note ?? "", /^gone \d+\.\d s before the end$|^said nothing/);
      assert.ok(Math.abs(power.watts! - 3) < 1e-9, `${power.watts} W`);
      return;
    }
    assert.fail("was never seen");
  });

  it("may all be broken, or not there", () => {
    const folder = folderOf("broken");
    for (const [i, value] of ["garbage", "-1", "1000000001", "1.5", ""].entries())
      addMonitor(folder, `hwmon${i}`, { power1_input: value });
    const broken = run([...BENCH, "-n", "4", "--hwmon", folder]);
    assert.equal(broken.code, 0);
    assert.match(broken.stdout, /^power {4}of no rail$/m);
    assert.equal(broken.stderr.match(/remark: ina226 hwmon\d: said nothing from 0 to 1000 W; left out/g)?.length, 5);
    const none = run([...BENCH, "-n", "4", "--hwmon", folderOf("nowhere")]);
    assert.match(none.stdout, /^power {4}no power monitor in .*nowhere$/m);
    const json = JSON.parse(run([...BENCH, "-n", "4", "--hwmon", folderOf("nowhere"), "--json"]).stdout);
    assert.deepEqual([json.power, json.boundTokensPerSecond, json.shareOfBound], [null, null, null]);
  });

  it("are shown with three digits", () => {
    const folder = folderOf("steady");
    addMonitor(folder, "hwmon0", { power1_input: "2500000", label: "vccint" });
    const { stdout, stderr } = run([...BENCH, "-n", "8", "--hwmon", folder]);
    assert.match(stdout, /^power {4}0?\d*\.\d+ J\/token, 2\.50 W of vccint$/m);
    assert.match(stderr, /remark: only \d+ readings/);
  });
});
