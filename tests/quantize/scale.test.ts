/** A wide and shallow model: what the main thread holds, how progress is told, and a run that goes on with other threads. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { EXIT } from "../../host/errors.ts";
import { TEXT_TOKENS } from "../../host/quantize/calibrate.ts";
import { type QuantizeResult, quantizeCheckpoint } from "../../host/quantize/index.ts";
import { newOutput, ROOT, randomCheckpoint, type Sizes } from "./support.ts";

const WIDE: Sizes = {
  hidden_size: 384,
  expand: 2,
  num_heads: 12,
  head_dim: 64,
  state_size: 16,
  n_groups: 1,
  vocab_size: 1000,
  num_hidden_layers: 8,
};
const TOKENS = 1024;
const D = WIDE.hidden_size;
const E = WIDE.expand * D;
const LAYER_BYTES = 4 * D * (3 * E + 2 * WIDE.state_size + WIDE.num_heads);
/** Bytes in arrays that the main thread can still reach. */
function liveBytes(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().arrayBuffers;
}

describe("a wide model", () => {
  const checkpoint = randomCheckpoint(WIDE);
  const steps: [phase: string, done: number, total: number][] = [];
  const live: number[] = [];
  let made: QuantizeResult;

  before(async () => {
    made = await quantizeCheckpoint(checkpoint, newOutput().output, {
      calibrationTokens: TOKENS,
      threads: 2,
      progress: (...step) => {
        steps.push(step);
        if (step[0] === "quantizing") live.push(liveBytes());
      },
    });
  });

  it("grows in memory by what is packed of each layer, and no more", () => {
    // 4-bit codes with their scales.
    const packed = LAYER_BYTES * (5 / 32);
    const last = WIDE.num_hidden_layers - 1;
    const grown = live[last]! - live[1]!;
    assert.ok(grown < (last - 1) * packed + LAYER_BYTES, `${live.join()} bytes before each layer, ${packed} packed`);
  });

  it("tells how far it is in steps of a layer, so that what is left can be told from what is done", () => {
    const sampled = steps.filter(([phase]) => phase === "sampling calibration text");
    assert.ok(sampled.length >= TOKENS / 4 - 1, `${sampled.length} steps`);
    assert.ok(sampled.every(([, done], i) => i === 0 || done >= sampled[i - 1]![1]));
    // The first token of each text is given.
    const drawn = TOKENS - TOKENS / TEXT_TOKENS;
    assert.deepEqual(sampled.at(-1)!.slice(1), [drawn, drawn]);
    const total = WIDE.num_hidden_layers + 1;
    const quantizing = steps.filter(([phase]) => phase === "quantizing");
    assert.deepEqual(
      quantizing,
      Array.from({ length: total + 1 }, (_, done) => ["quantizing", done, total]),
    );
  });

  it("that was interrupted goes on with another number of threads, to the same bytes", async () => {
    const { parent, output } = newOutput();
    const run = (threads: number, seen?: (text: string, child: ChildProcess) => void) => {
      const options = ["--calibration-tokens", String(TOKENS), "--threads", String(threads)];
      const program = join(ROOT, "host/cli/main.ts");
      const child = spawn(process.execPath, [program, "quantize", checkpoint, "-o", output, ...options]);
      child.stderr.setEncoding("utf8").on("data", (text: string) => seen?.(text, child));
      return new Promise<number | null>((resolve) => child.on("close", resolve));
    };
    const code = await run(2, (text, child) => void (/quantizing: [4-6]0 %/.test(text) && child.kill("SIGINT")));
    assert.equal(code, EXIT.interrupted);
    assert.ok(existsSync(`${output}.resume`));
    assert.equal(await run(3), 0);
    assert.deepEqual(readdirSync(parent), ["model"]);
    const bytes = (dir: string) => readFileSync(join(dir, "model.safetensors"));
    assert.ok(bytes(output).equals(bytes(made.dir)));
  });
});
