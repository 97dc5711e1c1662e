/** A matrix product: `layer` is the block, or nLayers for lm_head. */
export interface LinearSite {
  layer: number;
  matrix: "in_proj" | "out_proj" | "lm_head";
}

/**
 * Quantities of a block, in the order they arise.
 *
 * | name | columns | |
 * |---|---|---|
 * | `r` | D | residual stream that enters the block; once more with layer = nLayers, before the final norm |
 * | `z`, `x`, `B`, `C`, `dt` | E, E, G·N, G·N, H | outputs of in_proj |
 * | `xs`, `Bs`, `Cs` | E, G·N, G·N | after the convolution and SiLU |
 * | `dts` | H | clamp(softplus(dt + bias)) |
 * | `h` | H | largest state value of each head over all tokens (one row) |
 * | `y` | E | output of the scan, D·x included |
 * | `zs` | E | SiLU(z) |
 * | `g` | E | y · SiLU(z) |
 * | `u0` | E | g · γ2, before the norm's factor |
 * | `u1` | E | g / rms(g) · γ2, the gated norm's output, before the online Hadamard transform |
 * | `o` | D | output of out_proj |
 */
export type ObservedName =
  | "r"
  | "z"
  | "x"
  | "B"
  | "C"
  | "dt"
  | "xs"
  | "Bs"
  | "Cs"
  | "dts"
  | "h"
  | "y"
  | "zs"
  | "g"
  | "u0"
  | "u1"
  | "o";

/** A live block of the working memory: valid only inside the hook. */
export interface ObservedBlock {
  /** Row r, column c is values[r * stride + c]. */
  values: Float32Array;
  rows: number;
  columns: number;
  stride: number;
  /** Largest magnitude, computed by the kernel. */
  maxAbs(): number;
}

export interface ReferenceHooks {
  /**
   * Called just before each matrix product with its input [rows, K], live: what the hook writes there is what the
   * product sees. Valid only inside the hook.
   */
  linearInput?(site: LinearSite, x: Float32Array, rows: number): void;
  observe?(layer: number, name: ObservedName, block: ObservedBlock): void;
}
