import { type Command, Option } from "commander";
import { formatTable } from "../../bench/table.ts";
import { BOARDS } from "../../device/boards.generated.ts";
import type { BoardName } from "../../device/index.ts";
import { PAPER_COLUMNS, paperRows } from "../../estimate/paper.ts";
import { formatEstimate } from "../../estimate/report.ts";
import { type BuildChoice, estimateReport, type ModelChoice, subjectOf } from "../../estimate/subject.ts";
import { EMBEDDED_MODEL } from "../../package.ts";
import { OVERLAPS } from "../../runtime/accelerator.ts";
import { defineCommand } from "../command.ts";
import { decimal, integer, listOf, oneOf, shapeName } from "../options.ts";
import type { Output } from "../output.ts";

interface EstimateFlags extends ModelChoice, BuildChoice {
  prompt: number;
  paper?: boolean;
}

const BOARD_NAMES = Object.keys(BOARDS) as BoardName[];
const MOST_PORTS = 32;

export function define(output: Output): Command {
  return defineCommand(
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
    .option("--shape <name>", "a published shape: 130m, 370m, 780m, 1.3b or 2.7b", shapeName)
    .option("--activation-bits <bits>", "with --shape: 4, 5, 6 or 8 (default: 4)", oneOf([4, 5, 6, 8]))
    .option("--head-bits <bits>", "with --shape: width of lm_head, 4 or 8 (default: 4)", oneOf([4, 8]))
    .option("--board <name>", `memories, ports and processor: ${BOARD_NAMES.join(", ")}`, oneOf(BOARD_NAMES), "vck190")
    .option(
      "--ports <count>",
      "memory ports that stream weights (default: all of the board)",
      integer({ min: 1, max: MOST_PORTS }),
    )
    .option("--clock <mhz>", "of the logic (default: the board's plan)", decimal({ min: 10, max: 1000 }))
    .option(
      "--partition <name>",
      "fused: all on the device; split: vectors on the processor",
      oneOf(["fused", "split"]),
      "fused",
    )
    .option("--serial <list>", `what does not overlap: ${OVERLAPS.join(", ")}`, listOf(oneOf(OVERLAPS)), [])
    .option(
      "--state-lanes <count>",
      "groups of 16 state values a cycle: 1, 2, 4 or 8 (default: the board's build)",
      oneOf([1, 2, 4, 8]),
    )
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
