// SSMU, SSM unit: conv + SiLU, softplus(dt), lazy decay, state update, C·h + D·x, gate (docs/numerics.md section 3.3, docs/units/ssmu.md).
// One head at a time, eight groups of 16 state values at a time: no [E × N] intermediate exists (the paper's tiling and fusion), and heads are
// independent once B and C are known, so threads share them.
import { config, convChannels, dInner, stateGroups } from "../config";
import { SILU_IN_FRACTION, STATE_GROUP, Y_FRACTION } from "../contract";
import { bitlen, byteShift, clamp, exp2n, Factor, norm, rsh, sat, silu, softplus } from "../fixed";
import { allocate } from "../memory";
import { LayerState } from "../state";
import { Layer } from "../weights";
import { prepareDither } from "./dither";
import { Exact, power } from "./exact";
import { Lanes } from "./lanes";
import { SILU_SCRATCH, Silu } from "./silu";
import { HeadStep } from "./ssmu-groups";
import { allocatePlaces, convolveNatively, describeGate, describeScan } from "./ssmu-native";
import { BLOCK_VALUES, SCAN_CHANNELS, SCAN_SCRATCH, scanChannels } from "./ssmu-scan";
import { scanChannelWide } from "./ssmu-wide";

/** One token in one layer: raw in_proj outputs, and room for what is made of them. C = conv channels. */
@unmanaged
export class SsmuBuffers {
  z: usize; //      i16 [E]
  conv: usize; //   i16 [C], x | B | C raw; after conv and SiLU in place
  dt: usize; //     i16 [H]
  bCodes: usize; // i16 [G][codeRowBytes / 2], int8 values
  cCodes: usize; // the same
  bExponent: usize; // i32 [G]
  cExponent: usize; // i32 [G]
  y: usize; //      i32 [E], Q12
  g: usize; //      i32 [E], Q fG; only with a grouped norm
  squares: usize; // u64 [H], Σ g² of a head
  u: usize; //      i32 [padded E], Q fU: the HTU's input
  scanPlaces: usize; // ScanPlaces and GatePlaces of ssmu-native.ts, in the add-on's build alone
  gatePlaces: usize;
}

/** What a thread needs while it works on a head. */
@unmanaged
export class SsmuScratch {
  steps: usize; //   HeadStep [steps]
  products: usize; // i32 [P padded to 8]
  scan: usize; //    SCAN_SCRATCH bytes
  silu: usize; //    SILU_SCRATCH bytes, then i32 [8]
}

/** Of B or C of a group: whole blocks of the scan. */
function codeRowBytes(): i32 {
  return ((config.dState + BLOCK_VALUES - 1) / BLOCK_VALUES) * BLOCK_VALUES * 2;
}

export function allocateSsmu(b: SsmuBuffers, paddedInner: i32): void {
  const e = dInner();
  const bc = config.groups * codeRowBytes();
  b.z = allocate(e * 2);
  b.conv = allocate(convChannels() * 2);
  b.dt = allocate(config.heads * 2);
  b.bCodes = allocate(bc);
  b.cCodes = allocate(bc);
  b.bExponent = allocate(config.groups * 4);
  b.cExponent = allocate(config.groups * 4);
  b.y = allocate(e * 4);
  b.g = config.normGroups > 1 ? allocate(e * 4) : 0;
  b.squares = allocate(config.heads * 8);
  b.u = allocate(paddedInner * 4);
  if (isDefined(NATIVE)) allocatePlaces(b);
}

/** steps: as many as there are heads and tokens in one part of a job. */
export function allocateSsmuScratch(scratch: SsmuScratch, steps: i32): void {
  scratch.steps = allocate(<usize>steps * offsetof<HeadStep>());
  scratch.products = allocate(((config.headDim + 7) & ~7) * 4);
  scratch.scan = allocate(SCAN_SCRATCH);
  scratch.silu = allocate(SILU_SCRATCH + 32);
}

/** What the heads of one token share: B and C through the convolution and to int8. Before the first head, in the tokens' order. */
export function prepareHeads(b: SsmuBuffers, layer: Layer, state: LayerState, t: u32, scratch: SsmuScratch): void {
  const e = dInner();
  const n = config.groups * config.dState;
  prepareDither(t);
  if (isDefined(NATIVE)) {
    describeScan(b, layer, state, t);
    describeGate(b, layer);
  }
  convolve(b, layer, state, t, e, e + n, layer.fB, layer.fBs, scratch);
  convolve(b, layer, state, t, e + n, e + 2 * n, layer.fC, layer.fCs, scratch);
  for (let g = 0; g < config.groups; g++) {
    const at = b.conv + <usize>((e + g * config.dState) << 1);
    quantizeB(at, layer.fBs, b.bCodes, b.bExponent, g);
    quantizeB(at + <usize>(n << 1), layer.fCs, b.cCodes, b.cExponent, g);
  }
}

