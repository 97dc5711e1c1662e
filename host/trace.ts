/**
 * Logits and hidden states of given token ids, in FP32 and in the original basis: how any other implementation is
 * compared with this one, and a quantized model with its checkpoint.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { openCheckpoint } from "./checkpoint/index.ts";
import { SafetensorsFile, type SafetensorsTensor, writeSafetensors } from "./checkpoint/safetensors.ts";
import { badInput } from "./errors.ts";
import { checkIds } from "./ids.ts";
import { MODEL_FILES } from "./model/description.ts";
import { ResidualRotation } from "./quantize/rotate.ts";
import { Reference, weightsFromCheckpoint } from "./reference/index.ts";
import { Model } from "./runtime/model.ts";

export interface Trace {
  ids: Int32Array;
  /** [T, V], V without the padding rows of the vocabulary. */
  logits: Float32Array;
  vocab: number;
  /** [nLayers + 1, T, D]: the output of each block, then that of the final norm. */
  hiddenStates: Float32Array;
  dModel: number;
}

/** True when `dir` holds a quantized model and not a checkpoint. */
export function isModelDirectory(dir: string): boolean {
  return existsSync(join(dir, MODEL_FILES.description));
}

/** Runs the ids through the checkpoint in FP32, or through the quantized model, whichever `dir` holds. */
export function trace(dir: string, ids: Int32Array): Trace {
  if (ids.length === 0) throw badInput("no token ids", { expected: "at least one" });
  return isModelDirectory(dir) ? traceModel(Model.load(dir), ids) : traceCheckpoint(dir, ids);
}

function traceCheckpoint(dir: string, ids: Int32Array): Trace {
  const checkpoint = openCheckpoint(dir);
  try {
    const { vocabSize, vocabUsed, dModel } = checkpoint.config;
    checkIds(ids, vocabUsed);
    const reference = new Reference(weightsFromCheckpoint(checkpoint), { sequences: 1 });
    const { logits, hidden } = reference.forward(ids, { hidden: true });
    return { ids, logits: columns(logits!, vocabSize, vocabUsed), vocab: vocabUsed, hiddenStates: hidden!, dModel };
  } finally {
    checkpoint.close();
  }
}

function traceModel(model: Model, ids: Int32Array): Trace {
  const { vocabSize, vocabUsed, dModel, nLayers } = model.config;
  checkIds(ids, vocabUsed);
  const session = model.session();
  const rotation = new ResidualRotation(model.description.rotation, dModel);
  const logits = new Float32Array(ids.length * vocabSize);
  const hiddenStates = new Float32Array((nLayers + 1) * ids.length * dModel);
  const put = (layer: number, t: number, values: Float32Array) =>
    hiddenStates.set(values, (layer * ids.length + t) * dModel);
  const gamma = finalNorm(model.dir);
  ids.forEach((id, t) => {
    let last = new Float32Array(dModel);
    session.feedByLayer(id, (index) => {
      if (index < 0) return;
      last = Float32Array.from(model.residual());
      rotation.undo(last);
      put(index, t, last);
    });
    put(nLayers, t, normalized(last, gamma, model.config.normEps));
    logits.set(model.logits(), t * vocabSize);
  });
  session.close();
  return { ids, logits: columns(logits, vocabSize, vocabUsed), vocab: vocabUsed, hiddenStates, dModel };
}

/** γ of the final norm, which the runtime has folded into lm_head. */
function finalNorm(dir: string): Float32Array {
  const file = SafetensorsFile.open(join(dir, MODEL_FILES.weights));
  const { buffer, byteOffset, length } = file.readBytes("final_norm");
  file.close();
  return new Float32Array(buffer, byteOffset, length / 4);
}

function normalized(x: Float32Array, gamma: Float32Array, eps: number): Float32Array {
  let sum = 0;
  for (const value of x) sum += value * value;
  const factor = 1 / Math.sqrt(sum / x.length + eps);
  return x.map((value, i) => value * factor * gamma[i]!);
}

function columns(rows: Float32Array, stride: number, kept: number): Float32Array {
  if (stride === kept) return rows;
  const out = new Float32Array((rows.length / stride) * kept);
  for (let r = 0; r * stride < rows.length; r++) out.set(rows.subarray(r * stride, r * stride + kept), r * kept);
  return out;
}

/** Writes `input_ids` [T], `logits` [T, V] and `hidden_states` [nLayers + 1, T, D]. */
export function writeTrace(path: string, { ids, logits, vocab, hiddenStates, dModel }: Trace): void {
  const tokens = ids.length;
  const tensors: [name: string, dtype: SafetensorsTensor["dtype"], shape: number[], data: ArrayBufferView][] = [
    ["input_ids", "I64", [tokens], BigInt64Array.from(ids, BigInt)],
    ["hidden_states", "F32", [hiddenStates.length / tokens / dModel, tokens, dModel], hiddenStates],
    ["logits", "F32", [tokens, vocab], logits],
  ];
  writeSafetensors(
    path,
    tensors.map(([name, dtype, shape, view]) => ({
      name,
      dtype,
      shape,
      data: new Uint8Array(view.buffer, view.byteOffset, view.byteLength),
    })),
    { metadata: { format: "lightmamba-trace" } },
  );
}
