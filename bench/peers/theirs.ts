/** llama.cpp's quantizations of a checkpoint: files, and logits of the ids. */

import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Checkpoint } from "../../host/checkpoint/types.ts";
import { writeMamba2Gguf } from "../gguf-mamba2.ts";
import { type GgufHeader, readGgufHeader } from "../gguf-reader.ts";
import { judge } from "./judge.ts";
import type { Llama } from "./llama.ts";
import { ROOT } from "./options.ts";
import { runProgram } from "./programs.ts";
import { hashOf, hashOfFile, type Steps } from "./step.ts";
import type { Row } from "./table.ts";

const TYPES = ["F16", "Q8_0", "Q4_K_M", "Q4_0"] as const;
/** What the file is made by: a change of these makes it anew. */
const WRITERS = ["gguf-format", "gguf-mamba2", "gguf-tokenizer", "gguf-writer"];

export interface Inputs {
  steps: Steps;
  checkpoint: Checkpoint;
  ids: Int32Array;
  jobs: number;
}

export interface TheirModel {
  type: string;
  gguf: string;
  logits: string;
}

export function idsFile({ steps, ids }: Inputs): string {
  const path = join(steps.cache, `ids-${hashOf([String(ids)]).slice(0, 12)}.bin`);
  writeFileSync(path, ids);
  return path;
}

export function makeTheirs(llama: Llama, inputs: Inputs): TheirModel[] {
  const { steps, checkpoint } = inputs;
  const key = checkpoint.hash().slice(0, 12);
  const folder = join(steps.cache, "gguf", key);
  mkdirSync(folder, { recursive: true });
  const original = join(folder, "original.gguf");
  const made = [key, ...WRITERS.map((name) => hashOfFile(join(ROOT, "bench", `${name}.ts`)))];
  steps.once(`gguf-${key}`, "writing the checkpoint as GGUF", made, [original], () =>
    writeMamba2Gguf(checkpoint, original),
  );
  return TYPES.map((type) => {
    const model = { type, gguf: join(folder, `${type}.gguf`), logits: join(folder, `${type}.logits`) };
    const madeHere = [...made, llama.source, type];
    quantize(llama, inputs, original, model, madeHere, `${type}-${key}`);
    writeLogits(llama, inputs, model, madeHere, `logits-${type}-${key}`);
    return model;
  });
}

function quantize(
  llama: Llama,
  inputs: Inputs,
  original: string,
  { type, gguf }: TheirModel,
  made: string[],
  name: string,
) {
  const { steps, jobs } = inputs;
  steps.once(name, `llama-quantize ${type}`, made, [gguf], () => {
    const temporary = `${gguf}.tmp`;
    runProgram(llama.quantize, [original, temporary, type, String(jobs)], steps.log(name));
    renameSync(temporary, gguf);
  });
}

function writeLogits(llama: Llama, inputs: Inputs, { type, gguf, logits }: TheirModel, made: string[], name: string) {
  const { steps, ids } = inputs;
  const from = [...made, String(ids), hashOfFile(llama.peer)];
  steps.once(name, `llama.cpp: logits of ${ids.length} tokens, ${type}`, from, [logits], () => {
    runProgram(llama.peer, ["logits", gguf, idsFile(inputs), logits, "1"], steps.log(name));
  });
}

export function judgeTheirs(models: readonly TheirModel[], { checkpoint, ids }: Inputs): Row[] {
  const metrics = judge(
    checkpoint,
    ids,
    models.map(({ logits }) => logits),
  );
  return models.map(({ type, gguf }, i) => {
    const { perplexity, kl, top1Agreement } = metrics[i]!;
    const header = readGgufHeader(gguf);
    const { fileBytes, bytesPerToken } = sizes(header);
    return {
      engine: "llama.cpp",
      name: type,
      about: typesOf(header),
      fileBytes,
      bytesPerToken,
      perplexity,
      kl,
      top1Agreement,
    };
  });
}

/** Each token reads every tensor once, but of an embedding that is not the head as well only a row. */
function sizes({ tensors }: GgufHeader): { fileBytes: number; bytesPerToken: number } {
  const fileBytes = Math.max(...tensors.map(({ begin, bytes }) => begin + bytes));
  const untied = tensors.some(({ name }) => name === "output.weight");
  const read = ({ name, shape, bytes }: GgufHeader["tensors"][number]) =>
    untied && name === "token_embd.weight" ? bytes / shape[0]! : bytes;
  return { fileBytes, bytesPerToken: tensors.reduce((sum, tensor) => sum + read(tensor), 0) };
}

/** The types a quantizer really chose, by site, where "Q4_K_M" is only a recipe. */
function typesOf({ tensors }: GgufHeader): string {
  const at = (end: string) =>
    [...new Set(tensors.filter(({ name }) => name.endsWith(end)).map(({ type }) => type))].join("+");
  const head = at("output.weight") || at("token_embd.weight");
  return `in ${at("ssm_in.weight")}, out ${at("ssm_out.weight")}, head ${head}`;
}