export function stepAt(scratch: SsmuScratch, i: i32): HeadStep {
  return changetype<HeadStep>(scratch.steps + <usize>i * offsetof<HeadStep>());
}

/** What the channels of a head share in a token; the tokens of a head in their order. */
export function startHead(
  step: HeadStep,
  b: SsmuBuffers,
  layer: Layer,
  state: LayerState,
  t: u32,
  head: i32,
  scratch: SsmuScratch,
): void {
  const dt = timeStep(b, layer, head);
  step.t = t;
  step.head = head;
  step.products = scratch.products;
  decay(step, layer, state, dt, head);
  scaleTimeStep(step, layer, dt);
  shareGroup(step, b, head / (config.heads / config.groups));
  step.fade = <f64>exp2n(step.f) * power(-16);
  step.skip = <f64>load<i16>(layer.skip + ((<usize>head) << 1)) * power(-skipShift(layer));
  if (isDefined(NATIVE)) {
    step.scan = b.scanPlaces;
    step.gate = b.gatePlaces;
  }
}

/** A head that was started, from raw in_proj outputs to b.u. */
export function finishHead(
  step: HeadStep,
  b: SsmuBuffers,
  layer: Layer,
  state: LayerState,
  scratch: SsmuScratch,
): void {
  scanHead(step, b, layer, state, scratch);
  gateHead(b, layer, step.head, scratch);
}

/** D · x to Q12. */
function skipShift(layer: Layer): i32 {
  return layer.fSkip + layer.fXs - Y_FRACTION;
}

/** The same to b.y alone. */
export function scanHead(step: HeadStep, b: SsmuBuffers, layer: Layer, state: LayerState, scratch: SsmuScratch): void {
  const p = config.headDim;
  const head = step.head;
  convolve(b, layer, state, step.t, head * p, (head + 1) * p, layer.fX, layer.fXs, scratch);
  const x = b.conv + ((<usize>(head * p)) << 1);
  scaleInput(step, x);

  const y = b.y + ((<usize>(head * p)) << 2);
  const groups = stateGroups();
  let exponents = state.exponents + <usize>(head * p * groups);
  const channelBytes = <usize>((groups * STATE_GROUP * config.stateBits) / 8);
  let codes = state.codes + <usize>(head * p) * channelBytes;
  const narrow = config.stateBits == 8;
  const batch = narrow ? SCAN_CHANNELS : 1;
  for (let i = 0; i < p; i += batch) {
    const q = step.products + ((<usize>i) << 2);
    const out = y + ((<usize>i) << 2);
    const channel = head * p + i;
    if (narrow) scanChannels(step, codes, exponents, q, channel, min(p - i, batch), out, scratch.scan);
    else store<i32>(out, scanChannelWide(step, codes, exponents, load<i32>(q), channel));
    codes += <usize>batch * channelBytes;
    exponents += batch * groups;
  }
  readHead(step, layer, x, y);
}

/** y = sat32(rsh(Y · 2^-F, 16) + rsh(D · x)) of a head's channels, in place of Y. */
function readHead(step: HeadStep, layer: Layer, x: usize, y: usize): void {
  const p = config.headDim;
  const c = f64x2.splat(step.fade);
  const d = f64x2.splat(step.skip);
  let i = 0;
  for (; i + 4 <= p; i += 4) {
    const at = y + ((<usize>i) << 2);
    const sums = v128.load(at);
    const inputs = v128.load16x4_s(x + ((<usize>i) << 1));
    const low = f64x2.add(Exact.round(f64x2.mul(Exact.low(sums), c)), Exact.round(f64x2.mul(Exact.low(inputs), d)));
    const high = f64x2.add(Exact.round(f64x2.mul(Exact.high(sums), c)), Exact.round(f64x2.mul(Exact.high(inputs), d)));
    v128.store(at, Exact.integers(low, high));
  }
  const skip = <i64>load<i16>(layer.skip + ((<usize>step.head) << 1));
  for (; i < p; i++) {
    const at = y + ((<usize>i) << 2);
    const input = rsh(skip * <i64>load<i16>(x + ((<usize>i) << 1)), skipShift(layer));
    store<i32>(at, <i32>sat(rsh(<i64>load<i32>(at) * <i64>exp2n(step.f), 16) + input, 32));
  }
}

