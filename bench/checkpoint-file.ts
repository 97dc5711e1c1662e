/** Writes the checkpoint of synthetic-checkpoint.ts as files, in BF16 as they are published. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { elementCount } from "../host/checkpoint/dtype.ts";
import { tensorSpecs } from "../host/checkpoint/layout.ts";
import { writeSafetensors } from "../host/checkpoint/safetensors.ts";
import { type ShapeName, shapeConfig } from "../host/model/shapes.ts";
import { syntheticCheckpoint } from "./synthetic-checkpoint.ts";

/** Each tensor is drawn when it is written: a checkpoint may be larger than memory. */
export function writeCheckpoint(dir: string, name: ShapeName, layers: number): void {
  const shape = shapeConfig(name, layers);
  const checkpoint = syntheticCheckpoint(name, shape);
  mkdirSync(dir, { recursive: true });
  const config = {
    d_model: shape.dModel,
    n_layer: shape.nLayers,
    vocab_size: shape.vocabUsed,
    pad_vocab_size_multiple: 16,
    ssm_cfg: { layer: "Mamba2" },
    tie_embeddings: shape.tieEmbeddings,
  };
  writeFileSync(join(dir, "config.json"), JSON.stringify(config));
  writeSafetensors(
    join(dir, "model.safetensors"),
    tensorSpecs(shape).map(({ name: tensor, sourceName, sourceShape }) => ({
      name: sourceName,
      dtype: "BF16",
      shape: sourceShape,
      data: () => upperHalves(checkpoint.read(tensor), elementCount(sourceShape)),
    })),
  );
}

function upperHalves(values: Float32Array, count: number): Uint8Array {
  const words = new Uint16Array(values.buffer, values.byteOffset, 2 * count);
  return new Uint8Array(Uint16Array.from({ length: count }, (_, i) => words[2 * i + 1]!).buffer);
}

// Started as a program, so that drawing the weights leaves nothing in the memory that is measured.
if (process.argv[1] === import.meta.filename) {
  const [dir, shape, layers] = process.argv.slice(2) as [string, ShapeName, string];
  writeCheckpoint(dir, shape, Number(layers));
}
