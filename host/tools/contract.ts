/**
 * The device contract and the boards: boards/*.yaml read strictly, and written as SystemVerilog, C, TypeScript and AssemblyScript.
 * Called by host/tools/generate.ts.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { badInput } from "../errors.ts";
import { parseStrict } from "./yaml.ts";

const FOLDER = fileURLToPath(new URL("../../boards/", import.meta.url));

type Words = { [name: string]: number };

export interface Contract {
  id: number;
  version: { major: number; minor: number };
  sizes: Words;
  registers: { device: Words; host: Words };
  window: Words;
  window_flags: Words;
  states: Words;
  units: Words;
  opcodes: { [name: string]: { code: number; unit: string } };
  descriptor_flags: Words;
  descriptor: Words;
  routes: Words;
  completion: Words;
  statuses: { [name: string]: { code: number; text: string } };
}

export interface Figure {
  value: number;
  band?: [low: number, high: number];
  source: string;
  confidence: "chosen" | "documented" | "measured" | "assumed";
}

export interface Board {
  name: string;
  title: string;
  clock_mhz: Figure;
  registers: { address: number };
  /** Number of the SPI. */
  interrupt?: Figure;
  processor?: { clock_mhz: Figure; instructions_per_cycle: Figure; doorbell_us: Figure; sampling_us: Figure };
  /** Of the board's part, where it has one. */
  logic?: Record<"luts" | "flip_flops" | "dsps" | "block_rams" | "ultra_rams", Figure>;
  /** Where a board's part and memories have one; memories by how their names begin. */
  power?: Record<string, Figure> & { memories: { name: string; pj_per_byte: Figure; idle_w: Figure }[] };
  memories: {
    name: string;
    address: number;
    bytes: number;
    gigabytes_per_second: Figure;
    efficiency: Figure;
    latency_ns: Figure;
  }[];
  ports: { memory: string; gigabytes_per_second: Figure; outstanding: number }[];
  build: Words;
}

function schemaOf(name: string) {
  return JSON.parse(readFileSync(`${FOLDER}${name}.schema.json`, "utf8"));
}

export function parseContract(text: string, file: string): Contract {
  const contract = parseStrict(text, file, schemaOf("contract")) as Contract;
  const twice = (what: string, codes: number[]) => {
    if (new Set(codes).size !== codes.length) throw badInput(`two ${what} have the same number`, { file });
  };
  twice("registers", Object.values({ ...contract.registers.device, ...contract.registers.host }));
  twice(
    "opcodes",
    Object.values(contract.opcodes).map((o) => o.code),
  );
  twice(
    "statuses",
    Object.values(contract.statuses).map((s) => s.code),
  );
  for (const [name, { unit }] of Object.entries(contract.opcodes))
    if (contract.units[unit] === undefined) throw badInput(`opcode ${name} has no known unit`, { file, found: unit });
  return contract;
}

export function parseBoard(text: string, file: string): Board {
  const board = parseStrict(text, file, schemaOf("board")) as Board;
  const names = board.memories.map((m) => m.name);
  if (new Set(names).size !== names.length) throw badInput("two memories have the same name", { file });
  for (const port of board.ports)
    if (!names.includes(port.memory))
      throw badInput("a port names no memory of the board", { file, found: port.memory });
  for (const a of board.memories)
    for (const b of board.memories)
      if (a !== b && a.address < b.address + b.bytes && b.address < a.address + a.bytes)
        throw badInput(`memories ${a.name} and ${b.name} overlap`, { file });
  checkPower(board, file);
  for (const [path, { value, band }] of figuresOf(board))
    if (band !== undefined && !(band[0] <= value && value <= band[1]))
      throw badInput("the value is not within its band", {
        file,
        field: path,
        found: `${value}, band ${band.join(" to ")}`,
      });
  if (!Number.isInteger(Math.log2(board.build.prefetch!)))
    throw badInput("is no power of two", { file, field: "build.prefetch", found: board.build.prefetch! });
  checkState(board, file);
  return board;
}

/** Every memory belongs to one entry of `power`. */
function checkPower({ power, memories }: Board, file: string): void {
  for (const { name } of power === undefined ? [] : memories) {
    const found = power!.memories.filter((one) => name.startsWith(one.name)).length;
    if (found !== 1)
      throw badInput("must be named by one entry", { file, field: `power.memories: ${name}`, expected: 1, found });
  }
}