/** Causal depthwise conv and SiLU of channels from..to, in place on b.conv; the raw inputs go into the ring. f, fOut: fraction bits before, after. */
function convolve(
  b: SsmuBuffers,
  layer: Layer,
  state: LayerState,
  t: u32,
  from: i32,
  to: i32,
  f: i32,
  fOut: i32,
  scratch: SsmuScratch,
): void {
  const shift = f + layer.fConv - SILU_IN_FRACTION;
  if (isDefined(NATIVE)) if (convolveNatively(b, from, to, shift, fOut)) return;
  const slot = <i32>(t % <u32>(config.convWidth - 1));
  const fast = shift >= 0 && shift < 32;
  const sums = scratch.silu + SILU_SCRATCH;
  for (let c = from; c < to; c += 8) {
    const count = min(to - c, 8);
    const raw = b.conv + ((<usize>c) << 1);
    if (count == 8) Conv.eight(layer, state, raw, slot, c, sums);
    else for (let i = 0; i < count; i++) convolveOne(layer, state, raw, slot, c, i, sums);
    if (count == 8 && fast) {
      const low = Silu.shifted(v128.load(sums), shift);
      const high = Silu.shifted(v128.load(sums, 16), shift);
      v128.store(raw, Silu.eight(low, high, fOut, scratch.silu));
      continue;
    }
    for (let i = 0; i < count; i++) {
      const sum = load<i32>(sums + ((<usize>i) << 2));
      store<i16>(raw + ((<usize>i) << 1), <i16>silu(rsh(sum, shift), fOut));
    }
  }
}

/** Σ tap · weight + bias of channel first + i into sums i32 [i]; its raw input into the ring. */
function convolveOne(layer: Layer, state: LayerState, raw: usize, slot: i32, first: i32, i: i32, sums: usize): void {
  const older = config.convWidth - 1;
  const row = (<usize>convChannels()) << 1;
  const at = (<usize>(first + i)) << 1;
  const input = load<i16>(raw + ((<usize>i) << 1));
  let w = layer.convWeights + at;
  let total = load<i32>(layer.convBias + (at << 1));
  for (let tap = 0, s = slot; tap < older; tap++) {
    total += <i32>load<i16>(state.taps + <usize>s * row + at) * <i32>load<i16>(w);
    w += row;
    s = s + 1 == older ? 0 : s + 1;
  }
  store<i32>(sums + ((<usize>i) << 2), total + <i32>input * <i32>load<i16>(w));
  store<i16>(state.taps + <usize>slot * row + at, input);
}

class Conv {
  /** The same for channels c..c+7. */
  @inline
  static eight(layer: Layer, state: LayerState, raw: usize, slot: i32, c: i32, sums: usize): void {
    const older = config.convWidth - 1;
    const row = (<usize>convChannels()) << 1;
    const at = (<usize>c) << 1;
    const bias = layer.convBias + ((<usize>c) << 2);
    let w = layer.convWeights + at;
    let low = v128.load(bias);
    let high = v128.load(bias, 16);
    for (let i = 0, s = slot; i < older; i++) {
      const tap = v128.load(state.taps + <usize>s * row + at);
      const weight = v128.load(w);
      low = i32x4.add(low, i32x4.extmul_low_i16x8_s(tap, weight));
      high = i32x4.add(high, i32x4.extmul_high_i16x8_s(tap, weight));
      w += row;
      s = s + 1 == older ? 0 : s + 1;
    }
    const input = v128.load(raw);
    const weight = v128.load(w);
    v128.store(sums, i32x4.add(low, i32x4.extmul_low_i16x8_s(input, weight)));
    v128.store(sums, i32x4.add(high, i32x4.extmul_high_i16x8_s(input, weight)), 16);
    v128.store(state.taps + <usize>slot * row + at, input);
  }
}

