/** `npm run estimate:validate`: the model of speed against the cycle counters of the simulated RTL. */
import { EXIT, LightMambaError } from "../host/errors.ts";
import { readScriptOptions, runScript } from "../host/tools/script.ts";
import { CASES, type Case, measure, titleOf } from "./estimate/cases.ts";
import { compare, formatCompared, type Row, readRows, TOLERANCE, writeRows } from "./estimate/table.ts";

const USAGE = `usage: npm run estimate:validate -- [options]

Runs ${CASES.length} configurations on the simulated RTL, which takes some minutes, and says how far the model of speed is off in each.
The RTL's cycles and beats are kept in bench/results/estimate.json, and tests hold the model against them. Needs Verilator and
the simulations top, top-p4, top-p6, top-p3-s2 and top-p32-s4 (node firmware/rtl/build.mjs top-p6). Ends with 6 where the model is off by more than ${100 * TOLERANCE} %.

  --dry          compare with the figures that are kept: no RTL
  --only <text>  only configurations whose title has this text; nothing is kept
  -h, --help

Examples:
  npm run estimate:validate
  npm run estimate:validate -- --dry
  npm run estimate:validate -- --only 2.7b`;

function readOptions(args: string[]) {
  const options = {
    dry: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    help: { type: "boolean", short: "h", default: false },
  } as const;
  return readScriptOptions(args, options);
}

function run(cases: readonly Case[]): Row[] {
  return cases.map((one, i) => {
    process.stderr.write(`${i + 1}/${cases.length} ${titleOf(one)}\n`);
    return { title: titleOf(one), ...measure(one), case: one };
  });
}

runScript("estimate:validate", () => {
  const { dry, only, help } = readOptions(process.argv.slice(2));
  if (help) {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  const chosen = CASES.filter((one) => titleOf(one).includes(only));
  if (chosen.length === 0) {
    throw new LightMambaError("usage", "no configuration has this in its title", { field: "--only", found: only });
  }
  const rows = dry ? readRows().filter(({ title }) => title.includes(only)) : run(chosen);
  if (!dry && only === "") writeRows(rows);
  const compared = rows.map(compare);
  process.stdout.write(`${formatCompared(compared)}\n`);
  if (compared.some(({ off }) => Math.abs(off) > TOLERANCE)) process.exitCode = EXIT.verification;
});
