/** boards/*.yaml and what is generated from them: strict reading, the same numbers in every language. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import * as lm from "../../assembly/device.generated.ts";
import { BOARDS } from "../../host/device/boards.generated.ts";
import { timing } from "../../host/device/index.ts";
import { LightMambaError } from "../../host/errors.ts";
import {
  cHeader,
  constants,
  flatten,
  hostTables,
  parseBoard,
  parseContract,
  readBoards,
  readContract,
  systemVerilog,
  systemVerilogBoards,
} from "../../host/tools/contract.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const source = (path: string) => readFileSync(join(ROOT, path), "utf8");
const sim = source("boards/sim.yaml");
const contract = source("boards/contract.yaml");

function refusal(read: () => unknown): LightMambaError {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof LightMambaError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: "was accepted" });
}

/** Of the first line that begins so, from 1 on. */
function lineOf(text: string, beginning: string): number {
  return text.split("\n").findIndex((line) => line.startsWith(beginning)) + 1;
}

describe("boards", () => {
  it("are all there, with a source and a confidence for every figure", () => {
    assert.deepEqual(Object.keys(BOARDS).sort(), ["qemu", "sim", "u280", "vck190"]);
    for (const board of readBoards())
      for (const memory of board.memories)
        assert.ok(memory.efficiency.source.length > 3 && memory.efficiency.confidence);
  });

  const line = sim.split("\n").findIndex((text) => text.startsWith("build:")) + 2;
  const cases: [name: string, change: (text: string) => string, where: RegExp, what: RegExp][] = [
    [
      "an unknown key",
      (t) => t.replace("  lanes:", "  lane:"),
      new RegExp(`^b:${line}:3$`),
      /unknown key lane; known here: lanes/,
    ],
    ["an unknown key at the top", (t) => `${t}colour: red\n`, /^b:\d+:1$/, /unknown key colour/],
    ["a missing key", (t) => t.replace(/ {2}tokens:.*\n/, ""), /^b:\d+:\d+$/, /key tokens is missing/],
    [
      "a value outside its band",
      (t) => t.replace("band: [0.8, 0.95]", "band: [0.91, 0.95]"),
      /^b$/,
      /value is not within its band.*found 0.9, band 0.91 to 0.95/,
    ],
    ["a band of one number", (t) => t.replace("band: [0.8, 0.95]", "band: [0.8]"), /^b:\d+:\d+$/, /has 1 entries/],
    [
      "a word for a number",
      (t) => t.replace("lanes: 1", "lanes: one"),
      new RegExp(`^b:${line}:10$`),
      /must be an integer/,
    ],
    [
      "a fraction for a count",
      (t) => t.replace("lanes: 1", "lanes: 1.5"),
      new RegExp(`^b:${line}:10$`),
      /must be an integer/,
    ],
    [
      "a number out of range",
      (t) => t.replace("lanes: 1", "lanes: 99"),
      new RegExp(`^b:${line}:10$`),
      /must be 1 to 32, not 99/,
    ],
    [
      "a value that is not in the list",
      (t) => t.replace("act_bits: 8", "act_bits: 7"),
      /^b:\d+:\d+$/,
      /one of 5, 6, 8/,
    ],
    ["a figure without a source", (t) => t.replace(/ source: design[^,]*,/, ""), /^b:\d+:12$/, /key source is missing/],
    ["the same key twice", (t) => t.replace("name: sim", "name: sim\nname: sim"), /^b:4:\d+$/, /unique/],
    ["no YAML", (t) => `${t}\n  - ]`, /^b:\d+:\d+$/, /./],
    ["nothing", () => "", /^b:1:1$/, /empty/],
    ["a list for a map", (t) => t.replace(/build:[\s\S]*/, "build: []\n"), /^b:\d+:\d+$/, /must be a map/],
    ["a map for a list", (t) => t.replace(/ports:[\s\S]*build:/, "ports: {}\nbuild:"), /^b:\d+:\d+$/, /must be a list/],
    ["no port", (t) => t.replace(/ports:[\s\S]*build:/, "ports: []\nbuild:"), /^b:\d+:\d+$/, /has 0 entries/],
    ["a port without its memory", (t) => t.replace("memory: ddr4", "memory: ddr5"), /^b$/, /names no memory/],
    ["a prefetch that no queue has", (t) => t.replace("prefetch: 1024", "prefetch: 1000"), /^b$/, /no power of two/],
    [
      "parts of the state without ports",
      (t) => t.replace("state_ports: 0", "state_ports: 2"),
      /^b$/,
      /ports of the state/,
    ],
    ["eight lanes without parts", (t) => t.replace("state_lanes: 2", "state_lanes: 8"), /^b$/, /ports of the state/],
    ["two MULTIPLYs without parts", (t) => t.replace("multiplies: 1", "multiplies: 2"), /^b$/, /ports of the state/],
  ];
  for (const [name, change, where, what] of cases) {
    it(`refuses ${name}, with line and column`, () => {
      const error = refusal(() => parseBoard(change(sim), "b"));
      assert.match(error.message, what);
      assert.match(error.detail.file ?? "", where);
      assert.equal(error.exit, "badInput");
    });
  }

  const vck190 = source("boards/vck190.yaml");
  const power: [name: string, change: (text: string) => string, where: RegExp, what: RegExp][] = [
    [
      "an unknown key of power",
      (t) => t.replace("  lut_pj:", "  lut_nj:"),
      new RegExp(`^b:${lineOf(vck190, "  lut_pj:")}:3$`),
      /power: unknown key lut_nj; known here: static_w, lut_pj/,
    ],
    [
      "an unknown key of a memory's power",
      (t) => t.replace("      idle_w:", "      rest_w:"),
      new RegExp(`^b:${lineOf(vck190, "      idle_w:")}:7$`),
      /power\.memories\[0\]: unknown key rest_w; known here: name, pj_per_byte, idle_w/,
    ],
    [
      "power without a figure",
      (t) => t.replace(/ {2}dsp_pj:[\s\S]*?\n {4}\}\n/, ""),
      /^b:\d+:\d+$/,
      /dsp_pj is missing/,
    ],
    ["a bare number of power", (t) => t.replace(/ {2}lut_pj:[\s\S]*?\n {4}\}\n/, "  lut_pj: 1\n"), /^b:\d+:11$/, /map/],
    [
      "less than no energy",
      (t) => t.replace("value: 0.0306", "value: -1"),
      /^b:\d+:14$/,
      /must be 0 to Infinity, not -1/,
    ],
    [
      "a memory whose power is not told",
      (t) => t.replace("- name: lpddr4\n", "- name: hbm\n"),
      /^b$/,
      /lpddr4_0: must be named by/,
    ],
    [
      "a memory that is named twice",
      (t) =>
        t.replace("- name: lpddr4\n", "- name: lpddr4_\n").replace("- name: ddr4\n      pj", "- name: lp\n      pj"),
      /^b$/,
      /must be named by one entry/,
    ],
  ];
  for (const [name, change, where, what] of power) {
    it(`refuses ${name}`, () => {
      const error = refusal(() => parseBoard(change(vck190), "b"));
      assert.match(error.message, what);
      assert.match(error.detail.file ?? "", where);
    });
  }

  it("refuses memories that overlap", () => {
    const second = sim.match(/ {2}- name: ddr4[\s\S]*?(?=ports:)/)![0].replace("ddr4", "other");
    assert.match(refusal(() => parseBoard(sim.replace("ports:", `${second}ports:`), "b")).message, /overlap/);
  });

  it("give the simulator beats per cycle and cycles of latency", () => {
    assert.deepEqual(timing(BOARDS.sim), ["--dram", "1.200000,60", "--port", "0,1.000000,16"]);
    assert.equal(timing(BOARDS.vck190).filter((o) => o === "--port").length, 6);
    assert.equal(timing(BOARDS.u280).filter((o) => o === "--dram").length, 32);
  });
});

