/** Rows of the comparisons and how they are shown. A new measurement is a new column here, and a field of the row. */
import { type Machine, machineLine } from "../../host/bench/machine.ts";
import { showSpread } from "../../host/bench/spread.ts";
import { type Column, formatTable } from "../../host/bench/table.ts";
import { readRecorded, resultsPath } from "../../host/report/recorded.ts";
import { type Format, markdown } from "../pages.ts";
import type { PeerIsa } from "./llama.ts";
import type { SpeedRow } from "./speed.ts";

export interface Row {
  engine: "llama.cpp" | "lightmamba";
  name: string;
  /** Widths: of weights and their scales, of activations, of the head. */
  about: string;
  fileBytes: number;
  /** Of weights, read for each token. */
  bytesPerToken: number;
  perplexity: number;
  /** To the FP32 checkpoint, nats a token. */
  kl: number;
  top1Agreement: number;
}

const COLUMNS: Column<Row>[] = [
  { title: "engine", cell: (row) => row.engine, left: true },
  { title: "model", cell: (row) => row.name, left: true },
  { title: "file MB", cell: (row) => megabytes(row.fileBytes) },
  { title: "MB/token", cell: (row) => megabytes(row.bytesPerToken) },
  { title: "perplexity", cell: (row) => row.perplexity.toFixed(3) },
  { title: "KL", cell: (row) => small(row.kl) },
  { title: "top-1 %", cell: (row) => (100 * row.top1Agreement).toFixed(1) },
  { title: "weights", cell: (row) => row.about, left: true },
];

/** Best first. */
export function sorted(rows: readonly Row[]): Row[] {
  return rows.toSorted((a, b) => a.kl - b.kl);
}

/** What both results say beside their rows. */
export interface Result {
  date: string;
  machine: Machine & { compiler: string };
  llama: string;
}

export interface QualityResult extends Result {
  /** Predicted. */
  tokens: number;
  rows: Row[];
}

export interface SpeedResult extends Result {
  rounds: number;
  rows: SpeedRow[];
}

export function formatQuality({ rows, tokens, ...result }: QualityResult, format: Format = formatTable): string {
  const about = `KL to FP32 in nats a token, over ${tokens.toLocaleString("en-US")} tokens; best first.`;
  return `${format(rows, COLUMNS)}\n\n${about}\n${whereOf(result)}`;
}

/** With what each llama.cpp says that its kernels use. */
export function formatSpeed({ rounds, rows, ...result }: SpeedResult, format: Format = formatTable): string {
  const seen = new Map(rows.filter((row) => row.isa).map(({ isa, features }) => [isa, features]));
  const features = [...seen].map(([isa, features]) => `llama.cpp, ${isa}: ${features!.replace(/[\s|]+$/, "")}.`);
  const about = `Medians of ${rounds} rounds (lowest-highest), random weights.`;
  return `${format(rows, speedColumns(rows))}\n\n${[about, ...features, whereOf(result)].join("\n")}`;
}

export const readQuality = (): QualityResult => readRecorded(resultsPath("peers.json"), ["tokens", "rows"]);
export const readSpeed = (): SpeedResult => readRecorded(resultsPath("peers-speed.json"), ["rounds", "rows"]);

/** Quality in README.md: how large, how far from FP32. */
export function briefQuality({ rows }: QualityResult): string {
  const titles = ["engine", "model", "weights", "file MB", "KL"];
  return markdown(
    rows,
    titles.map((title) => COLUMNS.find((column) => column.title === title)!),
  );
}

function whereOf({ date, machine, llama }: Result): string {
  return `${machineLine(machine)}; ${machine.compiler}; ${llama}; ${date.slice(0, 10)}.`;
}

function speedColumns(rows: readonly SpeedRow[]): Column<SpeedRow>[] {
  const phases = Object.keys(rows[0]?.tokensPerSecond ?? {});
  const isas = Object.keys(rows[0]?.ratio ?? {}) as PeerIsa[];
  return [
    { title: "shape", cell: (row) => row.shape, left: true },
    { title: "threads", cell: (row) => String(row.threads) },
    { title: "engine", cell: ({ engine, isa }) => (isa ? `${engine}, ${isa}` : engine), left: true },
    { title: "model", cell: (row) => row.name, left: true },
    { title: "MB/token", cell: (row) => megabytes(row.bytesPerToken) },
    ...phases.flatMap((phase): Column<SpeedRow>[] => [
      { title: `${phase}, tok/s`, cell: (row) => showSpread(row.tokensPerSecond[phase]!, 1) },
      ...isas.map((isa): Column<SpeedRow> => {
        return { title: `to 4 bits of llama.cpp, ${isa}`, cell: (row) => showSpread(row.ratio[isa]![phase]!, 2) };
      }),
    ]),
  ];
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(2);
}

/** Two figures, written out: from a few hundredths down to what FP16 leaves. */
function small(value: number): string {
  if (Math.abs(value) < 1e-7) return value.toExponential(1);
  return value.toFixed(Math.max(4, 1 - Math.floor(Math.log10(Math.abs(value)))));
}
