// Views of the quantized weights in linear memory: the bytes of the model file as they are, never copied.
/**
 * C = conv channels: x (E), B (G·N), C (G·N); R = rows padded to 8.
 * Frames are in streaming order (docs/format.md); row exponents and biases follow the rows as stored.
 */
@unmanaged
export class Layer {
  inFrames: usize; //        u8 [R/8][planes][block]
  inRowExponents: usize; //  i8 [R]
  inBias: usize; //          i32 [R], Q f of the segment, or 0
  outFrames: usize; //       u8 [R/8][planes][block]
  outRowExponents: usize; // i8 [R]
  outBias: usize; //         i32 [R], Q residualFraction, or 0
  inPlanes: i32; //          1, or 2: codes 16 · hi + lo
  outPlanes: i32;
  convWeights: usize; //  i16 [W][C], Q fConv
  convBias: usize; //     i32 [C], Q (f of the segment + fConv)
  decay: usize; //        u16 [H], |A|·log2(e) = decay · 2^(-decayShift)
  decayShift: usize; //   u8 [H]
  dtBias: usize; //       i32 [H], Q16
  skip: usize; //         i16 [H], D in Q fSkip
  gamma: usize; //        i16 [E], γ2 in Q fGamma
  // Fraction bits: raw in_proj outputs, in the order of the segments; after conv and SiLU; gate
  fZ: i32;
  fX: i32;
  fB: i32;
  fC: i32;
  fDt: i32;
  fConv: i32;
  fXs: i32;
  fBs: i32;
  fCs: i32;
  fSkip: i32;
  fZs: i32;
  fG: i32;
  fGamma: i32;
  fU: i32;
  /** 1: the HTU runs before out_proj; 0: it is passed by. */
  rotates: i32;
  /** eps · n · 2^(2 fG), n = E / normGroups. */
  gateEpsilon: u64;

  /** Fraction bits of segment z, x, B, C, dt: 0 to 4. */
  fraction(segment: i32): i32 {
    return load<i32>(changetype<usize>(this) + ((<usize>segment) << 2), offsetof<Layer>("fZ"));
  }
}

@unmanaged
export class Weights {
  layers: usize; //           Layer [L]
  embedding: usize; //        i8 [V][D]; 0: rows of lm_head, turned back
  embeddingScale: usize; //   u16 [V]
  embeddingExponent: usize; // i8 [V]
  headFrames: usize; //        u8 [R/8][planes][block]
  headRowExponents: usize; //  i8 [R]
  headPlanes: i32;
  // Embedding from the head: the residual's Hadamard transform, and unit² / γ of the final norm
  inverseGamma: usize; //      i16 [D], Q inverseGammaFraction
  inverseGammaFraction: i32;
  tiedBlocks: i32; //          D = tiedBlocks · tiedOrder · 2^tiedLog2
  tiedOrder: i32;
  tiedLog2: i32;
  tiedSigns: usize; //         i8 [order][order]
  tiedTransposed: usize; //    i8 [order][order]
}

export const weights: Weights = changetype<Weights>(memory.data(offsetof<Weights>(), 16));

export function layerAt(i: i32): Layer {
  return changetype<Layer>(weights.layers + <usize>i * offsetof<Layer>());
}
