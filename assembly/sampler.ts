// Sampler: int32 Q16 logits → token. Floating point, but WebAssembly's: the same text for the same seed on every machine.
import { config } from "./config";
import { LOGIT_FRACTION } from "./contract";
import { allocate } from "./memory";
import { lap, SAMPLER, start } from "./profile";

/** Below this a temperature is greedy: a quotient could overflow, and no two logits (steps of 2^-16) are that near. */
const COLDEST: f64 = 1e-6;
/** Tokens less likely than 2^-32 of the likeliest are never drawn: keeps the sort short, changes nothing measurable. */
const NEGLIGIBLE: f64 = 22.18070977791825; // 32 ln 2

/**
 * One conversation's sampler: its rules, then what a saved conversation keeps: `random`, and u32 counts[V] behind it, how
 * often each token is in prompt and output. A value that switches a rule off is in brackets.
 */
@unmanaged
class Sampler {
  temperature: f64; // [0: greedy]
  topP: f64; // [1]
  minP: f64; // [0]
  repetition: f64; // [1] divides positive logits, multiplies negative ones
  presence: f64; // [0] subtracted once
  frequency: f64; // [0] subtracted per occurrence
  topK: i32; // [0]
  usable: i32; // tokens the tokenizer knows; ids beyond are padding and never drawn
  random: u64; // SplitMix64 state
}

/** Buckets of half a nat below the likeliest: from their masses it is known which tokens need to be put in order. */
const BUCKETS: i32 = 64;
const BUCKETS_PER_NAT: f64 = 2;

let values: usize = 0; //  f64 [V padded to 8], logit / temperature
let weights: usize = 0; // f64 [V padded to 8], probability relative to the likeliest, 0 where negligible
let masses: usize = 0; //  f64 [BUCKETS], Σ weights
let counts: usize = 0; //  i32 [BUCKETS]
let heap: usize = 0; //    i32 [V], candidates; the ones taken from it stand at its end, likeliest last

export function allocateSampler(): void {
  const padded = (config.vocab + 7) & ~7;
  values = allocate(padded * 8);
  weights = allocate(padded * 8);
  masses = allocate(BUCKETS * 8);
  counts = allocate(BUCKETS * 4);
  heap = allocate(padded * 4);
}

/** Where the part that belongs to a saved conversation begins; the rules before it are the caller's. */
export function samplerMemory(): usize {
  return offsetof<Sampler>("random");
}

export function samplerBytes(): usize {
  return offsetof<Sampler>() + ((<usize>config.vocab) << 2);
}

/** Writes a sampler of samplerBytes() at `at`: nothing seen yet. */
export function setSampler(
  at: usize,
  temperature: f64,
  topK: i32,
  topP: f64,
  minP: f64,
  repetition: f64,
  presence: f64,
  frequency: f64,
  usable: i32,
): void {
  const sampler = changetype<Sampler>(at);
  sampler.temperature = temperature;
  sampler.topK = topK;
  sampler.topP = topP;
  sampler.minP = minP;
  sampler.repetition = repetition;
  sampler.presence = presence;
  sampler.frequency = frequency;
  sampler.usable = min(usable, config.vocab);
}

export function seedSampler(at: usize, seed: u64): void {
  changetype<Sampler>(at).random = seed;
}

/** Tells the penalties that `token` is part of the context. */
export function observe(at: usize, token: i32): void {
  const count = counter(at, token);
  store<u32>(count, load<u32>(count) + 1);
}

function counter(at: usize, token: i32): usize {
  return at + offsetof<Sampler>() + ((<usize>token) << 2);
}

/** Draws the next token from logits i32 [V], Q16. Order: penalties, temperature, top-k, top-p, min-p. */
export function sample(at: usize, logits: usize): i32 {
  const sampler = changetype<Sampler>(at);
  start();
  const token = sampler.temperature < COLDEST ? likeliest(sampler, logits) : draw(sampler, logits);
  lap(SAMPLER);
  return token;
}

function draw(sampler: Sampler, logits: usize): i32 {
  const top = warm(sampler, logits);
  const total = weigh(top, sampler.usable);
  const u = uniform(sampler);
  const whole = sampler.topK <= 0 && sampler.topP >= 1 && sampler.minP <= 0;
  const mass = whole ? u * total : sampler.topP * total;
  const count = candidates(sampler, top, mass);
  order(count);
  return whole ? drawUntil(count, mass) : drawNucleus(sampler, count, total, u);
}

