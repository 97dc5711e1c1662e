/** Device trees against boards/, as dtc has compiled them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { BOARDS } from "../../host/device/boards.generated.ts";
import { scratchFolder, withoutProgram } from "../firmware.ts";
import { type DeviceTree, load, SYSTEM } from "./support.ts";

const { buildDeviceTree, rangesOf } = await load<DeviceTree>("devicetree");
const PAGE = 4096;
const EDGE = 1;

function run(program: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return stdout.trim();
}

const skip = withoutProgram("dtc");
const scratch = scratchFolder();
for (const board of ["qemu", "vck190"] as const) {
  describe(`device tree of ${board}`, { skip }, () => {
    if (skip) return;
    const dtb = buildDeviceTree(board, join(scratch, board));
    const { registers, memories, interrupt } = BOARDS[board];
    const accelerator = `/accelerator@${registers.address.toString(16)}`;
    const get = (node: string, property: string, type: string) => run("fdtget", ["-t", type, dtb, node, property]);
    /** Pairs of address and bytes, each in two cells. */
    const reg = (node: string) => {
      const cells = get(node, "reg", "x")
        .split(" ")
        .map((cell) => Number.parseInt(cell, 16));
      const numbers = cells.flatMap((high, i) => (i % 2 === 0 ? [high * 2 ** 32 + cells[i + 1]!] : []));
      return numbers.flatMap((address, i) => (i % 2 === 0 ? [[address, numbers[i + 1]]] : []));
    };

    it("has the accelerator's registers and memories, for UIO", () => {
      const expected = [[registers.address, PAGE], ...memories.map(({ address, bytes }) => [address, bytes])];
      assert.deepEqual(reg(accelerator), expected);
      assert.equal(get(accelerator, "reg-names", "s"), ["registers", ...memories.map(({ name }) => name)].join(" "));
      assert.equal(get(accelerator, "compatible", "s"), "generic-uio");
      assert.equal(get(accelerator, "interrupts", "i"), `0 ${interrupt} ${EDGE}`);
    });

    it("keeps Linux off that memory, and off registers that are memory", () => {
      const nodes = run("fdtget", ["-l", dtb, "/reserved-memory"]).split("\n");
      const reserved = rangesOf(board).filter((range) => range.reserved);
      assert.equal(reserved.length, memories.length + (board === "qemu" ? 1 : 0));
      const found = nodes.map((node) => reg(`/reserved-memory/${node}`)[0]);
      assert.deepEqual(
        found,
        reserved.map(({ address, bytes }) => [address, bytes]),
      );
      for (const node of nodes) get(`/reserved-memory/${node}`, "no-map", "x");
    });

    it("names the card, the console and the processor's memory", () => {
      assert.equal(get("/aliases", "mmc0", "s"), "/mmc@f1050000");
      assert.equal(get("/chosen", "stdout-path", "s"), "serial0:115200n8");
      assert.deepEqual(reg("/memory@0"), [[0, 2 ** 31]]);
    });

    it("compiles without a warning, and comes through dtc and back unchanged", () => {
      const compile = (...args: string[]) => spawnSync("dtc", ["-O", "dtb", "-o", join(scratch, "again.dtb"), ...args]);
      const own = compile("-I", "dts", "-i", join(scratch, board), "-i", SYSTEM, join(SYSTEM, `${board}.dts`));
      assert.equal(own.stderr.toString(), "");
      const source = (path: string) => run("dtc", ["-q", "-I", "dtb", "-O", "dts", "-s", path]);
      const expected = source(dtb);
      writeFileSync(join(scratch, "again.dts"), expected);
      assert.equal(compile("-q", "-I", "dts", join(scratch, "again.dts")).status, 0);
      assert.equal(source(join(scratch, "again.dtb")), expected);
    });
  });
}
