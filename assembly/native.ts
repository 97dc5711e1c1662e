// What an add-on of the host offers under the module name `native`: the loops that take most of a token, with vectors wider than WebAssembly's
// (host/native, docs/performance.md). Only the build "native" imports them, with NATIVE defined; the bits are the same.

/**
 * A part of a job of jobs.ts: the product of units/mmu.ts with Codes [tokens], then the row scale of units/rows.ts. values i32 [blocks][planes][tokens][8],
 * those of the first plane; rowExponents i8 [blocks][8], factors f64 [blocks][tokens], bias i32 [blocks][8], addends: of each token the address of
 * i32 [blocks][8]; bias and addends may be 0. `pages`: of linear memory.
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

/** units/ssmu-scan.ts, scanChannels of any number of channels. 0: not for this processor or shape, and nothing is done. */
export declare function scan(
  step: usize,
  codes: usize,
  exponents: usize,
  inputs: usize,
  channel: i32,
  channels: i32,
  groups: i32,
  y: usize,
  codeDither: usize,
  shiftRows: usize,
  pages: i32,
): i32;
