import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { type Command, Option } from "commander";
import { BOARDS } from "../../device/boards.generated.ts";
import type { BoardName } from "../../device/index.ts";
import { LightMambaError } from "../../errors.ts";
import { type BuildChoice, type ModelChoice, subjectOf } from "../../estimate/subject.ts";
import { formatHtml } from "../../report/html/page.ts";
import { gatherReport, type Report } from "../../report/report.ts";
import { formatText } from "../../report/text.ts";
import { openWhole } from "../../report/write.ts";
import { OVERLAPS } from "../../runtime/accelerator.ts";
import { defineCommand } from "../command.ts";
import { onInterrupt } from "../interrupt.ts";
import { decimal, integer, listOf, oneOf, shapeName } from "../options.ts";
import type { Output } from "../output.ts";

const FORMATS = ["html", "text", "json"] as const;
type Format = (typeof FORMATS)[number];

interface ReportFlags extends ModelChoice, BuildChoice {
  prompt: number;
  format?: Format;
  output?: string;
  force?: boolean;
  jobs: number;
}

const BOARD_NAMES = Object.keys(BOARDS) as BoardName[];
const MOST_PORTS = 32;

export function define(output: Output): Command {
  return defineCommand("report", "Put all that is known of a model on a board into one page: no script, no network.", [
    ["the largest published shape on VCK190, as a page", "report -o vck190.html"],
    ["the embedded model, in the terminal", "report --model models/tiny-w4a4"],
    ["one memory port and 8-bit activations", "report --shape 1.3b --ports 1 --activation-bits 8 -o one-port.html"],
    ["for a program", "report --board u280 --json"],
  ])
    .addOption(new Option("-m, --model <dir>", "model directory").conflicts("shape"))
    .option("--shape <name>", "a published shape: 130m, 370m, 780m, 1.3b or 2.7b (default: 2.7b)", shapeName)
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
    .option("--prompt <count>", "tokens of the prompt", integer({ min: 1, max: 1 << 20 }), 128)
    .option("--format <name>", "html, text or json (default: by the file's name; in a terminal: text)", oneOf(FORMATS))
    .option("-o, --output <file>", "write it there")
    .option("-f, --force", "replace the file if it exists")
    .option("--jobs <count>", "threads", integer({ min: 1, max: 256 }), availableParallelism())
    .action((flags: ReportFlags) => run(flags, output));
}

async function run(flags: ReportFlags, output: Output): Promise<void> {
  const { output: file, jobs } = flags;
  const format = formatOf(flags, output.json);
  if (file !== undefined && existsSync(file) && flags.force !== true) {
    throw new LightMambaError("usage", "exists already", { file, hint: "add --force to replace it" });
  }
  const subject = subjectOf(flags.model === undefined ? { ...flags, shape: flags.shape ?? "mamba2-2.7b" } : flags);
  const place = file === undefined ? undefined : openWhole(file);
  const release = onInterrupt(() => place?.close());
  const progress = output.progress("report");
  try {
    const report = await gatherReport(subject, flags, { jobs, progress: progress.update });
    const text = FORMS[format](report);
    progress.done();
    if (place === undefined) output.data(text);
    else place.write(text);
  } finally {
    release();
    place?.close();
  }
  if (file !== undefined) output.note(`${file}: written`);
}

const FORMS: { readonly [format in Format]: (report: Report) => string } = {
  html: formatHtml,
  text: (report) => `${formatText(report)}\n`,
  json: (report) => `${JSON.stringify(report)}\n`,
};

function formatOf({ format, output: file }: ReportFlags, json: boolean): Format {
  if (json && format !== undefined && format !== "json") {
    throw new LightMambaError("usage", "--json is a format of its own", { field: "--format", found: format });
  }
  if (json) return "json";
  if (format !== undefined || file === undefined) return format ?? "text";
  const ending = /\.(html|json|txt)$/.exec(file)?.[1];
  if (ending === undefined) {
    throw new LightMambaError("usage", "says no format by its name", {
      ...{ file, expected: ".html, .json or .txt", hint: "add --format html, text or json" },
    });
  }
  return ending === "txt" ? "text" : (ending as Format);
}
