import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { type Command, Option } from "commander";
import { LightMambaError } from "../../errors.ts";
import { type BuildChoice, type ModelChoice, subjectOf } from "../../estimate/subject.ts";
import { formatHtml } from "../../report/html/page.ts";
import { gatherReport, type Report } from "../../report/report.ts";
import { formatText } from "../../report/text.ts";
import { openWhole } from "../../report/write.ts";
import { addBuildOptions } from "../build-options.ts";
import { defineCommand } from "../command.ts";
import { onInterrupt } from "../interrupt.ts";
import { integer, oneOf, shapeName } from "../options.ts";
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

export function define(output: Output): Command {
  const command = defineCommand(
    "report",
    "Put all that is known of a model on a board into one page: no script, no network.",
    [
      ["the largest published shape on VCK190, as a page", "report -o vck190.html"],
      ["the embedded model, in the terminal", "report --model models/tiny-w4a4"],
      ["one memory port and 8-bit activations", "report --shape 1.3b --ports 1 --activation-bits 8 -o one-port.html"],
      ["for a program", "report --board u280 --json"],
    ],
  )
    .addOption(new Option("-m, --model <dir>", "model directory").conflicts("shape"))
    .option("--shape <name>", "a published shape: 130m, 370m, 780m, 1.3b or 2.7b (default: 2.7b)", shapeName);
  return addBuildOptions(command)
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
