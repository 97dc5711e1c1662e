// SSMU through the host's add-on (host/native, build "native"): what it has to know of a token in a layer, and the calls.
import { config, convChannels, stateGroups } from "../config";
import { SILU_IN_FRACTION, Y_FRACTION } from "../contract";
import { allocate } from "../memory";
import { convolve, heads } from "../native";
import { LayerState } from "../state";
import { Layer } from "../weights";
import { CODE_DITHER_HALVES, INPUT_DITHER_HALVES } from "./dither";
import { SILU_STEPS } from "./silu";
import { SsmuBuffers } from "./ssmu";

/** Of all heads of a layer: convolution, state and readout. */
@unmanaged
class ScanPlaces {
  conv: usize;
  taps: usize;
  weights: usize;
  bias: usize;
  silu: usize;
  codes: usize;
  exponents: usize;
  y: usize;
  codeDither: usize;
  inputDither: usize;
  row: i32; //      channels of the convolution
  width: i32;
  slot: i32; //     of the oldest tap
  channels: i32; // of a head
  groups: i32; //   of a channel's state
  t: u32;
  shift: i32; //    of x before SiLU, to Q11
  fraction: i32; // of x after it
}

/** Of all heads of a layer: the gate. */
@unmanaged
class GatePlaces {
  y: usize;
  z: usize;
  gamma: usize; //    0: a grouped norm's
  out: usize; //      u, or g where there is no gamma
  squares: usize;
  silu: usize;
  channels: i32; //   of a head
  zShift: i32; //     to Q11
  zFraction: i32; //  after SiLU
  scale: i32; //      log2 of what y · SiLU(z) is scaled by
  gammaScale: i32; // and g · gamma
}

export function allocatePlaces(b: SsmuBuffers): void {
  b.scanPlaces = allocate(offsetof<ScanPlaces>());
  b.gatePlaces = allocate(offsetof<GatePlaces>());
}

/** Before a token's first convolution in a layer. */
export function describeScan(b: SsmuBuffers, layer: Layer, state: LayerState, t: u32): void {
  const p = changetype<ScanPlaces>(b.scanPlaces);
  p.conv = b.conv;
  p.taps = state.taps;
  p.weights = layer.convWeights;
  p.bias = layer.convBias;
  p.silu = SILU_STEPS;
  p.codes = state.codes;
  p.exponents = state.exponents;
  p.y = b.y;
  p.codeDither = CODE_DITHER_HALVES;
  p.inputDither = INPUT_DITHER_HALVES;
  p.row = convChannels();
  p.width = config.convWidth;
  p.slot = <i32>(t % <u32>(config.convWidth - 1));
  p.channels = config.headDim;
  p.groups = stateGroups();
  p.t = t;
  p.shift = layer.fX + layer.fConv - SILU_IN_FRACTION;
  p.fraction = layer.fXs;
}

/** Before its first gate. */
export function describeGate(b: SsmuBuffers, layer: Layer): void {
  const p = changetype<GatePlaces>(b.gatePlaces);
  const grouped = config.normGroups > 1;
  p.y = b.y;
  p.z = b.z;
  p.gamma = grouped ? 0 : layer.gamma;
  p.out = grouped ? b.g : b.u;
  p.squares = b.squares;
  p.silu = SILU_STEPS;
  p.channels = config.headDim;
  p.zShift = layer.fZ - SILU_IN_FRACTION;
  p.zFraction = layer.fZs;
  p.scale = layer.fG - Y_FRACTION - layer.fZs;
  p.gammaScale = layer.fU - layer.fG - layer.fGamma;
}

/** Channels from..to of the convolution, in place; false: not done. shift: to Q11; fOut: fraction bits after SiLU. */
export function convolveNatively(b: SsmuBuffers, from: i32, to: i32, shift: i32, fOut: i32): bool {
  return convolve(b.scanPlaces, from, to - from, shift, fOut, memory.size()) != 0;
}

/** HeadStep [count], one after the other; false: nothing is done. */
export function headsNatively(steps: usize, count: i32): bool {
  return config.stateBits == 8 && heads(steps, count, memory.size()) != 0;
}