function uniform(sampler: Sampler): f64 {
  sampler.random += 0x9e3779b97f4a7c15;
  let z = sampler.random;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  z ^= z >> 31;
  return <f64>(z >> 11) * (1.0 / 9007199254740992.0);
}

function penalized(sampler: Sampler, logits: usize, token: i32): f64 {
  let value = <f64>load<i32>(logits + ((<usize>token) << 2)) / <f64>(1 << LOGIT_FRACTION);
  const seen = load<u32>(counter(changetype<usize>(sampler), token));
  if (seen == 0) return value;
  value = value > 0 ? value / sampler.repetition : value * sampler.repetition;
  return value - sampler.presence - sampler.frequency * <f64>seen;
}

function likeliest(sampler: Sampler, logits: usize): i32 {
  let best = 0;
  let top = penalized(sampler, logits, 0);
  for (let token = 1; token < sampler.usable; token++) {
    const value = penalized(sampler, logits, token);
    if (value > top) {
      top = value;
      best = token;
    }
  }
  return best;
}

/** Fills values with the penalized logits over the temperature; returns the largest. */
function warm(sampler: Sampler, logits: usize): f64 {
  const plain = sampler.repetition == 1 && sampler.presence == 0 && sampler.frequency == 0;
  const usable = sampler.usable;
  const temperature = sampler.temperature;
  let top = -Infinity;
  for (let token = 0; token < usable; token++) {
    const at = (<usize>token) << 2;
    const logit = plain ? <f64>load<i32>(logits + at) / <f64>(1 << LOGIT_FRACTION) : penalized(sampler, logits, token);
    const value = logit / temperature;
    store<f64>(values + (at << 1), value);
    top = max(top, value);
  }
  return top;
}

/** weights = e^(values - top), and their total by bucket; returns the total of all. */
function weigh(top: f64, usable: i32): f64 {
  memory.fill(masses, 0, BUCKETS * 8);
  memory.fill(counts, 0, BUCKETS * 4);
  let total: f64 = 0;
  for (let token = 0; token < usable; token += 2) Weights.pair(token, top);
  for (let token = 0; token < usable; token++) {
    const below = top - valueOf(token);
    if (below > NEGLIGIBLE) {
      store<f64>(weights + ((<usize>token) << 3), 0);
      continue;
    }
    const weight = weightOf(token);
    const bucket = bucketOf(below);
    total += weight;
    const mass = masses + (bucket << 3);
    store<f64>(mass, load<f64>(mass) + weight);
    const count = counts + (bucket << 2);
    store<i32>(count, load<i32>(count) + 1);
  }
  return total;
}

function valueOf(token: i32): f64 {
  return load<f64>(values + ((<usize>token) << 3));
}

function weightOf(token: i32): f64 {
  return load<f64>(weights + ((<usize>token) << 3));
}

function bucketOf(below: f64): usize {
  return <usize>min(<i32>(below * BUCKETS_PER_NAT), BUCKETS - 1);
}

const LOG2_E: f64 = Math.LOG2E;
const LN_2: f64 = Math.LN2;

class Weights {
  /** e^(value - top) of two tokens: 2^n times a series for what is left, 7e-12 off at most. What underflows is negligible. */
  @inline
  static pair(token: i32, top: f64): void {
    const at = (<usize>token) << 3;
    const below = f64x2.sub(v128.load(values + at), f64x2.splat(top));
    const x = f64x2.max(f64x2.mul(below, f64x2.splat(LOG2_E)), f64x2.splat(-1000));
    const n = f64x2.nearest(x);
    const f = f64x2.mul(f64x2.sub(x, n), f64x2.splat(LN_2));
    let p = f64x2.splat(1.0 / 362880);
    p = f64x2.add(f64x2.mul(p, f), f64x2.splat(1.0 / 40320));
    p = f64x2.add(f64x2.mul(p, f), f64x2.splat(1.0 / 5040));
    p = f64x2.add(f64x2.mul(p, f), f64x2.splat(1.0 / 720));
    p = f64x2.add(f64x2.mul(p, f), f64x2.splat(1.0 / 120));
    p = f64x2.add(f64x2.mul(p, f), f64x2.splat(1.0 / 24));
    p = f64x2.add(f64x2.mul(p, f), f64x2.splat(1.0 / 6));
    p = f64x2.add(f64x2.mul(p, f), f64x2.splat(0.5));
    p = f64x2.add(f64x2.mul(p, f), f64x2.splat(1));
    p = f64x2.add(f64x2.mul(p, f), f64x2.splat(1));
    const exponent = i64x2.extend_low_i32x4_s(i32x4.trunc_sat_f64x2_s_zero(n));
    v128.store(weights + at, f64x2.mul(p, i64x2.shl(i64x2.add(exponent, i64x2.splat(1023)), 52)));
  }
}

