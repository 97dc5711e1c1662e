/** The tables of a report: the same rows and columns in text and HTML. */
import { type Column, percent, whole } from "../bench/table.ts";
import { lutsOf } from "../estimate/explore.ts";
import type { Evaluated } from "../estimate/point.ts";
import { type EstimateReport, showJoules } from "../estimate/report.ts";
import type { AblationRow } from "./ablation.ts";
import type { AccuracyPoint } from "./accuracy.ts";
import type { ComparisonRow } from "./comparison.ts";
import type { Layer } from "./layer.ts";
import { formatNumber, formatQuantity, type Quantity } from "./quantity.ts";
import type { Roof, Point as RooflinePoint } from "./roofline.ts";

export interface HeadlineRow extends Quantity {
  what: string;
  unit: string;
}

/** What a reader wants to know first. */
export function headline({ tokensPerSecond, band, shareOfBound, decode, prompt, energy, resources }: EstimateReport) {
  const of = (what: string, value: number, unit: string, range?: Quantity["band"]): HeadlineRow => {
    return { what, value, unit, kind: "estimated", source: "lightmamba estimate", ...(range && { band: range }) };
  };
  const rows = [
    of("speed", tokensPerSecond, "tok/s", band),
    of("of what memory allows", 100 * shareOfBound, "%"),
    of("memory traffic a token", (decode.bytesRead + decode.bytesWritten) / 1e6, "MB"),
    of(`first token, prompt of ${prompt.tokens}`, prompt.seconds * 1000, "ms"),
  ];
  if (energy !== undefined) {
    rows.push(of("energy a token", energy.joulesPerToken, "J", energy.joulesBand));
    rows.push(of("power, part and memories", energy.watts, "W", energy.wattsBand));
  }
  if (resources.share !== undefined) rows.push(of("of the part's LUTs", 100 * resources.share.luts, "%"));
  return rows;
}

export const HEADLINE: readonly Column<HeadlineRow>[] = [
  { title: "", left: true, cell: ({ what }) => what },
  { title: "value", cell: (row) => `${formatQuantity(row)} ${row.unit}` },
  { title: "kind", left: true, cell: ({ kind }) => kind },
];

export const COMPARISON: readonly Column<ComparisonRow>[] = [
  { title: "Mamba2-2.7B, W4A4", left: true, cell: ({ what, unit }) => (unit === "" ? what : `${what}, ${unit}`) },
  { title: "paper", cell: ({ paper }) => paper && formatQuantity(paper) },
  { title: "bound", cell: ({ bound }) => bound && formatQuantity(bound) },
  { title: "ours", cell: ({ ours }) => formatQuantity(ours) },
  { title: "ours is", left: true, cell: ({ ours }) => ours.kind },
];

export const SOURCES: Column<ComparisonRow> = {
  title: "sources: paper; ours",
  left: true,
  cell: ({ paper, ours }) => [paper?.source, ours.source].filter((one) => one !== undefined).join("; "),
};

export const ROOFS: readonly Column<Roof>[] = [
  { title: "roof", left: true, cell: ({ title }) => title },
  { title: "GB/s", cell: ({ gigabytesPerSecond }) => formatNumber(gigabytesPerSecond) },
  { title: "10⁹ products/s", cell: ({ gigaproducts }) => formatNumber(gigaproducts) },
  { title: "products a byte where they meet", cell: (one) => (one.gigaproducts / one.gigabytesPerSecond).toFixed(2) },
  { title: "kind", left: true, cell: ({ kind }) => kind },
];

export const ROOFLINE_POINTS: readonly Column<RooflinePoint>[] = [
  { title: "work", left: true, cell: ({ title }) => title },
  { title: "products a byte", cell: ({ productsAByte }) => productsAByte.toFixed(2) },
  { title: "10⁹ products/s", cell: ({ gigaproducts }) => formatNumber(gigaproducts) },
  { title: "tok/s", cell: ({ tokensPerSecond }) => formatNumber(tokensPerSecond) },
  { title: "kind", left: true, cell: ({ kind }) => kind },
];

interface SpanRow {
  command: string;
  model: Layer["model"]["spans"][number];
  rtl?: Layer["model"]["spans"][number];
}

export function spanRows({ model, rtl }: Layer): SpanRow[] {
  return model.spans.map((span, i) => {
    const measured = rtl?.spans[i];
    return { command: `${span.unit.toUpperCase()} ${span.what}`, model: span, ...(measured && { rtl: measured }) };
  });
}

export const SPANS: readonly Column<SpanRow>[] = [
  { title: "command", left: true, cell: ({ command }) => command },
  { title: "model: from", cell: ({ model }) => whole(model.start) },
  { title: "to", cell: ({ model }) => whole(model.start + model.cycles) },
  { title: "alone", cell: ({ model }) => whole(model.cycles - model.held) },
  { title: "RTL: from", cell: ({ rtl }) => rtl && whole(rtl.start) },
  { title: "to", cell: ({ rtl }) => rtl && whole(rtl.start + rtl.cycles) },
  { title: "alone", cell: ({ rtl }) => rtl && whole(rtl.cycles - rtl.held) },
];

const speedOf = ({ speeds }: AblationRow, kind: Quantity["kind"]) => {
  const found = speeds.find((one) => one.kind === kind);
  return found && formatNumber(found.value);
};

export const ABLATION: readonly Column<AblationRow>[] = [
  { title: "design", left: true, cell: ({ design }) => design },
  { title: "what works in turn", left: true, cell: ({ title }) => title },
  { title: "estimated, tok/s", cell: (row) => speedOf(row, "estimated") },
  { title: "simulated", cell: (row) => speedOf(row, "simulated") },
  { title: "published", cell: (row) => speedOf(row, "published") },
];

export const FRONT: readonly Column<Evaluated>[] = [
  { title: "ports", cell: ({ point }) => String(point.ports) },
  { title: "state lanes", cell: ({ point }) => String(point.stateLanes) },
  { title: "MHz", cell: ({ point }) => String(point.clockMhz) },
  { title: "LUT", cell: ({ resources }) => whole(lutsOf(resources!)) },
  { title: "URAM", cell: ({ resources }) => whole(resources!.ultraRams) },
  { title: "tok/s", cell: ({ tokensPerSecond }) => formatNumber(tokensPerSecond!) },
  { title: "of the bound", cell: ({ shareOfBound }) => percent(shareOfBound!) },
  {
    title: "J/token",
    cell: (one) => (one.joulesPerToken === undefined ? undefined : showJoules(one.joulesPerToken, one.joulesBand!)),
  },
];

export const ACCURACY: readonly Column<AccuracyPoint>[] = [
  { title: "recipe", left: true, cell: ({ title }) => title },
  { title: "bits a weight", cell: ({ bitsPerWeight }) => bitsPerWeight.toFixed(2) },
  { title: "of activations", cell: ({ activationBits }) => String(activationBits) },
  { title: "MB", cell: ({ megabytes }) => megabytes.toFixed(2) },
  { title: "perplexity", cell: ({ perplexity }) => perplexity.toFixed(3) },
  { title: "KL, nats/token", cell: ({ kl }) => kl.value.toFixed(5) },
];
