/** llama.cpp's quantizations of a checkpoint: files, and logits of the ids. */

import { mkdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Checkpoint } from "../../host/checkpoint/types.ts";
import { writeMamba2Gguf } from "../gguf-mamba2.ts";
import { type GgufHeader, readGgufHeader } from "../gguf-reader.ts";
import { ROOT } from "../paths.ts";
import { judge } from "./judge.ts";
import type { Llama } from "./llama.ts";
import { runProgram } from "./programs.ts";
import { hashOf, hashOfFile, type Steps } from "./step.ts";
import type { Row } from "./table.ts";

/** As llama-quantize takes them. "Pure" has 4 bits in the head as well, as our default has. */
const RECIPES = [
  { name: "F16", type: "F16", flags: [] },
  { name: "Q8_0", type: "Q8_0", flags: [] },
  { name: "Q4_K_M", type: "Q4_K_M", flags: [] },
  { name: "Q4_0", type: "Q4_0", flags: [] },
  { name: "Q4_0 pure", type: "Q4_0", flags: ["--pure"] },
] as const;

type Recipe = (typeof RECIPES)[number];
/** What the file is made by: a change of these makes it anew. */
export const WRITERS = ["gguf-format", "gguf-mamba2", "gguf-tokenizer", "gguf-writer"];

export interface Inputs {
  steps: Steps;
  checkpoint: Checkpoint;
  ids: Int32Array;
  jobs: number;
}

export interface TheirModel {
  recipe: Recipe;
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
  return RECIPES.map((recipe) => {
    const file = recipe.name.replace(" ", "-");
    const model = { recipe, gguf: join(folder, `${file}.gguf`), logits: join(folder, `${file}.logits`) };
    const madeHere = [...made, llama.source, recipe.type, ...recipe.flags];
    quantize(llama, inputs, original, model, madeHere, `${file}-${key}`);
    writeLogits(llama, inputs, model, madeHere, `logits-${file}-${key}`);
    return model;
  });
}

function quantize(
  llama: Llama,
  inputs: Inputs,
  original: string,
  { recipe, gguf }: TheirModel,
  made: string[],
  name: string,
) {
  const { steps, jobs } = inputs;
  steps.once(name, `llama-quantize ${recipe.name}`, made, [gguf], () => {
    const temporary = `${gguf}.tmp`;
    runProgram(llama.quantize, [...recipe.flags, original, temporary, recipe.type, String(jobs)], steps.log(name));
    renameSync(temporary, gguf);
  });
}

function writeLogits(llama: Llama, inputs: Inputs, { recipe, gguf, logits }: TheirModel, made: string[], name: string) {
  const { steps, ids } = inputs;
  const from = [...made, String(ids), hashOfFile(llama.peer)];
  steps.once(name, `llama.cpp: logits of ${ids.length} tokens, ${recipe.name}`, from, [logits], () => {
    runProgram(llama.peer, ["logits", gguf, idsFile(inputs), logits, "1"], steps.log(name));
  });
}

export function judgeTheirs(models: readonly TheirModel[], { checkpoint, ids }: Inputs): Row[] {
  const metrics = judge(
    checkpoint,
    ids,
    models.map(({ logits }) => logits),
  );
  return models.map(({ recipe, gguf }, i) => {
    const { perplexity, kl, top1Agreement } = metrics[i]!;
    const header = readGgufHeader(gguf);
    return {
      engine: "llama.cpp",
      name: recipe.name,
      about: typesOf(header),
      fileBytes: statSync(gguf).size,
      bytesPerToken: bytesPerToken(header),
      perplexity,
      kl,
      top1Agreement,
    };
  });
}

/** Of the matrices, as `lightmamba inspect` counts: each token reads them once. The head is the embedding where they are tied. */
export function bytesPerToken({ tensors }: GgufHeader): number {
  const untied = tensors.some(({ name }) => name === "output.weight");
  const head = untied ? "output.weight" : "token_embd.weight";
  const matrices = tensors.filter(({ name }) => name === head || /\.ssm_(in|out)\.weight$/.test(name));
  return matrices.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** The types a quantizer really chose, by site, where "Q4_K_M" is only a recipe. */
function typesOf({ tensors }: GgufHeader): string {
  const at = (end: string) =>
    [...new Set(tensors.filter(({ name }) => name.endsWith(end)).map(({ type }) => type))].join("+");
  const head = at("output.weight") || at("token_embd.weight");
  return `in ${at("ssm_in.weight")}, out ${at("ssm_out.weight")}, head ${head}`;
}
