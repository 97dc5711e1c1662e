/**
 * The host's kernels (host/native): what they refuse, and what they fall back to. That they give WebAssembly's bits is tested by tests/units and
 * tests/runtime, which take them as one more variant of the runtime; here are the instructions that those do not choose on this machine.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, it } from "node:test";
import { usableVariants, type Variant } from "../../host/runtime/engine.ts";
import { attachKernels, kernelsPath, nativeKernels } from "../../host/runtime/native.ts";
import { randomModel } from "../oracle/model.ts";
import { Random } from "../oracle/random.ts";
import { emptyDirectory, quantizedTiny, writeModel } from "../runtime/support.ts";
import { logitsHash } from "./hash.ts";

const kernels = nativeKernels();
const skip = kernels === undefined ? `no kernels for this machine at ${kernelsPath()}` : false;

const PAGES = 8;
const BYTES = 65536 * PAGES;
/** What a kernel reads on to lies at the very end of linear memory, so that one that reads further meets what nobody may read. */
const END = {
  records: BYTES - (288 / 32) * 40,
  frames: BYTES - 3 * (2 * 64 + (288 / 32) * 128),
  values: BYTES - 288 * 4,
  transform: BYTES - 4 * 12 * 32,
  conv: BYTES - 2 * 64,
  state: BYTES - 2 * 16 * 128,
  z: BYTES - 2 * 32,
};
/** Structures: Codes of the product, of a vector to quantize; ScanPlaces, GatePlaces, HeadStep [2]. */
const AT = { product: 1024, quantize: 1088, scan: 1152, gate: 1280, steps: 1344 };
/** Everything else, 16 KiB each. */
const room = (i: number) => 16384 * i;
const CHANNELS = 16;
const HEADS = 2;

/** Arguments of a call that is right, without the pages. */
const GOOD = {
  project: [room(1), END.frames, AT.product, 1, 3, 1, 32, room(2), room(3), 0, 0],
  quantize: [END.values, AT.quantize],
  transform: [END.transform, 1, 12, 5, room(4)],
  convolve: [AT.scan, 32, 32, 10, 12],
  heads: [AT.steps, HEADS],
};
type Call = keyof typeof GOOD;
const CALLS = Object.keys(GOOD) as Call[];

/** Words of the structures. */
const WORDS: Record<keyof typeof AT, number[]> = {
  // k, bits, exponent, -, sum (two), records
  product: [288, 4, 0, 0, 0, 0, END.records],
  quantize: [288, 4, 0, 0, 0, 0, room(5)],
  // conv, taps, weights, bias, silu, codes, exponents, y, dither (two), row, width, slot, channels, groups, t, shift, fraction
  scan: [
    ...[END.conv, room(6), room(7), room(8), room(9), END.state, room(10), room(11), room(12), room(13)],
    ...[64, 4, 2, CHANNELS, 8, 7, 10, 12],
  ],
  // y, z, gamma, out, squares, silu, channels, z's shift and fraction, scales (two)
  gate: [room(11), END.z, room(14), room(15), room(16), room(9), CHANNELS, 3, 12, -10, -5],
  steps: [0, 1].flatMap((head) => [
    // t, k, f, B, C, exponent, read shift, head, products, mantissa, fade and skip (two each), scan, gate
    ...[7, 0, 0, room(17), room(18), -20, -5, head, room(19), 30000, 0, 0, 0, 0, AT.scan, AT.gate],
  ]),
};

class Memory {
  readonly memory = new WebAssembly.Memory({ initial: PAGES, maximum: 65536, shared: true });
  readonly #imports = attachKernels(this.memory) as Record<Call, (...words: unknown[]) => number>;
  readonly words = new Int32Array(this.memory.buffer);

  constructor() {
    for (const name of Object.keys(AT) as (keyof typeof AT)[]) this.words.set(WORDS[name], AT[name] / 4);
  }

  call(name: Call, words: readonly unknown[] = GOOD[name], pages = PAGES): number {
    return this.#imports[name](...words, pages);
  }
}

const full = kernels?.isa === "avx512";

function refuses(memory: Memory, name: Call, words: readonly unknown[] = GOOD[name]): void {
  if (name === "project" || full) assert.throws(() => memory.call(name, words), { name: "RangeError" });
  else assert.equal(memory.call(name, words), 0);
}

