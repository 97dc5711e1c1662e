/** bench:peers without llama.cpp: its options, the checkpoint it draws, and its table of speeds. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { halves } from "../../bench/gguf-mamba2.ts";
import { readOptions } from "../../bench/peers/options.ts";
import type { SpeedRow } from "../../bench/peers/speed.ts";
import { formatSpeed, type SpeedResult } from "../../bench/peers/table.ts";
import { syntheticCheckpoint } from "../../bench/synthetic-checkpoint.ts";
import { widen } from "../../host/checkpoint/dtype.ts";
import { LightMambaError } from "../../host/errors.ts";
import { shapeConfig } from "../../host/model/shapes.ts";
import { Reference, weightsFromCheckpoint } from "../../host/reference/index.ts";

describe("options", () => {
  it("of speed have defaults", () => {
    assert.deepEqual(readOptions(["--speed"]).speed, {
      shapes: ["mamba2-370m", "mamba2-1.3b"],
      threads: [1, 2],
      prefill: [64],
      headBits: 8,
      rounds: 5,
      isas: ["native"],
    });
    assert.deepEqual(readOptions(["--speed", "--peer-isa", "avx2,native,avx2"]).speed?.isas, ["avx2", "native"]);
    assert.equal(readOptions([]).speed, undefined);
  });

  const FAULTS: [args: string[], message: RegExp][] = [
    [["--threads", "1"], /--threads goes with --speed/],
    [["--speed", "models/tiny"], /--speed measures shapes/],
    [["--speed", "--shapes", "370m,3b"], /--shapes takes mamba2-130m, .*, not 3b/],
    [["--speed", "--threads", "0"], /--threads takes a number from 1 on, not 0/],
    [["--speed", "--prefill", "64,"], /--prefill takes a number/],
    [["--speed", "--head-bits", "6"], /--head-bits takes 4 or 8, not 6/],
    [["--speed", "--peer-isa", "native,sse"], /--peer-isa takes native, avx2, not sse/],
    [["--speed", "--peer-isa", ""], /--peer-isa takes native, avx2, not $/],
    [["--peer-isa", "avx2"], /--peer-isa goes with --speed/],
    [["--fast"], /Unknown option '--fast'/],
  ];
  for (const [args, message] of FAULTS) {
    it(`${args.join(" ")} is refused`, () => {
      assert.throws(
        () => readOptions(args),
        (error: unknown) => error instanceof LightMambaError && error.exit === "usage" && message.test(error.message),
      );
    });
  }
});

describe("the drawn checkpoint", () => {
  const config = shapeConfig("mamba2-130m", 1);
  const checkpoint = syntheticCheckpoint("drawn", config);

  it("has matrices that FP16 holds exactly, and the same ones each time", () => {
    const values = checkpoint.read("layers.0.out_proj");
    assert.equal(values.length, config.dModel * config.dInner);
    const back = new Float32Array(values.length);
    widen("F16", new Uint8Array(halves(values).buffer), new Uint32Array(back.buffer));
    assert.deepEqual(back, values);
    assert.deepEqual(syntheticCheckpoint("again", config).read("layers.0.out_proj"), values);
    assert.notDeepEqual(checkpoint.read("layers.0.in_proj").subarray(0, 64), values.subarray(0, 64));
  });

  it("runs: logits are finite, of a size like a model's, and depend on the tokens before", () => {
    const reference = new Reference(weightsFromCheckpoint(checkpoint), { sequences: 1 });
    const ids = Int32Array.of(1, 4100, 8199, 4100);
    const logits = reference.forward(ids).logits!;
    const last = (row: number) => logits.subarray(row * config.vocabSize, (row + 1) * config.vocabSize);
    const meanSquare = last(3).reduce((sum, value) => sum + value ** 2, 0) / config.vocabSize;
    assert.ok(meanSquare > 0.25 && meanSquare < 25, `mean square of logits ${meanSquare}`);
    assert.notDeepEqual(last(1), last(3));
  });
});

describe("the table of speeds", () => {
  const resultOf = (...rows: SpeedRow[]): SpeedResult => ({
    ...{ date: "2026-11-01T10:00:00.000Z", llama: "llama-cpp-python 1.2", rounds: 3, rows },
    machine: { processor: "Zen", cores: 2, memoryGb: 24, system: "Linux 6", node: "v24.0.0", compiler: "g++ 12" },
  });

  it("has a column for each phase, and one for its ratio", () => {
    const spread = (median: number) => ({ median, low: median, high: median });
    const row: SpeedRow = {
      shape: "mamba2-370m",
      threads: 2,
      engine: "lightmamba",
      name: "W4A4-H8",
      bytesPerToken: 222_665_728,
      tokensPerSecond: { decode: spread(10), "prefill 64": spread(20) },
      ratio: {
        native: { decode: spread(0.5), "prefill 64": spread(0.25) },
        avx2: { decode: spread(0.8), "prefill 64": spread(0.75) },
      },
    };
    const [title, line] = formatSpeed(resultOf(row)).split("\n");
    const to = "to 4 bits of llama\\.cpp,";
    assert.match(
      title!,
      new RegExp(`MB/token +decode, tok/s +${to} native +${to} avx2 +prefill 64, tok/s +${to} native`),
    );
    assert.match(
      line!,
      /W4A4-H8 +222\.67 +10\.0 \(10\.0-10\.0\) +0\.50 \(0\.50-0\.50\) +0\.80 .* 20\.0 .* 0\.25 .* 0\.75/,
    );
  });

  it("says of llama.cpp what it was built for and what it uses", () => {
    const row = { shape: "mamba2-370m", threads: 1, engine: "llama.cpp", name: "Q4_0", isa: "avx2" } as const;
    const rest = { features: "CPU : AVX2 = 1", bytesPerToken: 1, tokensPerSecond: {}, ratio: {} };
    const said = formatSpeed(resultOf({ ...row, ...rest }, { ...row, ...rest }));
    assert.match(said, /llama\.cpp, avx2 +Q4_0/);
    assert.equal(said.match(/^llama\.cpp, avx2: CPU : AVX2 = 1\.$/gm)?.length, 1);
    assert.match(
      said,
      /\nZen, 2 cores, 24 GiB; Linux 6; Node 24\.0\.0; g\+\+ 12; llama-cpp-python 1\.2; 2026-11-01\.$/,
    );
  });
});
