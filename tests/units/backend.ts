/**
 * What a test of the units asks of an implementation of docs/numerics.md, and the implementations there are. The cases
 * of cases.ts run against each of them.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { PackedMatrix } from "../../host/model/frames.ts";
import { packageRoot } from "../../host/package.ts";
import { type RuntimeExports, usableVariants, type Variant } from "../../host/runtime/engine.ts";
import { importsOf } from "../../host/runtime/threads.ts";
import type { OracleHadamard } from "../oracle/hadamard.ts";
import type { OracleLayer, OracleLayerState, OracleModel, Segments } from "../oracle/model.ts";
import type { ActivationBits, Codes } from "../oracle/nqu.ts";
import type { Root } from "../oracle/tables.ts";

/** A factor m · 2^-s. */
export interface Factor {
  m: number;
  s: number;
}

/** Sections 1 and 2 of the page. */
export interface FixedPoint {
  rsh(x: bigint, s: number): bigint;
  silu(u: bigint, fo: number): number;
  exp2n(f: number): number;
  softplus(v: bigint): bigint;
  norm(sum: bigint, root: Root): Factor;
}

/** What layer 0 gives for one token; `factor` is the norm's, of the last group where it is grouped. */
export interface ScanResult {
  y: Int32Array;
  u: Int32Array;
  factor: Factor;
}

/** The SSMU holding layer 0 of a model, and its state. */
export interface Ssmu {
  token(segments: Segments, t: number): ScanResult;
  /** The state as it is before token t. */
  state(t: number): OracleLayerState;
  setState(state: OracleLayerState, t: number): void;
}

export interface Backend {
  readonly name: string;
  readonly fixed: FixedPoint;
  /** acc of every stored row, planes together; weight groups of 16 or 32. */
  multiply(matrix: PackedMatrix, group: 16 | 32, codes: Codes): number[];
  quantize(a: Int32Array, bits: ActivationBits): Codes;
  transform(u: Int32Array, hadamard: OracleHadamard): Int32Array;
  ssmu(model: OracleModel): Ssmu;
}

/** Exports of assembly/units/testing.ts beside the runtime's; objects are addresses. */
export interface UnitsExports extends RuntimeExports {
  rsh(x: bigint, s: number): bigint;
  silu(u: bigint, fo: number): number;
  exp2n(f: number): number;
  softplus(v: bigint): bigint;
  normMantissa(sum: bigint, rootMantissa: number, rootShift: number): number;
  factorShift(): number;
  factorMantissa(): number;
  newCodes(inputs: number, activationBits: number): number;
  quantizeCodes(a: number, codes: number): void;
  codeExponent(codes: number): number;
  codeSum(codes: number): bigint;
  codeAt(codes: number, i: number): number;
  scaleAt(codes: number, group: number): number;
  setCodes(codes: number, v: number, sa: number): void;
  multiply(acc: number, frames: number, codes: number, blocks: number): void;
  transform(w: number, blocks: number, m: number, log2: number, signs: number, scratch: number): void;
  newSsmu(paddedInner: number): number;
  ssmuZ(b: number): number;
  ssmuConv(b: number): number;
  ssmuDt(b: number): number;
  ssmuY(b: number): number;
  ssmuU(b: number): number;
  scanLayer(b: number, state: number, layer: number, t: number): void;
  gateLayer(b: number, layer: number): void;
}

const FILES: Record<Variant, string> = {
  plain: "units.wasm",
  relaxed: "units.relaxed.wasm",
  native: "units.native.wasm",
};
const modules = new Map<Variant, WebAssembly.Module>();

/** A fresh instance: its memory is never given back, so each case takes one. */
class Instance {
  readonly exports: UnitsExports;
  readonly #memory: WebAssembly.Memory;

