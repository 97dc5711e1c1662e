/** The newest measurement of the history, as a table. */
import { type Spread, scaled, showSpread } from "../../host/bench/spread.ts";
import type { Column } from "../../host/bench/table.ts";
import { markdown } from "../pages.ts";
import type { Entry } from "./entry.ts";

const COLUMNS: readonly Column<Entry>[] = [
  { title: "shape", left: true, cell: ({ model }) => model },
  { title: "activations", left: true, cell: ({ activationBits }) => `${activationBits} bits` },
  { title: "threads", cell: ({ threads }) => String(threads) },
  { title: "SIMD", left: true, cell: ({ simd = "relaxed" }) => simd },
  {
    title: "MB/token",
    cell: (entry) => (entry.weightBytesPerSecond / entry.decodeTokensPerSecond.median / 1e6).toFixed(0),
  },
  { title: "decode, tok/s", cell: ({ decodeTokensPerSecond }) => showSpread(decodeTokensPerSecond, 1) },
  { title: "GB/s of weights", cell: ({ weightBytesPerSecond }) => (weightBytesPerSecond / 1e9).toFixed(1) },
  { title: "threads read, GB/s", cell: ({ readBytesPerSecond }) => (readBytesPerSecond / 1e9).toFixed(1) },
  { title: "of it, %", cell: ({ shareOfReadBandwidth }) => percents(shareOfReadBandwidth) },
  { title: "with the state, %", cell: ({ shareWithState }) => percents(shareWithState) },
  { title: "prefill of 64, tok/s", cell: ({ prefillTokensPerSecond }) => showSpread(prefillTokensPerSecond, 1) },
];

function percents(share: Spread | undefined): string | undefined {
  return share && showSpread(scaled(share, 100));
}

/** All entries of the last run, and what they were measured on. */
export function historyTable(entries: readonly Entry[]): string {
  const last = entries.at(-1)!;
  const rows = entries.filter(({ date }) => date === last.date);
  const about = `Medians (lowest-highest). ${last.machine}; Node ${last.node.slice(1)}; ${last.date.slice(0, 10)}, commit ${last.commit}.`;
  return `${markdown(rows, COLUMNS)}\n\n${about}`;
}
