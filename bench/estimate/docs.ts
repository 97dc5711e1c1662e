/** `npm run estimate:docs`: the tables of docs/estimate.md, from the figures that are kept and the model. No RTL. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PAPER_COLUMNS, paperRows } from "../../host/estimate/paper.ts";
import { ROOT } from "../paths.ts";
import { compare, markdown, markdownCompared, readRows, writeText } from "./table.ts";

const PAGE = join(ROOT, "docs", "estimate.md");

/** The page as it is, and as it should be. */
export function estimatePage(paper = paperRows()): { found: string; expected: string } {
  const found = readFileSync(PAGE, "utf8");
  const tables = { validation: markdownCompared(readRows().map(compare)), paper: markdown(paper, PAPER_COLUMNS) };
  const expected = Object.entries(tables).reduce((page, [name, table]) => replaced(page, name, table), found);
  return { found, expected };
}

/** Between `<!-- name -->` and `<!-- /name -->`. */
function replaced(page: string, name: string, table: string): string {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${PAGE} has no place for the table ${name}`);
  return `${page.slice(0, from + begin.length)}\n\n${table}\n\n${page.slice(to)}`;
}

if (process.argv[1] === import.meta.filename) writeText(PAGE, estimatePage().expected);
