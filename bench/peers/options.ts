/** The command line of bench:peers. */

import { availableParallelism, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { LightMambaError } from "../../host/errors.ts";
import { ROOT } from "../paths.ts";

export const USAGE = `usage: npm run bench:peers -- [checkpoint] [options]

Builds llama.cpp outside the repository, and compares its quantizations of a checkpoint with ours: bytes, perplexity, KL.

  checkpoint         directory of a Mamba-2 checkpoint (default: models/tiny)
  --ids-file <file>  safetensors file with input_ids (default: tests/golden/eval.safetensors)
  --limit <count>    use the first ids only
  --cache <dir>      where everything is kept (default: $LIGHTMAMBA_CACHE, else lightmamba-peers in the temporary directory)
  --sdist <file>     the sources, where pip cannot download them
  --jobs <count>     compilers, and threads of quantizers, at a time (default: the machine's cores)
  --speed            also the speed of decoding, side by side
  --save             write bench/results/peers.json
  --json             the results as JSON on standard output
  -h, --help`;

export interface Options {
  checkpoint: string;
  idsFile: string;
  limit: number | undefined;
  cache: string;
  sdist: string | undefined;
  jobs: number;
  speed: boolean;
  save: boolean;
  json: boolean;
  help: boolean;
}

export function readOptions(args: string[]): Options {
  const { values, positionals } = parsed(args);
  if (positionals.length > 1) throw usage("one checkpoint at a time");
  return {
    checkpoint: resolve(positionals[0] ?? join(ROOT, "models", "tiny")),
    idsFile: resolve(values["ids-file"] ?? join(ROOT, "tests", "golden", "eval.safetensors")),
    limit: count("limit", values.limit),
    cache: resolve(values.cache ?? process.env.LIGHTMAMBA_CACHE ?? join(tmpdir(), "lightmamba-peers")),
    sdist: values.sdist === undefined ? undefined : resolve(values.sdist),
    jobs: count("jobs", values.jobs) ?? availableParallelism(),
    speed: values.speed,
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
        ...{ speed: flag, save: flag, json: flag, help: { ...flag, short: "h" } },
      },
    });
  } catch (error) {
    throw usage((error as Error).message);
  }
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
