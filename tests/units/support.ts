/** Comparison with bound 0, and names of cases. */
import assert from "node:assert/strict";

type Values = ArrayLike<number | bigint>;

/** Every element the same; the first that is not is named. Quicker than deepEqual over long vectors. */
export function assertSame(found: Values, expected: Values, what: string): void {
  assert.equal(found.length, expected.length, `${what}: length`);
  for (let i = 0; i < expected.length; i++) {
    if (found[i] !== expected[i]) assert.fail(`${what}[${i}]: expected ${expected[i]}, found ${found[i]}`);
  }
}

/** `K 32, rows 8, bits 4`. */
export function caseName(shape: object): string {
  const part = (value: unknown) => {
    if (Array.isArray(value)) return value.join(" + ") || "none";
    return typeof value === "object" && value ? `(${caseName(value)})` : String(value);
  };
  return Object.entries(shape)
    .map(([key, value]) => `${key} ${part(value)}`)
    .join(", ");
}
