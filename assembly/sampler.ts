// Sampler: int32 Q16 logits → token. Floating point, but WebAssembly's: the same text for the same seed on every machine.
import { config } from "./config";
import { LOGIT_FRACTION } from "./contract";
import { allocate } from "./memory";

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

let ids: usize = 0; //    i32 [V], candidates, likeliest first
let values: usize = 0; // f64 [V], logit / temperature, then probability

export function allocateSampler(): void {
  ids = allocate(config.vocab * 4);
  values = allocate(config.vocab * 8);
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
  if (sampler.temperature < COLDEST) return likeliest(sampler, logits);
  let count = candidates(sampler, logits);
  sort(count);
  if (sampler.topK > 0) count = min(count, sampler.topK);
  count = cut(count, sampler.topP, sampler.minP);
  return draw(count, uniform(sampler));
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

/** Fills ids and values with the tokens that are not negligible. */
function candidates(sampler: Sampler, logits: usize): i32 {
  let top = -Infinity;
  for (let token = 0; token < sampler.usable; token++) {
    const value = penalized(sampler, logits, token) / sampler.temperature;
    store<f64>(values + ((<usize>token) << 3), value);
    top = max(top, value);
  }
  let count = 0;
  for (let token = 0; token < sampler.usable; token++) {
    const value = load<f64>(values + ((<usize>token) << 3));
    if (value < top - NEGLIGIBLE) continue;
    store<f64>(values + ((<usize>count) << 3), value);
    store<i32>(ids + ((<usize>count) << 2), token);
    count++;
  }
  return count;
}

/** Heap sort, likeliest first, the lower id first among equals. */
function sort(count: i32): void {
  for (let i = count / 2 - 1; i >= 0; i--) sift(i, count);
  for (let end = count - 1; end > 0; end--) {
    swap(0, end);
    sift(0, end);
  }
}

function sift(from: i32, count: i32): void {
  let root = from;
  for (;;) {
    let child = 2 * root + 1;
    if (child >= count) return;
    if (child + 1 < count && before(child, child + 1)) child++;
    if (!before(root, child)) return;
    swap(root, child);
    root = child;
  }
}

/** True when entry a belongs before entry b in the sorted order. */
function before(a: i32, b: i32): bool {
  const x = load<f64>(values + ((<usize>a) << 3));
  const y = load<f64>(values + ((<usize>b) << 3));
  if (x != y) return x > y;
  return load<i32>(ids + ((<usize>a) << 2)) < load<i32>(ids + ((<usize>b) << 2));
}

function swap(a: i32, b: i32): void {
  const va = values + ((<usize>a) << 3);
  const vb = values + ((<usize>b) << 3);
  const x = load<f64>(va);
  store<f64>(va, load<f64>(vb));
  store<f64>(vb, x);
  const ia = ids + ((<usize>a) << 2);
  const ib = ids + ((<usize>b) << 2);
  const id = load<i32>(ia);
  store<i32>(ia, load<i32>(ib));
  store<i32>(ib, id);
}

/** Turns values into probabilities (not normalised: the first is 1) and applies top-p and min-p; returns how many stay. */
function cut(count: i32, topP: f64, minP: f64): i32 {
  const top = load<f64>(values);
  let total: f64 = 0;
  for (let i = 0; i < count; i++) {
    const at = values + ((<usize>i) << 3);
    const p = Math.exp(load<f64>(at) - top);
    store<f64>(at, p);
    total += p;
  }
  const wanted = topP * total;
  let kept = 0;
  let sum: f64 = 0;
  while (kept < count) {
    const p = load<f64>(values + ((<usize>kept) << 3));
    if (kept > 0 && (sum >= wanted || p < minP)) break;
    sum += p;
    kept++;
  }
  return kept;
}

function draw(count: i32, u: f64): i32 {
  let total: f64 = 0;
  for (let i = 0; i < count; i++) total += load<f64>(values + ((<usize>i) << 3));
  let left = u * total;
  for (let i = 0; i < count; i++) {
    left -= load<f64>(values + ((<usize>i) << 3));
    if (left < 0) return load<i32>(ids + ((<usize>i) << 2));
  }
  return load<i32>(ids + ((<usize>(count - 1)) << 2));
}
