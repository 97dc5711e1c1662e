/**
 * What a long run has done so far, beside its output: each layer when it is rounded, and the calibration streams behind
 * it. A run that was interrupted goes on from there when the same command is given again.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SafetensorsFile, type SafetensorsTensor, writeSafetensors } from "../checkpoint/safetensors.ts";
import type { LayerError } from "../model/description.ts";
import type { Maxima, ReferenceLayer } from "../reference/index.ts";
import type { SavedStream } from "./lane.ts";

/** What is known of a layer when it is done. */
export interface LayerRecord {
  tensors: Map<string, Uint8Array | Int8Array>;
  error: LayerError;
  maxima: Maxima[number];
  unrotated: boolean;
  /** γ2, which SmoothQuant changes. */
  gateNorm: ReferenceLayer["gateNorm"];
}

interface Progress {
  key: string;
  /** Layers done, by pass: rotation auto and a KL budget take several. */
  done: Record<string, number>;
}

export class ResumeStore {
  readonly #dir: string;
  readonly #progress: Progress;
  /** An earlier run with the same inputs was interrupted. */
  readonly #resumes: boolean;

  /** `inputs` is everything the result depends on. */
  constructor(output: string, inputs: unknown) {
    this.#dir = resumeDirectory(output);
    const key = createHash("sha256").update(JSON.stringify(inputs)).digest("hex");
    const earlier = this.#read(key);
    this.#resumes = earlier !== undefined;
    this.#progress = earlier ?? { key, done: {} };
  }

  /** Layers of a pass that need not be done again. */
  done(pass: string): number {
    return this.#progress.done[pass] ?? 0;
  }

  calibration(): Int32Array | undefined {
    const path = join(this.#dir, CALIBRATION);
    return !this.#resumes || !existsSync(path)
      ? undefined
      : withFile(path, (file) => aligned(file.readBytes("ids"), Int32Array));
  }

  keepCalibration(ids: Int32Array): void {
    mkdirSync(this.#dir, { recursive: true });
    writeSafetensors(join(this.#dir, CALIBRATION), [tensor("ids", "I32", ids)]);
    this.#write();
  }

  keepLayer(pass: string, index: number, record: LayerRecord, streams: SavedStream[]): void {
    mkdirSync(this.#dir, { recursive: true });
    const { tensors, gateNorm, ...rest } = record;
    const views = [...tensors].map(([name, view]) => tensor(name, "U8", view));
    writeSafetensors(this.#layerFile(pass, index), [...views, tensor(GATE_NORM, "F32", gateNorm)], {
      metadata: { record: JSON.stringify(rest) },
    });
    const parts = streams.flatMap(({ index: chunk, exact, rounded }) => [
      tensor(`${chunk}.exact`, "F32", exact),
      tensor(`${chunk}.rounded`, "F32", rounded),
    ]);
    writeSafetensors(this.#streamFile(pass, index), parts);
    this.#progress.done[pass] = index + 1;
    this.#write();
    rmSync(this.#streamFile(pass, index - 1), { force: true });
  }

  layer(pass: string, index: number): LayerRecord {
    return withFile(this.#layerFile(pass, index), (file) => {
      const rest = JSON.parse(file.metadata.record!) as Omit<LayerRecord, "tensors" | "gateNorm">;
      const names = [...file.tensors.keys()].filter((name) => name !== GATE_NORM);
      const gateNorm = aligned(file.readBytes(GATE_NORM), Float32Array);
      return { ...rest, gateNorm, tensors: new Map(names.map((name) => [name, file.readBytes(name)])) };
    });
  }

  /** The streams behind layer `index`. */
  streams(pass: string, index: number): SavedStream[] {
    return withFile(this.#streamFile(pass, index), (file) => {
      const part = (name: string) => aligned(file.readBytes(name), Float32Array);
      const chunks = new Set([...file.tensors.keys()].map((name) => Number.parseInt(name, 10)));
      return [...chunks]
        .sort((a, b) => a - b)
        .map((chunk) => ({ index: chunk, exact: part(`${chunk}.exact`), rounded: part(`${chunk}.rounded`) }));
    });
  }

  /** The run is complete. */
  clear(): void {
    rmSync(this.#dir, { recursive: true, force: true });
  }

  #layerFile(pass: string, index: number): string {
    return join(this.#dir, `${pass}-layer-${index}.safetensors`);
  }

  #streamFile(pass: string, index: number): string {
    return join(this.#dir, `${pass}-streams-${index}.safetensors`);
  }

  #read(key: string): Progress | undefined {
    try {
      const progress = JSON.parse(readFileSync(join(this.#dir, PROGRESS), "utf8")) as Progress;
      return progress.key === key ? progress : undefined;
    } catch {
      return undefined;
    }
  }

  #write(): void {
    const path = join(this.#dir, PROGRESS);
    writeFileSync(`${path}.tmp`, JSON.stringify(this.#progress));
    renameSync(`${path}.tmp`, path);
  }
}

const PROGRESS = "progress.json";
const CALIBRATION = "calibration.safetensors";
const GATE_NORM = "gate_norm";

/** Beside the output, where the user sees it and can delete it. */
export function resumeDirectory(output: string): string {
  return `${output}.resume`;
}

function tensor(
  name: string,
  dtype: "I32" | "U8" | "F32",
  view: ArrayBufferView & { length: number },
): SafetensorsTensor {
  return { name, dtype, shape: [view.length], data: new Uint8Array(view.buffer, view.byteOffset, view.byteLength) };
}

function withFile<T>(path: string, use: (file: SafetensorsFile) => T): T {
  const file = SafetensorsFile.open(path);
  try {
    return use(file);
  } finally {
    file.close();
  }
}

/** A copy at an address fit for its elements. */
function aligned<T>(bytes: Uint8Array, Type: new (buffer: ArrayBufferLike) => T): T {
  return new Type(bytes.slice().buffer);
}
