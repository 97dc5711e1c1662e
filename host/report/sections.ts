/** What a report has to say, part by part: a title, what the reader should know of it, and its tables. Pictures come in HTML alone. */
import { type Column, type Grid, gridOf } from "../bench/table.ts";
import { ASSUMED_COLUMNS, ENERGY_COLUMNS, RESOURCE_COLUMNS, resourceRows, showJoules } from "../estimate/report.ts";
import { type Kind, plural } from "./quantity.ts";
import type { Report } from "./report.ts";
import * as tables from "./tables.ts";

export interface Table extends Grid {
  caption: string;
}

export interface Section {
  id: string;
  title: string;
  text: string;
  tables: Table[];
}

function table<Row>(caption: string, rows: readonly Row[], columns: readonly Column<Row>[]): Table {
  return { caption, ...gridOf(rows, columns, "–") };
}

export function sectionsOf(report: Report): Section[] {
  return [
    summary(report),
    comparison(report),
    roofline(report),
    layer(report),
    ablation(report),
    cost(report),
    pareto(report),
    accuracy(report),
    assumptions(report),
  ];
}

export function titleOf({ estimate }: Report): string {
  return `${estimate.model} on ${estimate.board}`;
}

/** What was estimated, in a line. */
export function subjectLine({ estimate }: Report): string {
  const { activationBits, headBits, ports, clockMhz, partition, serial } = estimate;
  const turn = serial.length > 0 ? `, in turn: ${serial.join(", ")}` : "";
  return `W4A${activationBits}, lm_head of ${headBits} bits; ${plural(ports, "port")}, ${clockMhz} MHz, ${partition}${turn}`;
}

const summary = (report: Report): Section => ({
  id: "summary",
  title: "In short",
  text: "Nothing here has run on silicon or was placed and routed, and the clock is a plan. In brackets: with every figure of the board that has a band at its worst and at its best.",
  tables: [table("The estimate", tables.headline(report.estimate), tables.HEADLINE)],
});

const comparison = (report: Report): Section => ({
  id: "comparison",
  title: "Beside the paper",
  text: "LightMamba (DATE 2025) and this accelerator, whatever model the rest of the report is of. Bound: what memories and ports need for the bytes of a token; of resources, what the part has. The paper counts neither lm_head nor sampling.",
  tables: [table("Paper, bound, ours", report.comparison, [...tables.COMPARISON, tables.SOURCES])],
});

const roofline = ({ roofline: { roofs, points } }: Report): Section => ({
  id: "roofline",
  title: "Roofline",
  text: "A token at a time needs each weight once, so that memory decides; several tokens of a prompt share a reading of the weights, and the units become the limit.",
  tables: [table("Roofs", roofs, tables.ROOFS), table("Work", points, tables.ROOFLINE_POINTS)],
});

function layer({ layer: one }: Report): Section {
  const off = one.rtl === undefined ? "" : ` ${Math.abs(100 * (one.model.cycles / one.rtl.cycles - 1)).toFixed(2)} %`;
  const source =
    one.rtl === undefined
      ? "The RTL's own counters were recorded for Mamba2-2.7B and the embedded model on VCK190 (npm run sim:report -- --save), not for this configuration."
      : `Of the RTL: its own counters in Verilator, ${one.rtl.cycles.toLocaleString("en-US")} cycles; the model is off by${off}.`;
  return {
    id: "layer",
    title: "A layer, unit by unit",
    text: `Layer ${one.layer + 1} of ${one.layers} that were simulated, a token at a time: ${one.model.cycles.toLocaleString("en-US")} cycles in the model. ${source}`,
    tables: [
      table("Cycles since the layer before ended; less than 0: along with it", tables.spanRows(one), tables.SPANS),
    ],
  };
}

function ablation({ ablation: rows }: Report): Section {
  const has = (kind: Kind) => rows.some(({ speeds }) => speeds.some((one) => one.kind === kind));
  const simulated = has("simulated")
    ? " Simulated figures are of the layers that were recorded and lm_head by its bytes, without sampling."
    : "";
  const published = has("published") ? " The paper's steps are of its own design." : "";
  return {
    id: "ablation",
    title: "What each overlap is worth",
    text: `The same build with overlaps switched off by software.${simulated}${published}`,
    tables: [table("Speed with what works in turn", rows, tables.ABLATION)],
  };
}

function cost({ estimate }: Report): Section {
  const { resources, energy } = estimate;
  const share = resources.share === undefined ? "What the part has is not known." : "";
  const joules =
    energy === undefined
      ? "Nothing is known of the board's power."
      : `A token takes ${showJoules(energy.joulesPerToken, energy.joulesBand)} J, by figures that are assumed: without its band the number says nothing.`;
  return {
    id: "cost",
    title: "Logic and energy",
    text: `Formulas of the build's parameters, held to yosys' counts; no clock follows from them. ${share} ${joules}`.replaceAll(
      "  ",
      " ",
    ),
    tables: [
      table("Logic, part by part", resourceRows(estimate), RESOURCE_COLUMNS),
      ...(energy === undefined ? [] : [table("Energy of a token", energy.parts, ENERGY_COLUMNS(energy))]),
    ],
  };
}

const pareto = ({ pareto: { all, front }, estimate }: Report): Section => ({
  id: "pareto",
  title: "Other builds",
  text: `Of ${all.length} builds for ${estimate.board} that fit it, ${front.length} are beaten by none: no other is as fast with no more joules a token, LUTs and MHz. All estimated.`,
  tables: [table("The front, fastest first", front, tables.FRONT)],
});

const accuracy = ({ accuracy: { model, tokens, referencePerplexity, points } }: Report): Section => ({
  id: "accuracy",
  title: "Accuracy against bits",
  text: `Measured on ${model} (7 million parameters), ${tokens.toLocaleString("en-US")} predicted tokens, everything in integers; FP32 has a perplexity of ${referencePerplexity.toFixed(3)}. KL: nats a token to the FP32 model; 0 is lossless. No large checkpoint was measured.`,
  tables: [table("Recipes", points, tables.ACCURACY)],
});

const assumptions = ({ estimate }: Report): Section => ({
  id: "assumptions",
  title: "What is assumed",
  text: `Figures of boards/${estimate.board}.yaml that are chosen, assumed, or have a band; of several alike the first.`,
  tables: [table("Figures of the board", estimate.assumptions, ASSUMED_COLUMNS)],
});
