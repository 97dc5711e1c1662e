/** The counts as tables, for a terminal and for Markdown. */
import { join } from "node:path";
import { type Column, formatTable } from "../../host/bench/table.ts";
import { readRecorded } from "../../host/report/recorded.ts";
import type { WasmVariant } from "../../host/runtime/engine.ts";
import type { Format } from "../pages.ts";
import { ROOT } from "../paths.ts";
import { type Counts, mmu, own, total } from "./counts.ts";

export interface Row {
  model: string;
  /** "W4A4" or "W4A8". */
  width: string;
  variant: WasmVariant;
  /** A part of a model or all of it. */
  part: "token" | "layer" | "once";
  /** Of the part, read for each token. */
  weightBytes: number;
  counts: Counts;
}

export interface CountsResult {
  date: string;
  qemu: string;
  rust: string;
  rows: Row[];
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

/** Whole tokens, and the parts of the published shapes. */
export function countTables({ rows }: CountsResult, format: Format = formatTable): { tokens: string; parts: string } {
  return {
    tokens: format(
      rows.filter(({ part }) => part === "token"),
      [...WHAT, ...COUNTS, ...SHARES],
    ),
    parts: format(
      rows.filter(({ part }) => part !== "token"),
      PARTS,
    ),
  };
}

export const RESULTS = join(ROOT, "bench", "a72", "counts.json");
export const readCounts = (): CountsResult => readRecorded(RESULTS, ["rows"]);

function thousands(value: number): string {
  const digits = Math.abs(value) < 99_950 ? 1 : 0;
  const format = { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: "negative" } as const;
  return (value / 1000).toLocaleString("en-US", format);
}