  constructor(variant: Variant) {
    const path = join(packageRoot(), "build", FILES[variant]);
    if (!modules.has(variant)) modules.set(variant, new WebAssembly.Module(readFileSync(path)));
    this.#memory = new WebAssembly.Memory({ initial: 16, maximum: 65536, shared: true });
    const module = modules.get(variant)!;
    const instance = new WebAssembly.Instance(module, importsOf(module, this.#memory));
    this.exports = instance.exports as unknown as UnitsExports;
  }

  /** A copy in linear memory, filled up with zeros to at least `bytes`. */
  place(values: Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array, bytes = 0): number {
    const at = this.exports.allocate(Math.max(values.byteLength, bytes, 1)) >>> 0;
    this.bytes(at, values.byteLength).set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    return at;
  }

  bytes(at: number, length: number): Uint8Array {
    return new Uint8Array(this.#memory.buffer, at, length);
  }

  int8(at: number, length: number): Int8Array {
    return new Int8Array(this.#memory.buffer, at, length);
  }

  int16(at: number, length: number): Int16Array {
    return new Int16Array(this.#memory.buffer, at, length);
  }

  int32(at: number, length: number): Int32Array {
    return new Int32Array(this.#memory.buffer, at, length);
  }

  uint32(at: number, length: number): Uint32Array {
    return new Uint32Array(this.#memory.buffer, at, length);
  }
}

class WasmBackend implements Backend {
  readonly name: Variant;
  readonly fixed: FixedPoint;

  constructor(variant: Variant) {
    this.name = variant;
    const { rsh, silu, exp2n, softplus, normMantissa, factorShift } = new Instance(variant).exports;
    const norm = (sum: bigint, { nm, ne }: Root) => ({ m: normMantissa(sum, nm, ne), s: factorShift() });
    this.fixed = { rsh, silu, exp2n, softplus, norm };
  }

  multiply({ frames, planes, rowExponents }: PackedMatrix, group: 16 | 32, codes: Codes): number[] {
    const wasm = new Instance(this.name);
    const rows = rowExponents.length;
    wasm.exports.configure(codes.v.length, 1, 1, 1, 1, 1, 2, 1, 1, codes.bits, group, 8, 0);
    const target = wasm.exports.newCodes(codes.v.length, codes.bits);
    wasm.exports.setCodes(target, wasm.place(Int8Array.from(codes.v)), wasm.place(Uint8Array.from(codes.sa)));
    const acc = wasm.place(new Int32Array(planes * rows));
    wasm.exports.multiply(acc, wasm.place(frames), target, (planes * rows) / 8);
    const sums = wasm.int32(acc, planes * rows);
    if (planes === 1) return [...sums];
    // Blocks of 8 high and 8 low sums.
    return Array.from({ length: rows }, (_, row) => {
      const high = 16 * Math.floor(row / 8) + (row % 8);
      return 16 * sums[high]! + sums[high + 8]!;
    });
  }

  quantize(a: Int32Array, bits: ActivationBits): Codes {
    const wasm = new Instance(this.name);
    const { exports } = wasm;
    const padded = Math.ceil(a.length / 32) * 32;
    const codes = exports.newCodes(a.length, bits);
    exports.quantizeCodes(wasm.place(a, 4 * padded), codes);
    return {
      bits,
      v: Array.from({ length: padded }, (_, i) => exports.codeAt(codes, i)),
      sa: Array.from({ length: bits === 8 ? 0 : padded / 16 }, (_, i) => exports.scaleAt(codes, i)),
      e: exports.codeExponent(codes),
      S: BigInt.asUintN(64, exports.codeSum(codes)),
    };
  }

  transform(u: Int32Array, { blocks, m, k, signs }: OracleHadamard): Int32Array {
    const wasm = new Instance(this.name);
    const w = wasm.place(u);
    const scratch = wasm.place(new Int32Array(m * 2 ** k));
    wasm.exports.transform(w, blocks, m, k, wasm.place(Int8Array.from(signs.flat())), scratch);
    return wasm.int32(w, u.length);
  }

  ssmu(model: OracleModel): Ssmu {
    return new WasmSsmu(new Instance(this.name), model);
  }
}

const aligned = (bytes: number): number => Math.ceil(bytes / 64) * 64;

/** Where the state of layer 0 keeps what: assembly/state.ts. */
export function stateLayout({ H, P, N, G, W }: OracleModel["shape"]) {
  const groups = Math.ceil(N / 16);
  const channels = H * P + 2 * G * N;
  const decay = 64;
  const taps = decay + aligned(4 * H);
  const exponents = taps + aligned(2 * (W - 1) * channels);
  const codes = exponents + aligned(H * P * groups);
  return { groups, channels, decay, taps, exponents, codes };
}

class WasmSsmu implements Ssmu {
  readonly #wasm: Instance;
  readonly #model: OracleModel;
  readonly #buffers: number;
  readonly #state: number;

  constructor(wasm: Instance, model: OracleModel) {
    this.#wasm = wasm;
    this.#model = model;
    const { exports } = wasm;
    const { D, H, P, N, G, W, V } = model.shape;
    const { normGroups, activationBits, stateBits, FR } = model;
    exports.configure(D, 1, H, P, N, G, W, V, normGroups, activationBits, 32, stateBits, FR);
    exports.setNorm(model.epsD, model.rootD.nm, model.rootD.ne, model.rootE.nm, model.rootE.ne);
    exports.setTimeStepLimits(BigInt(model.dtLow), BigInt(model.dtHigh));
    setLayer(wasm, model.layers[0]!);
    this.#buffers = exports.newSsmu(Math.ceil((H * P) / 32) * 32);
    this.#state = exports.allocate(exports.stateBytes());
    exports.resetState(this.#state);
  }

  token({ z, x, B, C, dt }: Segments, t: number): ScanResult {
    const { exports } = this.#wasm;
    const buffers = this.#buffers;
    this.#wasm.int16(exports.ssmuZ(buffers), z.length).set(z);
    this.#wasm.int16(exports.ssmuDt(buffers), dt.length).set(dt);
    const conv = [...x, ...B, ...C];
    this.#wasm.int16(exports.ssmuConv(buffers), conv.length).set(conv);
    exports.scanLayer(buffers, this.#state, 0, t);
    exports.gateLayer(buffers, 0);
    return {
      y: this.#wasm.int32(exports.ssmuY(buffers), z.length),
      u: this.#wasm.int32(exports.ssmuU(buffers), z.length),
      factor: { m: exports.factorMantissa(), s: exports.factorShift() },
    };
  }

  /** The ring's slot of the j-th oldest input before token t. */
  #slot(t: number, j: number): number {
    return (t + j) % (this.#model.shape.W - 1);
  }

  /** Codes of the state, int8 or int16. */
  #codes(at: number, length: number): Int8Array | Int16Array {
    return this.#model.stateBits === 8 ? this.#wasm.int8(at, length) : this.#wasm.int16(at, length);
  }

  state(t: number): OracleLayerState {
    const { H, P, W } = this.#model.shape;
    const at = stateLayout(this.#model.shape);
    const taps = this.#wasm.int16(this.#state + at.taps, (W - 1) * at.channels);
    const exponents = this.#wasm.int8(this.#state + at.exponents, H * P * at.groups);
    const codes = this.#codes(this.#state + at.codes, H * P * at.groups * 16);
    const list = <T>(length: number, f: (i: number) => T) => Array.from({ length }, (_, i) => f(i));
    return {
      F: [...this.#wasm.uint32(this.#state + at.decay, H)],
      taps: list(at.channels, (c) => list(W - 1, (j) => taps[this.#slot(t, j) * at.channels + c]!)),
      groups: list(H * P, (channel) =>
        list(at.groups, (g) => {
          const index = channel * at.groups + g;
          return { h: [...codes.subarray(index * 16, index * 16 + 16)], eh: exponents[index]! };
        }),
      ),
    };
  }

  setState({ F, taps, groups }: OracleLayerState, t: number): void {
    const at = stateLayout(this.#model.shape);
    this.#wasm.uint32(this.#state + at.decay, F.length).set(F);
    const ring = this.#wasm.int16(this.#state + at.taps, (this.#model.shape.W - 1) * at.channels);
    taps.forEach((channel, c) => {
      channel.forEach((tap, j) => {
        ring[this.#slot(t, j) * at.channels + c] = tap;
      });
    });
    const all = groups.flat();
    this.#wasm.int8(this.#state + at.exponents, all.length).set(all.map(({ eh }) => eh));
    this.#codes(this.#state + at.codes, all.length * 16).set(all.flatMap(({ h }) => h));
  }
}

function setLayer(wasm: Instance, layer: OracleLayer): void {
  const { exports } = wasm;
  const taps = layer.convWeight[0]!.map((_, i) => layer.convWeight.map((weights) => weights[i]!));
  exports.setConv(0, wasm.place(Int16Array.from(taps.flat())), wasm.place(Int32Array.from(layer.convBias)));
  exports.setHeads(
    0,
    wasm.place(Uint16Array.from(layer.am)),
    wasm.place(Uint8Array.from(layer.ae)),
    wasm.place(Int32Array.from(layer.dtBias)),
    wasm.place(Int16Array.from(layer.Dq)),
    wasm.place(Int16Array.from(layer.gamma2)),
  );
  const { fz, fx, fB, fC, fdt, fw, fxs, fBs, fCs, fD, fzs, fg, fGamma, fu, epsE } = layer;
  exports.setFractions(0, fz, fx, fB, fC, fdt, fw, fxs, fBs, fCs, fD, fzs, fg, fGamma, fu, epsE);
}

/** Plain WebAssembly SIMD, relaxed SIMD, and with it the host's kernels where there are any. */
export const BACKENDS: readonly Backend[] = usableVariants().map((variant) => new WasmBackend(variant));
