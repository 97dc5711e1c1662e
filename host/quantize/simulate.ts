/**
 * The float simulation of a quantized model: weights as their codes say, activations of the linear layers rounded as NQU
 * does but with exact scales, everything else in FP32. What the integer pipeline loses against it is the price of
 * integers alone.
 */
import { ACTIVATION_GROUP } from "../../assembly/contract.ts";
import { SafetensorsFile } from "../checkpoint/safetensors.ts";
import type { ModelHeader } from "../model/description.ts";
import { MODEL_FILES } from "../model/description.ts";
import { inProjOrder, plainOrder, type RowOrder, unpack } from "../model/frames.ts";
import { HadamardTransform } from "../model/hadamard.ts";
import type { ReferenceHooks, ReferenceWeights } from "../reference/index.ts";
import { rotateWeights } from "./rotate.ts";
import { dequantize } from "./round.ts";

/** `plain`: the weights of the checkpoint the model in `header` was made from. */
export function simulatedWeights(plain: ReferenceWeights, header: ModelHeader): ReferenceWeights {
  const { config, description, dir } = header;
  const rotated = rotateWeights(plain, description.rotation);
  const file = SafetensorsFile.open(`${dir}/${MODEL_FILES.weights}`);
  const matrix = (name: string, order: RowOrder, inputs: number): Float32Array => {
    const [, blockBytes] = file.tensors.get(`${name}.frames`)!.shape;
    const frames = file.readBytes(`${name}.frames`);
    const exponents = file.readBytes(`${name}.row_exponent`);
    const rowExponents = new Int8Array(exponents.buffer, exponents.byteOffset, exponents.length);
    return dequantize(unpack({ frames, blockBytes: blockBytes!, rowExponents }, order, inputs));
  };
  const { dModel, dInner, vocabSize } = config;
  const unit = new HadamardTransform(description.rotation.inner).unit;
  return {
    ...rotated,
    lmHead: matrix("lm_head", plainOrder(vocabSize), dModel),
    layer: (i) => ({
      ...rotated.layer(i),
      inProj: matrix(`layers.${i}.in_proj`, inProjOrder(config), dModel),
      outProj: matrix(`layers.${i}.out_proj`, plainOrder(dModel), dInner).map((value) => value / unit),
    }),
  };
}

/** Rounds the input of every linear layer in place. */
export function activationHook(activationBits: 4 | 8, dModel: number, dInner: number): ReferenceHooks {
  return {
    linearInput({ matrix }, x) {
      const inputs = matrix === "out_proj" ? dInner : dModel;
      if (activationBits === 8) for (let at = 0; at < x.length; at += inputs) round8(x.subarray(at, at + inputs));
      else for (let at = 0; at < x.length; at += inputs) round4(x.subarray(at, at + inputs));
    },
  };
}

/** Groups of 16, each with a zero point and a scale of its own. */
function round4(vector: Float32Array): void {
  for (let at = 0; at < vector.length; at += ACTIVATION_GROUP) {
    const group = vector.subarray(at, Math.min(at + ACTIVATION_GROUP, vector.length));
    const low = Math.min(0, ...group);
    const high = Math.max(0, ...group);
    const scale = (high - low) / 15;
    if (scale === 0) continue;
    const zero = Math.round(-low / scale);
    for (let i = 0; i < group.length; i++) {
      const code = Math.min(15, Math.max(0, Math.round(group[i]! / scale) + zero));
      group[i] = (code - zero) * scale;
    }
  }
}

/** One scale a vector. */
function round8(vector: Float32Array): void {
  let largest = 0;
  for (const value of vector) largest = Math.max(largest, Math.abs(value));
  const scale = largest / 127;
  if (scale > 0) for (let i = 0; i < vector.length; i++) vector[i] = Math.round(vector[i]! / scale) * scale;
}
