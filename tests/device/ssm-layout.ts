/** What an SSM command reads and writes, as bytes from docs/device.md and docs/format.md alone, and what must come out, by tests/oracle. */
import assert from "node:assert/strict";
import * as lm from "../../assembly/device.generated.ts";
import type { Command } from "../../host/device/index.ts";
import type { OracleLayerState, OracleModel, Segments } from "../oracle/model.ts";
import { TOKEN_PERIOD } from "../oracle/model.ts";
import { gated, sumOfSquares } from "../oracle/ssmu.ts";
import { gateToken, type Seen, scanToken } from "../units/scan.ts";
import { beats, uVector } from "./layouts.ts";
import { BEAT, dealState, list, partBytes, putState, ringBytes, stateBytes, storedRows } from "./model-layouts.ts";
/** Rows of several tokens, interleaved by beats. What fills up a block is 77: it may be anything. */
export function rowBytes(model: OracleModel, tokens: readonly Segments[]): Buffer {
  const order = storedRows(model.shape);
  const vectors = tokens.map((segments) => {
    const bytes = Buffer.alloc(order.length * 2);
    order.forEach((row, i) => {
      bytes.writeInt16LE(row ? segments[row.segment][row.index]! : 77, 2 * i);
    });
    return beats(bytes);
  });
  const out = Buffer.alloc(vectors.length * vectors[0]!.length);
  vectors.forEach((vector, t) => {
    for (let at = 0; at < vector.length; at += BEAT) vector.copy(out, at * vectors.length + t * BEAT, at, at + BEAT);
  });
  return out;
}

/** 16 bytes a row. */
export function constantBytes(model: OracleModel): Buffer {
  const { H, P, N, G } = model.shape;
  const layer = model.layers[0]!;
  const order = storedRows(model.shape);
  const out = Buffer.alloc(order.length * lm.ROW_RECORD);
  const first = { x: 0, B: H * P, C: H * P + G * N };
  order.forEach((row, i) => {
    const at = i * lm.ROW_RECORD;
    if (row === undefined) return;
    const { segment, index } = row;
    if (segment === "dt") {
      out.writeUInt16LE(layer.am[index]!, at);
      out.writeUInt8(layer.ae[index]!, at + 2);
      out.writeInt32LE(layer.dtBias[index]!, at + 4);
      out.writeInt16LE(layer.Dq[index]!, at + 8);
    } else if (segment === "z") {
      out.writeInt16LE(layer.gamma2[index]!, at);
    } else {
      const channel = first[segment] + index;
      layer.convWeight[channel]!.forEach((weight, tap) => {
        out.writeInt16LE(weight, at + 2 * tap);
      });
      out.writeInt32LE(layer.convBias[channel]!, at + 8);
    }
  });
  return out;
}

export function recordBytes(model: OracleModel, constants: number): Buffer {
  const layer = model.layers[0]!;
  const { fz, fx, fB, fC, fdt, fw, fxs, fBs, fCs, fD, fzs, fg, fGamma, fu } = layer;
  const out = Buffer.alloc(lm.LAYER_RECORD);
  [fz, fx, fB, fC, fdt, fw, fxs, fBs, fCs, fD, fzs, fg, fGamma, fu].forEach((fraction, i) => {
    out.writeInt8(fraction, i);
  });
  out.writeUInt8(model.normGroups > 1 ? 1 : 0, 14);
  out.writeUInt32LE(model.dtLow, 16);
  out.writeUInt32LE(model.dtHigh, 20);
  out.writeBigUInt64LE(layer.epsE, 24);
  out.writeUInt16LE(model.rootE.nm, 32);
  out.writeUInt8(model.rootE.ne, 34);
  out.writeBigUInt64LE(BigInt(constants), 40);
  return out;
}

/** A layer's state before token t. */
function stateAt({ shape }: OracleModel, state: OracleLayerState, t: number): Buffer {
  const out = Buffer.alloc(stateBytes(shape));
  putState(out, state, shape, t % (shape.W - 1));
  return out;
}

