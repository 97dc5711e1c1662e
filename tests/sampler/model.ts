/** The sampler's rules once more, written plainly: what the WebAssembly must draw. */

export interface Settings {
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  presencePenalty?: number;
  frequencyPenalty?: number;
}

/** SplitMix64, 53 bits of each number. */
export function uniforms(seed: number): () => number {
  const mask = (1n << 64n) - 1n;
  let state = BigInt(seed);
  return () => {
    state = (state + 0x9e3779b97f4a7c15n) & mask;
    let z = state;
    z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & mask;
    z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & mask;
    return Number((z ^ (z >> 31n)) >> 11n) / 2 ** 53;
  };
}

/** Logits in Q16 as numbers, what was seen before made less likely (or more, where the penalty is negative). */
export function penalized(logits: Int32Array, seen: ReadonlyMap<number, number>, settings: Settings): number[] {
  const { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 } = settings;
  return Array.from(logits, (raw, token) => {
    const value = raw / 65536;
    const count = seen.get(token) ?? 0;
    if (count === 0) return value;
    const repeated = value > 0 ? value / repetitionPenalty : value * repetitionPenalty;
    return repeated - presencePenalty - frequencyPenalty * count;
  });
}

export interface Candidate {
  token: number;
  /** Relative to the likeliest. */
  weight: number;
}

/** The tokens that may be drawn, likeliest first, the lower id first among equals. */
export function candidates(values: readonly number[], usable: number, settings: Settings): Candidate[] {
  const { temperature = 0.8, topK = 0, topP = 0.95, minP = 0 } = settings;
  const warm = values.slice(0, usable).map((value, token) => ({ token, value: value / temperature }));
  const top = Math.max(...warm.map(({ value }) => value));
  // 2^-32 of the likeliest is never drawn.
  const sorted = warm
    .filter(({ value }) => value >= top - 32 * Math.LN2)
    .sort((a, b) => b.value - a.value || a.token - b.token)
    .map(({ token, value }) => ({ token, weight: Math.exp(value - top) }));
  const first = topK > 0 ? sorted.slice(0, topK) : sorted;
  const nucleus = topP * first.reduce((sum, { weight }) => sum + weight, 0);
  let sum = 0;
  const end = first.findIndex(({ weight }, i) => {
    const out = i > 0 && (sum >= nucleus || weight < minP);
    sum += weight;
    return out;
  });
  return end < 0 ? first : first.slice(0, end);
}

export function draw(from: readonly Candidate[], u: number): number {
  let left = u * from.reduce((sum, { weight }) => sum + weight, 0);
  const found = from.find(({ weight }) => {
    left -= weight;
    return left < 0;
  });
  return (found ?? from.at(-1)!).token;
}

/** Temperature 0: the likeliest, the lowest id among equals. */
export function greedy(values: readonly number[], usable: number): number {
  return values.slice(0, usable).indexOf(Math.max(...values.slice(0, usable)));
}
