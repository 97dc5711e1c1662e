/** The history as a picture: a row of two panels for each machine, since figures of different machines are no curve. */
import type { Entry } from "./entry.ts";

const PANEL = { width: 620, height: 340 };
const MARGIN = { left: 56, right: 170, top: 56, bottom: 52 };
const PLOT = {
  width: PANEL.width - MARGIN.left - MARGIN.right,
  height: PANEL.height - MARGIN.top - MARGIN.bottom,
};
const LABEL_HEIGHT = 13;
/** Names of runs below the axis, before they would touch. */
const MOST_TICKS = 6;
/** Mid-tones, to be told apart on white and on black. */
const COLORS = ["#3b82f6", "#e8590c", "#2f9e44", "#ae3ec9", "#c99a06", "#0c8599"];

const STYLE = `
  text { font: 11px system-ui, sans-serif; fill: #444 }
  .title { font-size: 13px; font-weight: 600 }
  .grid { stroke: #8886; stroke-width: 1 }
  .line { fill: none; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) { text { fill: #ccc } }`;

interface Phase {
  title: string;
  value(entry: Entry): Entry["decodeTokensPerSecond"];
}

const PHASES: Phase[] = [
  { title: "decode, tok/s", value: ({ decodeTokensPerSecond }) => decodeTokensPerSecond },
  { title: "prefill, tok/s", value: ({ prefillTokensPerSecond }) => prefillTokensPerSecond },
];

export function drawHistory(entries: readonly Entry[]): string {
  const models = distinct(entries.map(({ model }) => model));
  const machines = distinct(entries.map(({ machine }) => machine));
  const panels = machines.flatMap((machine, row) => {
    const here = entries.filter((entry) => entry.machine === machine);
    return PHASES.map((phase, column) => {
      const at = `translate(${column * PANEL.width} ${row * PANEL.height})`;
      return `<g transform="${at}">${drawPanel(here, phase, models, column === 0 ? machine : "")}</g>`;
    });
  });
  const [width, height] = [PHASES.length * PANEL.width, Math.max(1, machines.length) * PANEL.height];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">`,
    `<style>${STYLE}\n</style>`,
    ...panels,
    "</svg>\n",
  ].join("\n");
}

/** Runs from left to right in their order, tokens a second upwards on a logarithmic scale. */
function drawPanel(entries: readonly Entry[], phase: Phase, models: readonly string[], machine: string): string {
  const runs = distinct(entries.map(({ date }) => date)).sort();
  const x = (date: string) => MARGIN.left + (PLOT.width * (runs.indexOf(date) + 0.5)) / runs.length;
  const { y, ticks } = logScale(entries.map((entry) => phase.value(entry)));
  const series = distinct(entries.map(seriesName)).map((name) => {
    const points = entries.filter((entry) => seriesName(entry) === name);
    return { name, points: points.toSorted((a, b) => a.date.localeCompare(b.date)) };
  });
  const labels = spaced(series.map(({ points }) => y(phase.value(points.at(-1)!).median)));
  return [
    `<text class="title" x="${MARGIN.left}" y="20">${escaped(machine)}</text>`,
    `<text class="title" x="${MARGIN.left}" y="40">${escaped(phase.title)}</text>`,
    ...ticks.map((tick) => gridLine(y(tick), String(tick))),
    ...runLabels(runs, entries, x),
    ...series.map(({ name, points }, i) => {
      const color = COLORS[models.indexOf(points[0]!.model) % COLORS.length]!;
      const place = points.map((entry) => ({ x: x(entry.date), ...heights(phase.value(entry), y) }));
      return drawSeries(name, place, color, points[0]!, labels[i]!);
    }),
  ].join("\n");
}

interface Place {
  x: number;
  median: number;
  low: number;
  high: number;
}

function heights({ median, low, high }: Entry["decodeTokensPerSecond"], y: (value: number) => number) {
  return { median: y(median), low: y(low), high: y(high) };
}

