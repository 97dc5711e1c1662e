/** Time and memory of `quantize` on a checkpoint of a published shape: npm run bench:quantize -- --help */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { formatSeconds, secondsLeft } from "../host/cli/progress.ts";
import { findShape, SHAPE_NAMES, shapeConfig } from "../host/model/shapes.ts";
import { quantizeCheckpoint } from "../host/quantize/index.ts";

const USAGE = `npm run bench:quantize -- [options]

  --shape <name>      ${SHAPE_NAMES.join(", ")} (default: mamba2-130m)
  --layers <count>    fewer layers than the shape has
  --tokens <count>    of calibration text (default: what quantize does)
  --threads <count>   default 2
  --stop <seconds>    end after this time with what was seen
`;

const OPTIONS = {
  shape: { type: "string", default: "mamba2-130m" },
  layers: { type: "string" },
  tokens: { type: "string" },
  threads: { type: "string", default: "2" },
  stop: { type: "string", default: "Infinity" },
  help: { type: "boolean", default: false },
} as const;

const MB = 1e6;

class Stopped extends Error {}

/** A line for every step of a phase that took a while: how long, what is left by the program's own estimate, and memory. */
function reporter(stopSeconds: number) {
  const began = performance.now();
  let phase = "";
  let [phaseBegan, stepBegan] = [0, 0];
  return (name: string, done: number, total: number): void => {
    const now = performance.now();
    if (name !== phase) [phase, phaseBegan, stepBegan] = [name, now, now];
    if ((now - began) / 1000 > stopSeconds) throw new Stopped();
    if (done === 0 || (now - stepBegan < 5000 && done < total)) return;
    const left = formatSeconds(secondsLeft((now - phaseBegan) / 1000, done / total));
    const resident = (process.memoryUsage.rss() / MB).toFixed(0);
    process.stdout.write(
      `${name} ${done} of ${total}: ${((now - stepBegan) / 1000).toFixed(1)} s, ${left} left, ${resident} MB\n`,
    );
    stepBegan = now;
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: OPTIONS });
  const shape = findShape(values.shape);
  if (values.help || shape === undefined) {
    process.stdout.write(USAGE);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  const layers = Number(values.layers ?? shapeConfig(shape).nLayers);
  const folder = mkdtempSync(join(tmpdir(), "lightmamba-bench-"));
  try {
    const checkpoint = join(folder, "checkpoint");
    const program = join(import.meta.dirname, "checkpoint-file.ts");
    const made = spawnSync(process.execPath, [program, checkpoint, shape, String(layers)], { stdio: "inherit" });
    if (made.status !== 0) throw new Error("the checkpoint could not be made");
    process.stdout.write(`${shape}, ${layers} layers; ${availableParallelism()} × ${cpus()[0]?.model}\n`);
    await measure(checkpoint, join(folder, "model"), values);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measure(checkpoint: string, output: string, values: { [name: string]: unknown }): Promise<void> {
  const began = performance.now();
  let ended = "whole run";
  try {
    await quantizeCheckpoint(checkpoint, output, {
      threads: Number(values.threads),
      ...(values.tokens !== undefined && { calibrationTokens: Number(values.tokens) }),
      progress: reporter(Number(values.stop)),
    });
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    ended = "stopped";
  }
  const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
  const seconds = (performance.now() - began) / 1000;
  const busy = (userCPUTime + systemCPUTime) / 1e6;
  process.stdout.write(
    `${ended}: ${seconds.toFixed(0)} s, ${busy.toFixed(0)} s of processor time, ${((maxRSS * 1024) / MB).toFixed(0)} MB at most\n`,
  );
}

await main();
