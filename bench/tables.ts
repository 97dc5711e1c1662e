/** Every page with tables that are made from results, and what makes them. No RTL, no synthesis, no measurement. */
import type { Column } from "../host/bench/table.ts";
import type { RungResult } from "../host/ladder.ts";
import type { RecordedLadder } from "../host/report/accuracy.ts";
import { comparison } from "../host/report/comparison.ts";
import { readLadder, readSim, readSynthesis } from "../host/report/recorded.ts";
import { COMPARISON } from "../host/report/tables.ts";
import { countTables, readCounts } from "./a72/table.ts";
import { estimatePage } from "./estimate/docs.ts";
import { HISTORY, readHistory } from "./history/entry.ts";
import { historyTable } from "./history/table.ts";
import { markdown, type Page, pageOf } from "./pages.ts";
import { briefQuality, formatQuality, formatSpeed, readQuality, readSpeed } from "./peers/table.ts";
import { simTables } from "./sim/table.ts";
import { readSizes, sizePage } from "./size.ts";

export const PAGES: { readonly [file: string]: () => Page } = {
  "README.md": () =>
    pageOf("README.md", {
      comparison: markdown(comparison(readSim(), readLadder(), readSynthesis()), COMPARISON),
      quality: briefQuality(readQuality()),
    }),
  "bench/a72/README.md": () => pageOf("bench/a72/README.md", countTables(readCounts(), markdown)),
  "docs/accelerator.md": () => pageOf("docs/accelerator.md", { ...simTables(readSim()) }),
  "docs/estimate.md": estimatePage,
  "docs/peers.md": () =>
    pageOf("docs/peers.md", {
      quality: formatQuality(readQuality(), markdown),
      speed: formatSpeed(readSpeed(), markdown),
    }),
  "docs/performance.md": () => pageOf("docs/performance.md", { history: historyTable(readHistory(HISTORY)) }),
  "docs/quantization.md": () => pageOf("docs/quantization.md", { ladder: ladderTable(readLadder()) }),
  "docs/resources.md": () => sizePage(readSizes()),
};

const RUNGS: readonly Column<RungResult>[] = [
  { title: "recipe", left: true, cell: ({ name }) => name },
  { title: "bits/w", cell: ({ bitsPerWeight }) => bitsPerWeight.toFixed(2) },
  { title: "MB", cell: ({ bytes }) => (bytes / 1e6).toFixed(2) },
  { title: "perplexity", cell: ({ perplexity }) => perplexity.toFixed(3) },
  { title: "KL", cell: ({ kl }) => kl.toFixed(5) },
  { title: "s", cell: ({ seconds }) => seconds.toFixed(0) },
];

export function ladderTable({ rungs, referencePerplexity, tokens }: RecordedLadder): string {
  const reference = `FP32: perplexity ${referencePerplexity.toFixed(3)} on ${tokens.toLocaleString("en-US")} tokens.`;
  return `${markdown(rungs, RUNGS)}\n\n${reference}`;
}
