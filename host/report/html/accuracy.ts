/** KL to FP32: by the width of activations where weights have 4 bits, and by what the weights take. */
import type { AccuracyPoint } from "../accuracy.ts";
import { type LegendEntry, legend } from "./chart.ts";
import { el, type Markup } from "./markup.ts";
import { linearScale, logScale, type Scale } from "./scale.ts";
import { type Dot, scatterChart } from "./scatter.ts";

const FRAME = { width: 520, height: 380, left: 56, right: 24, top: 44, bottom: 56 };
const HORIZONTAL = [FRAME.left, FRAME.width - FRAME.right] as const;
const VERTICAL = [FRAME.height - FRAME.bottom, FRAME.top] as const;
/** Recipes that differ in what the weights take alone. */
const BY_WEIGHTS = /^A[48] gptq(, 8-bit head)?(, groups of 16)?$/;

export function accuracyCharts(points: readonly AccuracyPoint[]): Markup[] {
  const losses = points.map(({ kl }) => kl.value);
  const y = logScale([Math.min(...losses) * 0.9, Math.max(...losses) * 1.1], VERTICAL);
  const widths = [...new Set(points.map(({ activationBits }) => activationBits))].sort((a, b) => a - b);
  const least = Math.min(...points.map(({ bitsPerWeight }) => bitsPerWeight));
  const dotsOf = (chosen: readonly AccuracyPoint[], value: (one: AccuracyPoint) => number) =>
    named(chosen.map((one) => dotOf(one, value(one), widths)));
  const narrow = points.filter(({ bitsPerWeight }) => bitsPerWeight === least);
  const wide = points.filter(({ title }) => BY_WEIGHTS.test(title));
  const charts = [
    chart(
      "accuracy-activations",
      "bits of activations, with 4-bit weights",
      [3, 9],
      y,
      dotsOf(narrow, (one) => one.activationBits),
    ),
    chart(
      "accuracy-weights",
      "bits a weight, scales included",
      [4, 7],
      y,
      dotsOf(wide, (one) => one.bitsPerWeight),
    ),
  ];
  const entries = widths.map((width, i): LegendEntry => {
    return { text: `${width}-bit activations`, class: `s${i}`, shape: "circle" };
  });
  return [el("div", { class: "pair" }, charts), legend(entries)];
}

function dotOf({ title, activationBits, kl }: AccuracyPoint, x: number, widths: readonly number[]): Dot {
  const about = `${title}: ${kl.value.toFixed(5)}`;
  // Without the width of activations, which the colour tells, and what stands behind a colon
  const text = title.replace(/^A\d+,? /, "").replace(/:.*/, "");
  return { x, y: kl.value, class: `fill s${widths.indexOf(activationBits)}`, about, text };
}

/** What lies on another has no name. */
function named(dots: readonly Dot[]): Dot[] {
  const on = (a: Dot, b: Dot) => a.x === b.x && Math.abs(a.y / b.y - 1) < 0.03;
  return dots.map(({ text, ...dot }, i) => {
    const hidden = dots.slice(0, i).some((other) => on(dot, other));
    return { ...dot, ...(!hidden && text !== undefined && { text }) };
  });
}

function chart(id: string, title: string, range: readonly [number, number], y: Scale, dots: readonly Dot[]): Markup {
  return scatterChart({
    picture: { ...FRAME, id, title: `KL against ${title}`, description: dots.map(({ about }) => about).join("; ") },
    x: { scale: linearScale(range, HORIZONTAL, 6), title },
    y: { scale: y, title: "KL to FP32, nats a token" },
    dots,
  });
}
