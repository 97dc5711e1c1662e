/** Points of several series on two axes. */
import {
  type Axis,
  around,
  horizontalAxis,
  type Labelled,
  labels,
  type Picture,
  picture,
  px,
  verticalAxis,
} from "./chart.ts";
import { el, type Markup } from "./markup.ts";

export interface Dot {
  x: number;
  y: number;
  class: string;
  /** Shown beside it. */
  text?: string;
  /** Shown where a pointer rests on it. */
  about: string;
}

export interface Scatter {
  picture: Picture;
  x: Axis;
  y: Axis;
  dots: readonly Dot[];
  /** Drawn through these, in their order. */
  line?: readonly Dot[];
}

export function scatterChart({ picture: about, x, y, dots, line = [] }: Scatter): Markup {
  const place = (dot: Dot) => ({ x: x.scale(dot.x), y: y.scale(dot.y) });
  const path = line.map(place).map((at, i) => `${i === 0 ? "M" : "L"}${px(at.x)} ${px(at.y)}`);
  const named = dots.flatMap((dot): Labelled[] => (dot.text === undefined ? [] : [{ ...place(dot), text: dot.text }]));
  const others = dots.filter(({ text }) => text === undefined).map(place);
  const taken = others.map((at) => around(at.x, at.y, 5));
  return picture(
    about,
    horizontalAxis(about, x),
    verticalAxis(about, y),
    path.length > 1 ? el("path", { class: "line ink", d: path.join("") }) : undefined,
    dots.map((dot) => {
      const at = place(dot);
      return el("circle", { cx: at.x, cy: at.y, r: 5, class: dot.class }, el("title", {}, dot.about));
    }),
    labels(named, about, taken),
  );
}
