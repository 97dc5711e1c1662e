type Numbers = Int8Array | Uint8Array | Uint16Array | Int32Array | Float32Array | Float64Array;

/** Typed arrays one after the other. */
export function concat<T extends Numbers>(parts: T[], Type: new (length: number) => T): T {
  const out = new Type(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
