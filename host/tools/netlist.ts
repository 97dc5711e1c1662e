/** RTL as Verilator elaborates it: files, ports, parameters, instances and memories of a build, read from the XML that it writes. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { badInput, LightMambaError } from "../errors.ts";

export const RTL = fileURLToPath(new URL("../../firmware/rtl/", import.meta.url));

export interface Port {
  name: string;
  width: number;
  output: boolean;
}

export interface Instance {
  /** Generate blocks around it included: g_rd[3].u_rd. */
  name: string;
  /** Key of `Netlist.modules`: a module with certain parameters. */
  module: string;
  /** What is at each of its ports: variables, those of a concatenation from the highest to the lowest. */
  connections: Map<string, string[]>;
}

/** An array: so many words of so many bits. */
export interface Memory {
  name: string;
  words: number;
  bits: number;
}

export interface Module {
  /** Its name in the source, without parameters. */
  name: string;
  ports: Port[];
  /** Those of generate blocks too: g_rd_of[3].U. */
  parameters: Map<string, number>;
  instances: Instance[];
  memories: Memory[];
  /** Variables that always have the same value. */
  constants: Map<string, bigint>;
}

export interface Netlist {
  top: Module;
  modules: Map<string, Module>;
  /** Absolute paths of everything that was read. */
  files: string[];
}

export type Parameters = { readonly [name: string]: number };

