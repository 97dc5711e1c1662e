/** Arrays in memory that all threads see: sent to one, they are not copied. */

export function sharedFloats(count: number): Float32Array {
  return new Float32Array(new SharedArrayBuffer(4 * count));
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

/**
 * Shared arrays by name, each in the memory of the one before: what a thread has been sent lives until that thread
 * collects its garbage, which it has little reason to do. A new array is the end of the old one's values.
 */
export class SharedBuffers {
  readonly #buffers = new Map<string, SharedArrayBuffer>();

  floats(name: string, count: number): Float32Array {
    return new Float32Array(this.#buffer(name, 4 * count), 0, count);
  }

  doubles(name: string, count: number): Float64Array {
    return new Float64Array(this.#buffer(name, 8 * count), 0, count);
  }

  /** A copy, changed value by value. */
  mapped(name: string, values: Float32Array, change: (value: number, at: number) => number): Float32Array {
    const out = this.floats(name, values.length);
    for (let i = 0; i < out.length; i++) out[i] = change(values[i]!, i);
    return out;
  }

  #buffer(name: string, bytes: number): SharedArrayBuffer {
    const known = this.#buffers.get(name);
    if (known && known.byteLength >= bytes) return known;
    const made = new SharedArrayBuffer(bytes);
    this.#buffers.set(name, made);
    return made;
  }
}
