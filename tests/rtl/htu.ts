/** A Hadamard matrix as lm_htu takes it, and what its vectors become. */
import assert from "node:assert/strict";
import { type OracleHadamard, sylvester } from "../oracle/hadamard.ts";
import type { Random } from "../oracle/random.ts";
import { BACKENDS } from "../units/backend.ts";
import { output } from "../units/htu.ts";

/** Outputs that are compared with the definition; all are the golden unit's. */
const SAMPLES = 40;

export function transformed(u: Int32Array, hadamard: OracleHadamard, random: Random): Int32Array {
  const w = BACKENDS[0]!.transform(u, hadamard);
  for (let sample = 0; sample < SAMPLES; sample++) {
    const index = u.length <= SAMPLES ? sample % u.length : random.integer(0, u.length - 1);
    assert.equal(w[index], output(u, hadamard, index), `w[${index}]`);
  }
  return w;
}

/** What a build's k cannot hold goes into the matrix, H_m ⊗ H_2^(k - maxK). */
export function split({ blocks, m, k, signs }: OracleHadamard, maxK: number): OracleHadamard {
  if (k <= maxK) return { blocks, m, k, signs };
  const factor = 2 ** (k - maxK);
  const wide = Array.from({ length: m * factor }, (_, r) =>
    Array.from({ length: m * factor }, (_, i) => {
      const sign = signs[Math.floor(r / factor)]![Math.floor(i / factor)]!;
      return sign * sylvester(r % factor, i % factor);
    }),
  );
  return { blocks, m: m * factor, k: maxK, signs: wide };
}

/** Column by column in u32 words, bit r of a column set where row r has -1. */
export function columnsOf({ m, signs }: OracleHadamard, wordsOfColumn: number): number[] {
  const words: number[] = [];
  for (let i = 0; i < m; i++) {
    for (let word = 0; word < wordsOfColumn; word++) {
      let bits = 0;
      for (let r = 32 * word; r < Math.min(m, 32 * word + 32); r++) if (signs[r]![i]! < 0) bits |= 1 << (r % 32);
      words.push(bits);
    }
  }
  return words;
}
