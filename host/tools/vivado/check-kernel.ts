/** Files of an Alveo card, beside the board. */
import { type Design, hex } from "./design.ts";
import { bankOf } from "./kernel.ts";
import { bankName, bankOffsets } from "./package.ts";
import { differs, type Problem } from "./problem.ts";
import type { Call } from "./record.ts";

export function checkKernelScript({ top }: Design, calls: readonly Call[]): Problem[] {
  const found = calls.filter(({ command }) => command === "package_xo");
  return [
    ...differs("calls of package_xo", 1, found.length),
    ...found.flatMap(({ options }) => [
      ...differs("-kernel_name", top, options.get("-kernel_name")),
      ...differs("-ctrl_protocol", "user_managed", options.get("-ctrl_protocol")),
    ]),
  ];
}

/** Attributes of the elements of a name. */
function elements(xml: string, tag: string): { [name: string]: string }[] {
  return [...xml.matchAll(new RegExp(`<${tag}((?:\\s+\\w+="[^"]*")+)\\s*/?>`, "g"))].map(([, attributes]) =>
    Object.fromEntries([...attributes!.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name!, value!])),
  );
}

export function checkKernelXml(design: Design, xml: string): Problem[] {
  const { top, registers, masters, pageBytes } = design;
  const ports = elements(xml, "port");
  const page = ports.find(({ name }) => name === registers.name);
  const banks = bankOffsets(design);
  return [
    ...differs("name of the kernel", top, elements(xml, "kernel")[0]?.name),
    ...differs("bytes of the register page", hex(pageBytes), page?.range),
    ...differs(
      "masters",
      masters.map(({ name }) => name).join(" "),
      ports.flatMap(({ name, mode }) => (mode === "master" ? [name] : [])).join(" "),
    ),
    ...ports.filter(({ mode }) => mode === "master").flatMap((p) => differs(`width of ${p.name}`, 512, p.dataWidth)),
    ...differs(
      "arguments",
      masters.map(({ name }, i) => `${bankName(i)} ${name} ${hex(banks[i]!)}`).join(", "),
      elements(xml, "arg")
        .map(({ name, port, offset }) => `${name} ${port} ${offset}`)
        .join(", "),
    ),
  ];
}

export function checkConnectivity(design: Design, text: string): Problem[] {
  const { board, top, masters } = design;
  const values = (key: string) => [...text.matchAll(new RegExp(`^${key}=(.*)$`, "gm"))].map(([, value]) => value!);
  return [
    ...differs("kernels", `${top}:1:lm`, values("nk").join(" ")),
    ...differs("clock to try for", `${board.clock_mhz.value * 1e6}:lm`, values("freqHz").join(" ")),
    ...board.ports.flatMap(({ memory }, port) => {
      const { name } = masters[port]!;
      const found = values("sp").filter((line) => line.startsWith(`lm.${name}:`));
      return differs(`memory of ${name}`, `lm.${name}:${bankOf(design, memory)}`, found.join(" "));
    }),
    ...differs("masters with a memory", masters.length, values("sp").length),
  ];
}
