/** The pictures of each section. */
import { keyOf, lutsOf } from "../../estimate/explore.ts";
import type { Evaluated } from "../../estimate/point.ts";
import { type EstimateReport, partTitle } from "../../estimate/report.ts";
import { NAMES, type Shares } from "../../estimate/resources.ts";
import type { AblationRow } from "../ablation.ts";
import type { Pareto } from "../pareto.ts";
import { formatNumber, type Kind, plural, type Quantity } from "../quantity.ts";
import type { Report } from "../report.ts";
import { accuracyCharts } from "./accuracy.ts";
import { barChart } from "./bars.ts";
import { type LegendEntry, legend, SERIES } from "./chart.ts";
import { ganttChart } from "./gantt.ts";
import { el, type Markup } from "./markup.ts";
import { rooflineChart } from "./roofline.ts";
import { linearScale } from "./scale.ts";
import { type Dot, scatterChart } from "./scatter.ts";

/** By the section's id. */
export function picturesOf(report: Report): { readonly [id: string]: readonly Markup[] } {
  return {
    roofline: rooflineChart(report.roofline),
    layer: ganttChart(report.layer),
    ablation: ablationChart(report.ablation),
    pareto: paretoCharts(report.pareto),
    cost: costCharts(report.estimate),
    accuracy: accuracyCharts(report.accuracy.points),
  };
}

const SMALL = { width: 520, height: 360, left: 52, right: 20, top: 40, bottom: 56 };
const horizontal = [SMALL.left, SMALL.width - SMALL.right] as const;
const vertical = [SMALL.height - SMALL.bottom, SMALL.top] as const;

function paretoCharts({ all, front }: Pareto): Markup[] {
  if (all.length === 0) return [];
  const ports = [...new Set(all.map(({ point }) => point.ports))].sort((a, b) => a - b);
  const speed = linearScale([0, Math.max(...all.map(speedOf))], vertical);
  const chart = (id: string, title: string, cost: (one: Evaluated) => number) => {
    const dot = dotOf(cost, ports, front);
    // The best of those that cost the same or less
    const best = front.toSorted((a, b) => cost(a) - cost(b) || speedOf(b) - speedOf(a));
    const line = best.filter((one, i) => best.slice(0, i).every((other) => speedOf(other) < speedOf(one)));
    const ends = [line[0]!, line.at(-1)!].filter((one, i) => i === 1 || speedOf(one) < 0.9 * speedOf(line.at(-1)!));
    const names = new Set(ends.map(({ point }) => keyOf(point)));
    return scatterChart({
      picture: { ...SMALL, id, title, description: line.map(nameOf).join("; ") },
      x: { scale: linearScale([0, Math.max(...all.map(cost))], horizontal), title },
      y: { scale: speed, title: "tokens a second" },
      dots: all.map((one) => ({ ...dot(one), ...(names.has(keyOf(one.point)) && { text: nameOf(one) }) })),
      line: line.map(dot),
    });
  };
  const charts = [chart("pareto-luts", "thousand LUTs", (one) => lutsOf(one.resources!) / 1000)];
  if (all.every((one) => one.joulesPerToken !== undefined)) {
    charts.push(chart("pareto-joules", "millijoules a token", (one) => 1000 * one.joulesPerToken!));
  }
  const entries = ports.map((count, i): LegendEntry => {
    return { text: plural(count, "port"), class: `s${i % SERIES}`, shape: "circle" };
  });
  const rest: LegendEntry[] = [
    { text: "beaten by another", class: "ink", shape: "ring" },
    { text: "the most speed for the cost", class: "ink", shape: "line" },
  ];
  return [el("div", { class: "pair" }, charts), legend([...entries, ...rest])];
}

const speedOf = (one: Evaluated) => one.tokensPerSecond!;

const nameOf = (one: Evaluated) =>
  `${plural(one.point.ports, "port")}, ${one.point.clockMhz} MHz: ${formatNumber(speedOf(one))} tok/s`;

function dotOf(cost: (one: Evaluated) => number, ports: readonly number[], front: readonly Evaluated[]) {
  const best = new Set(front.map(({ point }) => keyOf(point)));
  return (one: Evaluated): Dot => {
    const { point } = one;
    const shape = best.has(keyOf(point)) ? "fill" : "ring";
    const about = `${nameOf(one)}, ${point.stateLanes} state lanes, ${formatNumber(cost(one))}`;
    return { x: cost(one), y: speedOf(one), class: `${shape} s${ports.indexOf(point.ports) % SERIES}`, about };
  };
}

const SPEED_CLASS: { readonly [kind in Kind]?: string } = { estimated: "s0", simulated: "s1", published: "s2" };

function ablationChart(rows: readonly AblationRow[]): Markup[] {
  const nameOf = ({ design, title }: AblationRow) => (design === "ours" ? title : `${design}: ${title}`);
  const speeds = rows.flatMap((row) => row.speeds);
  const shown = rows.map((row) => {
    const bars = row.speeds.map(({ value, kind }) => ({ value, text: formatNumber(value), class: SPEED_CLASS[kind]! }));
    return { title: nameOf(row), bars };
  });
  const description = rows.map((row) => `${nameOf(row)}: ${row.speeds.map(sentence).join(", ")}`).join("; ");
  const kinds = Object.entries(SPEED_CLASS).filter(([kind]) => speeds.some((one) => one.kind === kind));
  return [
    barChart({
      id: "ablation-chart",
      title: "Speed with overlaps switched off",
      description,
      rows: shown,
      unit: "tokens a second",
    }),
    legend(kinds.map(([text, kind]) => ({ text, class: kind, shape: "square" }))),
  ];
}

const sentence = ({ value, kind }: Quantity) => `${formatNumber(value)} ${kind}`;

/** Of a part's energy that has a bar of its own. */
const LEAST_SHARE = 0.005;

/** Shares of the part, and joules. */
function costCharts({ resources, energy }: EstimateReport): Markup[] {
  const charts: Markup[] = [];
  const width = 520;
  const id = (name: string) => ({ id: `cost-${name}`, width });
  if (resources.share !== undefined) {
    const rows = Object.entries(resources.share).map(([kind, share]) => {
      const percent = 100 * share;
      return {
        title: NAMES[kind as keyof Shares],
        bars: [{ value: percent, text: `${percent.toFixed(1)} %`, class: "s4" }],
      };
    });
    const description = rows.map(({ title, bars }) => `${title}: ${bars[0]!.text}`).join("; ");
    charts.push(
      barChart({ ...id("logic"), title: "Of the part's logic", description, rows, unit: "% of what the part has" }),
    );
  }
  if (energy !== undefined) {
    const shown = energy.parts.filter(({ joules }) => joules >= LEAST_SHARE * energy.joulesPerToken);
    const others = energy.joulesPerToken - shown.reduce((sum, { joules }) => sum + joules, 0);
    const parts = [...shown.toSorted((a, b) => b.joules - a.joules), { part: "others", joules: others }];
    const rows = parts.map(({ part, joules }) => {
      const value = 1000 * joules;
      return { title: partTitle(part), bars: [{ value, text: formatNumber(value), class: "s0" }] };
    });
    const description = rows.map(({ title, bars }) => `${title}: ${bars[0]!.text}`).join("; ");
    charts.push(
      barChart({ ...id("energy"), title: "Energy of a token", description, rows, unit: "millijoules a token" }),
    );
  }
  return charts.length === 0 ? [] : [el("div", { class: "pair" }, charts)];
}
