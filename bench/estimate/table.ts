/** The figures of the RTL that are kept, and the model beside them. */
import { type Column, formatTable, percent, whole } from "../../host/bench/table.ts";
import { readRecorded, resultsPath } from "../../host/report/recorded.ts";
import { markdown, writeRecord } from "../pages.ts";
import { type Case, type Measured, model } from "./cases.ts";

const RESULTS = resultsPath("estimate.json");
/** What the model may be off: less than the 5 % that are promised, so that a drift shows. */
export const TOLERANCE = 0.03;

/** What the RTL said. */
export interface Row extends Measured {
  title: string;
  case: Case;
}

export interface Compared {
  title: string;
  cycles: number;
  modelled: number;
  /** Of the RTL's cycles: how much the model is above. */
  off: number;
}

export function readRows(): Row[] {
  return readRecorded<{ rows: Row[] }>(RESULTS, ["rows"]).rows;
}

export function writeRows(rows: readonly Row[]): void {
  writeRecord(RESULTS, { by: "npm run estimate:validate", rows });
}

export function compare({ title, case: one, cycles }: Row): Compared {
  const { cycles: modelled } = model(one);
  return { title, cycles, modelled, off: modelled / cycles - 1 };
}

const COLUMNS: readonly Column<Compared>[] = [
  { title: "configuration", left: true, cell: ({ title }) => title },
  { title: "RTL, cycles", cell: ({ cycles }) => whole(cycles) },
  { title: "model", cell: ({ modelled }) => whole(modelled) },
  { title: "off", cell: ({ off }) => percent(off) },
];

export function formatCompared(rows: readonly Compared[]): string {
  return `${formatTable(rows, COLUMNS)}\n\n${summary(rows)}`;
}

export function markdownCompared(rows: readonly Compared[]): string {
  return `${markdown(rows, COLUMNS)}\n\n${summary(rows)}`;
}

function summary(rows: readonly Compared[]): string {
  const errors = rows.map(({ off }) => Math.abs(off));
  const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  return `${rows.length} configurations: off by ${percent(mean)} on average, ${percent(Math.max(...errors))} at most.`;
}
