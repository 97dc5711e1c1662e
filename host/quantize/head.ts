/** lm_head, in parts for all threads. */
import type { Mamba2Config } from "../checkpoint/types.ts";
import type { Rotation } from "../model/description.ts";
import type { ReferenceWeights } from "../reference/index.ts";
import { sharedCopy } from "../reference/shared.ts";
import { concat } from "./concat.ts";
import type { HeadInputs } from "./divergence.ts";
import type { Pool } from "./pool.ts";

/** lm_head [V, D] with the final γ, in the rotated basis. */
export async function rotatedHead(pool: Pool, plain: ReferenceWeights, rotation: Rotation): Promise<Float32Array> {
  const { dModel, vocabSize } = plain.config;
  const lmHead = sharedCopy(plain.lmHead);
  await pool.split("rotate", vocabSize, ([start, end]) => [
    lmHead.subarray(start * dModel, end * dModel),
    rotation,
    plain.finalNorm,
  ]);
  return lmHead;
}

/** Mean KL(FP32 ‖ quantized) over the rows of a chunk, nats per token, through heads [V, D]. */
export async function divergenceOfChunk(
  pool: Pool,
  config: Mamba2Config,
  chunk: number,
  heads: HeadInputs,
): Promise<number> {
  const { dModel } = config;
  const inputs = (await pool.all("headInputs", chunk)).find((found) => found !== undefined)!;
  const rows = inputs.exact.length / dModel;
  const parts = await pool.split("divergence", rows, ([start, end]) => {
    const part = (of: Float32Array) => of.subarray(start * dModel, end * dModel);
    return [{ exact: part(inputs.exact), rounded: part(inputs.rounded) }, heads, config];
  });
  return concat(parts, Float64Array).reduce((sum, value) => sum + value, 0) / rows;
}