describe("calls of the kernels", { skip }, () => {
  for (const name of CALLS) {
    it(`${name} does what is right`, () => {
      assert.equal(new Memory().call(name), Number(full || name === "project"));
    });
  }

  const WRONG: [call: Call, index: number, what: string, value: number][] = [
    ["project", 0, "values outside", BYTES - 8],
    ["project", 1, "frames outside", END.frames + 1],
    ["project", 2, "codes outside", BYTES - 8],
    ["project", 3, "no token", 0],
    ["project", 3, "more tokens than a pass", 17],
    ["project", 4, "no block", 0],
    ["project", 4, "more blocks than there is memory", 1000],
    ["project", 4, "blocks beyond any", -1],
    ["project", 4, "blocks that wrap around", 0x80000001 | 0],
    ["project", 5, "no plane", 0],
    ["project", 5, "three planes", 3],
    ["project", 6, "a weight group of 64", 64],
    ["project", 7, "exponents outside", BYTES - 8],
    ["project", 8, "factors outside", BYTES - 8],
    ["project", 9, "bias outside", BYTES - 8],
    ["project", 10, "addends outside", BYTES],
    ["quantize", 0, "values outside", END.values + 4],
    ["quantize", 1, "codes outside", BYTES - 8],
    ["transform", 0, "values outside", END.transform + 4],
    ["transform", 1, "no block", 0],
    ["transform", 1, "blocks beyond any", -1],
    ["transform", 2, "no order", 0],
    ["transform", 3, "a length beyond any", 40],
    ["transform", 4, "signs outside", BYTES - 8],
    ["convolve", 0, "places outside", BYTES - 8],
    ["convolve", 1, "channels from outside", 48],
    ["convolve", 1, "channels from beyond any", -16],
    ["convolve", 2, "no channels", 0],
    ["convolve", 2, "more channels than there are", 80],
    ["heads", 0, "steps outside", BYTES - 64],
    ["heads", 1, "no heads", 0],
    ["heads", 1, "heads beyond any", -1],
  ];
  for (const [name, index, what, value] of WRONG) {
    it(`${name} refuses ${what}`, () => refuses(new Memory(), name, GOOD[name].with(index, value)));
  }

  const DAMAGED: [call: Call, structure: keyof typeof AT, index: number, what: string, value: number][] = [
    ...[0, 33, 1 << 20].map(
      (k) => ["project", "product", 0, `${k} inputs`, k] as [Call, "product", number, string, number],
    ),
    ["project", "product", 6, "records outside", END.records + 1],
    ["quantize", "quantize", 0, "no input", 0],
    ["quantize", "quantize", 0, "33 inputs", 33],
    ["quantize", "quantize", 6, "records outside", BYTES - 8],
    ...["conv", "taps", "weights", "bias", "table"].map(
      (what, i) => ["convolve", "scan", i, `${what} outside`, BYTES - 8] as [Call, "scan", number, string, number],
    ),
    ["convolve", "scan", 10, "a row beyond any", -16],
    ["convolve", "scan", 11, "a width of 1", 1],
    ["convolve", "scan", 11, "a width beyond any", -1],
    ["convolve", "scan", 12, "a slot behind the last", 3],
    ...["conv", "taps", "weights", "bias", "table", "codes", "exponents", "y", "code dither", "input dither"].map(
      (what, i) => ["heads", "scan", i, `${what} outside`, BYTES - 8] as [Call, "scan", number, string, number],
    ),
    ["heads", "scan", 13, "no channels", 0],
    ["heads", "scan", 13, "channels beyond any", -16],
    ["heads", "scan", 14, "no groups", 0],
    ["heads", "scan", 14, "groups beyond any", -8],
    ...["y", "z", "gamma", "out", "squares", "table"].map(
      (what, i) =>
        ["heads", "gate", i, `the gate's ${what} outside`, BYTES - 8] as [Call, "gate", number, string, number],
    ),
    ["heads", "gate", 6, "no channels of the gate", 0],
    ["heads", "gate", 6, "the gate's channels beyond any", 144],
    ["heads", "steps", 3, "B outside", BYTES - 8],
    ["heads", "steps", 4, "C outside", BYTES - 8],
    ["heads", "steps", 7, "a head beyond any", -1],
    ["heads", "steps", 7, "a head behind the last", 4],
    ["heads", "steps", 8, "products outside", BYTES - 8],
    ["heads", "steps", 14, "places outside", BYTES - 8],
    ["heads", "steps", 15, "the gate's places outside", BYTES - 8],
  ];
  for (const [name, structure, index, what, value] of DAMAGED) {
    it(`${name} refuses ${what}, in memory`, () => {
      const memory = new Memory();
      memory.words[AT[structure] / 4 + index] = value;
      refuses(memory, name);
    });
  }

  const LEFT: [call: Call, structure: keyof typeof AT | undefined, index: number, what: string, value: number][] = [
    ["quantize", "quantize", 1, "codes of 6 bits", 6],
    ["transform", undefined, 2, "a matrix of order 68", 68],
    ["transform", undefined, 3, "vectors of 8", 3],
    ["convolve", undefined, 2, "8 channels", 8],
    ["convolve", undefined, 3, "a shift of 32", 32],
    ["convolve", undefined, 4, "a fraction of 17 bits", 17],
    ["heads", "scan", 13, "heads of 12 channels", 12],
    ["heads", "scan", 14, "states of 7 groups", 7],
    ["heads", "scan", 16, "a shift to the left", -1],
    ["heads", "gate", 6, "gates of 12 channels", 12],
    ["heads", "gate", 7, "a shift of z by -16", -16],
    ["heads", "gate", 8, "a fraction of -1 bits", -1],
    ["heads", "gate", 9, "a scale beyond FP64", 2000],
  ];
  for (const [name, structure, index, what, value] of LEFT) {
    it(`${name} leaves ${what} to WebAssembly`, () => {
      const memory = new Memory();
      if (structure !== undefined) memory.words[AT[structure] / 4 + index] = value;
      const before = memory.words.slice();
      const words = structure === undefined ? GOOD[name].with(index, value) : GOOD[name];
      assert.equal(memory.call(name, words), 0);
      assert.deepEqual(memory.words, before);
    });
  }

  it("refuses what is no number, too few of them, too many, and no memory", () => {
    const memory = new Memory();
    for (const name of CALLS) {
      assert.throws(() => memory.call(name, GOOD[name].slice(1)), { name: "TypeError" });
      assert.throws(() => memory.call(name, [...GOOD[name], 0]), { name: "TypeError" });
      assert.throws(() => memory.call(name, GOOD[name].map(String)), { name: "TypeError" });
    }
    assert.throws(() => memory.call("project", GOOD.project, 0), { name: "RangeError" });
    assert.throws(() => kernels!.attach("memory" as never), { name: "TypeError" });
  });

  it("survives any words", () => {
    const random = new Random(5);
    const any = (size: number) =>
      random.integer(0, 1) === 0 ? random.integer(0, size) : random.integer(-(2 ** 31), 2 ** 31 - 1);
    let memory = new Memory();
    for (let i = 0; i < 20_000; i++) {
      const name = CALLS[i % CALLS.length]!;
      const words = GOOD[name].map((word) => (random.integer(0, 5) > 0 ? word : any(BYTES)));
      const structures = Object.keys(AT) as (keyof typeof AT)[];
      const structure = structures[random.integer(0, structures.length - 1)]!;
      memory.words[AT[structure] / 4 + random.integer(0, WORDS[structure].length - 1)] = any(BYTES);
      try {
        memory.call(name, words);
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error));
      }
      if (i % 4 === 3) memory = new Memory();
    }
  });
});

