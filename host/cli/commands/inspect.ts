import type { Command } from "commander";
import { type InspectedModel, inspect } from "../../inspect.ts";
import { CHECKSUMS, verifyModel } from "../../verify.ts";
import { defineCommand } from "../command.ts";
import type { Output } from "../output.ts";

interface InspectOptions {
  tensors?: boolean;
  verify?: boolean;
}

export function define(output: Output): Command {
  return defineCommand("inspect", "Show what is in a checkpoint or a quantized model directory.", [
    ["shapes, sizes and where they come from", "inspect mamba2-130m"],
    ["how a quantized model was made, for a program", "inspect mamba2-130m-w4a4 --json"],
    ["whether every byte is as it was written", "inspect mamba2-130m-w4a4 --verify"],
  ])
    .argument("<dir>", "checkpoint (a .gguf file too) or model directory")
    .option("--tensors", "list every tensor")
    .option("--verify", "compare every byte of a model with its checksums, and show nothing else")
    .action((dir: string, options: InspectOptions) =>
      options.verify ? verify(dir, output) : run(dir, options, output),
    );
}

function run(dir: string, options: InspectOptions, output: Output): void {
  const found = inspect(dir);
  if (output.json) {
    output.record(found);
    return;
  }
  const { config } = found;
  const rows: [label: string, value: string][] = [
    [
      "kind",
      found.kind === "model" ? `quantized model (${found.description.generator})` : `checkpoint (${config.format})`,
    ],
    ["parameters", `${(found.parameters / 1e6).toFixed(2)} M`],
    ["bytes", `${(found.bytes / 1e6).toFixed(2)} MB`],
    ["layers", `${config.nLayers} of d_model ${config.dModel}, d_inner ${config.dInner}`],
    ["heads", `${config.nHeads} of ${config.headDim}, d_state ${config.dState}, groups ${config.nGroups}`],
    [
      "vocabulary",
      `${config.vocabUsed} tokens, ${config.vocabSize} rows, ${config.tieEmbeddings ? "tied" : "untied"} head`,
    ],
    ...(found.kind === "model" ? modelRows(found) : []),
    ["sha256", found.sha256],
  ];
  for (const [label, value] of rows) output.line(`${label.padEnd(16)}${value}`);
  if (options.tensors !== true) return;
  output.line();
  for (const { name, dtype, shape, bytes } of found.tensors) {
    output.line(`${name.padEnd(34)}${dtype.padEnd(6)}${`[${shape.join(", ")}]`.padEnd(18)}${bytes}`);
  }
}

function verify(dir: string, output: Output): void {
  const verified = verifyModel(dir);
  if (!verified.complete) output.warn(`note: ${dir} has no ${CHECKSUMS}: only the weights were compared`);
  if (output.json) output.record(verified);
  else for (const { name, bytes } of verified.files) output.line(`ok    ${name}, ${bytes} bytes`);
}

function modelRows({ description, bitsPerWeight, weightBytesPerToken }: InspectedModel): [string, string][] {
  const { rotation, calibration } = description;
  const shape = ({ blocks, order, log2 }: typeof rotation.inner) =>
    order === 1 && log2 === 0 ? "none" : `${blocks > 1 ? `${blocks} blocks of ` : ""}${order} x 2^${log2}`;
  return [
    [
      "weights",
      `${bitsPerWeight.toFixed(2)} bits each with scales, ${description.weights.method}, groups of ${description.weights.group}${description.weights.powerOfTwoScales ? ", power-of-two scales" : ""}`,
    ],
    ["8-bit matrices", description.weights.wide.join(", ") || "none"],
    ["activations", `${description.activationBits} bits`],
    ["state", `${description.stateBits} bits`],
    ["embedding", description.weights.embedding === "head" ? "out of lm_head" : "8-bit table"],
    [
      "rotation",
      `residual ${shape(rotation.residual)}, before out_proj ${shape(rotation.inner)}${rotation.unrotated.length > 0 ? ` but in layers ${rotation.unrotated.join(", ")}` : ""}`,
    ],
    ["per token", `${(weightBytesPerToken / 1e6).toFixed(2)} MB of weights`],
    ["calibrated on", `${calibration.tokens} tokens, ${calibration.source}`],
    ["made from", description.sourceSha256],
  ];
}
