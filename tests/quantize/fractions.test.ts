/** Static formats: every signal fits its container with room to spare, and what cannot fit is refused by name. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { openCheckpoint } from "../../host/checkpoint/index.ts";
import { SafetensorsFile } from "../../host/checkpoint/safetensors.ts";
import type { Mamba2Config } from "../../host/checkpoint/types.ts";
import { FRACTION_RANGES, type Fractions, readModelHeader } from "../../host/model/description.ts";
import { chooseFractions, mantissa, residualFraction } from "../../host/quantize/fractions.ts";
import { quantizeCheckpoint } from "../../host/quantize/index.ts";
import {
  type Maxima,
  maximaHook,
  type ObservedBlock,
  Reference,
  weightsFromCheckpoint,
} from "../../host/reference/index.ts";
import { expectError } from "../checkpoint/support.ts";
import {
  copyOf,
  editTensor,
  expectRejection,
  filesBelow,
  GOLDEN,
  goldenIds,
  newOutput,
  ODD,
  TINY,
  TINY_W4A4,
} from "./support.ts";

const FEW = { calibrationTokens: 256, threads: 1, weights: { method: "rtn" } } as const;

/** Signals with a static format of their own, and its width. */
const SIGNALS: [name: keyof Fractions & keyof Maxima[number], bits: number][] = [
  ["z", 16],
  ["x", 16],
  ["B", 16],
  ["C", 16],
  ["dt", 16],
  ["xs", 16],
  ["Bs", 16],
  ["Cs", 16],
  ["zs", 16],
  ["g", 24],
];

/** Each signal's largest magnitude over what its container holds. */
function occupancy(fractions: Fractions, maxima: Maxima[number], config: Mamba2Config): [string, number][] {
  const u = [config.nGroups > 1 ? "u1" : "u0", "u", 18] as const;
  return [...SIGNALS.map(([name, bits]) => [name, name, bits] as const), u].map(([seen, format, bits]) => [
    format,
    (maxima[seen] ?? 0) * 2 ** fractions[format] * 2 ** (1 - bits),
  ]);
}

describe("formats on the text they were chosen for", () => {
  for (const golden of ODD) {
    it(`${golden}: hold 1.5 times the maximum (products 2 times), and would not with a bit more`, () => {
      const weights = weightsFromCheckpoint(openCheckpoint(join(GOLDEN, golden)));
      const maxima: Maxima = [];
      const ids = goldenIds(`${golden}/expected.safetensors`);
      new Reference(weights, { sequences: 1 }).forward(ids, maximaHook(maxima));
      for (let i = 0; i < weights.config.nLayers; i++) {
        const fractions = chooseFractions(weights.config, weights.layer(i), maxima[i]!, i);
        for (const [name, share] of occupancy(fractions, maxima[i]!, weights.config)) {
          const margin = name === "g" || name === "u" ? 2 : 1.5;
          assert.ok(share * margin <= 1, `${name} of layer ${i} fills ${share}`);
          const most = FRACTION_RANGES[name as keyof Fractions][1];
          assert.ok(share * 2 * margin > 0.999 || fractions[name as keyof Fractions] === most, `${name} wastes a bit`);
        }
      }
    });
  }
});

describe("formats on a text the calibration did not see", () => {
  it("models/tiny-w4a4: 1 value in a million of the evaluation text saturates, and no signal by a bit", () => {
    const weights = weightsFromCheckpoint(openCheckpoint(TINY));
    const { description } = readModelHeader(TINY_W4A4);
    const containers = new Map<string, [keyof Fractions, bits: number]>([
      ...SIGNALS.map(([name, bits]) => [name, [name, bits]] as [string, [keyof Fractions, number]]),
      ["u0", ["u", 18]],
    ]);
    let [values, saturated] = [0, 0];
    new Reference(weights, { sequences: 1 }).forward(goldenIds("eval.safetensors"), {
      logits: "none",
      observe(layer, signal, block) {
        const [format, bits] = containers.get(signal) ?? [];
        if (signal === "r") assert.ok(block.maxAbs() * 2 ** description.residualFraction < 2 ** 29, "the residual");
        if (format === undefined || layer === weights.config.nLayers) return;
        const limit = 2 ** (bits! - 1 - description.layers[layer]![format]);
        values += block.rows * block.columns;
        const most = block.maxAbs();
        assert.ok(most < 2 * limit, `${signal} of layer ${layer}: ${most} of ${limit}`);
        if (most >= limit) saturated += countAbove(block, limit);
      },
    });
    assert.ok(saturated <= values / 1e6, `${saturated} of ${values}`);
  });
});

function countAbove({ values, rows, columns, stride }: ObservedBlock, limit: number): number {
  let count = 0;
  for (let r = 0; r < rows; r++) {
    for (const value of values.subarray(r * stride, r * stride + columns)) count += Number(Math.abs(value) >= limit);
  }
  return count;
}

describe("the convolution's bound", () => {
  const models: [name: string, dir: string][] = [["models/tiny-w4a4", TINY_W4A4]];
  before(async () => {
    for (const golden of ODD) {
      const { output } = newOutput();
      await quantizeCheckpoint(join(GOLDEN, golden), output, FEW);
      models.push([golden, output]);
    }
  });

  it("2^15 · Σ|weight| + |bias| < 2^31 holds in every channel, within a factor of 16 in one", () => {
    for (const [name, dir] of models) {
      const { config } = readModelHeader(dir);
      for (let i = 0; i < config.nLayers; i++) {
        const most = largestSum(dir, i);
        assert.ok(most < 2 ** 31, `${name}, layer ${i}: ${most}`);
        assert.ok(most > 2 ** 27, `${name}, layer ${i}: bits wasted, ${most}`);
      }
    }
  });
});

