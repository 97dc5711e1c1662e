// SSMU, SSM unit: conv + SiLU, softplus(dt), lazy decay, state update, C·h + D·x, gate (docs/numerics.md section 3.3, docs/units/ssmu.md).
// One head at a time, one group of 16 state values at a time: no [E × N] intermediate exists (the paper's tiling and fusion).
import { config, convChannels, dInner, stateGroups } from "../config";
import { SILU_IN_FRACTION, STATE_EXPONENT_MAX, STATE_EXPONENT_MIN, STATE_GROUP, Y_FRACTION } from "../contract";
import { bitlen, byteShift, clamp, exp2n, Factor, norm, rsh, sat, silu, softplus } from "../fixed";
import { allocate } from "../memory";
import { LayerState } from "../state";
import { DITHER1, DITHER2 } from "../tables.generated";
import { Layer } from "../weights";
import { IntLanes } from "./lanes";
import { scanChannelWide } from "./ssmu-wide";

/** Inputs of one token: raw in_proj outputs of a layer, and room for what is made of them. C = conv channels, Np = N padded to 16. */
@unmanaged
export class SsmuBuffers {
  z: usize; //      i16 [E]
  conv: usize; //   i16 [C], x | B | C raw; after conv and SiLU in place
  dt: usize; //     i16 [H]
  bCodes: usize; // i16 [G][Np], int8 values
  cCodes: usize; // i16 [G][Np]
  bExponent: usize; // i32 [G]
  cExponent: usize; // i32 [G]
  product: usize; // i32 [P], m · x of a head
  y: usize; //      i32 [E], Q12
  g: usize; //      i32 [E], Q fG
  u: usize; //      i32 [padded E], Q fU: the HTU's input
  dither1: usize; // u8 [256][16]: DITHER1[(i + 11 j) mod 256]
  dither2: usize; // u8 [256][16]
}

/** Readout terms saturate here, so that 32 of them fit int32. */
const TERM_LIMIT: i64 = 0x3ffffff;
/** Dither index: i = (t + 11·n + 57·channel) mod 256. */
const DITHER_N: i32 = 11;
const DITHER_CHANNEL: i32 = 57;

/** Row of the dither tables for group g of a channel's n. */
export function ditherIndex(t: u32, channel: i32, g: i32): i32 {
  return (<i32>t + DITHER_CHANNEL * channel + DITHER_N * STATE_GROUP * g) & 255;
}

export function allocateSsmu(b: SsmuBuffers, paddedInner: i32): void {
  const e = dInner();
  const bc = config.groups * stateGroups() * STATE_GROUP * 2;
  b.z = allocate(e * 2);
  b.conv = allocate(convChannels() * 2);
  b.dt = allocate(config.heads * 2);
  b.bCodes = allocate(bc);
  b.cCodes = allocate(bc);
  b.bExponent = allocate(config.groups * 4);
  b.cExponent = allocate(config.groups * 4);
  b.product = allocate(config.headDim * 4);
  b.y = allocate(e * 4);
  b.g = allocate(e * 4);
  b.u = allocate(paddedInner * 4);
  b.dither1 = spreadDither(DITHER1);
  b.dither2 = spreadDither(DITHER2);
}

function spreadDither(permutation: usize): usize {
  const rows = allocate(256 * STATE_GROUP);
  for (let i = 0; i < 256; i++) {
    for (let j = 0; j < STATE_GROUP; j++) {
      const value = load<u8>(permutation + <usize>((i + DITHER_N * j) & 255));
      store<u8>(rows + <usize>(i * STATE_GROUP + j), value);
    }
  }
  return rows;
}

/** One token of one layer, from raw in_proj outputs to b.y. */
export function scan(b: SsmuBuffers, layer: Layer, state: LayerState, t: u32): void {
  convolve(b, layer, state, t);
  const e = dInner();
  const n = config.groups * config.dState;
  for (let g = 0; g < config.groups; g++) {
    const at = b.conv + <usize>((e + g * config.dState) << 1);
    quantizeB(at, layer.fBs, b.bCodes, b.bExponent, g);
    quantizeB(at + <usize>(n << 1), layer.fCs, b.cCodes, b.cExponent, g);
  }
  for (let head = 0; head < config.heads; head++) scanHead(b, layer, state, t, head);
}

