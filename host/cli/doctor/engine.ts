/**
 * Tiny modules that try what our kernels need. Each exports memory `m` and a function `f` that applies one
 * instruction to the vectors at 0 and 16 and stores the result at 32.
 */
const ADD = "AGFzbQEAAAABBAFgAAADAgEABQMBAAEHCQIBbQIAAWYAAAoZARcAQSBBAP0ABABBEP0ABAD9jgH9CwQACw==";
const RELAXED_DOT = "AGFzbQEAAAABBAFgAAADAgEABQMBAAEHCQIBbQIAAWYAAAoZARcAQSBBAP0ABABBEP0ABAD9kgL9CwQACw==";

/** Enough calls that the engine's optimising compiler has its turn too: engines were wrong in one of the two only. */
const CALLS = 20_000;

export type Verdict = "correct" | "wrong" | "missing";

function instantiate(base64: string): WebAssembly.Exports | undefined {
  const bytes = Buffer.from(base64, "base64");
  return WebAssembly.validate(bytes) ? new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports : undefined;
}

function tryOut(base64: string, a: ArrayBufferView, b: ArrayBufferView, expected: Int16Array): Verdict {
  const exports = instantiate(base64);
  if (exports === undefined) return "missing";
  const bytes = new Uint8Array((exports.m as WebAssembly.Memory).buffer);
  bytes.set(new Uint8Array(a.buffer), 0);
  bytes.set(new Uint8Array(b.buffer), 16);
  const result = new Int16Array(bytes.buffer, 32, 8);
  const apply = exports.f as () => void;
  for (let call = 0; call < CALLS; call++) {
    result.fill(0);
    apply();
    if (!expected.every((value, lane) => value === result[lane])) return "wrong";
  }
  return "correct";
}

/** 128-bit SIMD, without which nothing runs. */
export function probeSimd(): Verdict {
  const a = Int16Array.of(1, -2, 300, -400, 32767, -32768, 7, 0);
  const b = Int16Array.of(1, 2, 3, 4, 1, -1, -7, 9);
  return tryOut(
    ADD,
    a,
    b,
    a.map((value, lane) => value + (b[lane] ?? 0)),
  );
}

/**
 * The one relaxed instruction in our kernels: sums of pairs of products, the first operand over all of int8, the
 * second in 0..127, where every engine must agree. (Its sibling that adds into i32x4 is wrong in Node 20's baseline
 * compiler; we do not use it.)
 */
export function probeRelaxedDot(): Verdict {
  const a = Int8Array.of(-128, -128, 127, 127, -128, 127, 1, -1, 100, -100, 8, -8, 0, -1, 63, 64);
  const b = Int8Array.of(127, 127, 127, 127, 127, 127, 1, 1, 15, 14, 0, 15, 127, 127, 64, 63);
  const product = (index: number) => (a[index] ?? 0) * (b[index] ?? 0);
  return tryOut(
    RELAXED_DOT,
    a,
    b,
    Int16Array.from({ length: 8 }, (_, lane) => product(2 * lane) + product(2 * lane + 1)),
  );
}
