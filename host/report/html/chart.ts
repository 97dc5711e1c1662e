/** What charts share: a frame with axes, labels that keep out of each other's way, a legend, and what a screen reader says. */
import { type Child, el, type Markup } from "./markup.ts";
import type { Scale } from "./scale.ts";

export interface Frame {
  width: number;
  height: number;
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** Of the CSS classes s0 to s5. */
export const SERIES = 6;
export const LINE_HEIGHT = 15;
/** Of a character of the labels, in the widest usual font. */
const CHARACTER = 7.4;

export const widthOf = (text: string) => text.length * CHARACTER;

export interface Picture extends Frame {
  /** For links and labels: a word. */
  id: string;
  title: string;
  /** What is to be seen in it. */
  description: string;
}

export function picture({ id, title, description, width, height }: Picture, ...children: Child[]): Markup {
  const names = `${id}-title ${id}-description`;
  return el(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, role: "img", class: "chart", "aria-labelledby": names },
    el("title", { id: `${id}-title` }, title),
    el("desc", { id: `${id}-description` }, description),
    ...children,
  );
}

export interface Axis {
  scale: Scale;
  title: string;
  text?: (tick: number) => string;
}

const plain = (tick: number) => tick.toLocaleString("en-US", { maximumSignificantDigits: 6 });

/** Marks and their lines; the title below. */
export function horizontalAxis(frame: Frame, { scale, title, text = plain }: Axis): Markup {
  const [bottom, middle] = [frame.height - frame.bottom, (frame.left + frame.width - frame.right) / 2];
  // The last one may be wider than the margin
  const inside = (tick: number) => Math.min(scale(tick), frame.width - widthOf(text(tick)) / 2 - 2);
  const marks = apart(scale.ticks, scale, (tick) => widthOf(text(tick)) + 8).map((tick) => [
    el("path", { class: "grid", d: `M${px(scale(tick))} ${frame.top}V${bottom}` }),
    label(inside(tick), bottom + LINE_HEIGHT + 2, text(tick), "middle"),
  ]);
  return el("g", {}, marks, label(middle, bottom + 2 * LINE_HEIGHT + 6, title, "middle", "axis"));
}

/** Marks and their lines; the title above, where it needs not be turned. */
export function verticalAxis(frame: Frame, { scale, title, text = plain }: Axis): Markup {
  const marks = apart(scale.ticks, scale, () => LINE_HEIGHT).map((tick) => [
    el("path", { class: "grid", d: `M${frame.left} ${px(scale(tick))}H${frame.width - frame.right}` }),
    label(frame.left - 6, scale(tick) + 4, text(tick), "end"),
  ]);
  return el("g", {}, marks, label(6, frame.top - 12, title, "start", "axis"));
}

/** Those marks whose texts leave each other room, the first one first. */
function apart(ticks: readonly number[], scale: Scale, room: (tick: number) => number): number[] {
  const kept: number[] = [];
  for (const tick of ticks) {
    const last = kept.at(-1);
    if (last === undefined || Math.abs(scale(tick) - scale(last)) >= room(tick)) kept.push(tick);
  }
  return kept;
}

type Anchor = "start" | "middle" | "end";

export function label(x: number, y: number, text: string, anchor: Anchor = "start", kind?: string): Markup {
  return el("text", { x, y, "text-anchor": anchor, class: kind }, text);
}

export interface Labelled {
  x: number;
  y: number;
  text: string;
}

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** A text beside each point in the plot, where it covers no other point and no other text: right, left, above or below, then further away with a line to it. */
export function labels(points: readonly Labelled[], frame: Frame, taken: readonly Box[] = []): Markup[] {
  const boxes: Box[] = [...taken, ...points.map(({ x, y }) => around(x, y, 5))];
  return points.map(({ x, y, text }) => {
    const place = places(x, y, widthOf(text)).find((one) => fits(one, boxes, frame));
    if (place === undefined) return el("g");
    boxes.push(place);
    const [near, middle] = [Math.min(Math.max(x, place.left), place.right), (place.top + place.bottom) / 2];
    const far = Math.hypot(near - x, middle - y) > 24;
    return el(
      "g",
      {},
      far ? el("path", { class: "leader", d: `M${px(x)} ${px(y)}L${px(near)} ${px(middle)}` }) : undefined,
      label(place.left, place.bottom - 4, text, "start", "halo"),
    );
  });
}

export const around = (x: number, y: number, r: number): Box => ({
  left: x - r,
  right: x + r,
  top: y - r,
  bottom: y + r,
});

function places(x: number, y: number, width: number): Box[] {
  const box = (left: number, middle: number): Box => {
    return { left, right: left + width, top: middle - LINE_HEIGHT / 2, bottom: middle + LINE_HEIGHT / 2 };
  };
  return [0, 1, 2, 3, 4, 5, 6].flatMap((step) => {
    const away = step * LINE_HEIGHT;
    return [
      ...[y - away, y + away].flatMap((at) => [box(x + 8, at), box(x - 8 - width, at)]),
      ...[y - away - 14, y + away + 14].map((at) => box(x - width / 2, at)),
    ];
  });
}

function fits(one: Box, others: readonly Box[], frame: Frame): boolean {
  const inside =
    one.left >= frame.left + 2 &&
    one.right <= frame.width - 2 &&
    one.top >= frame.top - 4 &&
    one.bottom <= frame.height - frame.bottom - 2;
  return inside && others.every((other) => !overlaps(one, other));
}

const overlaps = (a: Box, b: Box) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

export interface LegendEntry {
  text: string;
  class: string;
  shape: "square" | "ring" | "circle" | "line";
}

/** As text beside small pictures, so that it wraps as text does. */
export function legend(entries: readonly LegendEntry[]): Markup {
  const items = entries.map(({ text, class: kind, shape }) => el("li", {}, swatch(kind, shape), text));
  return el("ul", { class: "legend" }, items);
}

function swatch(kind: string, shape: LegendEntry["shape"]): Markup {
  const inside = {
    square: el("rect", { x: 1, y: 1, width: 12, height: 12, class: `fill ${kind}` }),
    circle: el("circle", { cx: 7, cy: 7, r: 5, class: `fill ${kind}` }),
    ring: el("circle", { cx: 7, cy: 7, r: 4.5, class: `ring ${kind}` }),
    line: el("path", { d: "M0 7H14", class: `line ${kind}` }),
  }[shape];
  return el("svg", { viewBox: "0 0 14 14", class: "swatch", "aria-hidden": "true" }, inside);
}

export const px = (value: number) => value.toFixed(1);
