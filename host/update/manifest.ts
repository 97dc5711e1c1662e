/** What a bundle says of itself. Checked by hand, key for key, as firmware/runner does: docs/update.md. */
import { MODEL_PARTS, modelId, SHORT_HASH } from "../board/data.ts";
import { describe, isObject, type JsonObject, type JsonValue, parseJson } from "../checkpoint/json.ts";
import { badInput } from "../errors.ts";

export const SYSTEM_FILE = "system.squashfs";
export const MODEL_FILES = MODEL_PARTS.map((name) => `model/${name}`);
export const BUNDLE_BOARDS = ["qemu", "vck190"] as const;

export interface BundleFile {
  path: string;
  bytes: number;
  sha256: string;
}

export interface BundleManifest {
  format: "lightmamba-bundle";
  version: 1;
  board: (typeof BUNDLE_BOARDS)[number];
  /** For whoever looks at it. */
  title: string;
  system?: { version: string; runtime: string; file: typeof SYSTEM_FILE };
  model?: { id: string; runtime: string };
  /** In the order in which they lie there. */
  files: BundleFile[];
}

const MOST_TITLE = 200;

type Check = (value: JsonValue | undefined) => boolean;
/** A line that can be shown. */
export const isTitle = (value: JsonValue | undefined) =>
  typeof value === "string" && value !== "" && value.length <= MOST_TITLE && !/\p{Cc}/u.test(value);
const matching =
  (pattern: RegExp): Check =>
  (value) =>
    typeof value === "string" && pattern.test(value);
const equal =
  (wanted: JsonValue): Check =>
  (value) =>
    value === wanted;
const isBoard: Check = (value) => BUNDLE_BOARDS.some((board) => board === value);
const size: Check = (value) => Number.isSafeInteger(value) && Number(value) > 0;

const SYSTEM = { version: isTitle, runtime: matching(SHORT_HASH), file: equal(SYSTEM_FILE) };
const MODEL = { id: matching(SHORT_HASH), runtime: matching(SHORT_HASH) };
const FILE = { path: isTitle, bytes: size, sha256: matching(/^[0-9a-f]{64}$/) };

/** `file` is for messages. */
export function parseBundleManifest(bytes: string, file: string): BundleManifest {
  const value = parseJson(bytes, file);
  if (!isObject(value)) throw badInput("the manifest is no object", { file, found: describe(value) });
  const { system, model, files } = value;
  checkKeys(file, "", value, {
    format: equal("lightmamba-bundle"),
    version: equal(1),
    board: isBoard,
    title: isTitle,
    files: Array.isArray,
    ...(system === undefined ? {} : { system: isObject }),
    ...(model === undefined ? {} : { model: isObject }),
  });
  if (isObject(system)) checkKeys(file, "system.", system, SYSTEM);
  if (isObject(model)) checkKeys(file, "model.", model, MODEL);
  for (const [i, one] of (files as JsonValue[]).entries()) {
    if (!isObject(one)) throw badInput("is no object", { file, field: `files[${i}]`, found: describe(one) });
    checkKeys(file, `files[${i}].`, one, FILE);
  }
  const manifest = value as unknown as BundleManifest;
  checkParts(file, manifest);
  return manifest;
}

/** Every key is known, every known key is there, and each has a value that it may have. */
function checkKeys(file: string, prefix: string, object: JsonObject, checks: Record<string, Check>): void {
  for (const key of Object.keys(object))
    if (!Object.hasOwn(checks, key)) throw badInput("an unknown key in the manifest", { file, field: prefix + key });
  for (const [key, check] of Object.entries(checks)) {
    if (check(object[key])) continue;
    throw badInput("wrong value in the manifest", { file, field: prefix + key, found: describe(object[key]) });
  }
}

/** A bundle has the files of the parts that it names, each once, in this order. */
function checkParts(file: string, { system, model, files }: BundleManifest): void {
  if (system === undefined && model === undefined)
    throw badInput("neither a system nor a model is in it", { file, field: "system, model" });
  const wanted = [...(system === undefined ? [] : [SYSTEM_FILE]), ...(model === undefined ? [] : MODEL_FILES)];
  const found = files.map(({ path }) => path);
  if (found.join() !== wanted.join())
    throw badInput("not the files of its parts", {
      file,
      field: "files",
      expected: wanted.join(", "),
      found: describe(found.join(", ")),
    });
  if (model === undefined) return;
  const id = modelId(files.slice(-MODEL_FILES.length).map(({ sha256 }) => sha256));
  if (model.id !== id)
    throw badInput("not the id of the model's files", { file, field: "model.id", expected: id, found: model.id });
  if (system === undefined || system.runtime === model.runtime) return;
  throw badInput("the model is for another runtime than the system's", {
    file,
    field: "model.runtime",
    expected: system.runtime,
    found: model.runtime,
  });
}
