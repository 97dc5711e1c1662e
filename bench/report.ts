/** `npm run report`: every table of docs/ and README.md that is made from results. No RTL, no synthesis, no measurement. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { EXIT } from "../host/errors.ts";
import { readSim } from "../host/report/recorded.ts";
import { readScriptOptions, runScript } from "../host/tools/script.ts";
import { estimatePage } from "./estimate/docs.ts";
import { type Page, pageOf, writePage } from "./pages.ts";
import { ROOT } from "./paths.ts";
import { simTables } from "./sim/table.ts";
import { pageWith, RESULTS as SIZE_RESULTS } from "./size.ts";

const USAGE = `usage: npm run report -- [options]

Writes the tables of README.md and docs/ anew, from what bench/results keeps and from the models of speed, resources and power. It runs no RTL, no yosys
and no model; these write the results that it takes:

  npm run estimate:validate        bench/results/estimate.json
  npm run estimate:resources       bench/results/resources.json
  npm run sim:report -- --save     bench/results/sim.json
  npm run sim:size -- --save       bench/results/size.json

  --check      write nothing; end with 6 where a page is not as it should be
  -h, --help

Examples:
  npm run report
  npm run report -- --check`;

/** Pages with tables, and what makes each. */
const PAGES: { readonly [file: string]: () => Page } = {
  "docs/accelerator.md": () => pageOf("docs/accelerator.md", { ...simTables(readSim()) }),
  "docs/estimate.md": estimatePage,
  "docs/resources.md": sizePage,
};

function sizePage(): Page {
  const found = readFileSync(join(ROOT, "docs/resources.md"), "utf8");
  return {
    file: "docs/resources.md",
    found,
    expected: pageWith(JSON.parse(readFileSync(SIZE_RESULTS, "utf8")), found),
  };
}

runScript("report", () => {
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
