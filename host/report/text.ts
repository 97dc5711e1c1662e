/** A report for a terminal. */
import { formatGrid } from "../bench/table.ts";
import { KINDS } from "./quantity.ts";
import type { Report } from "./report.ts";
import { sectionsOf, subjectLine, titleOf } from "./sections.ts";

export function formatText(report: Report): string {
  const parts = sectionsOf(report).map(({ title, text, tables }) =>
    [title.toUpperCase(), text, ...tables.map(formatGrid)].join("\n\n"),
  );
  const kinds = Object.entries(KINDS).map(([kind, meaning]) => `${kind.padEnd(13)}${meaning}`);
  return [titleOf(report), subjectLine(report), ...parts, ["KINDS", ...kinds].join("\n")].join("\n\n");
}
