/** project.tcl, as recorded: the block design beside the board and the packaged IP. */
import { type Design, hex } from "./design.ts";
import { vlnv } from "./package.ts";
import { differs, type Problem } from "./problem.ts";
import { type Call, properties, tclList, tclPairs } from "./record.ts";
import { FIRST_INTERRUPT, nocs } from "./versal.ts";

/** What the record says about the block design. */
interface System {
  cells: Map<string, string>;
  /** Interface pin → interface pin, both ways; and nets. */
  interfaces: Map<string, string>;
  nets: string[][];
  calls: readonly Call[];
  property(name: string, object: string): string | undefined;
}

const named = (calls: readonly Call[], command: string) => calls.filter((call) => call.command === command);

function readSystem(calls: readonly Call[]): System {
  const pairs = named(calls, "connect_bd_intf_net").map(({ args }) => args);
  return {
    cells: new Map(named(calls, "create_bd_cell").map(({ args, options }) => [args[0]!, options.get("-vlnv") ?? ""])),
    interfaces: new Map(
      pairs.flatMap(([a, b]): [string, string][] => [
        [a!, b!],
        [b!, a!],
      ]),
    ),
    nets: named(calls, "connect_bd_net").map(({ args }) => args),
    calls,
    property: (name, object) => properties(calls, name).get(object),
  };
}

export function checkSystem(design: Design, calls: readonly Call[]): Problem[] {
  const { board } = design;
  const system = readSystem(calls);
  return [
    ...differs("segmented configuration", "true", system.property("segmented_configuration", "project")),
    ...differs("IP of cell lm", vlnv(design), system.cells.get("lm")),
    ...checkPins(design, system),
    ...checkClocks(design, system),
    ...checkInterrupt(design, system),
    ...checkRegisters(design, system),
    ...board.ports.flatMap(({ memory }, port) => checkMaster(design, system, port, memory)),
    ...[...system.cells.keys()].filter((cell) => cell.startsWith("noc_")).flatMap((cell) => checkNoc(system, cell)),
  ];
}

/** Pins are those of cells that are there; those of lm are ports and interfaces of the top. */
function checkPins(design: Design, { nets, interfaces, cells }: System): Problem[] {
  const pins = [...new Set([...nets.flat(), ...interfaces.keys()])];
  const own = [
    ...[design.flow.clock, design.flow.reset, design.interrupt, design.registers.name],
    ...design.masters.map(({ name }) => name),
  ].map((name) => `lm/${name}`);
  return [
    ...pins.filter((pin) => !cells.has(pin.split("/")[0]!)).map((pin) => ({ what: `${pin}: there is no such cell` })),
    ...pins
      .filter((p) => p.startsWith("lm/") && !own.includes(p))
      .map((p) => ({ what: `${p}: the IP has no such pin` })),
    ...own.filter((pin) => !pins.includes(pin)).map((pin) => ({ what: `${pin} is not connected` })),
  ];
}

const together = ({ nets }: System, ...pins: string[]) => nets.some((net) => pins.every((pin) => net.includes(pin)));

function checkClocks({ board, flow }: Design, system: System): Problem[] {
  const settings = tclPairs(system.property("CONFIG.PS_PMC_CONFIG", "cips") ?? "");
  return [
    ...differs("MHz of the PL clock", board.clock_mhz.value, settings.get("PMC_CRP_PL0_REF_CTRL_FREQMHZ")),
    ...(together(system, "cips/pl0_ref_clk", `lm/${flow.clock}`) ? [] : [{ what: "lm has no clock" }]),
    ...(together(system, "reset/peripheral_aresetn", `lm/${flow.reset}`) ? [] : [{ what: "lm has no reset" }]),
  ];
}

function checkInterrupt({ board, interrupt }: Design, system: System): Problem[] {
  const channel = board.interrupt!.value - FIRST_INTERRUPT;
  const usage = tclPairs(system.property("CONFIG.PS_PMC_CONFIG", "cips") ?? "").get("PS_IRQ_USAGE") ?? "";
  const on = tclList(usage).filter((pair) => tclList(pair)[1] === "1");
  return [
    ...differs("interrupts of the processor that are on", `CH${channel} 1`, on.join(", ")),
    ...(together(system, `lm/${interrupt}`, `cips/pl_ps_irq${channel}`)
      ? []
      : [{ what: `lm's interrupt is not SPI ${board.interrupt!.value}` }]),
  ];
}

