/** A checkpoint of a published shape with pseudo-random weights, for other programs: drawn when read, a tensor at a time. */
import { tensorSpecs } from "../host/checkpoint/layout.ts";
import type { Checkpoint, Mamba2Config, TensorInfo } from "../host/checkpoint/types.ts";
import { uniforms } from "../host/reference/random.ts";
import { between, fillRandom, SIGNALS } from "../host/runtime/synthetic.ts";

const MATRIX = /(embedding|lm_head|in_proj|out_proj)$/;
/** Integers of 11 bits times a power of two are exact in FP16. */
const INTEGER_BITS = 11;
const INTEGER_DEVIATION = 2 ** INTEGER_BITS / Math.sqrt(12);

/** `name` is what its files are called by. */
export function syntheticCheckpoint(name: string, config: Mamba2Config): Checkpoint {
  const specs = tensorSpecs(config);
  const tensors = new Map<string, TensorInfo>(
    specs.map(({ name: tensor, shape, sourceName }) => {
      const dtype = MATRIX.test(tensor) ? "F16" : "F32";
      return [tensor, { name: tensor, dtype, shape, file: name, sourceName }];
    }),
  );
  return {
    path: name,
    config,
    tensors,
    read: (tensor) =>
      values(
        tensor,
        tensors.get(tensor)!.shape,
        specs.findIndex((spec) => spec.name === tensor),
      ),
    hash: () => name,
    close: () => {},
  };
}

function values(tensor: string, shape: readonly number[], stream: number): Float32Array {
  const random = uniforms(0, stream);
  const count = shape.reduce((product, size) => product * size, 1);
  const drawn = (value: () => number) => Float32Array.from({ length: count }, value);
  switch (tensor.replace(/^layers\.\d+\./, "")) {
    case "embedding":
    case "lm_head":
      return matrix(shape, SIGNALS.logitDeviation, random());
    case "in_proj":
      return matrix(shape, SIGNALS.inProjDeviation, random());
    case "out_proj":
      return matrix(shape, SIGNALS.outProjDeviation, random());
    case "conv":
      return drawn(() => (2 * random() - 1) * SIGNALS.convReach);
    case "A_log":
      return drawn(() => Math.log(between(SIGNALS.decayRates, random())));
    case "dt_bias":
      return drawn(() => between(SIGNALS.logTimeSteps, random()));
    case "conv_bias":
    case "in_proj_bias":
    case "out_proj_bias":
      return new Float32Array(count);
    default:
      // Norms, and D.
      return new Float32Array(count).fill(1);
  }
}

/** [rows, inputs] whose product with normalised inputs has about this deviation. */
function matrix([rows, inputs]: readonly number[], deviation: number, seed: number): Float32Array {
  const unit = 2 ** Math.round(Math.log2(deviation / (Math.sqrt(inputs!) * INTEGER_DEVIATION)));
  const out = new Float32Array(rows! * inputs!);
  fillRandom(out, seed);
  const words = new Int32Array(out.buffer);
  for (let i = 0; i < out.length; i++) out[i] = (words[i]! >> (32 - INTEGER_BITS)) * unit;
  return out;
}
