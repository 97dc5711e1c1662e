/** NQU through descriptors: coded vectors byte for byte, from residuals and from u vectors. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as lm from "../../assembly/device.generated.ts";
import type { Command, Completion, Device } from "../../host/device/index.ts";
import { type ActivationBits, codeFraction, nqu } from "../oracle/nqu.ts";
import { Random } from "../oracle/random.ts";
import { norm, rootOf } from "../oracle/tables.ts";
import { skipReason } from "../rtl/support.ts";
import {
  assertEffect,
  assertFollows,
  codedVector,
  int32,
  type NormRecord,
  normRecord,
  type Piece,
  type UHeader,
  uVector,
} from "./layouts.ts";
import { assertUsable, refusalOf, withSimulator } from "./support.ts";

const BITS = [4, 5, 6, 8] as const;
const [LOW, HIGH] = [-(2 ** 31), 2 ** 31 - 1];
const list = <T>(length: number, f: (i: number) => T): T[] => Array.from({ length }, (_, i) => f(i));

interface Job {
  bits: ActivationBits;
  record: NormRecord;
  /** A vector for each token. */
  vectors: number[][];
  /** Route inner; else the vectors are residuals, `stride` beats from beat to beat. */
  headers?: UHeader[];
  stride: number;
}

/** Offsets from the device's first byte of data; a beat lies between them all. */
function layout({ bits, record, vectors, headers, stride }: Job) {
  const K = vectors[0]!.length;
  const from = 128;
  const before: Piece[] = [{ at: 0, bytes: normRecord(record) }];
  let end = from;
  for (const [t, vector] of vectors.entries()) {
    const header = headers?.[t];
    const bytes = header ? uVector(header, vector) : int32(vector);
    before.push(header ? { at: end, bytes } : { at: from + 64 * t, bytes, stride });
    end = header ? end + bytes.length : from + bytes.length * stride;
  }
  const to = end + 64;
  end = to;
  const after: Piece[] = [];
  for (const [t, vector] of vectors.entries()) {
    const codes = nqu(vector, bits);
    const { m, s } = factorOf(codes, record, headers?.[t]);
    const bytes = codedVector(codes, K, m, s);
    after.push({ at: end, bytes });
    end += bytes.length;
  }
  return { K, from, to, bytes: end + 128, before, after };
}

function factorOf({ S, e }: { S: bigint; e: number }, record: NormRecord, header?: UHeader): { m: number; s: number } {
  if (header) return { m: header.m, s: header.s - e + record.addend };
  const { m, j, ne } = norm(S + record.epsilon / 4n ** BigInt(e), record);
  return { m, s: 7 + j + ne + record.addend };
}

function commandOf(device: Device, { bits, headers, vectors, stride }: Job, from: number, to: number): Command {
  const base = device.dataAddress;
  return {
    opcode: lm.OP_NQU,
    count: vectors[0]!.length,
    tokens: vectors.length,
    format: bits,
    addresses: [base + from, base + to, base],
    route: headers ? lm.ROUTE_INNER : lm.ROUTE_RESIDUAL,
    stride: headers ? 0 : stride,
  };
}

function check(device: Device, job: Job): Completion {
  const { from, to, bytes, before, after } = layout(job);
  return assertEffect(device, [commandOf(device, job, from, to)], bytes, before, after);
}

/** As a model has it for K inputs, FR 14. */
function recordOf(K: number, bits: ActivationBits): NormRecord {
  const F = codeFraction(bits);
  return { epsilon: BigInt(Math.round(1e-5 * K * 2 ** (2 * (14 + F)))), ...rootOf(K), addend: -5 - F };
}

/** Anything that fits its field; the sum stays below 2^64. */
function anyRecord(random: Random): NormRecord {
  return {
    epsilon: BigInt(random.integer(0, 2 ** 52)) << BigInt(random.integer(0, 10)),
    nm: random.integer(2 ** 15, 2 ** 16 - 1),
    ne: random.integer(0, 31),
    addend: random.integer(LOW, HIGH),
  };
}

function anyHeaders(random: Random, tokens: number): UHeader[] {
  return list(tokens, () => ({
    m: random.integer(0, 2 ** 32 - 1),
    s: random.integer(LOW, HIGH),
    sum: BigInt(random.integer(0, 2 ** 52)),
  }));
}

/** Of any size, so that every exponent is met. */
function anyVector(random: Random, K: number): number[] {
  const top = 2 ** random.integer(0, 30);
  return list(K, () => random.integer(-top, top));
}

/** Around whole groups of 16 and 32, beats of v (64) and of sa (1024), and what models have. */
const LENGTHS = [1, 15, 16, 17, 32, 33, 48, 63, 64, 65, 320, 640, 1008, 1023, 1024, 1025, 2560, 8160, 8192];