/** N values to int8 with one exponent; codes are widened to int16 and padded with 0. */
function quantizeB(values: usize, fraction: i32, codes: usize, exponents: usize, group: i32): void {
  const size = config.dState;
  let most = i16x8.splat(0);
  let n = 0;
  for (; n + 8 <= size; n += 8) most = i16x8.max_u(most, i16x8.abs(v128.load(values + ((<usize>n) << 1))));
  let magnitude = Lanes.max(i32x4.max_s(i32x4.extend_low_i16x8_u(most), i32x4.extend_high_i16x8_u(most)));
  for (; n < size; n++) magnitude = max(magnitude, abs(<i32>load<i16>(values + ((<usize>n) << 1))));
  const s = byteShift(magnitude);
  const out = codes + <usize>(group * codeRowBytes());
  for (n = 0; n + 8 <= size; n += 8) {
    const at = (<usize>n) << 1;
    const x = v128.load(values + at);
    const half = i16x8.add(i16x8.shr_s(x, s - 1), i16x8.splat(1));
    v128.store(out + at, s == 0 ? x : i16x8.shr_s(half, 1));
  }
  for (; n < size; n++) {
    const at = (<usize>n) << 1;
    store<i16>(out + at, <i16>rsh(load<i16>(values + at), s));
  }
  store<i32>(exponents + ((<usize>group) << 2), s - fraction);
}

/** dt of a head, Q24. */
function timeStep(b: SsmuBuffers, layer: Layer, head: i32): i64 {
  const raw = <i64>load<i16>(b.dt + ((<usize>head) << 1));
  const v = rsh(raw, layer.fDt - 16) + <i64>load<i32>(layer.dtBias + ((<usize>head) << 2));
  return clamp(softplus(v), config.timeStepLow, config.timeStepHigh);
}

/** Lazy decay: adds the token's log2 decay to F, sets step.k and step.f. */
function decay(step: HeadStep, layer: Layer, state: LayerState, dt: i64, head: i32): void {
  const at = state.decay + ((<usize>head) << 2);
  const rate = <i64>load<u16>(layer.decay + ((<usize>head) << 1));
  const log2 = min(rsh(dt * rate, <i32>load<u8>(layer.decayShift + head)), 0x7fffffff);
  const total = <i64>load<u32>(at) + log2;
  step.f = <i32>(total & 0xffffff);
  step.k = <i32>(total >> 24);
  store<u32>(at, step.f);
}

/** dt · 2^F as a 16-bit mantissa. */
function scaleTimeStep(step: HeadStep, layer: Layer, dt: i64): void {
  const w = dt * <i64>exp2n(0x1000000 - step.f);
  const s = max(0, bitlen(w) - 16);
  step.mantissa = <i32>(w >> s);
  step.exponent = s - 39 - layer.fXs;
}

/** Products of the mantissa with the head's x, as int8 with one exponent. */
function scaleInput(step: HeadStep, x: usize): void {
  const products = step.products;
  const m = step.mantissa;
  let most = i32x4.splat(0);
  let i = 0;
  for (; i + 4 <= config.headDim; i += 4) {
    const product = i32x4.mul(v128.load16x4_s(x + ((<usize>i) << 1)), i32x4.splat(m));
    v128.store(products + ((<usize>i) << 2), product);
    most = i32x4.max_u(most, i32x4.abs(product));
  }
  let magnitude = <u32>Lanes.max(most);
  for (; i < config.headDim; i++) {
    const product = m * <i32>load<i16>(x + ((<usize>i) << 1));
    store<i32>(products + ((<usize>i) << 2), product);
    magnitude = max(magnitude, <u32>abs(product));
  }
  const shift = byteShift(magnitude);
  for (i = 0; i < config.headDim; i += 4) {
    const at = products + ((<usize>i) << 2);
    v128.store(at, Silu.shifted(v128.load(at), shift));
  }
  step.exponent += shift;
}

/** B and C of the head's group. */
function shareGroup(step: HeadStep, b: SsmuBuffers, group: i32): void {
  const codes = <usize>(group * codeRowBytes());
  const word = (<usize>group) << 2;
  step.bCodes = b.bCodes + codes;
  step.cCodes = b.cCodes + codes;
  step.exponent += load<i32>(b.bExponent + word);
  step.readShift = -(load<i32>(b.cExponent + word) + Y_FRACTION);
}

/** y · SiLU(z) of one head and Σ of its squares; without a grouped norm also · γ2 into b.u. */
export function gateHead(b: SsmuBuffers, layer: Layer, head: i32, scratch: SsmuScratch): void {
  const p = config.headDim;
  const from = head * p;
  const zShift = layer.fZ - SILU_IN_FRACTION;
  const fast = zShift >= -15 && zShift < 32;
  let sum: u64 = 0;
  let i = 0;
  if (fast) for (; i + 8 <= p; i += 8) sum += Gate.eight(b, layer, from + i, zShift, scratch.silu);
  for (; i < p; i++) sum += gateOne(b, layer, from + i, zShift);
  store<u64>(b.squares + ((<usize>head) << 3), sum);
}

