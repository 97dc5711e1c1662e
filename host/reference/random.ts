/**
 * Uniform numbers in [0, 1) with 53 random bits: stream `stream` of seed `seed`. Integer arithmetic only (sfc32, seeded
 * by splitmix32), so the same everywhere.
 */
export function uniforms(seed: number, stream: number): () => number {
  const next = sfc32(splitmix32(mix(seed) ^ stream));
  return () => (Math.floor(next() / 32) * 2 ** 26 + Math.floor(next() / 64)) / 2 ** 53;
}

/** Chris Doty-Humphrey's small fast counting generator: 128 bits of state, 32-bit numbers. */
function sfc32(seeds: () => number): () => number {
  let a = seeds();
  let b = seeds();
  let c = seeds();
  let counter = 1;
  const next = () => {
    const out = (a + b + counter) >>> 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + out) | 0;
    return out;
  };
  // The first outputs still show the seed.
  for (let i = 0; i < 12; i++) next();
  return next;
}

function splitmix32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    return mix(state);
  };
}

/** MurmurHash3's finalizer: every input bit reaches every output bit. */
function mix(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return x ^ (x >>> 16);
}
