/** Sections 6 and 3.4 of docs/numerics.md: which Hadamard matrix a size gets, its signs, and the transform as a product. */

/** E = blocks · m · 2^k. */
export interface HadamardShape {
  blocks: number;
  m: number;
  k: number;
}

/** What the model carries: the shape and H_m, rows of ±1. */
export interface OracleHadamard extends HadamardShape {
  signs: number[][];
}

function isPrime(n: number): boolean {
  if (n < 2) return false;
  for (let d = 2; d < n; d++) if (n % d === 0) return false;
  return true;
}

function isPowerOfTwo(n: number): boolean {
  return oddPart(n) === 1;
}

function oddPart(n: number): number {
  let odd = n;
  while (odd % 2 === 0) odd /= 2;
  return odd;
}

function logarithm(n: number): number {
  let k = 0;
  for (let rest = n; rest > 1; rest /= 2) k++;
  return k;
}

/** Section 6: the construction for order m, if there is one. */
export function paleyKind(m: number): "I" | "II" | undefined {
  if (isPrime(m - 1) && (m - 1) % 4 === 3) return "I";
  const q = m / 2 - 1;
  return Number.isInteger(q) && isPrime(q) && q % 4 === 1 ? "II" : undefined;
}

/** Section 6: the m of a size n, undefined where it has none. */
export function hadamardOrder(n: number): number | undefined {
  if (isPowerOfTwo(n)) return 1;
  // Read: the candidates in ascending order, Paley I before Paley II at each of them.
  for (let m = 4 * oddPart(n); m <= 256; m *= 2) {
    if (n % m === 0 && paleyKind(m) !== undefined) return m;
  }
  return undefined;
}

/** Section 6: the whole size, or else the largest block that divides it and has an m. */
export function hadamardShape(size: number): HadamardShape {
  for (let block = size; block >= 1; block--) {
    if (size % block !== 0) continue;
    const m = hadamardOrder(block);
    if (m !== undefined) return { blocks: size / block, m, k: logarithm(block / m) };
  }
  throw new RangeError(`hadamardShape(${size})`);
}

/** Section 6: the quadratic character mod q, by listing all squares. */
export function character(x: number, q: number): number {
  const residue = ((x % q) + q) % q;
  if (residue === 0) return 0;
  for (let y = 1; y < q; y++) if ((y * y) % q === residue) return 1;
  return -1;
}

function square(order: number, f: (i: number, j: number) => number): number[][] {
  const rows: number[][] = [];
  for (let i = 0; i < order; i++) {
    const row: number[] = [];
    for (let j = 0; j < order; j++) row.push(f(i, j));
    rows.push(row);
  }
  return rows;
}

/** Section 6, Paley I: I + S. */
export function paleyI(m: number): number[][] {
  const q = m - 1;
  return square(m, (i, j) => {
    let s: number;
    if (i === 0) s = j === 0 ? 0 : 1;
    else if (j === 0) s = -1;
    else s = character(i - j, q);
    return s + (i === j ? 1 : 0);
  });
}

/** Section 6, Paley II: C ⊗ [[1, 1], [1, -1]] + I ⊗ [[1, -1], [-1, -1]]. */
export function paleyII(m: number): number[][] {
  const q = m / 2 - 1;
  const C = square(m / 2, (i, j) => {
    if (i === 0) return j === 0 ? 0 : 1;
    return j === 0 ? 1 : character(i - j, q);
  });
  const A = [
    [1, 1],
    [1, -1],
  ];
  const B = [
    [1, -1],
    [-1, -1],
  ];
  return square(m, (i, j) => {
    const [bi, bj] = [Math.floor(i / 2), Math.floor(j / 2)];
    const c = C[bi]![bj]! * A[i % 2]![j % 2]!;
    return c + (bi === bj ? B[i % 2]![j % 2]! : 0);
  });
}

/** H_m, rows of ±1. */
export function hadamardSigns(m: number): number[][] {
  if (m === 1) return [[1]];
  const kind = paleyKind(m);
  if (kind === undefined) throw new RangeError(`no Hadamard matrix of order ${m}`);
  return kind === "I" ? paleyI(m) : paleyII(m);
}

/** All that a model of this E carries. */
export function hadamardOf(size: number): OracleHadamard {
  const shape = hadamardShape(size);
  return { ...shape, signs: hadamardSigns(shape.m) };
}

/** Section 3.4: H_2^k[a][b] = (-1)^popcount(a & b), bit by bit. */
export function sylvester(a: number, b: number): number {
  let sign = 1;
  let [restA, restB] = [a, b];
  while (restA > 0 && restB > 0) {
    if (restA % 2 === 1 && restB % 2 === 1) sign = -sign;
    restA = Math.floor(restA / 2);
    restB = Math.floor(restB / 2);
  }
  return sign;
}

/** The transform by the transposed matrix: H_2^k is symmetric. */
export function transposed(hadamard: OracleHadamard): OracleHadamard {
  return { ...hadamard, signs: square(hadamard.m, (i, j) => hadamard.signs[j]![i]!) };
}

const sylvesterRows = new Map<number, number[][]>();

/** H_2^k, made once for each k. */
function sylvesterOf(k: number): number[][] {
  const known = sylvesterRows.get(k) ?? square(2 ** k, sylvester);
  sylvesterRows.set(k, known);
  return known;
}

/** Section 3.4: w = (H_m ⊗ H_2^k) u in each block, a product by the whole matrix. |u| <= 2^17: sums below 2^31. */
export function transform(u: readonly number[], hadamard: OracleHadamard): number[] {
  const { blocks, m, k, signs } = hadamard;
  const width = 2 ** k;
  const size = m * width;
  if (u.length !== blocks * size) throw new RangeError(`transform of ${u.length} values`);
  const inner = sylvesterOf(k);
  const w: number[] = [];
  for (let block = 0; block < blocks; block++) {
    for (let row = 0; row < size; row++) {
      const [outerRow, innerRow] = [signs[Math.floor(row / width)]!, inner[row % width]!];
      let sum = 0;
      for (let column = 0; column < size; column++) {
        sum += outerRow[Math.floor(column / width)]! * innerRow[column % width]! * u[block * size + column]!;
      }
      w.push(sum);
    }
  }
  return w;
}
