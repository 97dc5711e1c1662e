// A quantized vector: what the NQU writes and the MMU reads.
import { paddedInputs } from "../config";
import { ACTIVATION_GROUP, WEIGHT_GROUP } from "../contract";
import { allocate } from "../memory";

/** Bytes of one code in a record: int8 for the relaxed dot, int16 for the plain multiply. */
export const CODE_BYTES: usize = ASC_FEATURE_RELAXED_SIMD ? 1 : 2;

/** Bits dropped from sw · sa, so that no sum leaves int32 up to K = 8192. */
export function productShift(activationBits: i32): i32 {
  if (activationBits == 8) return 0;
  return activationBits == 6 ? 6 : 5;
}

/**
 * A quantized vector of K inputs, padded to k = whole weight groups. A record has all that the MMU needs of 32 inputs:
 * codes [32] of CODE_BYTES, then for each half a scale (u16, sa · 2^(10 - productShift), for 8 bits unused) and an offset (i16, 8 · Σ codes).
 */
@unmanaged
export class Codes {
  k: i32;
  bits: i32; //      4, 5, 6 or 8
  exponent: i32; //  e
  sum: u64; //       S = Σ x²
  records: usize; // [k/32] of RECORD_BYTES
}

export const RECORD_SCALES: usize = <usize>WEIGHT_GROUP * CODE_BYTES;
export const RECORD_OFFSETS: usize = RECORD_SCALES + 4;
export const RECORD_BYTES: usize = RECORD_SCALES + 8;

export function allocateCodes(codes: Codes, inputs: i32, activationBits: i32): void {
  codes.k = paddedInputs(inputs);
  codes.bits = activationBits;
  codes.records = allocate(<usize>(codes.k / WEIGHT_GROUP) * RECORD_BYTES);
}

/** Address of the codes of activation group g: 16 of them. */
export function codesOf(codes: Codes, g: i32): usize {
  return codes.records + <usize>(g >> 1) * RECORD_BYTES + <usize>(g & 1) * ACTIVATION_GROUP * CODE_BYTES;
}

/** Scale and offset of activation group g. */
export function finishGroup(codes: Codes, g: i32, sa: i32, sum: i32): void {
  const at = codes.records + <usize>(g >> 1) * RECORD_BYTES + <usize>(2 * (g & 1));
  store<u16>(at, <u16>(sa << (10 - productShift(codes.bits))), RECORD_SCALES);
  store<i16>(at, <i16>(8 * sum), RECORD_OFFSETS);
}

/** sa of activation group g. */
export function scaleOf(codes: Codes, g: i32): i32 {
  const at = codes.records + <usize>(g >> 1) * RECORD_BYTES + <usize>(2 * (g & 1));
  return <i32>load<u16>(at, RECORD_SCALES) >> (10 - productShift(codes.bits));
}