/** Puts into the heap, unordered, the tokens among which the draw falls: the likeliest buckets that hold `mass`, or top-k tokens. */
function candidates(sampler: Sampler, top: f64, mass: f64): i32 {
  let last = 0;
  let sum: f64 = 0;
  let count = 0;
  for (; last < BUCKETS; last++) {
    sum += load<f64>(masses + ((<usize>last) << 3));
    count += load<i32>(counts + ((<usize>last) << 2));
    if (sampler.topK > 0 ? count >= sampler.topK : sum >= mass) break;
  }
  // One more, for the sums were made in another order.
  last++;
  count = 0;
  for (let token = 0; token < sampler.usable; token++) {
    const below = top - valueOf(token);
    if (below > NEGLIGIBLE || <i32>bucketOf(below) > last) continue;
    store<i32>(heap + ((<usize>count) << 2), token);
    count++;
  }
  return count;
}

/** Makes a heap, likeliest first, the lower id first among equals. */
function order(count: i32): void {
  for (let i = count / 2 - 1; i >= 0; i--) sift(i, count);
}

/** Takes the likeliest token off a heap of `count`. */
function take(count: i32): i32 {
  const token = idAt(0);
  swap(0, count - 1);
  sift(0, count - 1);
  return token;
}

function sift(from: i32, count: i32): void {
  let root = from;
  for (;;) {
    let child = 2 * root + 1;
    if (child >= count) return;
    if (child + 1 < count && before(idAt(child + 1), idAt(child))) child++;
    if (!before(idAt(child), idAt(root))) return;
    swap(root, child);
    root = child;
  }
}

function idAt(i: i32): i32 {
  return load<i32>(heap + ((<usize>i) << 2));
}

/** True when token a is to be taken before token b. */
function before(a: i32, b: i32): bool {
  const x = valueOf(a);
  const y = valueOf(b);
  return x != y ? x > y : a < b;
}

function swap(a: i32, b: i32): void {
  const id = idAt(a);
  store<i32>(heap + ((<usize>a) << 2), idAt(b));
  store<i32>(heap + ((<usize>b) << 2), id);
}

/** The token at which the sum of weights, likeliest first, exceeds `mass`. */
function drawUntil(count: i32, mass: f64): i32 {
  let token = idAt(0);
  for (let left = mass; count > 0; count--) {
    token = take(count);
    left -= weightOf(token);
    if (left < 0) break;
  }
  return token;
}

/** Among the top-k tokens, those that make up top-p of their mass and are at least min-p as likely as the first. */
function drawNucleus(sampler: Sampler, count: i32, total: f64, u: f64): i32 {
  const all = count;
  let most = all;
  let mass = total;
  if (sampler.topK > 0) {
    most = min(all, sampler.topK);
    mass = 0;
    // The heap is taken apart for the mass of the first k, which then stand at its end.
    for (let taken = 0; taken < most; taken++) mass += weightOf(take(all - taken));
  }
  const wanted = sampler.topP * mass;
  let kept = 0;
  let sum: f64 = 0;
  for (; kept < most; kept++) {
    const token = sampler.topK > 0 ? idAt(all - 1 - kept) : take(all - kept);
    const weight = weightOf(token);
    if (kept > 0 && (sum >= wanted || weight < sampler.minP)) break;
    sum += weight;
  }
  let left = u * sum;
  for (let i = 0; i < kept; i++) {
    const token = idAt(all - 1 - i);
    left -= weightOf(token);
    if (left < 0) return token;
  }
  return idAt(all - kept);
}
