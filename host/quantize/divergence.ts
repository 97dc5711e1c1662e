/** How far the quantized model's next-token distributions are from the FP32 model's: the last step, through lm_head. */
import type { Mamba2Config } from "../checkpoint/types.ts";
import { Arena, Offline } from "../reference/offline.ts";

/** Of the same tokens in both models, [rows, D]. */
export interface HeadInputs {
  exact: Float32Array;
  rounded: Float32Array;
}

/** Rows whose logits are held at a time. */
const LOGIT_ROWS = 256;
/** Piece of a head in the WebAssembly memory at a time. */
const PIECE_BYTES = 2 ** 26;

/** KL(FP32 ‖ quantized) of each row in nats, through heads [V, D]; padding of the vocabulary is left out. */
export function headDivergence(inputs: HeadInputs, heads: HeadInputs, config: Mamba2Config): Float64Array {
  const { dModel, vocabUsed } = config;
  const rows = inputs.exact.length / dModel;
  const out = new Float64Array(rows);
  const offline = new Offline();
  const pieceRows = Math.min(vocabUsed, Math.max(1, Math.floor(PIECE_BYTES / (4 * dModel))));
  const arena = new Arena(offline.start);
  const at = {
    x: arena.floats(LOGIT_ROWS * dModel),
    piece: arena.floats(pieceRows * dModel),
    product: arena.floats(LOGIT_ROWS * pieceRows),
    exact: arena.floats(LOGIT_ROWS * vocabUsed),
    rounded: arena.floats(LOGIT_ROWS * vocabUsed),
  };
  offline.reserve(arena.end);

  /** Logits [count, V] of the rows from `start` on. */
  const project = (model: keyof HeadInputs, start: number, count: number) => {
    offline.floats(at.x, count * dModel).set(inputs[model].subarray(start * dModel, (start + count) * dModel));
    for (let first = 0; first < vocabUsed; first += pieceRows) {
      const width = Math.min(pieceRows, vocabUsed - first);
      offline.floats(at.piece, width * dModel).set(heads[model].subarray(first * dModel, (first + width) * dModel));
      offline.kernels.matmul(at.product, at.x, at.piece, 0, count, width, dModel);
      for (let r = 0; r < count; r++) {
        const logits = offline.floats(at[model] + 4 * (r * vocabUsed + first), width);
        logits.set(offline.floats(at.product + 4 * r * width, width));
      }
    }
  };
  for (let start = 0; start < rows; start += LOGIT_ROWS) {
    const count = Math.min(LOGIT_ROWS, rows - start);
    project("exact", start, count);
    project("rounded", start, count);
    for (let r = 0; r < count; r++) {
      const [exact, rounded] = [at.exact + 4 * r * vocabUsed, at.rounded + 4 * r * vocabUsed];
      const [exactNorm, norm] = [
        offline.kernels.logSumExp(exact, vocabUsed),
        offline.kernels.logSumExp(rounded, vocabUsed),
      ];
      out[start + r] = offline.kernels.divergence(rounded, norm, exact, exactNorm, vocabUsed);
    }
  }
  return out;
}