function shapes(route: "residual" | "inner"): Job[] {
  const random = new Random(route.length);
  return LENGTHS.flatMap((K, i) =>
    BITS.map((bits, j) => {
      const tokens = K > 2000 ? 1 + ((i + j) % 2) : 1 + ((i + j) % 4);
      return {
        bits,
        record: anyRecord(random),
        vectors: list(tokens, () => anyVector(random, K)),
        ...(route === "inner" && { headers: anyHeaders(random, tokens) }),
        stride: random.integer(tokens, 4),
      };
    }),
  );
}

/** The ends of int32, nothing at all, and the factor as a model has it. */
function extremes(): Job[] {
  const random = new Random(9);
  return BITS.flatMap((bits) =>
    [47, 320].map((K) => ({
      bits,
      record: recordOf(K, bits),
      vectors: [
        list(K, () => (random.integer(0, 1) === 0 ? LOW : HIGH)),
        list(K, () => 0),
        list(K, (i) => (i === K - 1 ? LOW : 0)),
        list(K, () => random.integer(-3, 3)),
      ],
      stride: 4,
    })),
  );
}

const skip = skipReason("top");
describe("NQU", { skip }, () => {
  for (const stall of [0, 100, 700]) {
    for (const [name, jobs] of [
      ["residuals", shapes("residual")],
      ["u vectors", shapes("inner")],
      ["the ends of int32", extremes()],
    ] as const) {
      it(`${name}, ${stall} of 1024 stalls`, () => {
        withSimulator({ stall, seed: stall + 1, timeoutMs: 60_000 }, (device) => {
          for (const job of jobs) check(device, job);
        });
      });
    }
  }

  it("follows what makes its vector", () => {
    withSimulator({ stall: 100 }, (device) => {
      const K = 2560;
      const random = new Random(3);
      const job: Job = { bits: 4, record: recordOf(K, 4), vectors: [anyVector(random, K)], stride: 1 };
      const { from, to, bytes, before, after } = layout(job);
      assertFollows(device, commandOf(device, job, from, to), bytes, before, after);
    });
  });

  it("ends outside the windows, and codes the next vector", () => {
    for (const stall of [0, 500]) {
      withSimulator({ stall, seed: 5 }, (device) => {
        const job: Job = {
          bits: 5,
          record: recordOf(320, 5),
          vectors: list(4, (t) => list(320, (i) => i * t)),
          stride: 4,
        };
        const inner: Job = { ...job, headers: anyHeaders(new Random(1), 4) };
        const end = device.dataAddress + device.dataBytes;
        for (const one of [job, inner]) {
          const { from, to } = layout(one);
          const good = commandOf(device, one, from, to).addresses!;
          for (const [bad, place] of [
            [0, 2 ** 40],
            [0, end - 2 * 64],
            [1, end],
            [1, end - 5 * 64],
            [1, device.dataAddress - 64],
            [2, end],
          ] as const) {
            const command = { ...commandOf(device, one, from, to), addresses: good.with(bad, place) };
            const { status, info } = refusalOf(() => device.run([command]));
            assert.equal(status, lm.STATUS_WINDOW);
            assert.ok(info >= BigInt(place) && info < BigInt(place) + 8192n, `${info}`);
          }
          check(device, one);
          assertUsable(device);
        }
      });
    }
  });

  it("is given up by the watchdog, and works again", () => {
    withSimulator({ watchdogCycles: 500, stall: 100 }, (device) => {
      const job = (K: number): Job => ({ bits: 6, record: recordOf(K, 6), vectors: [list(K, (i) => i)], stride: 1 });
      assert.equal(refusalOf(() => check(device, job(8192))).status, lm.STATUS_TIMEOUT);
      check(device, job(65));
    });
  });

  it("takes no longer than docs/units/nqu.md says", () => {
    withSimulator({}, (device) => {
      const cycles = (K: number, tokens: number, headers?: UHeader[]) => {
        const vectors = list(tokens, () => list(K, (i) => i));
        return check(device, { bits: 4, record: recordOf(K, 4), vectors, stride: tokens, ...(headers && { headers }) })
          .cycles;
      };
      for (const [K, most, interleaved] of [
        [2560, 530, 2900],
        [5120, 880, 6000],
      ] as const) {
        for (const found of [cycles(K, 1), cycles(K, 1, anyHeaders(new Random(1), 1))])
          assert.ok(found <= most, `K ${K}: ${found} cycles`);
        const found = cycles(K, 4);
        assert.ok(found <= interleaved, `K ${K}, 4 tokens: ${found} cycles`);
      }
    });
  });
});