/** Elaborates a file whose module has its name; everything else is found below firmware/rtl. */
export function elaborate(file: string, parameters: Parameters = {}): Netlist {
  const folder = mkdtempSync(join(tmpdir(), "lightmamba-netlist-"));
  try {
    const xml = join(folder, "netlist.xml");
    const top = basename(file, ".sv");
    const { status, stderr, error } = spawnSync(
      "verilator",
      [
        ...["--xml-only", "--xml-output", xml, "-Mdir", folder, "-y", RTL, `-I${join(RTL, "include")}`],
        ...Object.entries(parameters).map(([name, value]) => `-G${name}=${value}`),
        ...["--top-module", top, file],
      ],
      { encoding: "utf8" },
    );
    if (error !== undefined)
      throw new LightMambaError("prerequisite", "there is no Verilator", {
        hint: "firmware/tools/install.sh installs it",
      });
    if (status !== 0) throw badInput(stderr.trim().split("\n")[0]!.replace(/^%/, ""), { file });
    return parseNetlist(readFileSync(xml, "utf8"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

// ------------------------------------------------------------------------------------------------------------ XML

interface Element {
  tag: string;
  attributes: { [name: string]: string };
  children: Element[];
}

const ELEMENT = /<(\/?)([a-z_]\w*)((?:\s+[\w.]+="[^"]*")*)\s*(\/?)>/gi;

/** Elements and attributes are all that is needed of what Verilator writes. */
function parseXml(text: string): Element {
  const root: Element = { tag: "", attributes: {}, children: [] };
  const open = [root];
  const elements = text.replaceAll(/<!--.*?-->/gs, "").matchAll(ELEMENT);
  for (const [, end, tag, attributes, alone] of elements) {
    if (end) {
      if (open.pop()?.tag !== tag) throw new RangeError(`Verilator's XML: </${tag}> ends nothing`);
      continue;
    }
    const pairs = [...attributes!.matchAll(/([\w.]+)="([^"]*)"/g)].map(([, name, value]) => [name!, value!]);
    const element = { tag: tag!, attributes: Object.fromEntries(pairs), children: [] };
    open.at(-1)!.children.push(element);
    if (!alone) open.push(element);
  }
  if (open.length !== 1) throw new RangeError(`Verilator's XML: <${open.at(-1)!.tag}> does not end`);
  return root;
}

/** Elements of a tag below another, each with the names of the blocks around it. */
function* below(element: Element, tag: string, scope = ""): Generator<Element & { scope: string }> {
  for (const child of element.children) {
    if (child.tag === tag) yield { ...child, scope };
    const block = child.tag === "begin" ? child.attributes.name : undefined;
    yield* below(child, tag, block === undefined ? scope : `${scope}${block}.`);
  }
}

const only = (element: Element, tag: string): Element => below(element, tag).next().value as Element;

/** 32'sh1f, as it stands in XML. */
function constant({ attributes }: Element): bigint {
  const digits = /^\d+&apos;s?h([0-9a-f]+)$/.exec(attributes.name!)?.[1];
  if (digits === undefined) throw new RangeError(`Verilator's XML: ${attributes.name} is no number`);
  return BigInt(`0x${digits}`);
}

// ------------------------------------------------------------------------------------------------------------ netlist

/** What Verilator wrote while it ran in the current directory. */
export function parseNetlist(text: string): Netlist {
  const root = parseXml(text);
  const types = new Map(only(root, "typetable").children.map((type) => [type.attributes.id!, type]));
  const modules = new Map<string, Module>();
  let top: Module | undefined;
  for (const element of only(root, "netlist").children) {
    if (element.tag !== "module") continue;
    const module = readModule(element, types);
    modules.set(element.attributes.name!, module);
    if (element.attributes.topModule === "1") top = module;
  }
  const files = [...below(only(root, "files"), "file")].map(({ attributes }) => attributes.filename!);
  return { top: top!, modules, files: files.filter((name) => !name.startsWith("&lt;")).map((n) => resolve(n)) };
}

function readModule(element: Element, types: Map<string, Element>): Module {
  const variables = [...below(element, "var")];
  const width = (variable: Element) => shapeOf(variable.attributes.dtype_id!, types).bits;
  const isPort = ({ attributes }: Element) => attributes.dir !== undefined && attributes.pinIndex !== undefined;
  const isConstant = ({ attributes }: Element) => attributes.param === "true" || attributes.localparam === "true";
  return {
    name: element.attributes.origName!,
    ports: variables.filter(isPort).map((one) => ({
      name: one.attributes.name!,
      width: width(one),
      output: one.attributes.dir === "output",
    })),
    parameters: new Map(
      variables.filter(isConstant).flatMap(({ scope, attributes, children }): [string, number][] => {
        const value = children.find(({ tag }) => tag === "const");
        return value === undefined ? [] : [[scope + attributes.name!, Number(constant(value))]];
      }),
    ),
    instances: [...below(element, "instance")].map(({ attributes, scope, children }) => ({
      name: scope + attributes.name!,
      module: attributes.defName!,
      connections: new Map(
        children.map((port) => [port.attributes.name!, [...below(port, "varref")].map((one) => one.attributes.name!)]),
      ),
    })),
    memories: variables
      .filter((one) => !isConstant(one) && one.attributes.vartype !== "wire")
      .filter((one) => types.get(one.attributes.dtype_id!)!.tag === "unpackarraydtype")
      .map((one) => ({ name: one.scope + one.attributes.name!, ...shapeOf(one.attributes.dtype_id!, types) })),
    constants: new Map([...below(element, "initial")].flatMap(constantOf)),
  };
}

/** Assigned where everything begins, and a constant: that is what Verilator makes of a wire that has one. */
function constantOf({ children: [assign] }: Element): [string, bigint][] {
  const [value, variable, ...more] = assign?.tag === "assign" ? assign.children : [];
  if (value?.tag !== "const" || variable?.tag !== "varref" || more.length > 0) return [];
  return [[variable.attributes.name!, constant(value)]];
}

/** Words and bits of a type; an array of arrays has as many words as both together. */
function shapeOf(id: string, types: Map<string, Element>): { words: number; bits: number } {
  const { tag, attributes, children } = types.get(id)!;
  if (tag === "basicdtype") {
    const plain = { logic: 1, bit: 1, byte: 8, shortint: 16, int: 32, integer: 32, longint: 64 }[attributes.name!] ?? 0;
    const bits = attributes.left === undefined ? plain : Number(attributes.left) - Number(attributes.right) + 1;
    return { words: 1, bits };
  }
  const inner = attributes.sub_dtype_id === undefined ? { words: 1, bits: 0 } : shapeOf(attributes.sub_dtype_id, types);
  if (tag !== "unpackarraydtype" && tag !== "packarraydtype") return inner;
  const [a, b] = children.find((child) => child.tag === "range")!.children.map((one) => Number(constant(one)));
  const count = Math.abs(a! - b!) + 1;
  return tag === "packarraydtype"
    ? { words: 1, bits: inner.bits * count }
    : { words: inner.words * count, bits: inner.bits };
}
