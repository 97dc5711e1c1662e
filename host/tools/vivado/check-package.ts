/** package_ip.tcl, as recorded, beside the RTL that Verilator elaborates and the contract. */
import { existsSync } from "node:fs";
import type { Module, Netlist } from "../netlist.ts";
import { type AxiInterface, type Design, hex } from "./design.ts";
import { bankName, bankOffsets } from "./package.ts";
import { differs, type Problem } from "./problem.ts";
import { type Call, properties, tclList } from "./record.ts";

export function checkPackage(design: Design, calls: readonly Call[], netlist: Netlist): Problem[] {
  return [
    ...differs("top", netlist.top.name, properties(calls, "top").get("sources_1")),
    ...checkSources(calls, netlist),
    ...checkParameters(design, netlist),
    ...checkWiring(design, netlist),
    ...checkPorts(design, calls, netlist.top),
    ...axis(design).flatMap((one) => checkInterface(design, one, calls, netlist.top)),
    ...checkReset(design, calls),
    ...checkRegisters(design, calls),
  ];
}

const axis = ({ registers, masters }: Design) => [registers, ...masters];
const named = (calls: readonly Call[], command: string) => calls.filter((call) => call.command === command);

function checkSources(calls: readonly Call[], { files }: Netlist): Problem[] {
  const listed = named(calls, "add_files").flatMap(({ args }) => tclList(args[0]!));
  const twice = listed.filter((path, i) => listed.indexOf(path) !== i);
  return [
    ...listed.filter((path) => !existsSync(path)).map((path) => ({ what: `there is no source ${path}` })),
    ...twice.map((path) => ({ what: `source ${path} is there twice` })),
    ...files.filter((path) => !listed.includes(path)).map((path) => ({ what: `source ${path} is missing` })),
    ...listed
      .filter((path) => !files.includes(path))
      .map((path) => ({ what: `source ${path} is not part of the top` })),
  ];
}

/** What lm_top is built with, beside boards/<name>.yaml. */
function checkParameters({ board }: Design, { top, modules }: Netlist): Problem[] {
  const inner = [...modules.values()].find(({ name }) => name === "lm_top");
  if (inner === undefined) return [{ what: `${top.name} has no lm_top` }];
  const { lanes, ...build } = board.build;
  if (lanes !== board.ports.length) return differs("lanes: each port has one", board.ports.length, lanes);
  return Object.entries({ ports: board.ports.length, ...build }).flatMap(([name, expected]) =>
    differs(`parameter ${name.toUpperCase()} of lm_top`, expected, inner.parameters.get(name.toUpperCase())),
  );
}

/** What is at lm_top's ports: masters together, port 0 lowest; and what says how wide and long a transfer is. */
function checkWiring({ flow, registers, masters, interrupt }: Design, { top, modules }: Netlist): Problem[] {
  const inner = (name: string) => top.instances.find(({ module }) => modules.get(module)?.name === name)?.connections;
  const at = (name: string, port: string) => inner(name)?.get(port)?.join(" ");
  const wanted = (port: string): string | undefined => {
    const [, side, signal] = /^([ms])_(\w+)$/.exec(port) ?? [];
    if (side === undefined) return { clk: flow.clock, rst_n: flow.reset }[port];
    return side === "s"
      ? `${registers.name}_${signal}`
      : masters
          .map(({ name }) => `${name}_${signal}`)
          .reverse()
          .join(" ");
  };
  const ports = [...(inner("lm_top")?.keys() ?? [])].filter((port) => wanted(port) !== undefined);
  const widths = masters.flatMap(({ name }) => {
    const bytes = (top.ports.find((port) => port.name === `${name}_wdata`)?.width ?? 0) / 8;
    return [
      ...["awsize", "arsize"].map((signal) => [`${name}_${signal}`, BigInt(Math.log2(bytes))] as const),
      ...["awburst", "arburst"].map((signal) => [`${name}_${signal}`, 1n] as const),
      [`${name}_wstrb`, 2n ** BigInt(bytes) - 1n] as const,
    ];
  });
  return [
    ...ports.flatMap((port) => differs(`at lm_top's port ${port}`, wanted(port), at("lm_top", port))),
    ...differs("at lm_irq's port pulse", at("lm_top", "irq"), at("lm_irq", "pulse")),
    ...differs("at lm_irq's port level", interrupt, at("lm_irq", "level")),
    ...widths.flatMap(([port, value]) => differs(`value of ${port}`, `${value}`, top.constants.get(port)?.toString())),
  ];
}

/** Port of the top → interface/logical name. */
function portMaps(calls: readonly Call[]): Map<string, string[]> {
  const maps = new Map<string, string[]>();
  for (const [object, port] of properties(calls, "physical_name")) maps.set(port, [...(maps.get(port) ?? []), object]);
  return maps;
}