/** Causal depthwise conv and SiLU over x | B | C, in place on b.conv; the raw inputs go into the ring. */
function convolve(b: SsmuBuffers, layer: Layer, state: LayerState, t: u32): void {
  const e = dInner();
  const n = config.groups * config.dState;
  convolveSegment(b, layer, state, t, 0, e, layer.fX, layer.fXs);
  convolveSegment(b, layer, state, t, e, e + n, layer.fB, layer.fBs);
  convolveSegment(b, layer, state, t, e + n, e + 2 * n, layer.fC, layer.fCs);
}

function convolveSegment(
  b: SsmuBuffers,
  layer: Layer,
  state: LayerState,
  t: u32,
  from: i32,
  to: i32,
  f: i32,
  fOut: i32,
): void {
  const row = (<usize>convChannels()) << 1;
  const older = config.convWidth - 1;
  const slot = <i32>(t % <u32>older);
  const shift = f + layer.fConv - SILU_IN_FRACTION;
  for (let c = from; c < to; c++) {
    const at = (<usize>c) << 1;
    let sum = load<i32>(layer.convBias + ((<usize>c) << 2));
    let w = layer.convWeights + at;
    let s = slot;
    for (let i = 0; i < older; i++) {
      sum += <i32>load<i16>(state.taps + <usize>s * row + at) * <i32>load<i16>(w);
      w += row;
      s = s + 1 == older ? 0 : s + 1;
    }
    const raw = load<i16>(b.conv + at);
    sum += <i32>raw * <i32>load<i16>(w);
    store<i16>(state.taps + <usize>slot * row + at, raw);
    store<i16>(b.conv + at, <i16>silu(rsh(sum, shift), fOut));
  }
}

/** N values to int8 with one exponent; codes are widened to int16 and padded with 0. */
function quantizeB(values: usize, fraction: i32, codes: usize, exponents: usize, group: i32): void {
  let magnitude = 0;
  for (let n = 0; n < config.dState; n++) magnitude = max(magnitude, abs(<i32>load<i16>(values + ((<usize>n) << 1))));
  const s = byteShift(magnitude);
  const out = codes + <usize>(group * stateGroups() * STATE_GROUP * 2);
  for (let n = 0; n < config.dState; n++) {
    const at = (<usize>n) << 1;
    store<i16>(out + at, <i16>rsh(load<i16>(values + at), s));
  }
  store<i32>(exponents + ((<usize>group) << 2), s - fraction);
}

/** What the channels of a head share in one token. */
@unmanaged
export class HeadStep {
  t: u32;
  k: i32; //         whole halvings of this token
  f: i32; //         F, Q24
  bCodes: usize; //  i16 [Np] of the head's group
  cCodes: usize; //  i16 [Np]
  exponent: i32; //  of dt·x codes times B codes
  readShift: i32; // -(C's exponent + 12)
  xShift: i32; //    products m · x to codes of dt·x
}

const step: HeadStep = changetype<HeadStep>(memory.data(offsetof<HeadStep>(), 16));

function scanHead(b: SsmuBuffers, layer: Layer, state: LayerState, t: u32, head: i32): void {
  const p = config.headDim;
  const x = b.conv + ((<usize>(head * p)) << 1);
  const dt = timeStep(b, layer, head);
  decay(layer, state, dt, head);
  scaleInput(b, layer, dt, x);
  shareGroup(b, t, head / (config.heads / config.groups));

  const c = <i64>exp2n(step.f);
  const d = <i64>load<i16>(layer.skip + ((<usize>head) << 1));
  const groups = stateGroups();
  for (let i = 0; i < p; i++) {
    const channel = head * p + i;
    const q = <i32>rsh(load<i32>(b.product + ((<usize>i) << 2)), step.xShift);
    const exponents = state.exponents + <usize>(channel * groups);
    const code = <usize>channel * <usize>(groups * STATE_GROUP);
    const sum =
      config.stateBits == 8
        ? scanChannel(b, step, state.codes + code, exponents, q, channel)
        : scanChannelWide(b, step, state.codes + 2 * code, exponents, q, channel);
    const skip = rsh(d * <i64>load<i16>(x + ((<usize>i) << 1)), layer.fSkip + layer.fXs - Y_FRACTION);
    store<i32>(b.y + ((<usize>channel) << 2), <i32>sat(rsh(<i64>sum * c, 16) + skip, 32));
  }
}

/** dt of a head, Q24. */
function timeStep(b: SsmuBuffers, layer: Layer, head: i32): i64 {
  const raw = <i64>load<i16>(b.dt + ((<usize>head) << 1));
  const v = rsh(raw, layer.fDt - 16) + <i64>load<i32>(layer.dtBias + ((<usize>head) << 2));
  return clamp(softplus(v), config.timeStepLow, config.timeStepHigh);
}

