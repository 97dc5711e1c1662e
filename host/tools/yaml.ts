/**
 * Strict YAML: a file is held against the JSON Schema that lies beside it, which editors complete from too. The part of JSON Schema that these
 * schemas use is understood, and a keyword beyond it is an error, so that none is ignored silently. Every error names line and column.
 */
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import { badInput } from "../errors.ts";

type Schema = { [keyword: string]: unknown };

const KEYWORDS = new Set(
  (
    "$schema $defs $ref title description type enum properties required additionalProperties items minItems maxItems " +
    "minimum maximum pattern"
  ).split(" "),
);

export function parseStrict(text: string, file: string, schema: Schema): unknown {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, version: "1.2" });
  const fail: Fail = (node, path, what) => {
    const at = lines.linePos(node?.range?.[0] ?? 0);
    throw badInput(what, { file: `${file}:${at.line}:${at.col}`, ...(path === "" ? {} : { field: path }) });
  };
  const broken = document.errors[0] ?? document.warnings[0];
  if (broken !== undefined) {
    const at = lines.linePos(broken.pos[0]);
    throw badInput(broken.message.split("\n")[0]!.replace(/ at line .*$/, ""), {
      file: `${file}:${at.line}:${at.col}`,
    });
  }
  if (document.contents === null) fail(undefined, "", "is empty");
  checkNode(document.contents as Node, schema, schema, "", fail);
  return document.toJS();
}

type Fail = (node: Node | undefined, path: string, what: string) => never;

function checkNode(node: Node, given: Schema, root: Schema, path: string, fail: Fail): void {
  const schema = resolve(given, root);
  for (const keyword of Object.keys(schema))
    if (!KEYWORDS.has(keyword)) throw new Error(`schema keyword ${keyword} is not understood`);
  if (schema.enum !== undefined) checkEnum(node, schema.enum as unknown[], path, fail);
  if (schema.type === "object") checkMap(node, schema, root, path, fail);
  else if (schema.type === "array") checkSequence(node, schema, root, path, fail);
  else if (schema.type !== undefined) checkScalar(node, schema, path, fail);
}

function resolve(schema: Schema, root: Schema): Schema {
  if (schema.$ref === undefined) return schema;
  const name = String(schema.$ref).replace("#/$defs/", "");
  return { ...(root.$defs as { [name: string]: Schema })[name], ...schema, $ref: undefined };
}

function checkEnum(node: Node, values: unknown[], path: string, fail: Fail): void {
  if (isScalar(node) && values.includes(node.value)) return;
  fail(node, path, `must be one of ${values.join(", ")}`);
}

function checkMap(node: Node, schema: Schema, root: Schema, path: string, fail: Fail): void {
  if (!isMap(node)) fail(node, path, "must be a map");
  const properties = (schema.properties ?? {}) as { [name: string]: Schema };
  const rest = schema.additionalProperties as Schema | false | undefined;
  const seen = new Set<string>();
  for (const pair of node.items) {
    const key = pair.key as Node;
    const name = String(isScalar(key) ? key.value : key);
    const inner = properties[name] ?? rest;
    if (inner === undefined || inner === false) fail(key, path, `unknown key ${name}${knownKeys(properties)}`);
    if (pair.value === null) fail(key, path, `${name} has no value`);
    seen.add(name);
    checkNode(pair.value as Node, inner, root, path === "" ? name : `${path}.${name}`, fail);
  }
  for (const name of (schema.required ?? []) as string[])
    if (!seen.has(name)) fail(node, path, `key ${name} is missing`);
}

function knownKeys(properties: { [name: string]: Schema }): string {
  const known = Object.keys(properties);
  return known.length === 0 ? "" : `; known here: ${known.join(", ")}`;
}

function checkSequence(node: Node, schema: Schema, root: Schema, path: string, fail: Fail): void {
  if (!isSeq(node)) fail(node, path, "must be a list");
  const count = node.items.length;
  if (count < Number(schema.minItems ?? 0) || count > Number(schema.maxItems ?? Number.POSITIVE_INFINITY))
    fail(node, path, `has ${count} entries (expected ${schema.minItems ?? 0} to ${schema.maxItems ?? "any number"})`);
  node.items.forEach((item, i) => {
    checkNode(item as Node, schema.items as Schema, root, `${path}[${i}]`, fail);
  });
}

function checkScalar(node: Node, schema: Schema, path: string, fail: Fail): void {
  const value = isScalar(node) ? node.value : undefined;
  const type = schema.type === "integer" ? "number" : schema.type;
  if (typeof value !== type || (schema.type === "integer" && !Number.isSafeInteger(value)))
    fail(node, path, `must be ${schema.type === "integer" ? "an integer" : `a ${schema.type}`}`);
  if (typeof value === "number") {
    const low = Number(schema.minimum ?? Number.NEGATIVE_INFINITY);
    const high = Number(schema.maximum ?? Number.POSITIVE_INFINITY);
    if (!(value >= low && value <= high)) fail(node, path, `must be ${low} to ${high}, not ${value}`);
  }
  if (schema.pattern !== undefined && !new RegExp(String(schema.pattern)).test(String(value)))
    fail(node, path, `must match ${schema.pattern}`);
}
