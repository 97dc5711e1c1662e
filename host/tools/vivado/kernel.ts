/** Files for an Alveo card: the packaged IP as a kernel for v++, and where its masters go. */
import { LightMambaError } from "../../errors.ts";
import { type Design, header, hex } from "./design.ts";
import { bankName, bankOffsets, vlnv } from "./package.ts";

export function kernelScript(design: Design): string {
  const { top } = design;
  return [
    ...header(
      design,
      "#",
      `Makes ${top}.xo. package_ip.tcl comes first; then v++ makes the card's image:`,
      "  vivado -mode batch -source package_xo.tcl",
      `  v++ --link --target hw --platform <platform> --config ${top}.cfg ${top}.xo`,
    ),
    "",
    "set here [file dirname [file normalize [info script]]]",
    "# The host drives the registers itself: XRT starts nothing",
    `package_xo -force -ctrl_protocol user_managed -kernel_name ${top} -xo_path [file join $here ${top}.xo] \\`,
    "  -ip_directory [file join $here ip] -kernel_xml [file join $here kernel.xml]",
    "",
  ].join("\n");
}

export function kernelXml(design: Design): string {
  const { top, registers, masters, pageBytes } = design;
  const offsets = bankOffsets(design);
  const argument = (port: number) =>
    `<arg name="${bankName(port)}" addressQualifier="1" id="${port}" port="${masters[port]!.name}" size="0x8" offset="${hex(offsets[port]!)}" type="void*" hostOffset="0x0" hostSize="0x8"/>`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    "<!--",
    ...header(design, ""),
    "-->",
    '<root versionMajor="1" versionMinor="6">',
    `  <kernel name="${top}" language="ip_c" vlnv="${vlnv(design)}" attributes="" preferredWorkGroupSizeMultiple="0" workGroupSize="1" interrupt="true" hwControlProtocol="user_managed">`,
    "    <ports>",
    `      <port name="${registers.name}" mode="slave" range="${hex(pageBytes)}" dataWidth="32" portType="addressable" base="0x0"/>`,
    ...masters.map(
      ({ name }) =>
        `      <port name="${name}" mode="master" range="0xFFFFFFFFFFFFFFFF" dataWidth="512" portType="addressable" base="0x0"/>`,
    ),
    "    </ports>",
    "    <args>",
    ...masters.map((_, port) => `      ${argument(port)}`),
    "    </args>",
    "  </kernel>",
    "</root>",
    "",
  ].join("\n");
}

/** XRT's name of a memory: pseudo-channel n of the HBM. */
export function bankOf({ board }: Design, memory: string): string {
  const { address, bytes } = board.memories.find(({ name }) => name === memory)!;
  const channel = (address - board.memories[0]!.address) / bytes;
  if (memory === `hbm${channel}`) return `HBM[${channel}]`;
  throw new LightMambaError("badInput", "is not the pseudo-channel of its name", {
    file: `boards/${board.name}.yaml`,
    field: `memories.${memory}.address`,
    found: hex(address),
  });
}

export function connectivity(design: Design): string {
  const { board, top, masters } = design;
  return [
    ...header(design, "#", "For v++ --link --config: which memory each master goes to; and the clock to try for."),
    "[connectivity]",
    `nk=${top}:1:lm`,
    ...board.ports.map(({ memory }, port) => `sp=lm.${masters[port]!.name}:${bankOf(design, memory)}`),
    "",
    "[clock]",
    `freqHz=${board.clock_mhz.value * 1e6}:lm`,
    "",
  ].join("\n");
}
