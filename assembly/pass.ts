// A pass: 1 to PASS_TOKENS tokens that go through the layers together. What it needs of memory, and how its work is cut into parts.
import { bcBlockRows, config, dInner, dtBlockRows, headBlockRows, headRows, inProjRows, paddedInputs } from "./config";
import { BLOCK_ROWS, ROW_SKEW } from "./contract";
import { allocate } from "./memory";
import { threads } from "./threads";
import { allocateCodes, Codes } from "./units/codes";
import { blockBytes, GEMM_SCRATCH } from "./units/mmu";
import { POWER_BYTES } from "./units/rows";
import { allocateSsmu, allocateSsmuScratch, SsmuBuffers, SsmuScratch } from "./units/ssmu";
import { allocateTables } from "./units/tables";

/** Tokens of a pass, at most. */
export const PASS_TOKENS: i32 = 16;
/** Heads that are one part of a job, at most: taking one costs a tenth of a head where threads share no cache. */
export const STEP_HEADS: i32 = 4;
/** Weight bytes of a part of a job: some microseconds. */
const PART_BYTES: i32 = 65536;

/** One token of a pass. */
@unmanaged
export class Token {
  residual: usize; // i32 [D padded to 32], Q residualFraction
  ssmu: usize; //     SsmuBuffers
  factor: f64; //     of a row scale: m · 2^-shift for a row with exponent and fraction 0
}

/** What a thread needs for itself. */
@unmanaged
export class Scratch {
  sums: usize; // i32 [blocks of a part · planes][tokens][8], then GEMM_SCRATCH and one row of sums
  powers: usize; // f64 [8]: a block's row powers
  factors: usize; // f64 [blocks of a part][tokens], of the row scale; then u32 [tokens]
  ssmu: usize; // SsmuScratch
}

/** Where the 8 rows of an in_proj block go: z, x | B | C or dt of a token. */
@unmanaged
export class Target {
  segment: i32; // Z, X, B, C or DT
  at: i32; //      first element
  rows: i32; //    the others are padding
}

export const Z: i32 = 0;
export const X: i32 = 1;
export const B: i32 = 2;
export const C: i32 = 3;
export const DT: i32 = 4;

/** Everything that threads share beside weights and state. In linear memory: module variables are a thread's own. */
@unmanaged
export class Pass {
  tokens: i32; //      of this pass
  first: u32; //       index of the first
  layer: i32;
  state: usize; //     LayerState of that layer
  partBlocks: i32; //  of the matrix at work
  ids: usize; //       i32 [PASS_TOKENS]
  token: usize; //     Token [PASS_TOKENS]
  modelCodes: usize; // Codes [PASS_TOKENS], of D inputs
  innerCodes: usize; // Codes [PASS_TOKENS], of E inputs
  targets: usize; //   Target [blocks of in_proj]
  scratch: usize; //   Scratch [threads]
  schedules: usize; // Schedule [2]: in_proj of one plane, of two
  sharedBlocks: i32; // of in_proj: B, C and dt
  headBlocks: usize; // i32 [H]: the last in_proj block that a head waits for
  done: usize; //      u32 [parts of in_proj]: the round in which it was done
  prepared: u32; //    the round in which B and C were
  round: u32; //       counts layers
  transform: usize; // i32 [E] for the HTU, [2 · padded D] for the embedding
  logits: usize; //    i32 [V padded to 8], Q16, of the last token
}

export const pass: Pass = changetype<Pass>(memory.data(offsetof<Pass>(), 16));

export function tokenAt(t: i32): Token {
  return changetype<Token>(pass.token + <usize>t * offsetof<Token>());
}

export function ssmuOf(t: i32): SsmuBuffers {
  return changetype<SsmuBuffers>(tokenAt(t).ssmu);
}

export function codesAt(codes: usize, t: i32): Codes {
  return changetype<Codes>(codes + <usize>t * offsetof<Codes>());
}

export function scratchOf(thread: i32): Scratch {
  return changetype<Scratch>(pass.scratch + <usize>thread * offsetof<Scratch>());
}

