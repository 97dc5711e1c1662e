import { type Command, Option } from "commander";
import { formatTable } from "../../bench/table.ts";
import { PAPER_COLUMNS, paperRows } from "../../estimate/paper.ts";
import { formatEstimate } from "../../estimate/report.ts";
import { type BuildChoice, estimateReport, type ModelChoice, subjectOf } from "../../estimate/subject.ts";
import { EMBEDDED_MODEL } from "../../package.ts";
import { addBuildOptions } from "../build-options.ts";
import { defineCommand } from "../command.ts";
import { integer, oneOf, shapeName } from "../options.ts";
import type { Output } from "../output.ts";

interface EstimateFlags extends ModelChoice, BuildChoice {
  prompt: number;
  paper?: boolean;
}

export function define(output: Output): Command {
  const command = defineCommand(
    "estimate",
    "Tell how fast a model would be on a board, from a simulation of units and memory.",
    [
      ["the largest published shape on VCK190", "estimate --shape 2.7b"],
      ["the embedded model, through one port", "estimate --ports 1"],
      ["what the processor costs where norm and codes are its own", "estimate --shape 2.7b --partition split"],
      ["the published design, and what this model makes of it", "estimate --paper"],
      ["without the paper's reordering, for a program", "estimate --shape 2.7b --serial ssm --json"],
      [
        "8-bit activations and lm_head on another board",
        "estimate --shape 1.3b --activation-bits 8 --head-bits 8 --board sim",
      ],
    ],
  )
    .addOption(new Option("-m, --model <dir>", `model directory (default: ${EMBEDDED_MODEL})`).conflicts("shape"))
    .option("--shape <name>", "a published shape: 130m, 370m, 780m, 1.3b or 2.7b", shapeName);
  return addBuildOptions(command)
    .option(
      "--state-ports <count>",
      "ports that have a part of the state each, 2, 4 or 8; 0: port 0 has it (default: the board's build)",
      oneOf([0, 2, 4, 8]),
    )
    .option(
      "-t, --tokens <count>",
      "of a prompt in one pass (default: what the board's build takes)",
      integer({ min: 1, max: 16 }),
    )
    .option("--prompt <count>", "tokens of the prompt", integer({ min: 1, max: 1 << 20 }), 128)
    .option("--paper", "the published accelerator in this model, beside its published speeds; nothing else counts")
    .action((flags: EstimateFlags) => (flags.paper ? paper(output) : run(flags, output)));
}

function run(flags: EstimateFlags, output: Output): void {
  const report = estimateReport(subjectOf(flags), flags);
  if (output.json) output.record(report);
  else output.line(formatEstimate(report));
}

function paper(output: Output): void {
  const rows = paperRows();
  if (output.json) output.record(rows);
  else output.line(formatTable(rows, PAPER_COLUMNS));
}