/** Lazy decay: adds the token's log2 decay to F, sets step.k and step.f. */
function decay(layer: Layer, state: LayerState, dt: i64, head: i32): void {
  const at = state.decay + ((<usize>head) << 2);
  const rate = <i64>load<u16>(layer.decay + ((<usize>head) << 1));
  const log2 = min(rsh(dt * rate, <i32>load<u8>(layer.decayShift + head)), 0x7fffffff);
  const total = <i64>load<u32>(at) + log2;
  step.f = <i32>(total & 0xffffff);
  step.k = <i32>(total >> 24);
  store<u32>(at, step.f);
}

/** dt · 2^F as a 16-bit mantissa times x: products of the head, and how they become int8 with one exponent. */
function scaleInput(b: SsmuBuffers, layer: Layer, dt: i64, x: usize): void {
  const w = dt * <i64>exp2n(0x1000000 - step.f);
  const s = max(0, bitlen(w) - 16);
  const m = <i32>(w >> s);
  let magnitude: i64 = 0;
  for (let i = 0; i < config.headDim; i++) {
    const product = m * <i32>load<i16>(x + ((<usize>i) << 1));
    store<i32>(b.product + ((<usize>i) << 2), product);
    magnitude = max(magnitude, abs(<i64>product));
  }
  step.xShift = byteShift(magnitude);
  step.exponent = s - 39 + step.xShift - layer.fXs;
}

/** B and C of the head's group. */
function shareGroup(b: SsmuBuffers, t: u32, group: i32): void {
  const codes = <usize>(group * stateGroups() * STATE_GROUP * 2);
  const word = (<usize>group) << 2;
  step.t = t;
  step.bCodes = b.bCodes + codes;
  step.cCodes = b.cCodes + codes;
  step.exponent += load<i32>(b.bExponent + word);
  step.readShift = -(load<i32>(b.cExponent + word) + Y_FRACTION);
}

/** Σ h·C of 16 values in Q12. */
export function readTerm(part: i32, exponent: i32, readShift: i32): i32 {
  return <i32>clamp(rsh(part, max(readShift - exponent, -24)), -TERM_LIMIT, TERM_LIMIT);
}

/** rsh of eight int16 lanes for 0 ≤ s ≤ 15: |v| ≤ 16256, so that adding half never wraps. */
function rshLanes(v: v128, s: i32): v128 {
  if (s == 0) return v;
  return i16x8.shr_s(i16x8.add(v, i16x8.splat((<i16>1) << (<i16>(s - 1)))), s);
}

