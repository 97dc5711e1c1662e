/** Instructions of a token on the Cortex-A72: bench/a72/README.md. */
import { closeSync, openSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Mamba2Config } from "../host/checkpoint/types.ts";
import { readIdsFile } from "../host/ids.ts";
import { type ActivationBits, type ModelHeader, readModelHeader } from "../host/model/description.ts";
import { shapeConfig } from "../host/model/shapes.ts";
import type { Engine, WasmVariant } from "../host/runtime/engine.ts";
import { loadWeights, weightBytesPerToken } from "../host/runtime/load.ts";
import { synthesizeWeights, syntheticDescription } from "../host/runtime/synthetic.ts";
import { runScript } from "../host/tools/script.ts";
import { type Counts, countsOf, partsOf, sumOf } from "./a72/counts.ts";
import { imageParts, type Text, takeImage } from "./a72/image.ts";
import { type Options, readOptions, USAGE } from "./a72/options.ts";
import { type CountsResult, countTables, RESULTS, type Row } from "./a72/table.ts";
import { Tools } from "./a72/tools.ts";
import { writeText } from "./pages.ts";
import { ROOT } from "./paths.ts";
import { say } from "./peers/programs.ts";
import { Steps } from "./peers/step.ts";

/** Ids of a text, below the smallest vocabulary; which ones, makes a difference of one in a thousand. */
const IDS = join(ROOT, "tests", "golden", "eval.safetensors");
const [BEFORE, COUNT] = [64, 8];
const VARIANTS = ["plain", "relaxed"] as const;
const WIDTHS = [4, 8] as const;
const TINY = join(ROOT, "models", "tiny-w4a4");

interface Subject {
  header: ModelHeader;
  fill: (engine: Engine, header: ModelHeader) => void;
}

class Bench {
  readonly #tools: Tools;
  readonly #image: string;
  readonly #text: Text;

  constructor(tools: Tools, cache: string) {
    this.#tools = tools;
    this.#image = join(cache, "image");
    const ids = [...readIdsFile(IDS)];
    this.#text = { before: ids.slice(0, BEFORE), tokens: ids.slice(BEFORE, BEFORE + COUNT) };
  }

  count({ header, fill }: Subject, variant: WasmVariant): Counts {
    const file = openSync(this.#image, "w");
    try {
      for (const part of imageParts(takeImage(header, fill, variant, this.#text))) writeFileSync(file, part);
    } finally {
      closeSync(file);
    }
    const run = this.#tools.run(this.#tools.compile(variant), this.#image);
    rmSync(this.#image);
    const { nLayers, dModel } = header.config;
    say(`${nLayers} layers of ${dModel}, ${widthOf(header)}, ${variant}: ${run.tokens.join(", ")}`);
    return countsOf(run);
  }
}

function widthOf({ description }: ModelHeader): string {
  return `W4A${description.activationBits}`;
}

function synthetic(config: Mamba2Config, activationBits: ActivationBits): Subject {
  const description = syntheticDescription(config, { activationBits });
  return { header: { dir: description.weightsSha256, config, description }, fill: synthesizeWeights };
}

/** The shipped model, and its shape with wider activations. */
function countTiny(bench: Bench, variant: WasmVariant): Row[] {
  const header = readModelHeader(TINY);
  const subjects = [{ header, fill: loadWeights }, synthetic(header.config, 8)];
  return subjects.map((subject) => ({
    model: "tiny",
    width: widthOf(subject.header),
    variant,
    part: "token",
    weightBytes: weightBytesPerToken(header.config, subject.header.description.weights),
    counts: bench.count(subject, variant),
  }));
}

/** A published shape: counted with one layer and with two, so that the rest is a sum. */
function countShape(bench: Bench, name: Options["shapes"][number], bits: ActivationBits, variant: WasmVariant): Row[] {
  const [one, two] = [1, 2].map((layers) => synthetic(shapeConfig(name, layers), bits)) as [Subject, Subject];
  const [bytesOfOne, bytesOfTwo] = [one, two].map(({ header }) =>
    weightBytesPerToken(header.config, header.description.weights),
  ) as [number, number];
  const layerBytes = bytesOfTwo - bytesOfOne;
  const parts = partsOf(bench.count(one, variant), bench.count(two, variant));
  const layers = shapeConfig(name).nLayers;
  const common = { model: name, width: widthOf(one.header), variant };
  return [
    {
      ...{ ...common, part: "token", weightBytes: bytesOfOne + (layers - 1) * layerBytes },
      counts: sumOf(parts, layers),
    },
    { ...common, part: "layer", weightBytes: layerBytes, counts: parts.layer },
    { ...common, part: "once", weightBytes: bytesOfOne - layerBytes, counts: parts.once },
  ];
}

function measure(options: Options): void {
  const tools = new Tools(new Steps(options.cache));
  const bench = new Bench(tools, options.cache);
  const rows = [
    ...VARIANTS.flatMap((variant) => countTiny(bench, variant)),
    ...options.shapes.flatMap((name) =>
      WIDTHS.flatMap((bits) => VARIANTS.flatMap((variant) => countShape(bench, name, bits, variant))),
    ),
  ];
  const result: CountsResult = { date: new Date().toISOString(), ...tools.versions, rows };
  if (options.save) {
    writeText(RESULTS, `${JSON.stringify(result, undefined, 2)}\n`);
    say(`saved ${RESULTS}`);
  }
  const { tokens, parts } = countTables(result);
  process.stdout.write(`${options.json ? JSON.stringify(result) : `${tokens}\n\n${parts}`}\n`);
}

runScript("bench:a72", () => {
  const options = readOptions(process.argv.slice(2));
  if (options.help) process.stdout.write(`${USAGE}\n`);
  else measure(options);
});