/** Dashed for several threads, hollow for other than 4-bit activations; the range of each measurement is a thin bar. */
function drawSeries(name: string, places: readonly Place[], color: string, of: Entry, labelY: number): string {
  const dash = of.threads > 1 ? ` stroke-dasharray="${4 + 2 * of.threads} 3"` : "";
  const fill = of.activationBits === 4 ? color : "none";
  const line = places.map(({ x, median }) => `${px(x)},${px(median)}`).join(" ");
  const end = MARGIN.left + PLOT.width;
  return [
    `<polyline class="line" stroke="${color}"${dash} points="${line}"/>`,
    ...places.map(({ x, low, high }) => `<path stroke="${color}" opacity=".5" d="M${px(x)} ${px(low)}V${px(high)}"/>`),
    ...places.map(
      ({ x, median }) => `<circle fill="${fill}" stroke="${color}" cx="${px(x)}" cy="${px(median)}" r="3"/>`,
    ),
    `<rect fill="${color}" x="${end + 8}" y="${px(labelY - 4)}" width="8" height="8"/>`,
    `<text x="${end + 20}" y="${px(labelY + 4)}">${escaped(name)}</text>`,
  ].join("");
}

function gridLine(y: number, text: string): string {
  const [left, right] = [MARGIN.left, MARGIN.left + PLOT.width];
  const label = `<text x="${left - 6}" y="${px(y + 4)}" text-anchor="end">${text}</text>`;
  return `<path class="grid" d="M${left} ${px(y)}H${right}"/>${label}`;
}

/** Day and commit of the first, the last, and some between. */
function runLabels(runs: readonly string[], entries: readonly Entry[], x: (date: string) => number): string[] {
  const step = Math.ceil(runs.length / MOST_TICKS);
  return runs
    .filter((_, i) => (runs.length - 1 - i) % step === 0)
    .map((date) => {
      const { commit } = entries.find((entry) => entry.date === date)!;
      const top = PANEL.height - MARGIN.bottom + 18;
      const text = (line: string, y: number) =>
        `<text x="${px(x(date))}" y="${y}" text-anchor="middle">${escaped(line)}</text>`;
      return text(date.slice(0, 10), top) + text(commit, top + 14);
    });
}

/** From a power of ten times 1, 2 or 5 below all values to one above them. */
function logScale(values: readonly Entry["decodeTokensPerSecond"][]) {
  const least = Math.min(...values.map(({ low }) => low));
  const most = Math.max(...values.map(({ high }) => high));
  const round = [-3, -2, -1, 0, 1, 2, 3, 4, 5].flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power));
  const steps = round.map((value) => Number(value.toPrecision(1)));
  const first = Math.max(
    0,
    steps.findLastIndex((step) => step <= least),
  );
  const last = Math.max(
    first + 1,
    steps.findIndex((step) => step >= most),
  );
  const ticks = steps.slice(first, last + 1);
  const [low, high] = [Math.log(ticks[0]!), Math.log(ticks.at(-1)!)];
  const y = (value: number) => MARGIN.top + PLOT.height * (1 - (Math.log(value) - low) / (high - low));
  return { y, ticks };
}

/** The same places, moved down where two labels would overlap. */
function spaced(places: readonly number[]): number[] {
  const order = places.map((_, i) => i).sort((a, b) => places[a]! - places[b]!);
  const out = [...places];
  let free = Number.NEGATIVE_INFINITY;
  for (const i of order) {
    out[i] = Math.max(places[i]!, free);
    free = out[i]! + LABEL_HEIGHT;
  }
  return out;
}

function seriesName({ model, activationBits, headBits, threads, simd = "relaxed" }: Entry): string {
  const head = headBits === 8 ? "-H8" : "";
  return `${model.replace(/^mamba2-/, "")} W4A${activationBits}${head}, ${threads} thread${threads > 1 ? "s" : ""}${simd === "relaxed" ? "" : `, ${simd}`}`;
}

function distinct(values: readonly string[]): string[] {
  return [...new Set(values)];
}

function px(value: number): string {
  return value.toFixed(1);
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
