/** Arrays in memory that all threads see: sent to one, they are not copied. */

export function sharedFloats(count: number): Float32Array {
  return new Float32Array(new SharedArrayBuffer(4 * count));
}

export function sharedDoubles(count: number): Float64Array {
  return new Float64Array(new SharedArrayBuffer(8 * count));
}

/** The values themselves, where they are shared already. */
export function shareable(values: Float32Array): Float32Array {
  return values.buffer instanceof SharedArrayBuffer ? values : sharedCopy(values);
}

export function sharedCopy(values: Float32Array): Float32Array {
  const shared = sharedFloats(values.length);
  shared.set(values);
  return shared;
}