/** Largest magnitude that any channel of the convolution can reach. */
function largestSum(dir: string, layer: number): number {
  const file = SafetensorsFile.open(join(dir, "model.safetensors"));
  const read = (name: string) => file.readBytes(`layers.${layer}.conv.${name}`).slice().buffer;
  const [weights, bias] = [new Int16Array(read("weight")), new Int32Array(read("bias"))];
  file.close();
  const sums = Array.from(bias, Math.abs);
  weights.forEach((weight, i) => {
    sums[i % bias.length]! += 2 ** 15 * Math.abs(weight);
  });
  return Math.max(...sums);
}

describe("values that no format holds", () => {
  const weights = weightsFromCheckpoint(openCheckpoint(join(GOLDEN, "odd-b")));
  const layer = weights.layer(0);
  const all = (value: number): Maxima[number] =>
    Object.fromEntries([...SIGNALS.map(([name]) => name), "y", "u0", "u1"].map((name) => [name, value]));
  const SEEN: [name: keyof Maxima[number], value: number, named: string][] = [
    ["z", 4e5, "layer 7, z"],
    ["x", 4e5, "layer 7, x"],
    ["B", 4e5, "layer 7, B"],
    ["C", 4e5, "layer 7, C"],
    ["dt", 4e5, "layer 7, dt"],
    ["xs", 3e4, "layer 7, xs"],
    ["Bs", 3e4, "layer 7, Bs"],
    ["Cs", 3e4, "layer 7, Cs"],
    ["zs", 3e4, "layer 7, zs"],
    ["y", 2 ** 14, "layer 7, y"],
    ["g", 1e8, "layer 7, g"],
    ["u0", 2e6, "layer 7, u"],
  ];
  for (const [name, value, named] of SEEN) {
    it(`${name} = ${value} is unsupported, in ${named}`, () => {
      const maxima = { ...all(1), [name]: value };
      expectError(() => chooseFractions(weights.config, layer, maxima, 7), "unsupported", named, "too large");
      assert.ok(chooseFractions(weights.config, layer, { ...maxima, [name]: value / 100 }, 7));
    });
  }

  const WEIGHTS: [name: string, change: Partial<typeof layer>, named: string][] = [
    ["D", { D: layer.D.map(() => 6e5) }, "layer 7, skip"],
    ["γ2", { gateNorm: layer.gateNorm.map(() => 6e5) }, "layer 7, gamma"],
    ["conv", { conv: layer.conv.map(() => 6e5) }, "layer 7, conv"],
    ["conv, all taps together", { conv: layer.conv.map(() => 5e5) }, "layer 7"],
    ["conv bias", { convBias: new Float32Array(layer.conv.length / 4).fill(1e30) }, "layer 7"],
  ];
  for (const [name, change, named] of WEIGHTS) {
    it(`${name} too large is unsupported, in ${named}`, () => {
      const act = () => chooseFractions(weights.config, { ...layer, ...change }, all(1), 7);
      expectError(act, "unsupported", named, "too large");
    });
  }

  it("a signal that is always zero gets the finest format", () => {
    const fractions = chooseFractions(weights.config, layer, all(0), 0);
    for (const [name] of SIGNALS) assert.equal(fractions[name], FRACTION_RANGES[name][1]);
  });

  for (const [tensor, factor, named] of [
    ["layers.1.mixer.in_proj.weight", 3e6, "layer 1"],
    ["layers.1.mixer.D", 1e6, "layer 1"],
    ["layers.1.mixer.dt_bias", 1e4, "dt_bias"],
  ] as const) {
    it(`quantize says so of ${tensor} · ${factor}, and leaves nothing`, async () => {
      const { parent, output } = newOutput();
      const checkpoint = copyOf("odd-a");
      editTensor(checkpoint, tensor, (value) => value * factor);
      await expectRejection(quantizeCheckpoint(checkpoint, output, FEW), "unsupported", named);
      assert.deepEqual(filesBelow(parent), []);
    });
  }
});

describe("the residual's format", () => {
  const CASES: [largest: number, f: number][] = [
    [0, 16],
    [1, 16],
    [2700, 16],
    [2800, 15],
    [170_000, 10],
  ];
  for (const [largest, f] of CASES) {
    it(`±${largest} is Q${f}, with two bits above 1.5 times as much`, () => {
      assert.equal(residualFraction([{ r: largest / 2 }, { r: largest }]), f);
      assert.ok(largest * 1.5 * 2 ** f <= 2 ** 28);
    });
  }
});

describe("a mantissa of 16 bits", () => {
  for (const value of [1, 0.5, 1.999_99, Math.LOG2E, 3e-9, 12_345.678, Math.sqrt(320), 65_535.6, 2 ** -40]) {
    it(`${value} is in [2^15, 2^16) and within 2^-16`, () => {
      const { mantissa: m, shift } = mantissa(value);
      assert.ok(Number.isInteger(m) && m >= 2 ** 15 && m < 2 ** 16);
      assert.ok(Math.abs((m * 2 ** -shift) / value - 1) <= 2 ** -16);
    });
  }
});
