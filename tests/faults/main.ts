/** `npm run faults`: what a board survives, tried in QEMU, as a table. docs/reliability.md. */
import { markdown, pageOf, writePage } from "../../bench/pages.ts";
import { type Column, formatTable } from "../../host/bench/table.ts";
import { EXIT, LightMambaError } from "../../host/errors.ts";
import { withScratch } from "../../host/image/scratch.ts";
import { readScriptOptions, runScript } from "../../host/tools/script.ts";
import { type Options, openWorkshop, type Result, TRIALS, type Trial, type Workshop } from "./trials.ts";

const USAGE = `usage: npm run faults -- [options]

Boots cards in QEMU, cuts the power at random moments of what boards do, damages what can be damaged, and tells what was found afterwards.

  --tries <n>     power cuts of each kind. Default: 20
  --tokens <n>    that the soak generates. Default: 2000
  --only <text>   trials whose name has this in it
  --jobs <n>      boards at a time. Default: 2
  --seed <n>      of the random moments. Default: 1
  --list          names of the trials
  --save          write the table to docs/reliability.md
  --json
  -h, --help

Examples:
  npm run faults
  npm run faults -- --only "power cut" --tries 100 --seed 7`;

const COLUMNS: readonly Column<Result>[] = [
  { title: "fault", cell: ({ name }) => name, left: true },
  { title: "tried", cell: ({ tried }) => String(tried) },
  { title: "found", cell: (result) => describe(result), left: true },
  { title: "data lost", cell: ({ lost }) => String(lost ?? "unknown") },
];

function describe({ found, failure }: Result): string {
  const all = Object.entries(found).map(([what, count]) => (count > 1 ? `${count} × ${what}` : what));
  return [...all, ...(failure === undefined ? [] : [`FAILED: ${failure.split("\n")[0]}`])].join("; ");
}

function number(text: string, field: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new LightMambaError("usage", "not a number", { field, expected: "1 to 999999999", found: text });
}

/** So many at a time, in the order of their names. */
async function runAll(trials: readonly Trial[], workshop: Workshop, options: Options, jobs: number): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const worker = async () => {
    while (next < trials.length) {
      const i = next++;
      const say = (text: string) => options.say(`${trials[i]!.name}: ${text}`);
      results[i] = await trials[i]!.run(workshop, { ...options, say });
      say(describe(results[i]!));
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  return results;
}

function readOptions() {
  const options = {
    tries: { type: "string", default: "20" },
    tokens: { type: "string", default: "2000" },
    only: { type: "string", default: "" },
    jobs: { type: "string", default: "2" },
    seed: { type: "string", default: "1" },
    list: { type: "boolean", default: false },
    save: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  } as const;
  return readScriptOptions(process.argv.slice(2), options);
}

runScript("faults", async () => {
  const { only, list, json, save, help, ...numbers } = readOptions();
  if (help) return void process.stdout.write(`${USAGE}\n`);
  const chosen = TRIALS.filter(({ name }) => name.includes(only));
  if (chosen.length === 0)
    throw new LightMambaError("usage", "no trial has this in its name", { field: "--only", found: only });
  if (list) return void process.stdout.write(chosen.map(({ name }) => `${name}\n`).join(""));
  const [tries, tokens, jobs, seed] = (["tries", "tokens", "jobs", "seed"] as const).map((name) =>
    number(numbers[name], `--${name}`),
  );
  const say = (text: string) => void process.stderr.write(`${text}\n`);
  // QEMU ends with this process
  process.once("SIGINT", () => process.exit(EXIT.interrupted));
  const results = await withScratch(async (folder) => {
    const simulation = chosen.some((one) => one.simulation);
    const workshop = await openWorkshop(folder, simulation);
    return runAll(chosen, workshop, { tries: tries!, tokens: tokens!, seed: seed!, say }, jobs!);
  });
  process.stdout.write(json ? `${JSON.stringify(results)}\n` : `${formatTable(results, COLUMNS)}\n`);
  if (results.some(({ failure }) => failure !== undefined)) process.exitCode = EXIT.verification;
  else if (save) writePage(pageOf("docs/reliability.md", { faults: markdown(results, COLUMNS) }));
});