/** One channel; returns g². */
function gateOne(b: SsmuBuffers, layer: Layer, c: i32, zShift: i32): u64 {
  const word = (<usize>c) << 2;
  const z = silu(rsh(load<i16>(b.z + ((<usize>c) << 1)), zShift), layer.fZs);
  const g = sat(rsh(<i64>load<i32>(b.y + word) * <i64>z, Y_FRACTION + layer.fZs - layer.fG), 24);
  if (config.normGroups == 1) scaleByGamma(b, layer, c, g, layer.fG + layer.fGamma - layer.fU);
  else store<i32>(b.g + word, <i32>g);
  return <u64>(g * g);
}

class Gate {
  /** Eight channels from c on; returns Σ g². */
  @inline
  static eight(b: SsmuBuffers, layer: Layer, c: i32, zShift: i32, scratch: usize): u64 {
    const raw = v128.load(b.z + ((<usize>c) << 1));
    const low = Silu.shifted(i32x4.extend_low_i16x8_s(raw), zShift);
    const high = Silu.shifted(i32x4.extend_high_i16x8_s(raw), zShift);
    const z = Silu.eight(low, high, layer.fZs, scratch);
    const gamma = v128.load(layer.gamma + ((<usize>c) << 1));
    const word = (<usize>c) << 2;
    const first = Gate.four(b, layer, word, i32x4.extend_low_i16x8_s(z), i32x4.extend_low_i16x8_s(gamma));
    const second = Gate.four(b, layer, word + 16, i32x4.extend_high_i16x8_s(z), i32x4.extend_high_i16x8_s(gamma));
    const squares = f64x2.add(first, second);
    return <u64>f64x2.extract_lane(squares, 0) + <u64>f64x2.extract_lane(squares, 1);
  }

  /** Four channels; returns their squares, two in each lane. */
  @inline
  static four(b: SsmuBuffers, layer: Layer, word: usize, z: v128, gamma: v128): v128 {
    const y = v128.load(b.y + word);
    const scale = f64x2.splat(power(layer.fG - Y_FRACTION - layer.fZs));
    const low = Exact.sat24(Exact.round(f64x2.mul(f64x2.mul(Exact.low(y), Exact.low(z)), scale)));
    const high = Exact.sat24(Exact.round(f64x2.mul(f64x2.mul(Exact.high(y), Exact.high(z)), scale)));
    if (config.normGroups == 1) {
      const uScale = f64x2.splat(power(layer.fU - layer.fG - layer.fGamma));
      const u0 = Exact.sat18(Exact.round(f64x2.mul(f64x2.mul(low, Exact.low(gamma)), uScale)));
      const u1 = Exact.sat18(Exact.round(f64x2.mul(f64x2.mul(high, Exact.high(gamma)), uScale)));
      v128.store(b.u + word, Exact.integers(u0, u1));
    } else {
      v128.store(b.g + word, Exact.integers(low, high));
    }
    return f64x2.add(f64x2.mul(low, low), f64x2.mul(high, high));
  }
}

/** After all heads: `factor` is what out_proj's row scale multiplies with; a grouped norm is applied here. */
export function finishGate(b: SsmuBuffers, layer: Layer, factor: Factor): void {
  const heads = config.heads / config.normGroups;
  for (let group = 0; group < config.normGroups; group++) {
    let sum: u64 = 0;
    for (let head = group * heads; head < (group + 1) * heads; head++)
      sum += load<u64>(b.squares + ((<usize>head) << 3));
    norm(sum + layer.gateEpsilon, config.rootInner, config.rootInnerShift, factor);
    if (config.normGroups > 1) scaleGroup(b, layer, group * heads * config.headDim, heads * config.headDim, factor);
  }
}

/** u of the channels of a norm group: g times the group's factor times γ2. */
function scaleGroup(b: SsmuBuffers, layer: Layer, from: i32, count: i32, factor: Factor): void {
  const m = <i64>factor.m;
  const shift = factor.s - 16;
  const uShift = 16 + layer.fGamma - layer.fU;
  for (let c = from; c < from + count; c++) {
    const g = sat(rsh(<i64>load<i32>(b.g + ((<usize>c) << 2)) * m, shift), 24);
    scaleByGamma(b, layer, c, g, uShift);
  }
}

/** u = sat18(g · γ2). */
function scaleByGamma(b: SsmuBuffers, layer: Layer, c: i32, g: i64, shift: i32): void {
  const u = rsh(g * <i64>load<i16>(layer.gamma + ((<usize>c) << 1)), shift);
  store<i32>(b.u + ((<usize>c) << 2), <i32>sat(u, 18));
}
