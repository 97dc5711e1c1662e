/** The counts as tables, for a terminal and for Markdown. */
import { type Column, formatTable } from "../../host/bench/table.ts";
import type { Variant } from "../../host/runtime/engine.ts";
import { type Counts, mmu, own, total } from "./counts.ts";

export interface Row {
  model: string;
  /** "W4A4" or "W4A8". */
  width: string;
  variant: Variant;
  /** A part of a model or all of it. */
  part: "token" | "layer" | "once";
  /** Of the part, read for each token. */
  weightBytes: number;
  counts: Counts;
}

const WHAT: Column<Row>[] = [
  { title: "model", cell: ({ model }) => model, left: true },
  { title: "widths", cell: ({ width }) => width, left: true },
  { title: "SIMD", cell: ({ variant }) => variant, left: true },
];

const count = (title: string, value: (counts: Counts) => number): Column<Row> => ({
  title,
  cell: ({ counts }) => thousands(value(counts)),
});

/** Thousands of instructions. */
const COUNTS: Column<Row>[] = [
  count("all", total),
  count("MMU", mmu),
  count("SSMU", ({ SSMU }) => SSMU),
  count("own", own),
  count("HTU", ({ HTU }) => HTU),
  count("NQU", ({ NQU }) => NQU),
  count("embedding", ({ embedding }) => embedding),
];

const SHARES: Column<Row>[] = [
  { title: "own %", cell: ({ counts }) => ((100 * own(counts)) / total(counts)).toFixed(1) },
  { title: "MMU/weight byte", cell: ({ counts, weightBytes }) => (mmu(counts) / weightBytes).toFixed(2) },
];

const PARTS: Column<Row>[] = [
  ...WHAT,
  { title: "part", cell: ({ part }) => (part === "layer" ? "a layer" : "once a token"), left: true },
  ...COUNTS.slice(0, 1),
  count("in_proj", (counts) => counts["MMU in_proj"]),
  count("out_proj", (counts) => counts["MMU out_proj"]),
  count("lm_head", (counts) => counts["MMU lm_head"]),
  ...COUNTS.slice(2),
];

export type Format = <T>(rows: readonly T[], columns: readonly Column<T>[]) => string;

/** Whole tokens, then the parts of the published shapes. */
export function formatCounts(rows: readonly Row[], format: Format): string {
  const tokens = rows.filter(({ part }) => part === "token");
  const parts = rows.filter(({ part }) => part !== "token");
  const tables = [format(tokens, [...WHAT, ...COUNTS, ...SHARES])];
  if (parts.length > 0) tables.push(format(parts, PARTS));
  return tables.join("\n\n");
}

export const terminal: Format = (rows, columns) => formatTable(rows, [...columns]);

export const markdown: Format = (rows, columns) => {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [
    line(columns.map(({ title }) => title)),
    `|${columns.map(({ left }) => (left ? "---" : "--:")).join("|")}|`,
    ...rows.map((row) => line(columns.map(({ cell }) => cell(row) ?? ""))),
  ].join("\n");
};

function thousands(value: number): string {
  const digits = Math.abs(value) < 99_950 ? 1 : 0;
  const format = { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: "negative" } as const;
  return (value / 1000).toLocaleString("en-US", format);
}
