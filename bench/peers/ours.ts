/** Our models of the same checkpoint, made and measured by the command line as a user would. */

import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BUILD, CLI } from "../paths.ts";
import { readProgram } from "./programs.ts";
import { hashOf, hashOfFile, hashOfFolder } from "./step.ts";
import type { Row } from "./table.ts";
import type { Inputs } from "./theirs.ts";

const RECIPES = [
  { activations: 4, head: 4 },
  { activations: 4, head: 8 },
  { activations: 8, head: 4 },
  { activations: 8, head: 8 },
] as const;

type Recipe = (typeof RECIPES)[number];

export interface OurModel {
  recipe: Recipe;
  directory: string;
  /** What `eval` and `inspect` said. */
  report: string;
}

interface Report {
  evaluation: { perplexity: number; reference: { kl: number; top1Agreement: number } };
  inspection: { weightBytesPerToken: number; bitsPerWeight: number };
}

export function makeOurs(inputs: Inputs, idsPath: string): OurModel[] {
  const { steps, checkpoint } = inputs;
  const key = checkpoint.hash().slice(0, 12);
  const folder = join(steps.cache, "ours", key);
  mkdirSync(folder, { recursive: true });
  // Any change of our own code measures anew: that is what a run is for.
  const made = [key, hashOfFolder(join(BUILD, "js"), [".js"]), ...wasmHashes(), hashOf([String(inputs.ids)])];
  return RECIPES.map((recipe) => {
    const name = nameOf(recipe).toLowerCase();
    const directory = join(folder, name);
    const model = { recipe, directory, report: `${directory}.json` };
    const about = `lightmamba quantize and eval: ${nameOf(recipe)}`;
    steps.once(`${name}-${key}`, about, made, [directory, model.report], () =>
      make(inputs, model, idsPath, `${name}-${key}`),
    );
    return model;
  });
}

function nameOf({ activations, head }: Recipe): string {
  return `W4A${activations}-H${head}`;
}

function wasmHashes(): string[] {
  const paths = ["runtime.wasm", "runtime.relaxed.wasm", "offline.wasm"].map((name) => join(BUILD, name));
  return paths.filter((path) => existsSync(path)).map(hashOfFile);
}

function make({ steps, checkpoint, ids, jobs }: Inputs, model: OurModel, idsPath: string, name: string): void {
  const { directory, recipe } = model;
  const cli = (...args: string[]) => readProgram(process.execPath, [CLI, ...args], steps.log(name));
  const widths = ["--activation-bits", String(recipe.activations), "--head-bits", String(recipe.head)];
  const how = ["--threads", String(jobs), "--force", "--quiet"];
  cli("quantize", checkpoint.path, "--output", directory, ...how, ...widths);
  const text = ["--ids-file", idsPath, "--limit", String(ids.length)];
  const evaluation = cli("eval", directory, ...text, "--reference", checkpoint.path, "--json", "--quiet");
  const inspection = cli("inspect", directory, "--json");
  writeFileSync(model.report, `{"evaluation":${evaluation.trim()},"inspection":${inspection.trim()}}`);
}

export function readOurs(models: readonly OurModel[]): Row[] {
  return models.map(({ recipe, directory, report }) => {
    const { evaluation, inspection } = JSON.parse(readFileSync(report, "utf8")) as Report;
    return {
      engine: "lightmamba",
      name: nameOf(recipe),
      about: `${inspection.bitsPerWeight.toFixed(2)} bits a weight, activations ${recipe.activations}, head ${recipe.head}`,
      fileBytes: statSync(join(directory, "model.safetensors")).size,
      bytesPerToken: inspection.weightBytesPerToken,
      perplexity: evaluation.perplexity,
      kl: evaluation.reference.kl,
      top1Agreement: evaluation.reference.top1Agreement,
    };
  });
}
