/** package_ip.tcl: the top as an IP. Interfaces, address spaces and registers are written down one by one, so that nothing is left to inference. */
import { relative } from "node:path";
import { RTL } from "../netlist.ts";
import { type AxiInterface, type Design, header, hex } from "./design.ts";

export const VENDOR = "lightmamba";
export const LIBRARY = "accelerator";
export const vlnv = ({ top }: Design) => `${VENDOR}:${LIBRARY}:${top}:1.0`;

/** `folder` is where the script will lie. */
export function packageScript(design: Design, folder: string): string {
  const { flow, top, registers, masters, words, pageBytes, interrupt } = design;
  const axis = [registers, ...masters];
  return [
    ...header(design, "#", `Makes IP ${vlnv(design)} in ./ip:`, "  vivado -mode batch -source package_ip.tcl"),
    "",
    "set here [file dirname [file normalize [info script]]]",
    `set rtl [file normalize [file join $here {${relative(folder, RTL)}}]]`,
    `create_project -force -part ${flow.part} package [file join $here package]`,
    "",
    ...list("sources", [...design.sources.map((file) => `$rtl ${file}`), `$here ${top}.sv`]),
    ...list(
      "headers",
      design.headers.map((file) => `$rtl ${file}`),
    ),
    "add_files -norecurse -fileset sources_1 [concat $sources $headers]",
    "set_property file_type {SystemVerilog} [get_files $sources]",
    "set_property file_type {Verilog Header} [get_files $headers]",
    "set_property include_dirs [list [file join $rtl include]] [get_filesets sources_1]",
    `set_property top ${top} [get_filesets sources_1]`,
    "update_compile_order -fileset sources_1",
    "",
    `ipx::package_project -root_dir [file join $here ip] -vendor ${VENDOR} -library ${LIBRARY} -taxonomy /UserIP -import_files -force`,
    "set core [ipx::current_core]",
    "set_property version 1.0 $core",
    ...(flow.kind === "kernel"
      ? [
          "set_property sdx_kernel true $core",
          "set_property sdx_kernel_type rtl $core",
          "set_property vitis_drc {ctrl_protocol user_managed} $core",
        ]
      : []),
    "# No clock is claimed: the design that uses this says how fast it is to be",
    "set_property ipi_drc {ignore_freq_hz true} $core",
    "foreach bus [ipx::get_bus_interfaces -of_objects $core] { ipx::remove_bus_interface [get_property NAME $bus] $core }",
    "",
    "# An interface: its name, bus definition, mode, and pairs of logical and physical names",
    "proc interface {name definition mode ports} {",
    "  set bus [ipx::add_bus_interface $name $::core]",
    '  set_property bus_type_vlnv "$definition:1.0" $bus',
    '  set_property abstraction_type_vlnv "[set definition]_rtl:1.0" $bus',
    "  set_property interface_mode $mode $bus",
    "  foreach {logical physical} $ports { set_property physical_name $physical [ipx::add_port_map $logical $bus] }",
    "  return $bus",
    "}",
    "# Parameters of an interface",
    "proc parameters {bus values} {",
    "  foreach {name value} $values { set_property value $value [ipx::add_bus_parameter $name $bus] }",
    "}",
    "",
    `parameters [interface ${flow.reset} xilinx.com:signal:reset slave {RST ${flow.reset}}] {POLARITY ACTIVE_LOW}`,
    `interface ${flow.clock} xilinx.com:signal:clock slave {CLK ${flow.clock}}`,
    `parameters [interface ${interrupt} xilinx.com:signal:interrupt master {INTERRUPT ${interrupt}}] {SENSITIVITY EDGE_RISING}`,
    `ipx::associate_bus_interfaces -clock ${flow.clock} -reset ${flow.reset} $core`,
    ...axis.flatMap((one) => axiInterface(one, flow.clock)),
    "",
    "# Masters reach all that 64 bits can address; where memory is, the design that uses this says",
    ...masters.flatMap(({ name }) => [
      `set space [ipx::add_address_space ${name} $core]`,
      "set_property -dict {range 16E width 512} $space",
      `set_property master_address_space_ref ${name} [ipx::get_bus_interfaces ${name} -of_objects $core]`,
    ]),
    "",
    "# The page of mailbox words (docs/device.md)",
    `set map [ipx::add_memory_map ${registers.name} $core]`,
    `set_property slave_memory_map_ref ${registers.name} [ipx::get_bus_interfaces ${registers.name} -of_objects $core]`,
    "set page [ipx::add_address_block reg0 $map]",
    `set_property -dict {base_address 0x0 range ${pageBytes} width 32 usage register} $page`,
    "foreach {name offset} {",
    ...words.map(({ name, offset }) => `  ${name} ${hex(offset)}`),
    "} {",
    "  set word [ipx::add_register $name $page]",
    "  set_property address_offset $offset $word",
    "  set_property size 32 $word",
    "}",
    ...(flow.kind === "kernel" ? bankArguments(design) : []),
    "",
    "ipx::create_xgui_files $core",
    "ipx::update_checksums $core",
    `ipx::check_integrity ${flow.kind === "kernel" ? "-kernel " : ""}$core`,
    "ipx::save_core $core",
    "close_project",
    "",
  ].join("\n");
}

function list(name: string, files: readonly string[]): string[] {
  return [`set ${name} [list \\`, ...files.map((file) => `  [file join ${file}] \\`), "]"];
}

function axiInterface({ name, mode, protocol, signals }: AxiInterface, clock: string): string[] {
  const width = (logical: string) => signals.find((signal) => signal.logical === logical)?.width ?? 0;
  const values = [
    `PROTOCOL ${protocol}`,
    `DATA_WIDTH ${width("WDATA")}`,
    `ADDR_WIDTH ${width("AWADDR")}`,
    ...(mode === "master" ? [`ID_WIDTH ${width("AWID")}`, "MAX_BURST_LENGTH 16"] : []),
  ];
  return [
    "",
    `set bus [interface ${name} xilinx.com:interface:aximm ${mode} {`,
    ...signals.map(({ logical, port }) => `  ${logical} ${port}`),
    "}]",
    `parameters $bus {${values.join(" ")}}`,
    `ipx::associate_bus_interfaces -busif ${name} -clock ${clock} $core`,
  ];
}

/**
 * XRT binds a bank to a master through an argument of the kernel. No word of the page is one, so each master gets a place behind them that
 * nothing reads.
 */
export function bankOffsets({ words, masters, pageBytes }: Design): number[] {
  const end = Math.max(...words.map(({ offset }) => offset)) + 4;
  const first = 256 * Math.ceil(end / 256);
  if (first + 8 * masters.length > pageBytes)
    throw new RangeError("the register page has no room for the arguments of a kernel");
  return masters.map((_, port) => first + 8 * port);
}

export const bankName = (port: number) => `bank${String(port).padStart(2, "0")}`;

function bankArguments(design: Design): string[] {
  const offsets = bankOffsets(design);
  return [
    "",
    "# Arguments that bind a bank to each master; the logic has nothing there",
    "foreach {name offset master} {",
    ...design.masters.map(({ name }, port) => `  ${bankName(port)} ${hex(offsets[port]!)} ${name}`),
    "} {",
    "  set word [ipx::add_register $name $page]",
    "  set_property address_offset $offset $word",
    "  set_property size 64 $word",
    "  set_property value $master [ipx::add_register_parameter ASSOCIATED_BUSIF $word]",
    "}",
  ];
}
