/** llama.cpp's files of a published shape with random weights: speed does not depend on the numbers. */
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type ShapeName, shapeConfig } from "../../host/model/shapes.ts";
import { writeMamba2Gguf } from "../gguf-mamba2.ts";
import { readGgufHeader } from "../gguf-reader.ts";
import { ROOT } from "../paths.ts";
import { syntheticCheckpoint } from "../synthetic-checkpoint.ts";
import type { Llama } from "./llama.ts";
import { runProgram } from "./programs.ts";
import { hashOfFile, type Steps } from "./step.ts";
import { bytesPerToken, WRITERS } from "./theirs.ts";

/** As llama-quantize takes them. */
export interface Quantization {
  name: string;
  type: string;
  flags: readonly string[];
}

export interface ShapeFile {
  quantization: Quantization;
  gguf: string;
  bytesPerToken: number;
}

/** The FP16 file that they are made from is large, and gone afterwards. */
export function makeShapeFiles(
  llama: Llama,
  { steps, jobs }: { steps: Steps; jobs: number },
  shape: ShapeName,
  quantizations: readonly Quantization[],
): ShapeFile[] {
  const folder = join(steps.cache, "shapes");
  mkdirSync(folder, { recursive: true });
  const files = quantizations.map((quantization) => ({
    quantization,
    gguf: join(folder, `${shape}-${quantization.name.replace(" ", "-")}.gguf`),
  }));
  const sources = [...WRITERS, "synthetic-checkpoint"].map((name) => hashOfFile(join(ROOT, "bench", `${name}.ts`)));
  const made = [llama.source, ...sources, JSON.stringify(quantizations)];
  const step = `shape-${shape}`;
  const outputs = files.map(({ gguf }) => gguf);
  steps.once(step, `random ${shape} as GGUF, quantized by llama.cpp`, made, outputs, () => {
    const original = join(folder, `${shape}-F16.gguf`);
    try {
      writeMamba2Gguf(syntheticCheckpoint(shape, shapeConfig(shape)), original);
      for (const { quantization, gguf } of files) {
        const temporary = `${gguf}.tmp`;
        const how = [...quantization.flags, original, temporary, quantization.type, String(jobs)];
        runProgram(llama.quantize, how, steps.log(step));
        renameSync(temporary, gguf);
      }
    } finally {
      rmSync(original, { force: true });
    }
  });
  return files.map((file) => ({ ...file, bytesPerToken: bytesPerToken(readGgufHeader(file.gguf)) }));
}
