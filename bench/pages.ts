/** Tables in pages of Markdown: each lies between `<!-- name -->` and `<!-- /name -->`, and a command writes it. */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Column, gridOf } from "../host/bench/table.ts";
import { badInput } from "../host/errors.ts";
import { ROOT } from "./paths.ts";

export interface Page {
  /** From the root of the repository. */
  file: string;
  found: string;
  expected: string;
}

/** A page as it is, and as it should be. */
export function pageOf(file: string, tables: { readonly [name: string]: string }): Page {
  const found = readFileSync(join(ROOT, file), "utf8");
  const expected = Object.entries(tables).reduce((page, [name, table]) => replaced(file, page, name, table), found);
  return { file, found, expected };
}

function replaced(file: string, page: string, name: string, table: string): string {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw badInput("has no place for a table", { file, expected: `${begin} … ${end}` });
  return `${page.slice(0, from + begin.length)}\n\n${table}\n\n${page.slice(to)}`;
}

export function writePage({ file, expected }: Page): void {
  writeText(join(ROOT, file), expected);
}

/** Beside it, then renamed. */
export function writeText(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

/** An object as JSON, a row of its lists a line, so that a change shows. */
export function writeRecord(path: string, record: object): void {
  const list = (rows: readonly unknown[]) => `[\n${rows.map((row) => `    ${JSON.stringify(row)}`).join(",\n")}\n  ]`;
  const fields = Object.entries(record).map(([name, value]) => {
    return `  "${name}": ${Array.isArray(value) ? list(value) : JSON.stringify(value)}`;
  });
  writeText(path, `{\n${fields.join(",\n")}\n}\n`);
}

/** `markdown`, or formatTable of host/bench for a terminal. */
export type Format = <Row>(rows: readonly Row[], columns: readonly Column<Row>[]) => string;

export function markdown<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const { titles, left, cells } = gridOf(rows, columns, "");
  const line = (texts: readonly string[]) => `| ${texts.join(" | ")} |`;
  const sides = `|${left.map((side) => (side ? "---" : "--:")).join("|")}|`;
  return [line(titles), sides, ...cells.map(line)].join("\n");
}
