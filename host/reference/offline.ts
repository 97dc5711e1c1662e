import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { LightMambaError } from "../errors.ts";

/** Exports of build/offline.wasm: assembly/offline/ has the meaning and shape of every argument. Pointers are byte addresses. */
export interface OfflineKernels {
  heapBase(): number;
  matmul(y: number, x: number, w: number, bias: number, tokens: number, rows: number, inner: number): void;
  rmsNorm(y: number, x: number, gamma: number, tokens: number, n: number, size: number, eps: number): void;
  conv(
    y: number,
    x: number,
    xStride: number,
    w: number,
    bias: number,
    state: number,
    sequences: number,
    tokens: number,
    channels: number,
    width: number,
  ): void;
  timeStep(
    dt: number,
    raw: number,
    stride: number,
    bias: number,
    tokens: number,
    heads: number,
    low: number,
    high: number,
  ): void;
  scan(
    y: number,
    xbc: number,
    dt: number,
    a: number,
    d: number,
    state: number,
    peak: number,
    sequences: number,
    tokens: number,
    heads: number,
    headDim: number,
    dState: number,
    groups: number,
  ): void;
  gate(y: number, z: number, stride: number, tokens: number, n: number): void;
  add(x: number, y: number, n: number): void;
  scaleColumns(y: number, x: number, gamma: number, tokens: number, n: number): void;
  maxAbs(x: number, stride: number, tokens: number, n: number): number;
  hadamard(x: number, tokens: number, m: number, k: number, signs: number, factor: number, scratch: number): void;
  quantizeActivations(x: number, rows: number, n: number, bits: number): void;
  transpose(y: number, x: number, m: number, n: number): void;
  accumulate(sum: number, part: number, count: number): void;
  narrow(y: number, x: number, count: number): void;
  inverseFactor(u: number, h: number, panel: number, k: number): number;
  roundRows(
    w: number,
    codes: number,
    scales: number,
    exponents: number,
    u: number,
    p: number,
    importance: number,
    rows: number,
    k: number,
    group: number,
    slot: number,
    low: number,
    high: number,
    powerOfTwo: number,
  ): void;
  exp(x: number): number;
  logSumExp(x: number, n: number): number;
  divergence(x: number, xNorm: number, reference: number, referenceNorm: number, n: number): number;
  sampleRow(x: number, n: number, u: number): number;
}

/** The part of the WebAssembly interface used here: Node's own types leave it to the DOM's. */
interface WasmMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}

interface WasmNamespace {
  Memory: new (descriptor: { initial: number; maximum: number }) => WasmMemory;
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { exports: unknown };
}

const wasm = (globalThis as unknown as { WebAssembly: WasmNamespace }).WebAssembly;

const PAGE = 65536;
const MAX_PAGES = 65536;
/** What a 32-bit module can address. */
export const MAX_BYTES = PAGE * MAX_PAGES;
/** Whole cache lines, so that no two arrays share one. */
const ALIGN = 64;

let compiled: object | undefined;

/** One instance of the kernels with a memory of its own; dropping it frees the memory. */
export class Offline {
  readonly kernels: OfflineKernels;
  private readonly memory: WasmMemory;
  private readonly base: number;

  constructor() {
    compiled ??= new wasm.Module(readFileSync(findModule()));
    this.memory = new wasm.Memory({ initial: 16, maximum: MAX_PAGES });
    const instance = new wasm.Instance(compiled, { env: { memory: this.memory } });
    this.kernels = instance.exports as OfflineKernels;
    this.base = Math.ceil(this.kernels.heapBase() / ALIGN) * ALIGN;
  }

  /** First address the caller may use. */
  get start(): number {
    return this.base;
  }

  /** Makes every address below `end` usable. Views taken before may be detached by it. */
  reserve(end: number): void {
    const short = end - this.memory.buffer.byteLength;
    if (end > MAX_BYTES) throw tooLarge(end);
    if (short <= 0) return;
    try {
      this.memory.grow(Math.ceil(short / PAGE));
    } catch {
      throw new LightMambaError("unsupported", "the system refused the memory the reference needs", {
        expected: `${end} bytes`,
        hint: "use fewer sequences or shorter ones, or close other programs",
      });
    }
  }

  floats(pointer: number, length: number): Float32Array {
    return new Float32Array(this.memory.buffer, pointer, length);
  }

  doubles(pointer: number, length: number): Float64Array {
    return new Float64Array(this.memory.buffer, pointer, length);
  }

  bytes(pointer: number, length: number): Int8Array {
    return new Int8Array(this.memory.buffer, pointer, length);
  }
}

let shared: Offline | undefined;

/** An instance for small work that keeps nothing in memory from one call to the next. */
export function sharedOffline(): Offline {
  shared ??= new Offline();
  return shared;
}

/** Hands out addresses one after the other; nothing is freed singly. */
export class Arena {
  private next: number;

  constructor(start: number) {
    this.next = Math.ceil(start / ALIGN) * ALIGN;
  }

  /** Address of `count` floats. */
  floats(count: number): number {
    return this.take(count * 4);
  }

  take(bytes: number): number {
    const pointer = this.next;
    this.next += Math.ceil(bytes / ALIGN) * ALIGN;
    return pointer;
  }

  get end(): number {
    return this.next;
  }
}

export function tooLarge(bytes: number): LightMambaError {
  return new LightMambaError("unsupported", "the FP32 reference needs more memory than WebAssembly can address", {
    expected: `at most ${MAX_BYTES} bytes`,
    found: `${bytes} bytes`,
    hint: "use fewer sequences or shorter ones",
  });
}

/** build/offline.wasm of this package: the sources and the compiled JavaScript lie at different depths below its root. */
function findModule(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const candidate = join(directory, "build", "offline.wasm");
    if (existsSync(candidate)) return candidate;
    const parent = dirname(directory);
    if (parent === directory) break;
    directory = parent;
  }
  throw new LightMambaError("prerequisite", "build/offline.wasm is not built", { hint: "npm run build" });
}