/** Parts of the state want ports behind the first, eight lanes want parts, and the host deals weights out as such a build reads them. */
function checkState({ build, ports }: Board, file: string): void {
  const { state_ports: parts, state_lanes: lanes, multiplies } = build as { [name: string]: number };
  const refuse = (field: string, expected: string, found: number) =>
    badInput("does not fit the build's ports of the state", { file, field: `build.${field}`, expected, found });
  if (parts! >= ports.length) throw refuse("state_ports", `less than the ${ports.length} ports`, parts!);
  if (lanes === 8 && parts === 0) throw refuse("state_lanes", "at most 4", lanes);
  if (multiplies !== (parts! > 0 ? 2 : 1)) throw refuse("multiplies", parts! > 0 ? "2" : "1", multiplies!);
}

export function readContract(): Contract {
  return parseContract(readFileSync(`${FOLDER}contract.yaml`, "utf8"), "boards/contract.yaml");
}

export function readBoards(): Board[] {
  const files = readdirSync(FOLDER).filter((f) => f.endsWith(".yaml") && f !== "contract.yaml");
  return files.sort().map((f) => {
    const board = parseBoard(readFileSync(FOLDER + f, "utf8"), `boards/${f}`);
    if (`${board.name}.yaml` !== f)
      throw badInput("name is not that of the file", { file: `boards/${f}`, field: "name" });
    return board;
  });
}

// ------------------------------------------------------------------------------------------------------ the numbers

interface Number {
  name: string;
  value: number;
  group: string;
}

function snake(name: string): string {
  return name.replaceAll("-", "_").toUpperCase();
}

/** All numbers under one flat name each, the same in every language. */
export function flatten(c: Contract): Number[] {
  const out: Number[] = [];
  const add = (group: string, prefix: string, words: Words) => {
    for (const [name, value] of Object.entries(words)) out.push({ group, name: `${prefix}${snake(name)}`, value });
  };
  const hash = createHash("sha256").update(JSON.stringify(c)).digest().readUInt32LE(0);
  add("Identity", "", { ID: c.id, VERSION: c.version.major * 65536 + c.version.minor, CONTRACT: hash });
  add("Sizes in bytes, and counts", "", c.sizes);
  add("Registers: written by the device", "REG_", c.registers.device);
  add("Registers: written by the host", "REG_", c.registers.host);
  add("Words of a window", "WINDOW_", c.window);
  add("Flags of a window", "WINDOW_FLAG_", c.window_flags);
  add("States", "STATE_", c.states);
  add("Units", "UNIT_", c.units);
  add("Opcodes", "OP_", Object.fromEntries(Object.entries(c.opcodes).map(([n, o]) => [n, o.code])));
  add("Flags of a descriptor", "FLAG_", c.descriptor_flags);
  add("Descriptor: byte offsets", "DESC_", c.descriptor);
  add("Routes of MULTIPLY", "ROUTE_", c.routes);
  add("Completion: byte offsets", "DONE_", c.completion);
  add("Status codes", "STATUS_", Object.fromEntries(Object.entries(c.statuses).map(([n, s]) => [n, s.code])));
  return out;
}

const SOURCE = "Generated by host/tools/generate.ts from the YAML files in boards/. Do not edit.";

function grouped(numbers: Number[], line: (n: Number) => string, comment: (group: string) => string): string[] {
  const out: string[] = [];
  let group = "";
  for (const n of numbers) {
    if (n.group !== group) out.push("", comment(n.group));
    group = n.group;
    out.push(line(n));
  }
  return out;
}

const hex = (value: number) => `0x${value.toString(16).padStart(value > 0xffff ? 8 : 4, "0")}`;

export function systemVerilog(c: Contract): string {
  const body = grouped(
    flatten(c),
    (n) => `localparam logic [31:0] LM_${n.name} = 32'h${n.value.toString(16).padStart(8, "0")};`,
    (group) => `// ${group}`,
  );
  const head = [`// ${SOURCE} Included inside modules.`, "/* verilator lint_off UNUSEDPARAM */"];
  return [...head, ...body, "", "/* verilator lint_on UNUSEDPARAM */", ""].join("\n");
}

