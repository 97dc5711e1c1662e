/** Vectors of the HTU's cases, and single outputs by the transform's definition. */
import { type OracleHadamard, sylvester } from "../oracle/hadamard.ts";
import type { Random } from "../oracle/random.ts";

/** Of u: 18 bits. */
const [LOW, HIGH] = [-(2 ** 17), 2 ** 17 - 1];

/** H[row][column] within a block. */
function sign({ k, signs }: OracleHadamard, row: number, column: number): number {
  const width = 2 ** k;
  return signs[Math.floor(row / width)]![Math.floor(column / width)]! * sylvester(row % width, column % width);
}

/** One output of the transform, by its definition. */
export function output(u: Int32Array, hadamard: OracleHadamard, index: number): number {
  const size = hadamard.m * 2 ** hadamard.k;
  const [block, row] = [Math.floor(index / size), index % size];
  let sum = 0;
  for (let column = 0; column < size; column++) sum += sign(hadamard, row, column) * u[block * size + column]!;
  return sum;
}

/** Vectors of a case. */
export function inputs(hadamard: OracleHadamard, random: Random): Int32Array[] {
  const size = hadamard.m * 2 ** hadamard.k;
  const length = hadamard.blocks * size;
  const row = random.integer(0, size - 1);
  // A row's own signs give the largest sum there is; all alike, ±2^17, give the largest of row 0.
  return [
    Int32Array.from({ length }, () => random.integer(LOW, HIGH)),
    Int32Array.from({ length }, () => (random.integer(0, 1) === 0 ? LOW : HIGH)),
    Int32Array.from({ length }, (_, i) => (sign(hadamard, row, i % size) > 0 ? HIGH : LOW)),
    Int32Array.from({ length }, () => LOW),
  ];
}
