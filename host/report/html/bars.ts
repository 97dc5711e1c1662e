/** Values as bars, those of one title together. */
import { horizontalAxis, LINE_HEIGHT, label, type Picture, picture, widthOf } from "./chart.ts";
import { el, type Markup } from "./markup.ts";
import { linearScale, type Scale } from "./scale.ts";

export interface Bar {
  value: number;
  /** Behind it. */
  text: string;
  class: string;
}

export interface BarRow {
  title: string;
  bars: readonly Bar[];
}

export interface Bars extends Pick<Picture, "id" | "title" | "description"> {
  rows: readonly BarRow[];
  /** Of the axis. */
  unit: string;
  width?: number;
}

const BAR = 18;
const GAP = 3;
const BETWEEN = 14;
const MARGIN = { right: 60, top: 12, bottom: 56 };

export function barChart({ rows, unit, width = 720, ...about }: Bars): Markup {
  const all = rows.flatMap(({ bars }) => bars);
  const left = 24 + Math.max(...rows.map(({ title }) => widthOf(title)));
  const heights = rows.map(({ bars }) => bars.length * (BAR + GAP) + BETWEEN);
  const height = MARGIN.top + heights.reduce((sum, one) => sum + one, 0) + MARGIN.bottom;
  const frame = { ...MARGIN, left, width, height };
  const most = Math.max(...all.map(({ value }) => value));
  const x = linearScale([0, most], [left, width - MARGIN.right]);
  const tops = heights.map((_, i) => MARGIN.top + heights.slice(0, i).reduce((sum, one) => sum + one, 0));
  return picture(
    { ...frame, ...about },
    horizontalAxis(frame, { scale: x, title: unit }),
    rows.map((row, i) => group(row, tops[i]!, left, x)),
  );
}

function group({ title, bars }: BarRow, top: number, left: number, x: Scale): Markup {
  const middle = top + (bars.length * (BAR + GAP)) / 2;
  return el(
    "g",
    {},
    label(left - 10, middle + 3, title, "end"),
    bars.map((one, i) => bar(one, top + i * (BAR + GAP), x)),
  );
}

function bar({ value, text, class: kind }: Bar, y: number, x: Scale): Markup {
  return el(
    "g",
    {},
    el("rect", { x: x(0), y, width: Math.max(1, x(value) - x(0)), height: BAR, class: `fill ${kind}` }),
    label(x(value) + 6, y + LINE_HEIGHT - 1, text),
  );
}
