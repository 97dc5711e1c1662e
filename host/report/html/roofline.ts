/** Both axes logarithmic: the memory's bandwidth is a slope, the multipliers a ceiling. */
import { formatNumber } from "../quantity.ts";
import type { Point, Roof, Roofline } from "../roofline.ts";
import { horizontalAxis, labels, legend, type Picture, picture, px, verticalAxis } from "./chart.ts";
import { el, type Markup } from "./markup.ts";
import { logScale, type Scale } from "./scale.ts";

const FRAME = { width: 720, height: 420, left: 64, right: 24, top: 44, bottom: 56 };

export function rooflineChart({ roofs, points }: Roofline): Markup[] {
  const intensities = points.map(({ productsAByte }) => productsAByte);
  const ridges = roofs.map(({ gigaproducts, gigabytesPerSecond }) => gigaproducts / gigabytesPerSecond);
  const range = [Math.min(...intensities, ...ridges) / 2, Math.max(...intensities, ...ridges) * 2] as const;
  const x = logScale(range, [FRAME.left, FRAME.width - FRAME.right]);
  const least = Math.min(...points.map(({ gigaproducts }) => gigaproducts)) / 1.5;
  const most = Math.max(...roofs.map(({ gigaproducts }) => gigaproducts)) * 1.2;
  const y = logScale([least, most], [FRAME.height - FRAME.bottom, FRAME.top]);
  const about: Picture = {
    ...FRAME,
    ...{ id: "roofline-chart", title: "Roofline" },
    description: points.map(sentence).join(" "),
  };
  const chart = picture(
    about,
    horizontalAxis(FRAME, { scale: x, title: "products for each byte that is read" }),
    verticalAxis(FRAME, { scale: y, title: "10⁹ products a second" }),
    roofs.map((roof, i) => roofLine(roof, `s${i}`, x, y)),
    points.map((point) => dot(point, x, y)),
    labels(
      points.map((one) => ({ x: x(one.productsAByte), y: y(one.gigaproducts), text: pointText(one) })),
      FRAME,
    ),
  );
  const lines = roofs.map((roof, i) => ({ text: roofText(roof), class: `s${i}`, shape: "line" as const }));
  const kinds = [
    { text: "estimated" as const, class: "ink", shape: "circle" as const },
    { text: "published" as const, class: "ink", shape: "ring" as const },
  ].filter(({ text }) => points.some(({ kind }) => kind === text));
  return [chart, legend([...lines, ...kinds])];
}

const sentence = ({ title, tokensPerSecond, productsAByte, gigaproducts }: Point) =>
  `${title}: ${formatNumber(tokensPerSecond)} tokens a second, ${productsAByte.toFixed(2)} products a byte, ${formatNumber(gigaproducts)} thousand million products a second.`;

const pointText = ({ title, tokensPerSecond }: Point) => `${title}: ${formatNumber(tokensPerSecond)} tok/s`;

const roofText = ({ title, gigabytesPerSecond, gigaproducts }: Roof) =>
  `${title}: ${formatNumber(gigabytesPerSecond)} GB/s, ${formatNumber(gigaproducts)} · 10⁹ products/s`;

function roofLine({ gigabytesPerSecond, gigaproducts }: Roof, kind: string, x: Scale, y: Scale): Markup {
  const [low, high] = [y.ticks[0]!, x.ticks.at(-1)!];
  const left = Math.max(low / gigabytesPerSecond, x.ticks[0]!);
  const ridge = gigaproducts / gigabytesPerSecond;
  const points = [
    [left, left * gigabytesPerSecond],
    [ridge, gigaproducts],
    [high, gigaproducts],
  ] as const;
  const d = points.map(([a, b], i) => `${i === 0 ? "M" : "L"}${px(x(a))} ${px(y(b))}`).join("");
  return el("path", { class: `line ${kind}`, d });
}

function dot({ kind, productsAByte, gigaproducts }: Point, x: Scale, y: Scale): Markup {
  const place = { cx: x(productsAByte), cy: y(gigaproducts) };
  return el("circle", { ...place, r: 5, class: kind === "published" ? "ring ink" : "fill ink" });
}
