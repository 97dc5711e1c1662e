// What an add-on of the host offers under the module name `native`: the loops that take most of a token, with vectors wider than WebAssembly's
// (host/native, docs/performance.md). Only the build "native" imports them, with NATIVE defined; the bits are the same. `pages`: of linear memory now.
// A call that returns 0 has done nothing: there is no kernel for this processor, or for such a shape.

/**
 * A part of a job of jobs.ts: the product of units/mmu.ts with Codes [tokens], then the row scale of units/rows.ts. values i32 [blocks][planes][tokens][8],
 * those of the first plane; rowExponents i8 [blocks][8], factors f64 [blocks][tokens], bias i32 [blocks][8], addends: of each token the address of
 * i32 [blocks][8]; bias and addends may be 0.
 */
export declare function project(
  values: usize,
  frames: usize,
  codes: usize,
  tokens: i32,
  blocks: i32,
  planes: i32,
  weightGroup: i32,
  rowExponents: usize,
  factors: usize,
  bias: usize,
  addends: usize,
  pages: i32,
): void;

/** units/nqu.ts, of 4 or 8 bits. */
export declare function quantize(values: usize, codes: usize, pages: i32): i32;

/** units/htu.ts. */
export declare function transform(w: usize, blocks: i32, m: i32, log2: i32, signs: usize, pages: i32): i32;

/** Channels from..from + channels of a token's convolution, with SiLU: units/ssmu.ts. */
export declare function convolve(
  scanPlaces: usize,
  from: i32,
  channels: i32,
  shift: i32,
  fraction: i32,
  pages: i32,
): i32;

/** Heads of tokens, HeadStep [count] of units/ssmu-groups.ts, from x of in_proj to y, and from y and z to u: units/ssmu.ts. */
export declare function heads(steps: usize, count: i32, pages: i32): i32;
