/** Power monitors: which there are, what is refused of what they say, and the energy of it. The board's program: tests/runner/power.test.ts. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import { findRails, readMicrowatts } from "../../host/bench/power/hwmon.ts";
import { type Reading, railEnergy, type Span } from "../../host/bench/power/integrate.ts";
import { monotonicSeconds, PowerMeter } from "../../host/bench/power/meter.ts";
import { lightmamba } from "../cli/lightmamba.ts";
import { addMonitor, alternating, setFile } from "./monitors.ts";

const scratch = mkdtempSync(join(tmpdir(), "lightmamba-power-"));
after(() => rmSync(scratch, { recursive: true }));
const folderOf = (name: string) => join(scratch, name);

interface Case {
  name: string;
  readings: Reading[];
  spans: Span[];
  expected: { [key: string]: unknown };
}
const CASES = JSON.parse(readFileSync(join(import.meta.dirname, "power-cases.json"), "utf8")) as Case[];

describe("energy", () => {
  for (const { name, readings, spans, expected } of CASES) {
    it(`of ${name}`, () => {
      const given = readings.map(([time, value]): Reading => [time, value ?? undefined]);
      const found: { [key: string]: unknown } = { ...railEnergy("rail", "chip", given, spans) };
      for (const [key, value] of Object.entries(expected)) {
        if (typeof value === "number")
          assert.ok(Math.abs((found[key] as number) - value) < 1e-12, `${key} ${found[key]}`);
        else assert.equal(found[key], value);
      }
    });
  }
});

describe("rails", () => {
  it("are found by number, and named by what is nearest", () => {
    const folder = folderOf("names");
    addMonitor(folder, "hwmon10", { power1_input: "1", label: "vccint" });
    addMonitor(folder, "hwmon2", { name: "nvme", temp1_input: "40000" });
    addMonitor(folder, "hwmon1", { name: "card", power2_input: "1", power1_input: "1", power2_label: "12v" });
    addMonitor(folder, "hwmon3", { power1_input: "1" });
    addMonitor(folder, "hwmon4", { power1_input: "1" });
    addMonitor(folder, "hwmon5", { name: "pair", in1_input: "800", curr1_input: "1500" });
    addMonitor(folder, "other", { power1_input: "1" });
    const rails = findRails(folder);
    assert.deepEqual(
      rails.map(({ name, chip }) => [name, chip]),
      [
        ["card power1", "card"],
        ["12v", "card"],
        ["ina226 hwmon3", "ina226"],
        ["ina226 hwmon4", "ina226"],
        ["pair", "pair"],
        ["vccint", "ina226"],
      ],
    );
    assert.equal(readMicrowatts(rails[4]!), 1_200_000);
  });

  it("are none where there is no folder, or no monitor", () => {
    assert.deepEqual(findRails(folderOf("nowhere")), []);
    mkdirSync(folderOf("empty"));
    assert.equal(PowerMeter.open(folderOf("empty")), undefined);
  });

  const refused: [what: string, text: string][] = [
    ["a negative one", "-5"],
    ["more than a kilowatt", "1000000001"],
    ["what is no number", "twelve"],
    ["a fraction", "1.5"],
    ["hexadecimal", "0x10"],
    ["nothing", ""],
    ["a very long one", "1".repeat(200)],
    ["bytes that are no text", "\u0000\u0001"],
  ];
  for (const [what, text] of refused) {
    it(`say nothing that counts with ${what}`, () => {
      const folder = folderOf(what.replaceAll(" ", "-"));
      const monitor = addMonitor(folder, "hwmon0", { power1_input: "7" });
      const [rail] = findRails(folder);
      assert.equal(readMicrowatts(rail!), 7);
      setFile(join(monitor, "power1_input"), text);
      assert.equal(readMicrowatts(rail!), undefined);
    });
  }

  it("say nothing when they are gone, a folder, or a pipe that nobody writes to", () => {
    const monitor = addMonitor(folderOf("gone"), "hwmon0", { power1_input: "7" });
    const file = join(monitor, "power1_input");
    const [rail] = findRails(folderOf("gone"));
    rmSync(file);
    assert.equal(readMicrowatts(rail!), undefined);
    mkdirSync(file);
    assert.equal(readMicrowatts(rail!), undefined);
    rmSync(file, { recursive: true });
    assert.equal(spawnSync("mkfifo", [file]).status, 0);
    assert.equal(readMicrowatts(rail!), undefined);
  });

  it("have names without what a terminal would obey", () => {
    addMonitor(folderOf("evil"), "hwmon0", { power1_input: "7", label: "\u001b[31mred" });
    assert.equal(findRails(folderOf("evil"))[0]!.name, "ina226");
  });
});

describe("a meter", () => {
  it("counts what changes while it reads, and leaves out what vanishes", async () => {
    const folder = folderOf("meter");
    const changing = addMonitor(folder, "hwmon0", { power1_input: "2000000", label: "changing" });
    const vanishing = addMonitor(folder, "hwmon1", { power1_input: "1000000", label: "vanishing" });
    addMonitor(folder, "hwmon2", { power1_input: "-1", label: "negative" });
    const meter = PowerMeter.open(folder)!;
    const span = await alternating(join(changing, "power1_input"), ["2000000", "6000000"], 150, async () => {
      const begin = monotonicSeconds();
      await setTimeout(300);
      rmSync(vanishing, { recursive: true });
      await setTimeout(1800);
      return [begin, monotonicSeconds()] as const;
    });
    const use = (await meter.stop())([span]);
    assert.ok(Math.abs(use.watts! - 4) < 0.6, `${use.watts} W`);
    assert.equal(use.joules, use.rails[0]!.joules);
    assert.ok(use.rails[0]!.readings > 10 * (span[1] - span[0]), `${use.rails[0]!.readings} readings`);
    assert.deepEqual(
      use.rails.map(({ joules }) => joules === null),
      [false, true, true],
    );
    assert.match(
      use.notes.join("; "),
      /^vanishing: gone 1\.\d s before the end; left out; negative: said nothing from 0/,
    );
  });
});

describe("bench --hwmon", () => {
  const FEW = ["bench", "--rounds", "1", "-n", "4", "--prefill", "2", "--threads", "1", "-q"];

  it("prints joules a token and watts, and has each rail in its JSON", async () => {
    const folder = folderOf("bench");
    addMonitor(folder, "hwmon0", { power1_input: "2500000", label: "vccint" });
    addMonitor(folder, "hwmon1", { power1_input: "500000", label: "ddr" });
    const json = await lightmamba([...FEW, "--hwmon", folder, "--json"]);
    const { hwmon, runs } = JSON.parse(json.stdout);
    const { power } = runs[0];
    assert.deepEqual([json.code, hwmon], [0, folder]);
    assert.ok(Math.abs(power.watts - 3) < 1e-9);
    assert.ok(Math.abs(power.joulesPerToken - power.joules / 4) < 1e-12);
    assert.deepEqual(
      power.rails.map(({ rail, watts }: { rail: string; watts: number }) => [rail, Number(watts.toFixed(9))]),
      [
        ["vccint", 2.5],
        ["ddr", 0.5],
      ],
    );
    const { stdout } = await lightmamba([...FEW, "--hwmon", folder]);
    assert.match(stdout, /J\/token +W +/);
    assert.match(stdout, /^power: vccint, ddr$/m);
    assert.match(stdout, /^remark: only \d readings in 0\.\d\d s/m);
  });

  it("goes on where all monitors are broken, or there is none", async () => {
    const folder = folderOf("broken");
    addMonitor(folder, "hwmon0", { power1_input: "garbage" });
    const { code, stdout } = await lightmamba([...FEW, "--hwmon", folder]);
    assert.equal(code, 0);
    assert.match(stdout, /^power: of no rail\nremark: ina226: said nothing from 0 to 1000 W; left out$/m);
    const none = await lightmamba([...FEW, "--hwmon", folderOf("nowhere"), "--json"]);
    assert.equal(JSON.parse(none.stdout).runs[0].power, null);
    assert.match(
      (await lightmamba([...FEW, "--hwmon", folderOf("nowhere")])).stdout,
      /^no power monitor in .*nowhere$/m,
    );
  });
});
