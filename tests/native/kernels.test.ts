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

const PAGES = 4;
const BYTES = 65536 * PAGES;
/** Where a good call has what: all of it ends where linear memory does, so that a kernel that reads on meets what nobody may read. */
const INPUTS = 288;
const CODES = 1024;
const RECORDS = BYTES - (INPUTS / 32) * 40;

/** Arguments of a call that is right. */
const GOOD = {
  project: (memory: Memory) => [4096, memory.frames, CODES, 1, 3, 1, 32, 8192, 16384, 0, 0, PAGES],
  scan: () => [2048, BYTES - 4 * 128, 12288, 16384, 0, 4, 8, 20480, 24576, 32768, PAGES],
};
type Call = keyof typeof GOOD;

class Memory {
  readonly memory = new WebAssembly.Memory({ initial: PAGES, maximum: 65536, shared: true });
  readonly imports = attachKernels(this.memory) as Record<Call, (...words: number[]) => unknown>;
  readonly frames = RECORDS - 64 - 3 * (2 * 64 + (INPUTS / 32) * 128);
  readonly words = new Int32Array(this.memory.buffer);

  constructor() {
    this.words.set([INPUTS, 4, 0, 0, 0, 0, RECORDS], CODES / 4);
    // HeadStep: t, k, f, bCodes, cCodes, exponent, readShift
    this.words.set([7, 0, 0, 40960, 49152, -20, -5], 2048 / 4);
  }
}

describe("calls of the kernels", { skip }, () => {
  for (const call of Object.keys(GOOD) as Call[]) {
    it(`${call} takes what is right`, () => {
      const memory = new Memory();
      assert.doesNotThrow(() => memory.imports[call](...GOOD[call](memory)));
    });
  }

  const BAD: [call: Call, index: number, what: string, value: number][] = [
    ["project", 0, "values outside", BYTES - 8],
    ["project", 1, "frames outside", BYTES - 8],
    ["project", 2, "codes outside", BYTES - 8],
    ["project", 3, "no token", 0],
    ["project", 3, "more tokens than a pass", 17],
    ["project", 4, "no block", 0],
    ["project", 4, "more blocks than there is memory", 1000],
    ["project", 4, "blocks beyond any", -1],
    ["project", 5, "no plane", 0],
    ["project", 5, "three planes", 3],
    ["project", 4, "blocks that wrap around", 0x80000001 | 0],
    ["project", 6, "a weight group of 64", 64],
    ["project", 7, "exponents outside", BYTES - 8],
    ["project", 8, "factors outside", BYTES - 8],
    ["project", 9, "bias outside", BYTES - 8],
    ["project", 10, "addends outside", BYTES],
    ["project", 11, "no memory", 0],
    ["scan", 0, "a step outside", BYTES - 4],
    ["scan", 1, "codes outside", BYTES - 4 * 128 + 1],
    ["scan", 2, "exponents outside", BYTES - 8],
    ["scan", 3, "inputs outside", BYTES - 8],
    ["scan", 5, "channels beyond any", -4],
    ["scan", 6, "groups beyond any", -8],
    ["scan", 7, "y outside", BYTES - 8],
    ["scan", 8, "dither outside", BYTES - 8],
    ["scan", 9, "shift rows outside", BYTES - 8],
  ];
  for (const [call, index, what, value] of BAD) {
    it(`${call} refuses ${what}`, () => {
      const memory = new Memory();
      const words = GOOD[call](memory).with(index, value);
      if (call === "scan" && kernels?.isa === "avx2") assert.equal(memory.imports.scan(...words), 0);
      else assert.throws(() => memory.imports[call](...words), { name: "RangeError" });
    });
  }

  it("refuses what is no number, too few of them, and vectors that lie outside", () => {
    const memory = new Memory();
    const texts = GOOD.project(memory).map(String) as unknown as number[];
    assert.throws(() => memory.imports.project(1, 2, 3), { name: "TypeError" });
    assert.throws(() => memory.imports.project(...texts), { name: "TypeError" });
    for (const [word, value] of [
      [0, 33],
      [0, 0],
      [0, 1 << 20],
      [6, BYTES - 8],
    ] as const) {
      const damaged = new Memory();
      damaged.words[CODES / 4 + word] = value;
      assert.throws(() => damaged.imports.project(...GOOD.project(damaged)), { name: "RangeError" });
    }
    assert.throws(() => kernels!.attach("memory" as never), { name: "TypeError" });
  });

  it("leaves states of other shapes alone", () => {
    const memory = new Memory();
    assert.equal(memory.imports.scan(...GOOD.scan().with(5, 3)), 0);
    assert.equal(memory.imports.scan(...GOOD.scan().with(6, 7)), 0);
  });

  it("survives any words", () => {
    const random = new Random(5);
    const memory = new Memory();
    const size = memory.memory.buffer.byteLength;
    for (let i = 0; i < 20_000; i++) {
      const call = (Object.keys(GOOD) as Call[])[i % 2]!;
      const words = GOOD[call](memory).map((word, at, all) => {
        if (at === all.length - 1 || random.integer(0, 3) > 0) return word;
        return random.integer(0, 1) === 0 ? random.integer(0, size) : random.integer(-(2 ** 31), 2 ** 31 - 1);
      });
      try {
        memory.imports[call](...words);
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error));
      }
      if (i % 100 === 0) new Memory();
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
  const shape = { D: 200, H: 4, P: 12, N: 128, G: 2, W: 4, V: 333, layers: 2, normGroups: 2, projectionBias: true };
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
