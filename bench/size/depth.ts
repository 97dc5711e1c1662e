/**
 * The longest path of a mapped netlist, in levels: an estimate from the cells alone. There is no placement and no routing in it, so it is no time and
 * no clock; it finds what is too deep for a cycle.
 *
 * Levels: a LUT 1, LUT memory read 1, a chain of carries 1 and 0.05 for each CARRY4 behind the first, a multiplier without registers inside 3,
 * the output of block RAM without a register 2. A path starts and ends at registers, memories, and ports of the part.
 */

export interface Cell {
  type: string;
  parameters: { [name: string]: string };
  port_directions: { [port: string]: string };
  connections: { [port: string]: (number | string)[] };
}

export interface Netlist {
  ports: { [name: string]: { direction: string; bits: (number | string)[] } };
  cells: { [name: string]: Cell };
  netnames: { [name: string]: { hide_name: number; bits: (number | string)[] } };
}

export interface Path {
  levels: number;
  luts: number;
  carries: number;
  from: string;
  to: string;
}

const CHAIN = 1;
const CARRY = 0.05;
const PRODUCT = 3;
const MEMORY = 2;

interface Arrival {
  levels: number;
  luts: number;
  carries: number;
  from: number;
}

/** The output of a cell, bit `index` of its port, that drives a net. */
interface Driver {
  cell: Cell;
  index: number;
}

type Bit = number | string;

const isLut = (type: string) => /^(LUT[1-6]|SRL\w+|RAM\d+(X|M)\w+)$/.test(type);
const isClocked = (port: string) => /^(C|CLK\w*|WCLK|WE\d?|DI\w?|D|CE)$/.test(port);

/** Inputs of a cell that an output depends on in the same cycle: none where it starts a path. */
function inputsOf({ cell, index }: Driver): [port: string, bit: Bit][] {
  const { type, connections, parameters } = cell;
  const all = (wanted: (port: string) => boolean, first = Infinity) =>
    Object.entries(connections)
      .filter(([name]) => cell.port_directions[name] === "input" && wanted(name))
      .flatMap(([name, bits]) => bits.slice(0, first).map((bit): [string, Bit] => [name, bit]));
  if (type === "INV" || /^LUT\d$/.test(type)) return all(() => true);
  if (isLut(type)) return all((name) => !isClocked(name));
  // A bit of a chain has to do with those below it
  if (type === "CARRY4") return all(() => true, index + 1);
  if (type === "DSP48E2") {
    const on = (name: string) => Number.parseInt(parameters[name] ?? "0", 2) > 0;
    if (on("MREG") || on("PREG")) return [];
    return all(
      (name) => (name === "A" && !on("AREG")) || (name === "B" && !on("BREG")) || (name === "C" && !on("CREG")),
    );
  }
  return [];
}

function startOf({ cell: { type, parameters } }: Driver): number {
  if (/^(RAMB|URAM)/.test(type)) return MEMORY;
  const registered = ["MREG", "PREG"].some((name) => Number.parseInt(parameters[name] ?? "0", 2) > 0);
  return type === "DSP48E2" && !registered ? PRODUCT : 0;
}

function costOf({ cell: { type } }: Driver, port: string): number {
  if (type === "INV") return 0;
  if (type === "CARRY4") return port === "CI" || port === "CYINIT" ? CARRY : CHAIN;
  return type === "DSP48E2" ? PRODUCT : 1;
}

export function longestPath({ ports, cells, netnames }: Netlist): Path {
  const drivers = new Map<Bit, Driver>();
  for (const cell of Object.values(cells))
    for (const [port, bits] of Object.entries(cell.connections))
      if (cell.port_directions[port] === "output")
        for (const [index, bit] of bits.entries()) drivers.set(bit, { cell, index });

  const known = new Map<Bit, Arrival>();
  const at = (bit: Bit): Arrival => {
    const before = known.get(bit);
    if (before !== undefined) return before;
    const driver = drivers.get(bit);
    let latest: Arrival = { levels: 0, luts: 0, carries: 0, from: Number(bit) };
    known.set(bit, latest); // ends loops, of which there should be none
    if (driver !== undefined) {
      latest = { ...latest, levels: startOf(driver) };
      for (const [port, input] of inputsOf(driver)) {
        if (typeof input === "string") continue;
        const from = at(input);
        const levels = from.levels + costOf(driver, port);
        if (levels <= latest.levels) continue;
        const luts = from.luts + (isLut(driver.cell.type) ? 1 : 0);
        latest = { ...from, levels, luts, carries: from.carries + (driver.cell.type === "CARRY4" ? 1 : 0) };
      }
    }
    known.set(bit, latest);
    return latest;
  };

  let worst: Arrival = { levels: 0, luts: 0, carries: 0, from: 0 };
  let end: Bit = 0;
  const look = (bits: readonly Bit[], name?: Bit) => {
    for (const bit of bits) {
      if (typeof bit === "string") continue;
      const here = at(bit);
      if (here.levels <= worst.levels) continue;
      worst = here;
      end = name ?? bit;
    }
  };
  for (const { direction, bits } of Object.values(ports)) if (direction === "output") look(bits);
  for (const cell of Object.values(cells)) {
    if (cell.type === "CARRY4" || cell.type === "INV" || /^LUT\d$/.test(cell.type)) continue;
    // A register's end is named by what it holds
    const held = (cell.connections.Q ?? [])[0];
    for (const [port, bits] of Object.entries(cell.connections))
      if (cell.port_directions[port] === "input") look(bits, held);
  }
  const names = namesOf(netnames);
  const { levels, luts, carries, from } = worst;
  const nameOf = (bit: Bit) => names.get(bit) ?? "";
  return { levels: Math.round(100 * levels) / 100, luts, carries, from: nameOf(from), to: nameOf(end) };
}

/** Names that a person gave first, the shorter the better. */
function namesOf(netnames: Netlist["netnames"]): Map<Bit, string> {
  const names = new Map<Bit, string>();
  const weight = (name: string, hidden: number) => name.length + 1000 * hidden;
  const list = Object.entries(netnames).sort((a, b) => weight(a[0], a[1].hide_name) - weight(b[0], b[1].hide_name));
  for (const [name, { bits }] of list)
    bits.forEach((bit, i) => {
      if (!names.has(bit)) names.set(bit, bits.length > 1 ? `${name}[${i}]` : name);
    });
  return names;
}
