/**
 * The float simulation of a quantized model: weights as their codes say, activations of the linear layers rounded as NQU
 * does, everything else in FP32. What the integer pipeline loses against it is the price of
 * integers alone.
 */
import { SafetensorsFile } from "../checkpoint/safetensors.ts";
import type { ActivationBits, ModelHeader } from "../model/description.ts";
import { MODEL_FILES } from "../model/description.ts";
import { blockBytes, dequantize, inProjOrder, plainOrder, type RowOrder, unpack } from "../model/frames.ts";
import { HadamardTransform } from "../model/hadamard.ts";
import type { ReferenceHooks, ReferenceWeights } from "../reference/index.ts";
import { Arena, sharedOffline } from "../reference/offline.ts";
import { rotateWeights } from "./rotate.ts";

/** `plain`: the weights of the checkpoint the model in `header` was made from. */
export function simulatedWeights(plain: ReferenceWeights, header: ModelHeader): ReferenceWeights {
  const { config, description, dir } = header;
  const rotated = rotateWeights(plain, description.rotation);
  const file = SafetensorsFile.open(`${dir}/${MODEL_FILES.weights}`);
  const matrix = (name: string, order: RowOrder, inputs: number): Float32Array => {
    const planes =
      file.tensors.get(`${name}.frames`)!.shape[1] === blockBytes(inputs, description.weights.group) ? 1 : 2;
    const frames = file.readBytes(`${name}.frames`);
    const exponents = file.readBytes(`${name}.row_exponent`);
    const rowExponents = new Int8Array(exponents.buffer, exponents.byteOffset, exponents.length);
    return dequantize(unpack({ frames, planes, rowExponents }, order, inputs, description.weights.group));
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
export function activationHook(bits: ActivationBits, dModel: number, dInner: number): ReferenceHooks {
  const offline = sharedOffline();
  return {
    linearInput({ matrix }, x, rows) {
      const arena = new Arena(offline.start);
      const at = arena.floats(x.length);
      offline.reserve(arena.end);
      offline.floats(at, x.length).set(x);
      offline.kernels.quantizeActivations(at, rows, matrix === "out_proj" ? dInner : dModel, bits);
      x.set(offline.floats(at, x.length));
    },
  };
}