/** u with its header; the oracle's state moves on. */
export function expectToken(
  model: OracleModel,
  state: OracleLayerState,
  segments: Segments,
  t: number,
  seen: Seen,
): Buffer {
  const layer = model.layers[0]!;
  const y = scanToken(model, state, segments, t, seen);
  const { u, factor } = gateToken(model, y, segments.z, seen);
  if (model.normGroups > 1) return uVector({ m: 2 ** 15, s: 15, sum: 0n }, u);
  const g = y.map((value, i) => gated(value, segments.z[i]!, layer));
  return uVector({ m: factor.m, s: factor.s, sum: sumOfSquares(g) + layer.epsE }, u);
}

/** Where the parts of a command lie, as offsets. */
export interface Places {
  /** Of a device with parts of the state F and taps alone. */
  state: number;
  parts: number[];
  record: number;
  rows: number;
  constants: number;
  u: number;
}

/** One command: memory before and after it, parts apart from one another with `noise` between them. */
export class SsmJob {
  readonly before: Buffer;
  readonly after: Buffer;
  readonly places: Places;
  readonly command: Command & { addresses: number[] };

  /** The oracle's state moves on by as many tokens. statePorts: parts of it, 0: none. */
  constructor(
    base: number,
    noise: (bytes: number) => Buffer,
    model: OracleModel,
    state: OracleLayerState,
    tokens: { segments: Segments; t: number }[],
    seen: Seen,
    statePorts = 0,
  ) {
    const first = tokens[0]!.t;
    const rows = rowBytes(
      model,
      tokens.map(({ segments }) => segments),
    );
    const old = stateAt(model, state, first);
    const constants = constantBytes(model);
    const vectors = tokens.map(({ segments, t }) => expectToken(model, state, segments, t, seen));
    const next = stateAt(model, state, (first + tokens.length) % TOKEN_PERIOD);
    const u = Buffer.concat(vectors);
    let end = BEAT;
    const place = (bytes: number) => {
      const at = end;
      end = at + bytes + 2 * BEAT;
      return at;
    };
    const { shape } = model;
    this.places = {
      state: place(statePorts > 0 ? ringBytes(shape) : old.length),
      parts: list(statePorts, () => place(partBytes(shape, statePorts))),
      record: place(lm.LAYER_RECORD + (statePorts > 0 ? BEAT : 0)),
      rows: place(rows.length),
      constants: place(constants.length),
      u: place(u.length),
    };
    this.before = noise(end);
    this.#putState(this.before, old, shape, "as it was");
    this.places.parts.forEach((part, i) => {
      this.before.writeBigUInt64LE(BigInt(base + part), this.places.record + lm.LAYER_RECORD + 8 * i);
    });
    recordBytes(model, base + this.places.constants).copy(this.before, this.places.record);
    rows.copy(this.before, this.places.rows);
    constants.copy(this.before, this.places.constants);
    this.after = Buffer.from(this.before);
    this.#putState(this.after, next, shape, "zeros");
    u.copy(this.after, this.places.u);
    const { H, P, N, G, W } = shape;
    const { state: at, record, rows: from, u: to } = this.places;
    this.command = {
      opcode: lm.OP_SSM,
      count: first,
      inputs: first % (W - 1),
      tokens: tokens.length,
      format: 8,
      addresses: [at, record, from, to].map((place) => base + place),
      heads: H,
      headDim: P,
      state: N,
      groups: G,
      conv: W,
    };
  }

  #putState(memory: Buffer, state: Buffer, shape: OracleModel["shape"], spare: "zeros" | "as it was"): void {
    const { state: at, parts } = this.places;
    const found = parts.map((part) => memory.subarray(part));
    if (parts.length === 0) state.copy(memory, at);
    else dealState(state, memory.subarray(at), found, shape, spare);
  }

  /** Memory as it was found afterwards; a difference is named by its place. */
  compare(found: Buffer, what: string): void {
    if (found.equals(this.after)) return;
    const at = this.after.findIndex((byte, i) => byte !== found[i]);
    const { parts, ...others } = this.places;
    const all: [string, number][] = [
      ...Object.entries(others),
      ...parts.map((part): [string, number] => ["part", part]),
    ];
    const before = all.filter(([, place]) => place <= at);
    const [name, place] = before.sort(([, a], [, b]) => b - a)[0] ?? ["start", 0];
    assert.fail(`${what}: ${name} + ${at - place}: expected ${this.after[at]}, found ${found[at]}`);
  }
}