interface Assignment {
  offset: string | undefined;
  range: string | undefined;
  segment: string;
}

function assignments({ calls }: System, space: string): Assignment[] {
  return named(calls, "assign_bd_address")
    .filter(({ options, args }) => options.get("-target_address_space") === space && args.length > 0)
    .map(({ options, args }) => ({
      ...{ offset: options.get("-offset"), range: options.get("-range"), segment: args[0]! },
    }));
}

function checkRange(what: string, address: number, bytes: number, { offset, range }: Assignment): Problem[] {
  const text = (value: string | undefined) => (value === undefined ? undefined : hex(Number(value)));
  return [
    ...differs(`address of ${what}`, hex(address), text(offset)),
    ...differs(`bytes of ${what}`, hex(bytes), text(range)),
  ];
}

function checkRegisters({ board, registers, pageBytes }: Design, system: System): Problem[] {
  const { interfaces } = system;
  const found = assignments(system, "cips/M_AXI_FPD");
  const path =
    interfaces.get("cips/M_AXI_FPD") === "control/S00_AXI" &&
    interfaces.get("control/M00_AXI") === `lm/${registers.name}`;
  return [
    ...(path ? [] : [{ what: "the processor does not reach the registers" }]),
    ...differs("address assignments of cips/M_AXI_FPD", 1, found.length),
    ...found.flatMap((one) => [
      ...differs("segment of cips/M_AXI_FPD", `lm/${registers.name}/reg0`, one.segment),
      ...checkRange("the registers", board.registers.address, pageBytes, one),
    ]),
  ];
}

/** A master is at the NoC instance of its memory, and has the memory's whole range and nothing else. */
function checkMaster(design: Design, system: System, port: number, memory: string): Problem[] {
  const { board, masters } = design;
  const name = masters[port]!.name;
  const space = `lm/${name}`;
  const { address, bytes } = board.memories.find((one) => one.name === memory)!;
  const at = system.interfaces.get(space);
  const found = assignments(system, space);
  if (at === undefined) return [{ what: `${space} is not connected` }];
  const noc = nocs(design).find((one) => one.memory === memory)!;
  const connections = [...tclPairs(system.property("CONFIG.CONNECTIONS", at) ?? "").keys()];
  const wanted = connections.map((one) => `${at}/${one.replace("MC_", "C")}_${noc.region}`).join(", ");
  return [
    ...differs(`memory of ${name}`, noc.cell, at.split("/")[0]),
    ...differs(`address assignments of ${name}`, 1, found.length),
    ...found.flatMap((one) => [
      ...differs(`segment of ${name}`, wanted, one.segment),
      ...checkRange(`${memory} for ${name}`, address, bytes, one),
    ]),
  ];
}

/** Every slave interface of a NoC instance is connected and has a clock; its region is that of a memory. */
function checkNoc(system: System, cell: string): Problem[] {
  const setting = (name: string) => system.property(`CONFIG.${name}`, cell);
  const slaves = Array.from({ length: Number(setting("NUM_SI")) }, (_, i) => `S${String(i).padStart(2, "0")}_AXI`);
  const clocks = Array.from({ length: Number(setting("NUM_CLKS")) }, (_, i) => `${cell}/aclk${i}`);
  const clocked = clocks.flatMap((clock) => (system.property("CONFIG.ASSOCIATED_BUSIF", clock) ?? "").split(":"));
  const used = [...system.interfaces.keys()].filter((pin) => pin.startsWith(`${cell}/S`) && pin.endsWith("_AXI"));
  return [
    ...slaves
      .filter((slave) => !system.interfaces.has(`${cell}/${slave}`))
      .map((slave) => ({ what: `${cell}/${slave} is not connected` })),
    ...used
      .filter((pin) => !slaves.includes(pin.split("/")[1]!))
      .map((pin) => ({ what: `${pin}: the NoC instance has ${slaves.length} of these` })),
    ...slaves.filter((slave) => !clocked.includes(slave)).map((slave) => ({ what: `${cell}/${slave} has no clock` })),
    ...clocks
      .filter((clock) => !system.nets.some((net) => net.includes(clock)))
      .map((clock) => ({ what: `${clock} is not connected` })),
  ];
}
