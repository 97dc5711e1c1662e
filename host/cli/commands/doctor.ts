import type { Command } from "commander";
import { EXIT } from "../../errors.ts";
import { defineCommand } from "../command.ts";
import { examine, type Finding } from "../doctor/checks.ts";
import type { Output, Style } from "../output.ts";

export function define(output: Output): Command {
  return defineCommand(
    "doctor",
    "Check this machine and this installation; the exit code is 4 if something is missing.",
    [
      ["what works and what does not, with remedies", "doctor"],
      ["for a report of a defect", "doctor --json"],
    ],
  ).action(() => doctor(output));
}

const STYLES: Record<Finding["status"], Style> = { ok: "green", warn: "yellow", fail: "red" };

function doctor(output: Output): void {
  const findings = examine();
  const good = findings.every(({ status }) => status !== "fail");
  if (output.json) output.record({ ok: good, findings });
  else for (const finding of findings) write(finding, output);
  if (!good) process.exitCode = EXIT.prerequisite;
}

function write({ status, text, remedy }: Finding, output: Output): void {
  output.line(`${output.style(STYLES[status], status.padEnd(4))}  ${text}`);
  if (remedy !== undefined) output.line(`      → ${remedy}`);
}
