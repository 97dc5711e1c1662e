/** `npm run bench:ladder`: KL to FP32 of every recipe of the quantizer, on the embedded checkpoint and text. */
import { join } from "node:path";
import { readIdsFile } from "../host/ids.ts";
import { ladder } from "../host/ladder.ts";
import type { RecordedLadder } from "../host/report/accuracy.ts";
import { resultsPath } from "../host/report/recorded.ts";
import { readScriptOptions, runScript } from "../host/tools/script.ts";
import { writeRecord } from "./pages.ts";
import { ROOT } from "./paths.ts";
import { ladderTable } from "./tables.ts";

const USAGE = `usage: npm run bench:ladder -- [options]

Quantizes models/tiny with one recipe after the other, as eval --ladder does, and measures each on tests/golden/eval.safetensors:
some eight minutes on two cores.

  --save      keep it in bench/results/ladder.json; then: npm run report
  -h, --help

Examples:
  npm run bench:ladder
  npm run bench:ladder -- --save`;

const CHECKPOINT = "models/tiny";

async function measure(): Promise<RecordedLadder> {
  const ids = readIdsFile(join(ROOT, "tests", "golden", "eval.safetensors"));
  const see = ({ name, kl }: { name: string; kl: number }) => process.stderr.write(`${name}: ${kl.toFixed(5)}\n`);
  const found = await ladder(join(ROOT, CHECKPOINT), ids, { see });
  return { by: "npm run bench:ladder", checkpoint: CHECKPOINT, ...found };
}

runScript("bench:ladder", async () => {
  const flag = { type: "boolean", default: false } as const;
  const options = readScriptOptions(process.argv.slice(2), { save: flag, help: { ...flag, short: "h" } });
  if (options.help) {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  const found = await measure();
  if (options.save) writeRecord(resultsPath("ladder.json"), found);
  process.stdout.write(`${ladderTable(found)}\n`);
});
