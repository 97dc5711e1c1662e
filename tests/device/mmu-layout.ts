/** A MULTIPLY as bytes in device memory, from docs/device.md and docs/format.md, and what it must make of them. */
import * as lm from "../../assembly/device.generated.ts";
import type { Command, Device } from "../../host/device/index.ts";
import { plainOrder } from "../../host/model/frames.ts";
import { blocksOf, expected, KINDS, type Layer, list } from "../rtl/layers.ts";
import { deal, packLinear } from "../units/linear.ts";
import { beats, codedVector, type Piece } from "./layouts.ts";

const BEAT = 64;

// ------------------------------------------------------------------------------------------------ layouts

function portTable(pattern: readonly number[], addresses: readonly number[]): Buffer {
  const first = beats(Uint8Array.from([pattern.length, ...pattern]));
  return Buffer.concat([first, beats(new Uint8Array(BigUint64Array.from(addresses, BigInt).buffer))]);
}

function blockRecords({ shape, linear, fractions }: Layer): Buffer {
  const size = linear.bias ? lm.BLOCK_RECORD_BIAS : lm.BLOCK_RECORD;
  const out = Buffer.alloc(size * blocksOf(shape));
  linear.rw.forEach((rw, row) => {
    out.writeInt8(rw, size * (row >> 3) + (row & 7));
  });
  fractions.forEach((f, block) => {
    out.writeInt8(f, size * block + 8);
  });
  linear.bias?.forEach((bias, row) => {
    out.writeInt32LE(bias, size * (row >> 3) + 32 + 4 * (row & 7));
  });
  return beats(out);
}

/** Vectors of several tokens: beat j of token t is beat j · tokens + t. */
function interleaved(kind: Layer["kind"], vectors: readonly (readonly number[])[]): Buffer {
  const whole = vectors.map((values) =>
    beats(new Uint8Array((kind === "in_proj" ? Int16Array : Int32Array).from(values).buffer)),
  );
  const parts = list(whole[0]!.length / BEAT, (beat) => whole.map((v) => v.subarray(BEAT * beat, BEAT * (beat + 1))));
  return Buffer.concat(parts.flat());
}

// ------------------------------------------------------------------------------------------------ one command

export interface Multiply {
  command: Command;
  /** Of the data area: table, records, rows and, last, coded vectors. */
  before: Piece[];
  after: Piece[];
  bytes: number;
  /** Where the next one's weights may begin. */
  weights: number;
  /** Beats that go over the bus. */
  read: number;
  written: number;
}

/** Writes the weights, and says what else there must be. from: where in the areas of data and of weights. */
export function multiplyOf(
  device: Device,
  layer: Layer,
  pattern: readonly number[],
  from: { data: number; weights: number } = { data: 0, weights: 0 },
): Multiply {
  const { kind, shape, linear, vectors, factors, residuals } = layer;
  const tokens = list(vectors.length, (token) => token);
  const { frames } = packLinear(linear, plainOrder(shape.rows));
  let weights = device.weightAddress + from.weights;
  const addresses = deal(frames, shape.rows, pattern, device.build.ports).map(({ bytes }) => {
    device.write(weights, bytes);
    weights += bytes.length + BEAT;
    return weights - bytes.length - BEAT;
  });

  let free = from.data;
  const place = (bytes: Buffer): Piece => {
    const piece = { at: free, bytes };
    free += bytes.length + BEAT;
    return piece;
  };
  const table = place(portTable(pattern, addresses));
  const records = place(blockRecords(layer));
  const results = interleaved(
    kind,
    tokens.map((token) => expected(layer, token)),
  );
  const rows = place(kind === "out_proj" ? interleaved(kind, residuals) : Buffer.alloc(0));
  free += results.length;
  const coded = place(
    Buffer.concat(vectors.map((v, token) => codedVector(v, shape.K, factors[token]!.m, factors[token]!.shift))),
  );
  const at = ({ at }: Piece) => device.dataAddress + at;
  return {
    command: {
      opcode: lm.OP_MULTIPLY,
      flags: linear.bias ? lm.FLAG_BIAS : 0,
      count: 8 * blocksOf(shape),
      inputs: shape.K,
      tokens: tokens.length,
      format: shape.bits,
      addresses: [at(table), at(coded), at(rows), at(records)],
      route: KINDS[kind],
      planes: shape.weightBits === 8 ? 2 : 1,
      weightGroup: shape.group,
    },
    before: [table, records, rows, coded],
    after: [{ at: rows.at, bytes: results }],
    bytes: free,
    weights: weights - device.weightAddress,
    read: (frames.length + [table, records, rows, coded].reduce((sum, { bytes }) => sum + bytes.length, 0)) / BEAT,
    written: results.length / BEAT,
  };
}