function lanesMax(v: v128): i32 {
  let m = i16x8.max_s(v, i8x16.shuffle(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  m = i16x8.max_s(m, i8x16.shuffle(m, m, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
  return max(<i32>i16x8.extract_lane_s(m, 0), <i32>i16x8.extract_lane_s(m, 1));
}

function bitReverse8(x: u32): u32 {
  let r = x & 0xff;
  r = ((r & 0xf0) >> 4) | ((r & 0x0f) << 4);
  r = ((r & 0xcc) >> 2) | ((r & 0x33) << 2);
  return ((r & 0xaa) >> 1) | ((r & 0x55) << 1);
}

/** State update and readout of one channel: codes i8 [Np] and exponents i8 [Np/16] in place; returns Σ h·C in Q12, before 2^-F. */
function scanChannel(b: SsmuBuffers, step: HeadStep, codes: usize, exponents: usize, q: i32, channel: i32): i32 {
  const groups = stateGroups();
  const x = i16x8.splat(<i16>q);
  const slow = i8x16.splat(<i8>bitReverse8(step.t >> 8));
  let bCodes = step.bCodes;
  let cCodes = step.cCodes;
  let y = 0;
  for (let g = 0; g < groups; g++) {
    const dither = (<usize>ditherIndex(step.t, channel, g)) << 4;
    let h = v128.load(codes);
    let eh = <i32>load<i8>(exponents) - step.k;
    if (eh < STATE_EXPONENT_MIN) {
      h = i8x16.splat(0);
      eh = STATE_EXPONENT_MIN;
    }
    const ew = max(eh - 7, step.exponent);
    const sa = min(ew - eh + 7, 15);
    const a0 = rshLanes(i16x8.shl(i16x8.extend_low_i8x16_s(h), 7), sa);
    const a1 = rshLanes(i16x8.shl(i16x8.extend_high_i8x16_s(h), 7), sa);
    let b0 = i16x8.mul(x, v128.load(bCodes));
    let b1 = i16x8.mul(x, v128.load(bCodes, 16));
    let sb = ew - step.exponent;
    if (sb > 0) {
      if (sb > 8) {
        b0 = rshLanes(b0, min(sb - 8, 15));
        b1 = rshLanes(b1, min(sb - 8, 15));
        sb = 8;
      }
      const d2 = i8x16.shr_u(v128.xor(v128.load(b.dither2 + dither), slow), 8 - sb);
      b0 = i16x8.shr_s(i16x8.add(b0, i16x8.extend_low_i8x16_u(d2)), sb);
      b1 = i16x8.shr_s(i16x8.add(b1, i16x8.extend_high_i8x16_u(d2)), sb);
    }
    b0 = i16x8.add(a0, b0);
    b1 = i16x8.add(a1, b1);
    const magnitude = lanesMax(i16x8.max_s(i16x8.abs(b0), i16x8.abs(b1)));
    let r = max(25 - <i32>clz(magnitude), 0);
    if (magnitude > 127 << r) r++;
    if (r > 0) {
      const d1 = i8x16.shr_u(v128.load(b.dither1 + dither), 8 - r);
      b0 = i16x8.add(b0, i16x8.extend_low_i8x16_u(d1));
      b1 = i16x8.add(b1, i16x8.extend_high_i8x16_u(d1));
    }
    b0 = i16x8.shr_s(b0, r);
    b1 = i16x8.shr_s(b1, r);
    eh = ew + r;
    if (magnitude == 0 || eh < STATE_EXPONENT_MIN) {
      v128.store(codes, i8x16.splat(0));
      store<i8>(exponents, STATE_EXPONENT_MIN);
    } else {
      eh = min(eh, STATE_EXPONENT_MAX);
      v128.store(codes, i8x16.narrow_i16x8_s(b0, b1));
      store<i8>(exponents, <i8>eh);
      const part = IntLanes.sum(
        i32x4.add(i32x4.dot_i16x8_s(b0, v128.load(cCodes)), i32x4.dot_i16x8_s(b1, v128.load(cCodes, 16))),
      );
      y += readTerm(part, eh, step.readShift);
    }
    codes += STATE_GROUP;
    exponents++;
    bCodes += STATE_GROUP * 2;
    cCodes += STATE_GROUP * 2;
  }
  return y;
}

/** y · SiLU(z) · γ2 into b.u; `factor` is what out_proj's row scale multiplies with. */
export function gate(b: SsmuBuffers, layer: Layer, factor: Factor): void {
  const e = dInner();
  const size = e / config.normGroups;
  for (let group = 0; group < config.normGroups; group++) {
    const from = group * size;
    const sum = gateProducts(b, layer, from, from + size);
    norm(sum + layer.gateEpsilon, config.rootInner, config.rootInnerShift, factor);
    if (config.normGroups == 1) scaleByGamma(b, layer, from, from + size, 1, 0, layer.fG);
    else scaleByGamma(b, layer, from, from + size, factor.m, factor.s - 16, 16);
  }
}

/** g = y · SiLU(z) of channels from..to; returns Σ g². */
function gateProducts(b: SsmuBuffers, layer: Layer, from: i32, to: i32): u64 {
  let sum: u64 = 0;
  for (let c = from; c < to; c++) {
    const word = (<usize>c) << 2;
    const z = silu(rsh(load<i16>(b.z + ((<usize>c) << 1)), layer.fZ - SILU_IN_FRACTION), layer.fZs);
    const g = sat(rsh(<i64>load<i32>(b.y + word) * <i64>z, Y_FRACTION + layer.fZs - layer.fG), 24);
    store<i32>(b.g + word, <i32>g);
    sum += <u64>(g * g);
  }
  return sum;
}

/** u = sat18(ĝ · γ2) where ĝ = g, or g times its group's norm factor m · 2^-shift. */
function scaleByGamma(b: SsmuBuffers, layer: Layer, from: i32, to: i32, m: i64, shift: i32, f: i32): void {
  for (let c = from; c < to; c++) {
    const word = (<usize>c) << 2;
    const g = sat(rsh(<i64>load<i32>(b.g + word) * m, shift), 24);
    const u = rsh(g * <i64>load<i16>(layer.gamma + ((<usize>c) << 1)), f + layer.fGamma - layer.fU);
    store<i32>(b.u + word, <i32>sat(u, 18));
  }
}
