/** The command line of bench:a72. */
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { LightMambaError } from "../../host/errors.ts";
import { findShape, SHAPE_NAMES, type ShapeName } from "../../host/model/shapes.ts";

export const USAGE = `usage: npm run bench:a72 -- [options]

Compiles the runtime ahead of time for the Cortex-A72, runs tokens under qemu-aarch64, compares their logits with the host's, and counts
instructions: of models/tiny-w4a4, of its shape with 8-bit activations, and of published shapes.

  --shapes <list>  default: 130m,370m,2.7b
  --cache <dir>    where everything is built (default: $LIGHTMAMBA_CACHE, else lightmamba-a72 in the temporary directory)
  --save           write bench/a72/counts.json, from which npm run report writes the tables of bench/a72/README.md
  --json           the results as JSON on standard output
  -h, --help`;

export interface Options {
  shapes: ShapeName[];
  cache: string;
  save: boolean;
  json: boolean;
  help: boolean;
}

export function readOptions(args: string[]): Options {
  const { shapes, cache, ...flags } = parsed(args);
  return {
    shapes: shapes.split(",").map((text) => {
      const name = findShape(text);
      if (name === undefined) throw usage(`--shapes takes ${SHAPE_NAMES.join(", ")}, not ${text}`);
      return name;
    }),
    cache: resolve(cache ?? process.env.LIGHTMAMBA_CACHE ?? join(tmpdir(), "lightmamba-a72")),
    ...flags,
  };
}

function parsed(args: string[]) {
  const flag = { type: "boolean", default: false } as const;
  try {
    return parseArgs({
      args,
      options: {
        shapes: { type: "string", default: "130m,370m,2.7b" },
        cache: { type: "string" },
        ...{ save: flag, json: flag, help: { ...flag, short: "h" } },
      },
    }).values;
  } catch (error) {
    throw usage((error as Error).message);
  }
}

function usage(what: string): LightMambaError {
  return new LightMambaError("usage", what, { hint: "--help shows the options" });
}