function checkPorts(design: Design, calls: readonly Call[], top: Module): Problem[] {
  const maps = portMaps(calls);
  const wanted = new Map<string, { object: string; width: number; output: boolean }>([
    [design.flow.clock, { object: `${design.flow.clock}/CLK`, width: 1, output: false }],
    [design.flow.reset, { object: `${design.flow.reset}/RST`, width: 1, output: false }],
    [design.interrupt, { object: `${design.interrupt}/INTERRUPT`, width: 1, output: true }],
    ...axis(design).flatMap(({ name, signals }) =>
      signals.map(
        ({ logical, port, width, output }) => [port, { object: `${name}/${logical}`, width, output }] as const,
      ),
    ),
  ]);
  return [
    ...[...maps.keys()]
      .filter((port) => !top.ports.some(({ name }) => name === port))
      .map((port) => ({ what: `${maps.get(port)![0]}: the top has no port ${port}` })),
    ...top.ports.flatMap(({ name, width, output }) => {
      const object = maps.get(name);
      const right = wanted.get(name);
      if (object === undefined) return [{ what: `port ${name} is in no interface` }];
      if (object.length > 1) return [{ what: `port ${name} is in two interfaces`, found: object.join(", ") }];
      if (right === undefined) return [{ what: `port ${name} is none of a board's top`, found: object[0]! }];
      return [
        ...differs(`port ${name}`, right.object, object[0]),
        ...differs(`width of port ${name}`, right.width, width),
        ...differs(`direction of port ${name}`, direction(right.output), direction(output)),
      ];
    }),
    ...[...wanted.keys()]
      .filter((port) => !top.ports.some(({ name }) => name === port))
      .map((port) => ({ what: `the top lacks port ${port}` })),
  ];
}

const direction = (output: boolean) => (output ? "output" : "input");

function checkInterface(design: Design, one: AxiInterface, calls: readonly Call[], top: Module): Problem[] {
  const { name, mode, protocol } = one;
  const width = (logical: string) =>
    top.ports.find((port) => port.name === one.signals.find((signal) => signal.logical === logical)?.port)?.width;
  const values = properties(calls, "value");
  const clock = named(calls, "ipx::associate_bus_interfaces").find(({ options }) => options.get("-busif") === name);
  return [
    ...differs(`mode of ${name}`, mode, properties(calls, "interface_mode").get(name)),
    ...differs(`definition of ${name}`, "xilinx.com:interface:aximm:1.0", properties(calls, "bus_type_vlnv").get(name)),
    ...differs(`clock of ${name}`, design.flow.clock, clock?.options.get("-clock")),
    ...differs(`PROTOCOL of ${name}`, protocol, values.get(`${name}/PROTOCOL`)),
    ...differs(`DATA_WIDTH of ${name}`, width("WDATA"), values.get(`${name}/DATA_WIDTH`)),
    ...differs(`ADDR_WIDTH of ${name}`, width("AWADDR"), values.get(`${name}/ADDR_WIDTH`)),
    ...(mode === "slave"
      ? differs(`memory map of ${name}`, name, properties(calls, "slave_memory_map_ref").get(name))
      : [
          ...differs(`ID_WIDTH of ${name}`, width("AWID"), values.get(`${name}/ID_WIDTH`)),
          ...differs(`address space of ${name}`, name, properties(calls, "master_address_space_ref").get(name)),
        ]),
  ];
}

function checkReset({ flow }: Design, calls: readonly Call[]): Problem[] {
  const polarity = properties(calls, "value").get(`${flow.reset}/POLARITY`);
  const associated = named(calls, "ipx::associate_bus_interfaces").some(
    ({ options }) => options.get("-reset") === flow.reset && options.get("-clock") === flow.clock,
  );
  return [
    ...differs("polarity of the reset", "ACTIVE_LOW", polarity),
    ...(associated ? [] : [{ what: `reset ${flow.reset} does not belong to ${flow.clock}` }]),
  ];
}

/** The register page: its size, and every word of the contract; for a kernel the arguments behind them too. */
function checkRegisters(design: Design, calls: readonly Call[]): Problem[] {
  const { registers, words, pageBytes, flow, masters } = design;
  const page = `core/${registers.name}/reg0`;
  const range = properties(calls, "range").get(page);
  const found = new Map(
    [...properties(calls, "address_offset")].map(([object, offset]) => [object.slice(page.length + 1), Number(offset)]),
  );
  const banks = flow.kind === "kernel" ? bankOffsets(design).map((offset, i) => ({ name: bankName(i), offset })) : [];
  const masterOf = properties(calls, "value");
  return [
    ...differs("bytes of the register page", pageBytes, range),
    ...[...words, ...banks].flatMap(({ name, offset }) => {
      const there = found.get(name);
      return differs(`register ${name}`, hex(offset), there === undefined ? undefined : hex(there));
    }),
    ...[...found.keys()]
      .filter((name) => ![...words, ...banks].some((word) => word.name === name))
      .map((name) => ({ what: `register ${name} is not in the contract` })),
    ...banks.flatMap(({ name }, port) =>
      differs(`argument ${name}`, masters[port]!.name, masterOf.get(`${page}/${name}/ASSOCIATED_BUSIF`)),
    ),
  ];
}
