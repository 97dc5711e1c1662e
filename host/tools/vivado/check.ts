/** Holds the files of a folder against the RTL, the board and the contract. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { elaborate, type Netlist } from "../netlist.ts";
import { checkConnectivity, checkKernelScript, checkKernelXml } from "./check-kernel.ts";
import { checkPackage } from "./check-package.ts";
import { checkSystem } from "./check-system.ts";
import type { Design } from "./design.ts";
import { filesOf } from "./files.ts";
import { differs, type Problem } from "./problem.ts";
import { type Call, record } from "./record.ts";

/** Everything that does not fit. `elaborated`: the top of this folder, where that was done before. What cannot be read, elaborated or executed at all is an error. */
export function checkFolder(design: Design, folder: string, elaborated?: Netlist): Problem[] {
  const names = Object.keys(filesOf(design, folder));
  const absent = names.filter((name) => !existsSync(join(folder, name)));
  if (absent.length > 0) return absent.map((file) => ({ file, what: "is missing" }));
  const netlist = elaborated ?? elaborate(join(folder, `${design.top}.sv`));
  return names.flatMap((file) => {
    const path = join(folder, file);
    const text = readFileSync(path, "utf8");
    const marked = text.includes("NEVER RUN") ? [] : [{ what: 'does not say "NEVER RUN"' }];
    return [...marked, ...checkFile(design, file, path, text, netlist)].map((one) => ({ file, ...one }));
  });
}

function checkFile(design: Design, file: string, path: string, text: string, netlist: Netlist): Problem[] {
  switch (file) {
    case "package_ip.tcl":
      return checkPackage(design, record(path), netlist);
    case "project.tcl":
      return checkSystem(design, record(path, ["implement"]));
    case "constraints.xdc":
      return checkConstraints(design, record(path), netlist);
    case "package_xo.tcl":
      return checkKernelScript(design, record(path));
    case "kernel.xml":
      return checkKernelXml(design, text);
    case `${design.top}.cfg`:
      return checkConnectivity(design, text);
    default:
      return []; // the top: elaborated above
  }
}

function checkConstraints({ board }: Design, calls: readonly Call[], { top }: Netlist): Problem[] {
  const clocks = calls.filter(({ command }) => command === "create_clock");
  return [
    ...differs("clocks", 1, clocks.length),
    ...clocks.flatMap(({ options, args }) => [
      ...differs("period", (1000 / board.clock_mhz.value).toFixed(3), options.get("-period")),
      ...(top.ports.some(({ name }) => name === args[0]) ? [] : [{ what: `the top has no port ${args[0]}` }]),
    ]),
  ];
}
