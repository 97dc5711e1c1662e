/** The data partition: models by what is in them, and which of them a runtime takes. docs/update.md. */
import { createHash } from "node:crypto";
import { mkdirSync, renameSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { badInput, type ErrorDetail } from "../errors.ts";
import {
  type BoardModelOptions,
  type BoardSetup,
  checksum,
  type FileSum,
  prepareBoardModel,
  SETUP_FILE,
} from "./prepare.ts";

/** Of a model on a board, in the order in which its id is made of them. */
export const MODEL_PARTS = ["model.safetensors", "tokenizer.json", SETUP_FILE] as const;
type ModelPart = (typeof MODEL_PARTS)[number];

export interface BoardModel {
  /** Folder of its three files. */
  folder: string;
  id: string;
  /** The runtime that it was prepared for. */
  runtime: string;
  bytes: number;
  /** In the order of `MODEL_PARTS`. */
  files: (FileSum & { name: ModelPart })[];
}

/** Runtimes and models are named by the first 16 digits of a SHA-256. */
export function shortHash(sha256: string): string {
  return sha256.slice(0, 16);
}

export const SHORT_HASH = /^[0-9a-f]{16}$/;

/** Of the SHA-256 of its parts, in their order. */
export function modelId(sha256: readonly string[]): string {
  const text = sha256.map((one) => `${one}\n`).join("");
  return shortHash(createHash("sha256").update(text).digest("hex"));
}

/** Paths below /data. */
export const modelFolder = (id: string) => `models/${id}`;
export const pointerOf = (runtime: string) => `current/${runtime}`;
/** A pointer's own text: it lies beside the models. */
export const pointerTo = (id: string) => `../${modelFolder(id)}`;

/** The id in a pointer's text; undefined where it is none. */
export function pointedId(link: string): string | undefined {
  const id = link.split("/").at(-1)!;
  return SHORT_HASH.test(id) && link === pointerTo(id) ? id : undefined;
}

/** What its setup.json says of a model, as far as anybody but the runner asks. */
export interface SetupSummary {
  generator: string;
  board: string;
  variant: string;
  /** SHA-256. */
  runtime: string;
}

/** `where` is for messages. */
export function summarizeSetup(text: string, where: ErrorDetail): SetupSummary {
  try {
    const { generator, device, runtime } = JSON.parse(text) as BoardSetup;
    const summary = { generator, board: device.board, variant: runtime.variant, runtime: runtime.sha256 };
    if (Object.values(summary).every((one) => typeof one === "string")) return summary;
  } catch {
    // No JSON at all is as unknown as another JSON
  }
  throw badInput("is no description of a model", where);
}

/** Prepares a model directory into `<folder>/<its id>`. */
export function prepareById(from: string, folder: string, options: BoardModelOptions): BoardModel {
  const made = join(folder, "new");
  const { runtime, files: sums } = prepareBoardModel(from, made, options);
  // It has compared all but its own file with these
  const files = MODEL_PARTS.map((name) => ({ name, ...(sums[name] ?? checksum(join(made, name))) }));
  const id = modelId(files.map(({ sha256 }) => sha256));
  renameSync(made, join(folder, id));
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  return { folder: join(folder, id), id, runtime: shortHash(runtime.sha256), bytes, files };
}

/** What is in the data partition of a new card. */
export function stageData(data: string, from: string | undefined, options: BoardModelOptions): void {
  for (const name of ["states", "models", "current"]) mkdirSync(join(data, name), { recursive: true });
  if (from === undefined) return;
  const { id, runtime } = prepareById(from, join(data, "models"), options);
  symlinkSync(pointerTo(id), join(data, pointerOf(runtime)));
}
