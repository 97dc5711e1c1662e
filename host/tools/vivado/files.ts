/** All files of a board's project. */
import { type Design, header } from "./design.ts";
import { connectivity, kernelScript, kernelXml } from "./kernel.ts";
import { packageScript } from "./package.ts";
import { topFile } from "./top.ts";
import { projectScript } from "./versal.ts";

/** Their names and texts, for a folder. */
export function filesOf(design: Design, folder: string): { [name: string]: string } {
  const { flow, top } = design;
  return {
    [`${top}.sv`]: topFile(design),
    "package_ip.tcl": packageScript(design, folder),
    "constraints.xdc": constraints(design),
    ...(flow.kind === "versal"
      ? { "project.tcl": projectScript(design) }
      : {
          "package_xo.tcl": kernelScript(design),
          "kernel.xml": kernelXml(design),
          [`${top}.cfg`]: connectivity(design),
        }),
  };
}

function constraints(design: Design): string {
  const { board, flow } = design;
  const mhz = board.clock_mhz.value;
  return [
    ...header(design, "#", `A target, from boards/${board.name}.yaml: no tool has said that the logic reaches it.`),
    `create_clock -name ${flow.clock} -period ${(1000 / mhz).toFixed(3)} [get_ports ${flow.clock}]`,
    "",
  ].join("\n");
}
