// Embedding rows (docs/numerics.md section 3): from their own table, or from an 8-bit lm_head.
import { config, paddedInputs } from "../config";
import { clamp, rsh } from "../fixed";
import { weights } from "../weights";
import { transform } from "./htu";
import { readRow } from "./mmu";

/** Largest residual: a group's range then fits 32 unsigned bits. */
export const RESIDUAL_LIMIT: i32 = 0x3fffffff;
/** What enters the second transform: D ≤ 8192 of it fit int32. */
const TRANSFORM_LIMIT: i64 = 0x1ffff;

/** Row of `token` → residual i32 [D], Q residualFraction. scratch i32 [padded D], twice. */
export function embedRow(residual: usize, token: i32, scratch: usize): void {
  if (weights.embedding) embedCodes(residual, token);
  else embedHead(residual, token, scratch);
}

function embedCodes(residual: usize, token: i32): void {
  const codes = weights.embedding + <usize>token * <usize>config.dModel;
  const scale = <i64>load<u16>(weights.embeddingScale + ((<usize>token) << 1));
  const shift = -(<i32>load<i8>(weights.embeddingExponent + token) + config.residualFraction);
  for (let i = 0; i < config.dModel; i++) store4(residual, i, rsh(<i64>load<i8>(codes + i) * scale, shift));
}

/** H (Hᵀ(row) ∘ unit²/γ): the tied checkpoint's own row in the rotated basis. */
function embedHead(residual: usize, token: i32, scratch: usize): void {
  const d = config.dModel;
  const w = weights;
  const row = scratch + ((<usize>paddedInputs(d)) << 2);
  readRow(row, w.headFrames, token, paddedInputs(d));
  transform(row, w.tiedBlocks, w.tiedOrder, w.tiedLog2, w.tiedTransposed, scratch);
  let magnitude: i64 = 0;
  for (let i = 0; i < d; i++) magnitude = max(magnitude, abs(product(row, i)));
  let s = 0;
  while (rsh(magnitude, s) > TRANSFORM_LIMIT) s++;
  for (let i = 0; i < d; i++) store<i32>(row + ((<usize>i) << 2), <i32>rsh(product(row, i), s));
  transform(row, w.tiedBlocks, w.tiedOrder, w.tiedLog2, w.tiedSigns, scratch);
  const exponent = <i32>load<i8>(w.headRowExponents + token) + s - w.inverseGammaFraction;
  for (let i = 0; i < d; i++) {
    store4(residual, i, rsh(<i64>load<i32>(row + ((<usize>i) << 2)), -(exponent + config.residualFraction)));
  }
}

function product(row: usize, i: i32): i64 {
  return <i64>load<i32>(row + ((<usize>i) << 2)) * <i64>load<i16>(weights.inverseGamma + ((<usize>i) << 1));
}

function store4(residual: usize, i: i32, value: i64): void {
  store<i32>(residual + ((<usize>i) << 2), <i32>clamp(value, -RESIDUAL_LIMIT, RESIDUAL_LIMIT));
}
