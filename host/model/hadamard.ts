/** Hadamard matrices of order m · 2^k and transforms with them: docs/numerics.md section 6. */

/** size = blocks · order · 2^log2. blocks > 1: no full transform of this size is known, equal blocks stand in. */
export interface HadamardShape {
  blocks: number;
  order: number;
  log2: number;
}

const LARGEST_ORDER = 256;

/** A size-n identity: the unit is passed by. */
export function identityShape(size: number): HadamardShape {
  return { blocks: size, order: 1, log2: 0 };
}

/** The transform of a vector of `size`: full where an order is known, else the largest equal blocks. */
export function hadamardShape(size: number): HadamardShape {
  for (let blocks = 1; blocks <= size; blocks++) {
    if (size % blocks !== 0) continue;
    const full = fullShape(size / blocks);
    if (full) return { blocks, ...full };
  }
  return identityShape(size);
}

function fullShape(size: number): Omit<HadamardShape, "blocks"> | undefined {
  const twos = Math.log2(size & -size);
  const odd = size / 2 ** twos;
  if (odd === 1) return { order: 1, log2: twos };
  for (let used = 2; used <= twos && odd * 2 ** used <= LARGEST_ORDER; used++) {
    const order = odd * 2 ** used;
    if (paleyPrime(order) !== undefined) return { order, log2: twos - used };
  }
  return undefined;
}

/** The prime behind a Paley matrix of this order, and which of the two constructions it is. */
function paleyPrime(order: number): { prime: number; kind: "I" | "II" } | undefined {
  if (order % 4 === 0 && isPrime(order - 1)) return { prime: order - 1, kind: "I" };
  const prime = order / 2 - 1;
  return prime % 4 === 1 && isPrime(prime) ? { prime, kind: "II" } : undefined;
}

/** Whether hadamardSigns knows this order. */
export function hasHadamard(order: number): boolean {
  return order === 1 || paleyPrime(order) !== undefined;
}

function isPrime(n: number): boolean {
  if (!Number.isInteger(n) || n < 2) return false;
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
  return true;
}

/** H_m of the given order: ±1, row-major [order, order]; [1] for order 1. */
export function hadamardSigns(order: number): Int8Array {
  if (order === 1) return Int8Array.of(1);
  const paley = paleyPrime(order);
  if (!paley) throw new RangeError(`no Hadamard matrix of order ${order} is built in`);
  const character = quadraticCharacter(paley.prime);
  return paley.kind === "I" ? paleyI(paley.prime, character) : paleyII(paley.prime, character);
}

/** χ of 0..q-1: 1 for squares, -1 for the others, 0 for 0. */
function quadraticCharacter(q: number): Int8Array {
  const chi = new Int8Array(q).fill(-1);
  chi[0] = 0;
  for (let i = 1; i < q; i++) chi[(i * i) % q] = 1;
  return chi;
}

function paleyI(q: number, chi: Int8Array): Int8Array {
  const m = q + 1;
  const h = new Int8Array(m * m);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < m; j++) {
      const s = i === 0 ? Number(j > 0) : j === 0 ? -1 : chi[(i - j + q) % q]!;
      h[i * m + j] = s + Number(i === j);
    }
  }
  return h;
}

function paleyII(q: number, chi: Int8Array): Int8Array {
  const n = q + 1;
  const m = 2 * n;
  const h = new Int8Array(m * m);
  const outer = [1, 1, 1, -1];
  const diagonal = [1, -1, -1, -1];
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const c = i === j && i === 0 ? 0 : i === 0 || j === 0 ? 1 : chi[(i - j + q) % q]!;
      for (let part = 0; part < 4; part++) {
        const at = (2 * i + (part >> 1)) * m + 2 * j + (part & 1);
        h[at] = c * outer[part]! + Number(i === j) * diagonal[part]!;
      }
    }
  }
  return h;
}

export function transpose(signs: Int8Array, order: number): Int8Array {
  return signs.map((_, i) => signs[(i % order) * order + Math.floor(i / order)]!);
}

/** x → (I ⊗ H_m ⊗ H_2^k) x for vectors of one size, in place and not normalised. Holds its own scratch. */
export class HadamardTransform {
  readonly shape: HadamardShape;
  readonly size: number;
  readonly #signs: Int8Array;
  readonly #transposed: Int8Array;
  readonly #scratch: Float64Array;

  constructor(shape: HadamardShape) {
    this.shape = shape;
    this.size = shape.blocks * shape.order * 2 ** shape.log2;
    const { order } = shape;
    this.#signs = hadamardSigns(order);
    this.#transposed = transpose(this.#signs, order);
    this.#scratch = new Float64Array(shape.order * 2 ** shape.log2);
  }

  apply(x: Float64Array): void {
    this.#blocks(x, this.#signs);
  }

  /** x → (I ⊗ H_m ⊗ H_2^k)ᵀ x: the inverse up to the factor unit². */
  applyTransposed(x: Float64Array): void {
    this.#blocks(x, this.#transposed);
  }

  /** Factor that makes the transform orthogonal. */
  get unit(): number {
    return Math.sqrt(this.shape.blocks / this.size);
  }

  #blocks(x: Float64Array, signs: Int8Array): void {
    const size = this.size / this.shape.blocks;
    for (let at = 0; at < this.size; at += size) this.#block(x.subarray(at, at + size), signs);
  }

  #block(x: Float64Array, signs: Int8Array): void {
    const { order, log2 } = this.shape;
    const length = 2 ** log2;
    for (let i = 0; i < order; i++) butterflies(x.subarray(i * length, (i + 1) * length));
    if (order === 1) return;
    const y = this.#scratch.fill(0);
    for (let r = 0; r < order; r++) {
      for (let i = 0; i < order; i++) {
        const sign = signs[r * order + i]!;
        for (let j = 0; j < length; j++) y[r * length + j]! += sign * x[i * length + j]!;
      }
    }
    x.set(y);
  }
}

function butterflies(x: Float64Array): void {
  for (let half = 1; half < x.length; half *= 2) {
    for (let i = 0; i < x.length; i += 2 * half) {
      for (let j = i; j < i + half; j++) {
        const a = x[j]!;
        const b = x[j + half]!;
        x[j] = a + b;
        x[j + half] = a - b;
      }
    }
  }
}
