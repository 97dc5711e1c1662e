// Entry of units.wasm: everything the runtime exports, and the units one by one, for the case tables of tests/units.
import { config } from "../config";
import { ACTIVATION_GROUP, BLOCK_ROWS } from "../contract";
import { exp2n, Factor, norm, rsh, silu, softplus } from "../fixed";
import { allocate } from "../memory";
import { project } from "../native";
import { layerState } from "../state";
import { layerAt } from "../weights";
import { allocateCodes, CODE_BYTES, Codes, codesOf, finishGroup, scaleOf } from "./codes";
import { transform } from "./htu";
import { gemv } from "./mmu";
import { quantize } from "./nqu";
import {
  allocateSsmu,
  allocateSsmuScratch,
  finishGate,
  gateHead,
  prepareHeads,
  SsmuBuffers,
  SsmuScratch,
  scanHead,
  startHead,
  stepAt,
} from "./ssmu";
import { headsNatively } from "./ssmu-native";
import { allocateTables } from "./tables";

export * from "../index";
export { exp2n, rsh, silu, softplus, transform };

const factor: Factor = changetype<Factor>(memory.data(offsetof<Factor>(), 16));
const scratch: SsmuScratch = changetype<SsmuScratch>(memory.data(offsetof<SsmuScratch>(), 16));

/** The RMSNorm factor's mantissa, and after it the shift. */
export function normMantissa(sum: u64, rootMantissa: i32, rootShift: i32): i32 {
  norm(sum, rootMantissa, rootShift, factor);
  return factor.m;
}

export function factorShift(): i32 {
  return factor.s;
}

export function factorMantissa(): i32 {
  return factor.m;
}

/** A vector of `inputs` codes; activationBits 4 or 8. */
export function newCodes(inputs: i32, activationBits: i32): Codes {
  const codes = changetype<Codes>(allocate(offsetof<Codes>()));
  allocateCodes(codes, inputs, activationBits);
  return codes;
}

/** a i32 [k] → codes. */
export function quantizeCodes(a: usize, codes: Codes): void {
  quantize(a, codes);
}

export function codeExponent(codes: Codes): i32 {
  return codes.exponent;
}

export function codeSum(codes: Codes): u64 {
  return codes.sum;
}

export function codeAt(codes: Codes, i: i32): i32 {
  const at = codesOf(codes, i / ACTIVATION_GROUP) + <usize>(i % ACTIVATION_GROUP) * CODE_BYTES;
  return CODE_BYTES == 1 ? load<i8>(at) : load<i16>(at);
}

export function scaleAt(codes: Codes, group: i32): i32 {
  return scaleOf(codes, group);
}

/** Any codes at all: v i8 [k], sa u8 [k/16] (ignored for 8-bit activations). */
export function setCodes(codes: Codes, v: usize, sa: usize): void {
  for (let g = 0; g < codes.k / ACTIVATION_GROUP; g++) {
    const out = codesOf(codes, g);
    let sum = 0;
    for (let i = 0; i < ACTIVATION_GROUP; i++) {
      const code = load<i8>(v++);
      if (CODE_BYTES == 1) store<i8>(out + i, code);
      else store<i16>(out + ((<usize>i) << 1), code);
      sum += code;
    }
    finishGroup(codes, g, codes.bits == 8 ? 0 : load<u8>(sa + g), sum);
  }
}

/** acc i32 [blocks·8] = frames · codes. */
export function multiply(acc: usize, frames: usize, codes: Codes, blocks: i32): void {
  if (isDefined(NATIVE)) {
    // Values with a row scale of 1.
    const exponents = allocate(blocks * BLOCK_ROWS);
    const factors = allocate(blocks * 8);
    for (let i = 0; i < blocks; i++) store<f64>(factors + ((<usize>i) << 3), 1);
    const at = changetype<usize>(codes);
    project(acc, frames, at, 1, blocks, 1, config.weightGroup, exponents, factors, 0, 0, memory.size());
    return;
  }
  gemv(acc, frames, codes, blocks);
}

/** Buffers of the SSM unit for the configured shape; paddedInner = E padded to 32. */
export function newSsmu(paddedInner: i32): SsmuBuffers {
  const b = changetype<SsmuBuffers>(allocate(offsetof<SsmuBuffers>()));
  allocateSsmu(b, paddedInner);
  allocateSsmuScratch(scratch, 1);
  allocateTables();
  return b;
}

/** Addresses: z i16 [E], x | B | C i16 [C], dt i16 [H], y i32 [E], u i32 [E]. */
export function ssmuZ(b: SsmuBuffers): usize {
  return b.z;
}

export function ssmuConv(b: SsmuBuffers): usize {
  return b.conv;
}

export function ssmuDt(b: SsmuBuffers): usize {
  return b.dt;
}

export function ssmuY(b: SsmuBuffers): usize {
  return b.y;
}

export function ssmuU(b: SsmuBuffers): usize {
  return b.u;
}

/** One token of layer i through conv, decay, state update and readout: raw inputs in, b.y out. */
export function scanLayer(b: SsmuBuffers, state: usize, i: i32, t: u32): void {
  const view = layerState(state, i);
  prepareHeads(b, layerAt(i), view, t, scratch);
  for (let head = 0; head < config.heads; head++) {
    const step = stepAt(scratch, 0);
    startHead(step, b, layerAt(i), view, t, head, scratch);
    if (isDefined(NATIVE)) {
      step.gate = 0;
      if (headsNatively(scratch.steps, 1)) continue;
    }
    scanHead(step, b, layerAt(i), view, scratch);
  }
}

/** b.y and b.z → b.u; factorMantissa and factorShift are the norm's factor. */
export function gateLayer(b: SsmuBuffers, i: i32): void {
  for (let head = 0; head < config.heads; head++) {
    if (isDefined(NATIVE)) {
      const step = stepAt(scratch, 0);
      step.head = head;
      step.scan = 0;
      step.gate = b.gatePlaces;
      if (headsNatively(scratch.steps, 1)) continue;
    }
    gateHead(b, layerAt(i), head, scratch);
  }
  finishGate(b, layerAt(i), factor);
}
