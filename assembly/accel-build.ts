// What a device is built for, and whether the model fits.
import { config, convChannels, dInner, headRows, inProjRows, outProjRows, stateGroups } from "./config";
import { UNIT_EMBED, UNIT_HTU, UNIT_MMU, UNIT_NQU, UNIT_SSMU } from "./device.generated";
import { PASS_TOKENS } from "./pass";
import { layerAt, weights } from "./weights";

/** The BUILD_* registers that concern a model, and how blocks are dealt out. */
@unmanaged
export class Build {
  ports: i32;
  tokens: i32;
  actBits: i32;
  maxInputs: i32;
  maxRows: i32;
  maxHeads: i32;
  maxHeadDim: i32;
  maxState: i32;
  maxGroups: i32;
  units: i32; //         a bit a unit
  maxWords: i32;
  maxTaps: i32;
  maxNormGroup: i32;
  maxOrder: i32;
  maxLog2: i32;
  statePorts: i32; //    ports 1 to this one have a part of the state each; 0: it is with all else
  inProj: usize; //      u8 [PORT_PATTERN + 1]: length n, then the port of block b mod n
  others: usize; //      the same of out_proj and lm_head
  memories: usize; //    u8 [ports]: the memory of each, that of port 0 is 0
  split: bool; //        norm, Hadamard and codes in WebAssembly
  serial: i32; //        SERIAL_*: what does not overlap
}

/** For measurements: SSM waits for the whole of in_proj, weights for the codes, HTU for the whole of the SSM. */
export const SERIAL_SSM: i32 = 1;
export const SERIAL_WEIGHTS: i32 = 2;
export const SERIAL_HTU: i32 = 4;

export const build: Build = changetype<Build>(memory.data(offsetof<Build>(), 16));

/** What BUILD_* says, in the order of the class Build. */
export function setBuild(
  ports: i32,
  tokens: i32,
  actBits: i32,
  maxInputs: i32,
  maxRows: i32,
  maxHeads: i32,
  maxHeadDim: i32,
  maxState: i32,
  maxGroups: i32,
  units: i32,
  maxWords: i32,
  maxTaps: i32,
  maxNormGroup: i32,
  maxOrder: i32,
  maxLog2: i32,
  statePorts: i32,
): void {
  const b = build;
  b.ports = ports;
  b.tokens = tokens;
  b.actBits = actBits;
  b.maxInputs = maxInputs;
  b.maxRows = maxRows;
  b.maxHeads = maxHeads;
  b.maxHeadDim = maxHeadDim;
  b.maxState = maxState;
  b.maxGroups = maxGroups;
  b.units = units;
  b.maxWords = maxWords;
  b.maxTaps = maxTaps;
  b.maxNormGroup = maxNormGroup;
  b.maxOrder = maxOrder;
  b.maxLog2 = maxLog2;
  b.statePorts = statePorts;
}

/** How the model is to run; arguments as in Build. 0, or the number of the limit that the model passes (misfit). */
export function planDevice(inProj: usize, others: usize, memories: usize, split: bool, serial: i32): i32 {
  build.inProj = inProj;
  build.others = others;
  build.memories = memories;
  build.split = split;
  build.serial = serial;
  return misfit();
}

/** Tokens of a pass on the device. */
export function deviceTokens(): i32 {
  return min(build.tokens, PASS_TOKENS);
}

/** A transform that changes nothing is passed by, as in an unrotated layer. */
export function transforms(layer: i32): bool {
  return layerAt(layer).rotates != 0 && config.hadamardOrder << config.hadamardLog2 > 1;
}

/** Butterflies in the unit; a power of two beyond that goes into its matrix (docs/units/htu.md). */
export function unitLog2(): i32 {
  return min(config.hadamardLog2, build.maxLog2);
}

export function unitOrder(): i32 {
  return config.hadamardOrder << (config.hadamardLog2 - unitLog2());
}

function anyTransforms(): bool {
  for (let i = 0; i < config.layers; i++) if (transforms(i)) return true;
  return false;
}

function unitsNeeded(): i32 {
  let units = (1 << UNIT_MMU) | (1 << UNIT_SSMU);
  if (build.split) return units;
  units |= 1 << UNIT_NQU;
  if (anyTransforms()) units |= 1 << UNIT_HTU;
  return weights.embedding ? units | (1 << UNIT_EMBED) : units;
}

// The first limit that the model passes: its number, what the model has, and the most that the build takes.
let checked: i32 = 0;
let passed: i32 = 0;
let found: i32 = 0;
let limit: i32 = 0;

/** Limits are numbered from 1 in the order of these calls; the host has their names (host/runtime/accelerator.ts). */
function check(value: i32, most: i32): void {
  checked++;
  if (passed != 0 || value <= most) return;
  passed = checked;
  found = value;
  limit = most;
}

/** 0 when the build holds the model. */
function misfit(): i32 {
  const c = config;
  checked = 0;
  passed = 0;
  check(unitsNeeded() & ~build.units, 0);
  check(c.stateBits, 8);
  check(c.activationBits, build.actBits);
  check(c.dModel, build.maxInputs);
  check(dInner(), build.maxInputs);
  check(c.heads, build.maxHeads);
  check(c.headDim, build.maxHeadDim);
  check(c.dState, build.maxState);
  check(c.groups, build.maxGroups);
  check(c.groups * stateGroups(), build.maxWords);
  check((c.convWidth - 1) * convChannels(), build.maxTaps);
  check(c.normGroups > 1 ? dInner() / c.normGroups : 0, build.maxNormGroup);
  check(max(max(inProjRows(), outProjRows()), headRows()), build.maxRows);
  check(!build.split && anyTransforms() ? unitOrder() : 0, build.maxOrder);
  return passed;
}

export function misfitFound(): i32 {
  return found;
}

export function misfitLimit(): i32 {
  return limit;
}
