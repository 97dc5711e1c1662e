/** `npm run report`: every table of README.md and docs/ that is made from results, anew. */
import { EXIT } from "../host/errors.ts";
import { readScriptOptions, runScript } from "../host/tools/script.ts";
import { writePage } from "./pages.ts";
import { PAGES } from "./tables.ts";

const USAGE = `usage: npm run report -- [options]

Writes the tables of README.md and docs/ anew, from what bench/results keeps and from the models of speed, resources and energy. It
measures and simulates nothing; these write the results that it takes:

  npm run bench -- --save          bench/history.jsonl
  npm run bench:a72 -- --save      bench/a72/counts.json
  npm run bench:ladder -- --save   bench/results/ladder.json
  npm run bench:peers -- --save    bench/results/peers.json; with --speed, peers-speed.json
  npm run estimate:resources       bench/results/resources.json
  npm run estimate:validate        bench/results/estimate.json
  npm run sim:report -- --save     bench/results/sim.json
  npm run sim:size -- --save       bench/results/size.json

  --check      write nothing; end with 6 where a page is not as it should be
  -h, --help

Examples:
  npm run report
  npm run report -- --check`;

void runScript("report", () => {
  const flag = { type: "boolean", default: false } as const;
  const { check, help } = readScriptOptions(process.argv.slice(2), { check: flag, help: { ...flag, short: "h" } });
  if (help) {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  for (const [file, make] of Object.entries(PAGES)) {
    const page = make();
    if (page.found === page.expected) continue;
    if (!check) writePage(page);
    process.stdout.write(`${file}: ${check ? "not what the results give: npm run report" : "written"}\n`);
    if (check) process.exitCode = EXIT.verification;
  }
});
