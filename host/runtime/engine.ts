/** runtime.wasm on this JavaScript engine: which variant, and its exports. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { LightMambaError } from "../errors.ts";
import { packageRoot } from "../package.ts";
import { DeviceLink } from "./link.ts";
import { nativeKernels } from "./native.ts";
import { importsOf, startThreads } from "./threads.ts";

/** Same bits whichever: `relaxed` needs an engine with relaxed SIMD and is faster; `native` needs the add-on of host/native too, and is twice as fast. */
export const VARIANTS = ["plain", "relaxed", "native"] as const;
export type Variant = (typeof VARIANTS)[number];
/** What needs nothing beside an engine: a board's runtime too. */
export type WasmVariant = Exclude<Variant, "native">;

/** Exports of assembly/index.ts, where every argument is described. Pointers are byte addresses. */
export interface RuntimeExports {
  version(): number;
  allocate(bytes: number): number;
  configure(
    dModel: number,
    layers: number,
    heads: number,
    headDim: number,
    dState: number,
    groups: number,
    convWidth: number,
    vocab: number,
    normGroups: number,
    activationBits: number,
    weightGroup: number,
    stateBits: number,
    residualFraction: number,
  ): void;
  setNorm(
    residualEpsilon: bigint,
    rootModel: number,
    rootModelShift: number,
    rootInner: number,
    rootInnerShift: number,
  ): void;
  setHadamard(blocks: number, order: number, log2: number, signs: number): void;
  setTimeStepLimits(low: bigint, high: bigint): void;
  setEmbedding(codes: number, scale: number, exponent: number): void;
  setTiedEmbedding(
    inverseGamma: number,
    fraction: number,
    blocks: number,
    order: number,
    log2: number,
    signs: number,
    transposed: number,
  ): void;
  setHead(frames: number, rowExponents: number, bits: number): void;
  setInProj(layer: number, frames: number, rowExponents: number, bias: number, bits: number): void;
  setOutProj(layer: number, frames: number, rowExponents: number, bias: number, bits: number, rotates: number): void;
  setConv(layer: number, weights: number, bias: number): void;
  setHeads(layer: number, decay: number, decayShift: number, dtBias: number, skip: number, gamma: number): void;
  setFractions(layer: number, ...fractionsAndEpsilon: [...number[], bigint]): void;
  finish(): void;
  setBuild(...limits: number[]): void;
  planDevice(inProj: number, others: number, memories: number, split: number, serial: number): number;
  misfitFound(): number;
  misfitLimit(): number;
  deviceDataBytes(): bigint;
  deviceWeightBytes(memory: number): bigint;
  setDeviceWeights(memory: number, at: bigint): void;
  openDevice(data: bigint): void;
  settle(state: number): void;
  setThreads(threads: number): void;
  serve(thread: number): void;
  stateBytes(): number;
  checkState(state: number): number;
  resetState(state: number): void;
  forward(state: number, token: number): void;
  passTokens(): number;
  tokensAt(): number;
  forwardAll(state: number, count: number, logits: number): void;
  embed(token: number): void;
  layer(state: number, layer: number): void;
  head(): void;
  advance(state: number): void;
  logitsAt(): number;
  residualAt(): number;
  samplerBytes(): number;
  samplerMemory(): number;
  setSampler(
    sampler: number,
    temperature: number,
    topK: number,
    topP: number,
    minP: number,
    repetition: number,
    presence: number,
    frequency: number,
    usable: number,
  ): void;
  seedSampler(sampler: number, seed: bigint): void;
  observe(sampler: number, token: number): void;
  sample(sampler: number, logits: number): number;
  profile(enable: number): void;
  unitSeconds(unit: number): number;
  readBytes(pointer: number, bytes: number): bigint;
}

/** Of unitSeconds: assembly/profile.ts. */
export const UNITS = [
  "embedding",
  "NQU",
  "MMU in_proj",
  "SSMU",
  "HTU",
  "MMU out_proj",
  "MMU lm_head",
  "sampler",
] as const;

export interface Engine {
  variant: Variant;
  threads: number;
  /** Ends the threads, if there are any. */
  close(): void;
  memory: WebAssembly.Memory;
  exports: RuntimeExports;
  /** To a device, where one is attached. */
  link: DeviceLink;
}

const FILES: Record<Variant, string> = {
  native: "runtime.native.wasm",
  relaxed: "runtime.relaxed.wasm",
  plain: "runtime.wasm",
};
/** What the exported functions mean: assembly/index.ts, version(). */
export const RUNTIME_VERSION = 2;
const MEMORY = { initial: 16, maximum: 65536, shared: true };

/** (func (param v128 v128) (result v128) i16x8.relaxed_dot_i8x16_i7x16_s): valid where relaxed SIMD is on. */
const RELAXED_PROBE = Uint8Array.from([
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 7, 1, 0x60, 2, 0x7b, 0x7b, 1, 0x7b, 3, 2, 1, 0, 10, 11, 1, 9, 0, 0x20, 0, 0x20, 1,
  0xfd, 0x92, 2, 0x0b,
]);

/** What this engine and this machine have, the fastest last. */
export function usableVariants(): Variant[] {
  if (!WebAssembly.validate(RELAXED_PROBE)) return ["plain"];
  return nativeKernels() === undefined ? ["plain", "relaxed"] : ["plain", "relaxed", "native"];
}

export function bestVariant(): Variant {
  return usableVariants().at(-1)!;
}

/** The module's file, which must have been built. */
export function runtimePath(variant: Variant): string {
  const path = join(packageRoot(), "build", FILES[variant]);
  if (existsSync(path)) return path;
  throw new LightMambaError("prerequisite", "the runtime is not built", { file: path, hint: "npm run build" });
}

/** A fresh instance with a memory of its own, and threads - 1 helpers on it. */
export function instantiate(variant: Variant = bestVariant(), threads = 1): Engine {
  const path = runtimePath(variant);
  const memory = new WebAssembly.Memory(MEMORY);
  const module = new WebAssembly.Module(readFileSync(path));
  const link = new DeviceLink(memory);
  const instance = new WebAssembly.Instance(module, importsOf(module, memory, link.imports));
  const exports = instance.exports as unknown as RuntimeExports;
  const version = exports.version();
  if (version !== RUNTIME_VERSION) {
    throw new LightMambaError("prerequisite", "the runtime is of another version", {
      file: path,
      expected: RUNTIME_VERSION,
      found: version,
      hint: "npm run build",
    });
  }
  const close = threads > 1 ? startThreads(module, memory, threads) : () => {};
  exports.setThreads(threads);
  return { variant, memory, exports, threads, link, close };
}
