/**
 * Device trees: what is written by hand (<board>.dts, versal.dtsi), with the accelerator's registers and memories from boards/<board>.yaml.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { ROOT, run, SYSTEM } from "./shell.mjs";

function readYaml(name) {
  return parse(readFileSync(join(ROOT, "boards", `${name}.yaml`), "utf8"));
}

/** The board's DDR below this address belongs to the processor (AM011, 4 GB map); logic is above. */
const DDR_LOW_END = 0x80000000;

/** Ranges of the accelerator, registers first, as { name, address, bytes, reserved }: reserved are those in memory that Linux would use. */
export function rangesOf(board) {
  const { registers, memories } = readYaml(board);
  const { address } = registers;
  const page = { name: "registers", address, bytes: readYaml("contract").sizes.register_page };
  return [
    { ...page, reserved: address < DDR_LOW_END },
    // Also where Linux has no memory: the nodes are for device trees of others too
    ...memories.map(({ name, address, bytes }) => ({ name, address, bytes, reserved: true })),
  ];
}

const hex = (value) => `0x${value.toString(16)}`;
const cells = (value) => `${hex(Math.floor(value / 2 ** 32))} ${hex(value % 2 ** 32)}`;
const reg = ({ address, bytes }) => `<${cells(address)} ${cells(bytes)}>`;

/** What boards/<board>.yaml says of the accelerator, as nodes: UIO's map 0 are the registers, then come its memories. */
export function acceleratorNodes(board) {
  const ranges = rangesOf(board);
  const reserved = ranges.filter((range) => range.reserved);
  return [
    `/* Made from boards/${board}.yaml by firmware/system/devicetree.mjs. */`,
    "/ {",
    "\treserved-memory {",
    "\t\t#address-cells = <2>;",
    "\t\t#size-cells = <2>;",
    "\t\tranges;",
    ...reserved.flatMap((range) => [
      "",
      `\t\t${range.name.replaceAll("_", "-")}@${range.address.toString(16)} {`,
      `\t\t\treg = ${reg(range)};`,
      "\t\t\tno-map;",
      "\t\t};",
    ]),
    "\t};",
    "",
    `\taccelerator: accelerator@${ranges[0].address.toString(16)} {`,
    '\t\tcompatible = "generic-uio";',
    `\t\treg = ${ranges.map(reg).join(", ")};`,
    `\t\treg-names = ${ranges.map(({ name }) => `"${name}"`).join(", ")};`,
    // A shared peripheral interrupt, on a rising edge: nothing acknowledges it, lm_irq lets the line fall by itself
    `\t\tinterrupts = <0 ${readYaml(board).interrupt.value} 1>;`,
    "\t};",
    "};",
    "",
  ].join("\n");
}

/** Writes <folder>/system.dtb, and beside it accelerator.dtsi, for device trees of others. */
export function buildDeviceTree(board, folder) {
  mkdirSync(folder, { recursive: true });
  const dtb = join(folder, "system.dtb");
  writeFileSync(join(folder, "accelerator.dtsi"), acceleratorNodes(board));
  const args = ["-I", "dts", "-O", "dtb", "-i", folder, "-i", SYSTEM, "-o", dtb, join(SYSTEM, `${board}.dts`)];
  run("dtc", args);
  return dtb;
}