/** Allocates what a pass needs. Called once, after the shape and the number of threads are set. */
export function allocatePass(): void {
  pass.ids = allocate(PASS_TOKENS * 4);
  pass.token = allocate(PASS_TOKENS * offsetof<Token>());
  pass.modelCodes = allocate(PASS_TOKENS * offsetof<Codes>());
  pass.innerCodes = allocate(PASS_TOKENS * offsetof<Codes>());
  for (let t = 0; t < PASS_TOKENS; t++) {
    const token = tokenAt(t);
    token.residual = allocate(paddedInputs(config.dModel) * 4);
    token.ssmu = allocate(offsetof<SsmuBuffers>());
    allocateSsmu(ssmuOf(t), paddedInputs(dInner()));
    allocateCodes(codesAt(pass.modelCodes, t), config.dModel, config.activationBits);
    allocateCodes(codesAt(pass.innerCodes, t), dInner(), config.activationBits);
  }
  const blocks = max(mostBlocks(config.dModel), mostBlocks(dInner()));
  pass.scratch = allocate(threads() * offsetof<Scratch>());
  for (let thread = 0; thread < threads(); thread++) {
    const scratch = scratchOf(thread);
    scratch.sums = allocate(<usize>(blocks * PASS_TOKENS + 1) * BLOCK_ROWS * 4 + GEMM_SCRATCH);
    scratch.powers = allocate(POWER_BYTES);
    scratch.factors = allocate((blocks * 8 + 4) * PASS_TOKENS);
    scratch.ssmu = allocate(offsetof<SsmuScratch>());
    allocateSsmuScratch(changetype<SsmuScratch>(scratch.ssmu), STEP_HEADS * PASS_TOKENS);
  }
  pass.transform = allocate(max(dInner(), 2 * paddedInputs(config.dModel)) * 4);
  pass.logits = allocate(headRows() * 4);
  pass.tokens = 1;
  allocateTables();
  setTargets();
}

/** in_proj's rows: B, C, dt, then x of head h beside z of head h - ROW_SKEW. */
function setTargets(): void {
  pass.targets = allocate((inProjRows() / BLOCK_ROWS) * offsetof<Target>());
  const e = dInner();
  const n = config.groups * config.dState;
  const p = config.headDim;
  let block = setSegment(0, B, e, n, bcBlockRows());
  block = setSegment(block, C, e + n, n, bcBlockRows());
  block = setSegment(block, DT, 0, config.heads, dtBlockRows());
  pass.sharedBlocks = block;
  pass.headBlocks = allocate(config.heads * 4);
  for (let h = 0; h < config.heads + ROW_SKEW; h++) {
    if (h < config.heads) block = setSegment(block, X, h * p, p, headBlockRows());
    if (h < ROW_SKEW) continue;
    block = setSegment(block, Z, (h - ROW_SKEW) * p, p, headBlockRows());
    store<i32>(pass.headBlocks + ((<usize>(h - ROW_SKEW)) << 2), block - 1);
  }
}

/** Blocks from `block` on are `count` elements of a segment from `at` on; returns the block behind them. */
function setSegment(block: i32, segment: i32, at: i32, count: i32, rows: i32): i32 {
  for (let row = 0; row < rows; row += BLOCK_ROWS) {
    const target = targetOf(block++);
    target.segment = segment;
    target.at = at + row;
    target.rows = min(count - row, BLOCK_ROWS);
  }
  return block;
}

export function targetOf(block: i32): Target {
  return changetype<Target>(pass.targets + <usize>block * offsetof<Target>());
}

/** Parts of a job over a matrix of `rows` rows. */
export function partsOf(rows: i32, blocks: i32): i32 {
  return (rows / BLOCK_ROWS + blocks - 1) / blocks;
}

/** More where each part is a call of the host; the fewer the threads, the shorter they wait for the last one. */
function partBytes(): i32 {
  if (isDefined(NATIVE)) return max(PART_BYTES, (16 * PART_BYTES) / (threads() * threads()));
  return PART_BYTES;
}

/** Of a part of any matrix with so many inputs, all planes counted. */
function mostBlocks(inputs: i32): i32 {
  return max(partBlocks(inputs, 1), 2 * partBlocks(inputs, 2));
}

/** Blocks of 8 rows (of each plane) in one part of a job: an even number where there is more than one. */
export function partBlocks(inputs: i32, planes: i32): i32 {
  const blocks = partBytes() / (planes * blockBytes(paddedInputs(inputs)));
  return max(1, blocks & ~1);
}
