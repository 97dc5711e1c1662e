/** Descriptors and what lies in device memory, read and written from docs/device.md and docs/format.md alone. */
import * as lm from "../../assembly/device.generated.ts";
import { scalesPerRow } from "../oracle/mmu.ts";
import type { OracleLayer, OracleLayerState, Segments } from "../oracle/model.ts";
import type { ActivationBits, Codes } from "../oracle/nqu.ts";
import { clamp, pow2, toNumber } from "../oracle/primitives.ts";

export const BEAT = 64;

export const pad = (value: number, to: number): number => Math.ceil(value / to) * to;
export const list = <T>(length: number, f: (i: number) => T): T[] => Array.from({ length }, (_, i) => f(i));

// ---------------------------------------------------------------------------------------------------- descriptors

export class Descriptor {
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get opcode(): number {
    return this.#bytes.readUInt8(lm.DESC_OPCODE);
  }
  get flags(): number {
    return this.#bytes.readUInt8(lm.DESC_FLAGS);
  }
  get count(): number {
    return this.#bytes.readUInt32LE(lm.DESC_COUNT);
  }
  get inputs(): number {
    return this.#bytes.readUInt16LE(lm.DESC_INPUTS);
  }
  get tokens(): number {
    return this.#bytes.readUInt8(lm.DESC_TOKENS);
  }
  get bits(): ActivationBits {
    return this.#bytes.readUInt8(lm.DESC_FORMAT) as ActivationBits;
  }
  get a0(): number {
    return Number(this.#bytes.readBigUInt64LE(lm.DESC_A0));
  }
  get a1(): number {
    return Number(this.#bytes.readBigUInt64LE(lm.DESC_A1));
  }
  get a2(): number {
    return Number(this.#bytes.readBigUInt64LE(lm.DESC_A2));
  }
  get a3(): number {
    return Number(this.#bytes.readBigUInt64LE(lm.DESC_A3));
  }
  get heads(): number {
    return this.#bytes.readUInt16LE(lm.DESC_HEADS);
  }
  get headDim(): number {
    return this.#bytes.readUInt16LE(lm.DESC_HEAD_DIM);
  }
  get state(): number {
    return this.#bytes.readUInt16LE(lm.DESC_STATE);
  }
  /** EMBED has a shift where SSM has its N. */
  get shift(): number {
    return this.#bytes.readInt16LE(lm.DESC_STATE);
  }
  get groups(): number {
    return this.#bytes.readUInt8(lm.DESC_GROUPS);
  }
  get conv(): number {
    return this.#bytes.readUInt8(lm.DESC_CONV);
  }
  get route(): number {
    return this.#bytes.readUInt8(lm.DESC_ROUTE);
  }
  get planes(): number {
    return this.#bytes.readUInt8(lm.DESC_PLANES);
  }
  get group(): 16 | 32 {
    return this.#bytes.readUInt8(lm.DESC_WEIGHT_GROUP) as 16 | 32;
  }
  get stride(): number {
    return this.#bytes.readUInt8(lm.DESC_STRIDE);
  }

  /** Whether its check word and its number fit: what is wrong otherwise. */
  problem(sequence: number): { status: number; info: number } | undefined {
    let mixed = lm.CHECK_XOR;
    for (let at = 0; at < lm.DESCRIPTOR; at += 4) mixed ^= this.#bytes.readUInt32LE(at);
    if (mixed !== 0) return { status: lm.STATUS_CHECK, info: lm.DESC_CHECK };
    const fits = this.#bytes.readUInt32LE(lm.DESC_SEQUENCE) === sequence;
    return fits ? undefined : { status: lm.STATUS_SEQUENCE, info: sequence };
  }
}

// ---------------------------------------------------------------------------------------------------- layouts

export function limitResidual(value: bigint): number {
  const limit = pow2(30) - 1n;
  return toNumber(clamp(value, -limit, limit));
}

export function int32s(from: Buffer, offset: number, count: number): number[] {
  return list(count, (i) => from.readInt32LE(offset + 4 * i));
}

export function uBytes(E: number): number {
  return lm.VECTOR_HEADER + 4 * pad(E, 16);
}

function scaleBytes(K: number, bits: ActivationBits): number {
  return bits === 8 ? 0 : pad(pad(K, 32) / 16, BEAT);
}

export function codedBytes(K: number, bits: ActivationBits): number {
  return lm.VECTOR_HEADER + scaleBytes(K, bits) + pad(pad(K, 32), BEAT);
}

export function takeCodes(from: Buffer, K: number, bits: ActivationBits): { codes: Codes; m: number; s: number } {
  const padded = pad(K, 32);
  const values = lm.VECTOR_HEADER + scaleBytes(K, bits);
  const codes = {
    bits,
    v: list(padded, (i) => from.readInt8(values + i)),
    sa: bits === 8 ? [] : list(padded / 16, (i) => from.readUInt8(lm.VECTOR_HEADER + i)),
    e: from.readInt32LE(0),
    S: from.readBigUInt64LE(16),
  };
  return { codes, m: from.readUInt32LE(4), s: from.readInt32LE(8) };
}

export function blockBytes(K: number, group: 16 | 32): number {
  const scales = group === 16 ? 128 : 64;
  return scales * Math.ceil(pad(K, 32) / 256) + 128 * Math.ceil(K / 32);
}

/** 8 rows of 4-bit codes: docs/format.md, frames. */
export function readBlock(from: Buffer, K: number, group: 16 | 32): { q: number[][]; sw: number[][] } {
  const scales = group === 16 ? 128 : 64;
  const frame = scales + 8 * 128;
  const code = (row: number, k: number) => {
    const inGroup = k % 32;
    const at = Math.floor(k / 256) * frame + scales + Math.floor((k % 256) / 32) * 128 + Math.floor(inGroup / 4) * 16;
    const byte = from.readUInt8(at + 2 * row + (inGroup % 2));
    return (inGroup % 4 < 2 ? byte % 16 : byte >> 4) - 8;
  };
  const scale = (row: number, part: number) => {
    const k = part * group;
    return from.readUInt8(Math.floor(k / 256) * frame + 8 * ((k % 256) / group) + row);
  };
  return {
    q: list(8, (row) => list(K, (k) => code(row, k))),
    sw: list(8, (row) => list(scalesPerRow(K, group), (part) => scale(row, part))),
  };
}

export interface Shape {
  H: number;
  P: number;
  N: number;
  G: number;
  W: number;
}

export interface StoredRow {
  segment: keyof Segments;
  index: number;
}

/** What each stored row of in_proj is; undefined for padding: docs/format.md, row order. */
export function storedRows({ H, P, N, G }: Shape): (StoredRow | undefined)[] {
  const part = (segment: keyof Segments, first: number, count: number) =>
    list(pad(count, 8), (i) => (i < count ? { segment, index: first + i } : undefined));
  const heads = list(H + 6, (h) => [
    ...(h < H ? part("x", h * P, P) : []),
    ...(h >= 6 ? part("z", (h - 6) * P, P) : []),
  ]);
  return [...part("B", 0, G * N), ...part("C", 0, G * N), ...part("dt", 0, H), ...heads.flat()];
}

export function takeSegments(from: Buffer, rows: (StoredRow | undefined)[], { H, P, N, G }: Shape): Segments {
  const zeros = (count: number) => Array<number>(count).fill(0);
  const segments = { z: zeros(H * P), x: zeros(H * P), B: zeros(G * N), C: zeros(G * N), dt: zeros(H) };
  rows.forEach((row, i) => {
    if (row) segments[row.segment][row.index] = from.readInt16LE(2 * i);
  });
  return segments;
}

export function readLayer(
  record: Buffer,
  constants: Buffer,
  rows: (StoredRow | undefined)[],
  { H, P, N, G, W }: Shape,
): OracleLayer {
  const [fz, fx, fB, fC, fdt, fw, fxs, fBs, fCs, fD, fzs, fg, fGamma, fu] = list(14, (i) => record.readInt8(i));
  const first = { x: 0, B: H * P, C: H * P + G * N };
  const layer = {
    ...{ fz, fx, fB, fC, fdt, fw, fxs, fBs, fCs, fD, fzs, fg, fGamma, fu },
    ...{ convWeight: [], convBias: [], am: [], ae: [], dtBias: [], Dq: [], gamma2: [] },
  } as unknown as OracleLayer;
  rows.forEach((row, i) => {
    const at = i * lm.ROW_RECORD;
    if (row === undefined) return;
    const { segment, index } = row;
    if (segment === "z") {
      layer.gamma2[index] = constants.readInt16LE(at);
    } else if (segment === "dt") {
      layer.am[index] = constants.readUInt16LE(at);
      layer.ae[index] = constants.readUInt8(at + 2);
      layer.dtBias[index] = constants.readInt32LE(at + 4);
      layer.Dq[index] = constants.readInt16LE(at + 8);
    } else {
      layer.convWeight[first[segment] + index] = list(W, (tap) => constants.readInt16LE(at + 2 * tap));
      layer.convBias[first[segment] + index] = constants.readInt32LE(at + 8);
    }
  });
  return layer;
}

/** Offsets of the parts of a layer's state, and of its end: docs/format.md, saved state. */
function stateParts({ H, P, N, G, W }: Shape): [taps: number, exponents: number, codes: number, end: number] {
  const groups = H * P * Math.ceil(N / 16);
  const taps = pad(4 * H, BEAT);
  const exponents = taps + pad(2 * (W - 1) * (H * P + 2 * G * N), BEAT);
  const codes = exponents + pad(groups, BEAT);
  return [taps, exponents, codes, codes + pad(16 * groups, BEAT)];
}

export function stateBytes(shape: Shape): number {
  return stateParts(shape)[3];
}

/** slot: of the ring, where the next input goes; the oldest one is there now. */
export function takeState(from: Buffer, shape: Shape, slot: number): OracleLayerState {
  const { H, P, N, G, W } = shape;
  const [taps, exponents, codes] = stateParts(shape);
  const [channels, words] = [H * P + 2 * G * N, Math.ceil(N / 16)];
  const tap = (c: number, i: number) => from.readInt16LE(taps + 2 * (((slot + i) % (W - 1)) * channels + c));
  return {
    F: list(H, (h) => from.readUInt32LE(4 * h)),
    taps: list(channels, (c) => list(W - 1, (i) => tap(c, i))),
    groups: list(H * P, (ch) =>
      list(words, (g) => ({
        eh: from.readInt8(exponents + ch * words + g),
        h: list(16, (i) => from.readInt8(codes + 16 * (ch * words + g) + i)),
      })),
    ),
  };
}

export function putState(to: Buffer, state: OracleLayerState, shape: Shape, slot: number): void {
  const [taps, exponents, codes] = stateParts(shape);
  const [channels, words] = [state.taps.length, Math.ceil(shape.N / 16)];
  to.fill(0);
  state.F.forEach((value, h) => {
    to.writeUInt32LE(value, 4 * h);
  });
  state.taps.forEach((own, c) => {
    own.forEach((value, i) => {
      to.writeInt16LE(value, taps + 2 * (((slot + i) % (shape.W - 1)) * channels + c));
    });
  });
  state.groups.forEach((own, ch) => {
    own.forEach(({ eh, h }, g) => {
      to.writeInt8(eh, exponents + ch * words + g);
      to.set(Int8Array.from(h), codes + 16 * (ch * words + g));
    });
  });
}

/** Beats that lie in parts: from where in the state, in which part and where in it. docs/device.md, State. */
function dealtBeats(shape: Shape, parts: number): { from: number; part: number; at: number }[] {
  const [, exponents, codes, end] = stateParts(shape);
  const beats = (from: number, to: number, at: number) =>
    list((to - from) / BEAT, (i) => ({
      from: from + i * BEAT,
      part: i % parts,
      at: at + Math.floor(i / parts) * BEAT,
    }));
  return [...beats(exponents, codes, 0), ...beats(codes, end, BEAT * Math.ceil((codes - exponents) / BEAT / parts))];
}

export function ringBytes(shape: Shape): number {
  return stateParts(shape)[1];
}

/** Of a layer, that of all parts. */
export function partBytes(shape: Shape, parts: number): number {
  const [, exponents, codes, end] = stateParts(shape);
  const beats = (bytes: number) => Math.ceil(bytes / BEAT / parts);
  return BEAT * (beats(codes - exponents) + beats(end - codes));
}

/** Out of F and taps, and the parts: a layer's state. */
export function gatherState(ring: Buffer, parts: readonly Buffer[], shape: Shape): Buffer {
  const out = Buffer.alloc(stateBytes(shape));
  ring.copy(out, 0, 0, ringBytes(shape));
  for (const { from, part, at } of dealtBeats(shape, parts.length)) parts[part]!.copy(out, from, at, at + BEAT);
  return out;
}

/** The reverse. spare: what is in a part's last beat of codes where the state has none for it; the device writes zeros there. */
export function dealState(
  state: Buffer,
  ring: Buffer,
  parts: readonly Buffer[],
  shape: Shape,
  spare: "zeros" | "as it was" = "zeros",
): void {
  state.copy(ring, 0, 0, ringBytes(shape));
  const last = partBytes(shape, parts.length) - BEAT;
  if (spare === "zeros") for (const part of parts) part.fill(0, last, last + BEAT);
  for (const { from, part, at } of dealtBeats(shape, parts.length)) state.copy(parts[part]!, at, from, from + BEAT);
}
