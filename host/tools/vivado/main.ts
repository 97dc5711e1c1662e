/** `npm run vivado`: writes the scripts for Vivado of a board, and checks them as far as that goes without Vivado. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { isDirectory, systemReason } from "../../checkpoint/file.ts";
import { EXIT, LightMambaError } from "../../errors.ts";
import { readScriptOptions, runScript } from "../script.ts";
import { checkFolder } from "./check.ts";
import { BOARD_NAMES, designOf } from "./design.ts";
import { filesOf } from "./files.ts";
import { describe, type Problem } from "./problem.ts";

const USAGE = `usage: npm run vivado -- --board <name> (-o <folder> | --check <folder>) [options]

Writes Tcl scripts, constraints and the top of a board for Vivado, and checks them with tclsh and Verilator against the RTL, the board and
the device contract. No Vivado has run them (docs/vivado.md).

  --board <name>    ${BOARD_NAMES.join(" or ")}
  -o <folder>       where to; it is made, and files of the same names in it are replaced
  --check <folder>  checks what was written there before, and writes nothing
  --json            files and problems as JSON on standard output
  -h, --help

Examples:
  npm run vivado -- --board vck190 -o build/vivado/vck190
  npm run vivado -- --board u280 --check build/vivado/u280 --json`;

function readOptions(args: string[]) {
  const options = {
    board: { type: "string" },
    out: { type: "string", short: "o" },
    check: { type: "string" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  } as const;
  return readScriptOptions(args, options);
}

function main(): void {
  const { board, out, check, json, help } = readOptions(process.argv.slice(2));
  if (help) {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  if (board === undefined)
    throw new LightMambaError("usage", "--board is missing", { expected: BOARD_NAMES.join(", ") });
  if ((out === undefined) === (check === undefined))
    throw new LightMambaError("usage", "either -o or --check says which folder");
  const design = designOf(board);
  const folder = resolve(out ?? check!);
  const files = filesOf(design, folder);
  if (out !== undefined) write(folder, files);
  const problems = checkFolder(design, folder);
  if (json)
    process.stdout.write(`${JSON.stringify({ board, folder, files: Object.keys(files), problems }, null, 2)}\n`);
  else report(folder, Object.keys(files), problems);
  if (problems.length > 0) process.exitCode = EXIT.verification;
}

/** Each beside its place first, so that none is ever half written. */
function write(folder: string, files: { [name: string]: string }): void {
  const temporary = (name: string) => join(folder, `.${name}.${process.pid}.tmp`);
  try {
    mkdirSync(folder, { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(temporary(name), text);
    for (const name of Object.keys(files)) renameSync(temporary(name), join(folder, name));
  } catch (error) {
    if (isDirectory(folder)) for (const name of Object.keys(files)) rmSync(temporary(name), { force: true });
    throw new LightMambaError("usage", `cannot be written: ${systemReason(error)}`, { file: folder });
  }
}

function report(folder: string, files: readonly string[], problems: readonly Problem[]): void {
  for (const problem of problems) process.stdout.write(`${describe(problem)}\n`);
  const verdict = problems.length === 0 ? "no problem found" : `${problems.length} problems`;
  process.stdout.write(`${folder}: ${files.join(", ")}\n${verdict}; never run in Vivado\n`);
}

runScript("vivado", main);