/** logitsHash in a process that has fewer instructions. */
function hashWith(isa: string, dir: string, variant?: Variant): string {
  const script = `
    import { bestVariant } from ${JSON.stringify(import.meta.resolve("../../host/runtime/engine.ts"))};
    import { logitsHash } from ${JSON.stringify(import.meta.resolve("./hash.ts"))};
    process.stdout.write(logitsHash(${JSON.stringify(dir)}, ${variant ? JSON.stringify(variant) : "bestVariant()"}) + bestVariant());`;
  const env = { ...process.env, LIGHTMAMBA_ISA: isa, NODE_TEST_CONTEXT: undefined };
  return execFileSync(process.execPath, ["--input-type=module", "-e", script], {
    encoding: "utf8",
    env,
    stdio: "pipe",
  });
}

function randomDirectory(): string {
  const dir = emptyDirectory();
  const shape = { D: 200, H: 4, P: 16, N: 128, G: 2, W: 4, V: 333, layers: 2, normGroups: 2, projectionBias: true };
  writeModel(randomModel(3, { ...shape, weightGroup: 16, wide: ["layers.0.in_proj", "lm_head"] }), dir);
  return dir;
}

describe("a processor with fewer instructions", { skip }, () => {
  const MODELS: [string, () => string | Promise<string>][] = [
    ["tiny, 4-bit activations", () => quantizedTiny(4)],
    ["tiny, 8-bit activations", () => quantizedTiny(8)],
    ["random, biases, groups of 16, 8-bit matrices", randomDirectory],
  ];
  for (const [name, make] of MODELS) {
    it(`${name}: the same bits`, async () => {
      const dir = await make();
      const expected = logitsHash(dir, "relaxed");
      assert.equal(logitsHash(dir, "native"), expected);
      assert.equal(hashWith("avx2", dir), `${expected}native`);
      assert.equal(hashWith("none", dir), `${expected}relaxed`);
    });
  }

  it("says what it lacks when it is asked for", async () => {
    const dir = await quantizedTiny(4);
    assert.throws(() => hashWith("none", dir, "native"), /there are no kernels for this processor/);
  });
});

describe("this machine", () => {
  it("has kernels, or a reason to have none", { skip }, () => {
    assert.ok(["avx2", "avx512"].includes(kernels!.isa!));
    assert.deepEqual(usableVariants(), ["plain", "relaxed", "native"]);
  });
});