/** Build parameters of each board: a board's top is made with one of LM_BOARD_<NAME> defined. */
export function systemVerilogBoards(boards: Board[]): string {
  const out = [`// ${SOURCE} Define LM_BOARD_<NAME>, include inside a board's top.`];
  for (const board of boards) {
    out.push("", `\`ifdef LM_BOARD_${snake(board.name)}`, `localparam int LM_BUILD_PORTS = ${board.ports.length};`);
    for (const [name, value] of Object.entries(board.build))
      out.push(`localparam int LM_BUILD_${snake(name)} = ${value};`);
    out.push("`endif");
  }
  return [...out, ""].join("\n");
}

export function cHeader(c: Contract): string {
  const names = Object.entries(c.opcodes).map(([name, o]) => `  X(${o.code}, ${JSON.stringify(name)}) \\`);
  const texts = Object.values(c.statuses).map((s) => `  X(${s.code}, ${JSON.stringify(s.text)}) \\`);
  return [
    `/* ${SOURCE} What the numbers mean: docs/device.md. */`,
    "#ifndef LM_DEVICE_NUMBERS_H",
    "#define LM_DEVICE_NUMBERS_H",
    ...grouped(
      flatten(c),
      (n) => `#define LM_${n.name} ${hex(n.value)}u`,
      (group) => `/* ${group} */`,
    ),
    "",
    "/* X(code, name) of every opcode */",
    "#define LM_OPCODE_NAMES(X) \\",
    ...names,
    "  /* end */",
    "",
    "/* X(code, text) of every status */",
    "#define LM_STATUS_TEXTS(X) \\",
    ...texts,
    "  /* end */",
    "",
    "#endif",
    "",
  ].join("\n");
}

/** Plain constants: the same text for AssemblyScript and TypeScript. */
export function constants(c: Contract): string {
  const body = grouped(
    flatten(c),
    (n) => `export const ${n.name} = ${hex(n.value)};`,
    (group) => `// ${group}`,
  );
  return [`// ${SOURCE} What the numbers mean: docs/device.md.`, ...body, ""].join("\n");
}

/** Every figure below a part of a board, and where: "memories.0.efficiency". */
function figuresOf(value: unknown, path = ""): [path: string, figure: Figure][] {
  if (value === null || typeof value !== "object") return [];
  if ("confidence" in value) return [[path, value as Figure]];
  return Object.entries(value).flatMap(([key, inner]) => figuresOf(inner, path === "" ? key : `${path}.${key}`));
}

/** Texts and boards, for the host. */
export function hostTables(c: Contract, boards: Board[]): string {
  const texts = Object.fromEntries(Object.entries(c.statuses).map(([name, s]) => [s.code, { name, text: s.text }]));
  const units = Object.keys(c.units).sort((a, b) => c.units[a]! - c.units[b]!);
  const opcodes = Object.fromEntries(Object.entries(c.opcodes).map(([name, o]) => [o.code, name]));
  return [
    `// ${SOURCE}`,
    "",
    "export const STATUS_TEXTS: { readonly [code: number]: { readonly name: string; readonly text: string } } =",
    `  ${JSON.stringify(texts, null, 2).replaceAll("\n", "\n  ")};`,
    "",
    `export const OPCODE_NAMES: { readonly [code: number]: string } = ${JSON.stringify(opcodes, null, 2)};`,
    "",
    `export const UNIT_NAMES: readonly string[] = ${JSON.stringify(units)};`,
    "",
    "/** Numbers without their sources: those are in boards/*.yaml. */",
    `export const BOARDS = ${JSON.stringify(Object.fromEntries(boards.map((b) => [b.name, plain(b)])), null, 2)} as const;`,
    "",
    "/** Where the numbers of BOARDS come from, and how far they may be off: by path. */",
    "export const FIGURES: {",
    "  readonly [board: string]: { readonly [path: string]: Figure };",
    "} = {",
    ...boards.flatMap((b) => [`  ${b.name}: {`, ...figuresOf(b).map(figureLine), "  },"]),
    "};",
    "",
    "export interface Figure {",
    "  readonly value: number;",
    "  readonly band?: readonly [low: number, high: number];",
    "  readonly source: string;",
    "  readonly confidence: string;",
    "}",
    "",
  ].join("\n");
}

function figureLine([path, figure]: [string, Figure]): string {
  return `    ${JSON.stringify(path)}: ${JSON.stringify(figure)},`;
}

function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  const record = value as { [key: string]: unknown };
  if ("confidence" in record) return record.value;
  return Object.fromEntries(Object.entries(record).map(([key, inner]) => [key, plain(inner)]));
}