describe("numbers of the contract", () => {
  it("refuse two opcodes of one number, and a unit that is not there", () => {
    assert.match(
      refusal(() => parseContract(contract.replace("code: 0x10", "code: 0x20"), "c")).message,
      /two opcodes/,
    );
    assert.match(
      refusal(() => parseContract(contract.replace("unit: MMU", "unit: MMX"), "c")).message,
      /no known unit/,
    );
    assert.match(
      refusal(() => parseContract(contract.replace("ERRORS: 0x018", "ERRORS: 0x014"), "c")).message,
      /registers/,
    );
  });

  it("change their hash with every change of the source", () => {
    const hash = (text: string) => flatten(parseContract(text, "c")).find((n) => n.name === "CONTRACT")!.value;
    assert.equal(hash(contract), lm.CONTRACT);
    assert.notEqual(hash(contract.replace("SSM: { code: 0x20", "SSM: { code: 0x21")), lm.CONTRACT);
  });

  it("are the same in every language", () => {
    const numbers = new Map(flatten(readContract()).map((n) => [n.name, n.value]));
    const read = (text: string, pattern: RegExp, base: number) =>
      new Map([...text.matchAll(pattern)].map(([, name, value]) => [name!, Number.parseInt(value!, base)]));
    const verilog = read(source("firmware/rtl/include/lm_device.svh"), /LM_(\w+) = 32'h(\w+);/g, 16);
    const c = read(source("firmware/include/lm_device_numbers.h"), /#define LM_(\w+) 0x(\w+)u/g, 16);
    const assembly = read(source("assembly/device.generated.ts"), /const (\w+) = 0x(\w+);/g, 16);
    for (const found of [verilog, c, assembly, new Map(Object.entries(lm))]) assert.deepEqual(found, numbers);
  });

  it("are what the generator gives, and differ when the source does", () => {
    const changed = parseContract(contract.replace("HEAD: 0x400", "HEAD: 0x500"), "c");
    const boards = readBoards();
    const wider = boards.map((b) => ({ ...b, build: { ...b.build, lanes: 31 } }));
    for (const [path, same, other] of [
      ["firmware/rtl/include/lm_device.svh", systemVerilog(readContract()), systemVerilog(changed)],
      ["firmware/include/lm_device_numbers.h", cHeader(readContract()), cHeader(changed)],
      ["assembly/device.generated.ts", constants(readContract()), constants(changed)],
      ["host/device/boards.generated.ts", hostTables(readContract(), boards), hostTables(changed, wider)],
      ["firmware/rtl/include/lm_boards.svh", systemVerilogBoards(boards), systemVerilogBoards(wider)],
    ] as const) {
      assert.equal(source(path), same, path);
      assert.notEqual(other, same, path);
    }
  });

  it("fit the structures of lm_device.h", (t) => {
    const folder = mkdtempSync(join(tmpdir(), "lightmamba-device-"));
    try {
      const fields = {
        lm_descriptor_t: {
          LM_DESC_COUNT: "count",
          LM_DESC_A3: "address[3]",
          LM_DESC_CONV: "conv",
          LM_DESC_CHECK: "check",
        },
        lm_completion_t: {
          LM_DONE_INFO: "info",
          LM_DONE_CYCLES: "cycles",
          LM_DONE_BEATS_WRITTEN: "beats_written",
          LM_DONE_DONE: "done",
        },
      };
      const asserts = Object.entries(fields).flatMap(([type, list]) =>
        Object.entries(list).map(
          ([offset, field]) => `_Static_assert(offsetof(${type}, ${field}) == ${offset}, "${field}");`,
        ),
      );
      asserts.push(
        '_Static_assert(sizeof(lm_descriptor_t) == LM_DESCRIPTOR && sizeof(lm_completion_t) == LM_COMPLETION, "size");',
      );
      const file = join(folder, "check.c");
      writeFileSync(file, `#include "lm_device.h"\n${asserts.join("\n")}\n`);
      const args = [
        "-std=c11",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fsyntax-only",
        `-I${join(ROOT, "firmware/include")}`,
        file,
      ];
      const { error, status, stderr } = spawnSync("cc", args, { encoding: "utf8" });
      if (error !== undefined) return t.skip("no C compiler");
      assert.equal(status, 0, stderr);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
