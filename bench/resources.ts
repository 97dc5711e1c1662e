/** `npm run estimate:resources`: the model of resources against yosys' counts of whole builds. */
import { formatTable } from "../host/bench/table.ts";
import { EXIT } from "../host/errors.ts";
import { readScriptOptions, runScript } from "../host/tools/script.ts";
import {
  COLUMNS,
  compare,
  OTHER_BUILDS,
  RESULTS,
  readCounted,
  summary,
  TOLERANCE,
  withoutPaths,
  worst,
} from "./estimate/resources.ts";
import { writeText } from "./pages.ts";
import { measureAll, sizesFolder } from "./size.ts";

const USAGE = `usage: npm run estimate:resources -- [options]

Synthesizes builds of lm_top beside those of npm run sim:size, of which each part that has been measured before comes from the cache, and says how far the
model of resources is off for all of them. Without the cache that takes about an hour of a core. The counts are kept in bench/results/resources.json; tests
hold the model against them. Ends with 6 where a sum is off by more than ${100 * TOLERANCE} %.

  --dry            compare with the counts that are kept: no yosys
  --cache <dir>    where sizes are kept (default: $LIGHTMAMBA_CACHE, else .cache/lightmamba in the home directory)
  -h, --help

Examples:
  npm run estimate:resources
  npm run estimate:resources -- --dry`;

function readOptions(args: string[]) {
  return readScriptOptions(args, {
    dry: { type: "boolean", default: false },
    cache: { type: "string" },
    help: { type: "boolean", short: "h", default: false },
  });
}

function main(): void {
  const { dry, cache, help } = readOptions(process.argv.slice(2));
  if (help) {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  if (!dry) {
    const { yosys, builds } = measureAll(OTHER_BUILDS, sizesFolder(cache));
    const counted = { by: "npm run estimate:resources", yosys, builds: builds.map(withoutPaths) };
    writeText(RESULTS, `${JSON.stringify(counted, undefined, 2)}\n`);
  }
  const rows = readCounted().map(compare);
  process.stdout.write(`${formatTable(rows, COLUMNS)}\n\n${summary(rows)}\n`);
  if (worst(rows) > TOLERANCE) process.exitCode = EXIT.verification;
}

if (process.argv[1] === import.meta.filename) runScript("estimate:resources", main);
