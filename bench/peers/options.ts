/** The command line of bench:peers. */

import { availableParallelism, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { LightMambaError } from "../../host/errors.ts";
import { findShape, SHAPE_NAMES } from "../../host/model/shapes.ts";
import { ROOT } from "../paths.ts";
import { PEER_ISAS } from "./llama.ts";
import type { SpeedOptions } from "./speed.ts";

export const USAGE = `usage: npm run bench:peers -- [checkpoint] [options]

Builds llama.cpp outside the repository, and compares its quantizations of a checkpoint with ours: bytes, perplexity, KL;
or, with --speed, decoding and prefill of published shapes with random weights.

  checkpoint         directory of a Mamba-2 checkpoint (default: models/tiny)
  --ids-file <file>  safetensors file with input_ids (default: tests/golden/eval.safetensors)
  --limit <count>    use the first ids only
  --cache <dir>      where everything is kept (default: $LIGHTMAMBA_CACHE, else lightmamba-peers in the temporary directory)
  --sdist <file>     the sources, where pip cannot download them
  --jobs <count>     compilers, and threads of quantizers, at a time (default: the machine's cores)
  --save             write bench/results/peers.json, or peers-speed.json
  --json             the results as JSON on standard output
  -h, --help

With --speed, instead of a checkpoint:

  --shapes <list>    default: 370m,1.3b
  --threads <list>   default: 1,2
  --prefill <list>   lengths of the prompt (default: 64)
  --head-bits <4|8>  of our lm_head (default: 8); with 4, llama.cpp's Q4_0 has 4 bits there too
  --rounds <count>   default: 5
  --peer-isa <list>  what llama.cpp is built for: native (all that this processor has), avx2 (default: native).
                     Both are measured in turn and have a column of ratios each: --peer-isa native,avx2`;

const SPEED_OPTIONS = ["shapes", "threads", "prefill", "head-bits", "rounds", "peer-isa"] as const;

export interface Options {
  checkpoint: string;
  idsFile: string;
  limit: number | undefined;
  cache: string;
  sdist: string | undefined;
  jobs: number;
  /** What to measure in place of a checkpoint. */
  speed: SpeedOptions | undefined;
  save: boolean;
  json: boolean;
  help: boolean;
}

export function readOptions(args: string[]): Options {
  const { values, positionals } = parsed(args);
  const alone = SPEED_OPTIONS.find((name) => values[name] !== undefined);
  if (alone !== undefined && !values.speed) throw usage(`--${alone} goes with --speed`);
  if (values.speed && positionals.length > 0) throw usage("--speed measures shapes, not a checkpoint");
  if (positionals.length > 1) throw usage("one checkpoint at a time");
  return {
    checkpoint: resolve(positionals[0] ?? join(ROOT, "models", "tiny")),
    idsFile: resolve(values["ids-file"] ?? join(ROOT, "tests", "golden", "eval.safetensors")),
    limit: count("limit", values.limit),
    cache: resolve(values.cache ?? process.env.LIGHTMAMBA_CACHE ?? join(tmpdir(), "lightmamba-peers")),
    sdist: values.sdist === undefined ? undefined : resolve(values.sdist),
    jobs: count("jobs", values.jobs) ?? availableParallelism(),
    speed: values.speed ? speedOptions(values) : undefined,
    save: values.save,
    json: values.json,
    help: values.help,
  };
}

function parsed(args: string[]) {
  const text = { type: "string" } as const;
  const flag = { type: "boolean", default: false } as const;
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        ...{ "ids-file": text, limit: text, cache: text, sdist: text, jobs: text },
        ...{ shapes: text, threads: text, prefill: text, "head-bits": text, rounds: text, "peer-isa": text },
        ...{ speed: flag, save: flag, json: flag, help: { ...flag, short: "h" } },
      },
    });
  } catch (error) {
    throw usage((error as Error).message);
  }
}

function speedOptions(values: Partial<Record<(typeof SPEED_OPTIONS)[number], string>>): SpeedOptions {
  const { shapes = "370m,1.3b", threads = "1,2", prefill = "64", "head-bits": head = "8", rounds = "5" } = values;
  const { "peer-isa": isas = "native" } = values;
  if (head !== "4" && head !== "8") throw usage(`--head-bits takes 4 or 8, not ${head}`);
  return {
    shapes: shapes.split(",").map((text) => {
      const name = findShape(text);
      if (name === undefined) throw usage(`--shapes takes ${SHAPE_NAMES.join(", ")}, not ${text}`);
      return name;
    }),
    threads: threads.split(",").map((text) => count("threads", text)!),
    prefill: prefill.split(",").map((text) => count("prefill", text)!),
    headBits: head === "4" ? 4 : 8,
    rounds: count("rounds", rounds)!,
    isas: [...new Set(isas.split(","))].map((text) => {
      const isa = PEER_ISAS.find((name) => name === text);
      if (isa === undefined) throw usage(`--peer-isa takes ${PEER_ISAS.join(", ")}, not ${text}`);
      return isa;
    }),
  };
}

function count(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw usage(`--${name} takes a number from 1 on, not ${text}`);
  return value;
}

function usage(what: string): LightMambaError {
  return new LightMambaError("usage", what, { hint: "--help shows the options" });
}
