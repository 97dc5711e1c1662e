/** A row for each unit, and in it a bar for each command: the model's above, the RTL's below. */
import type { UnitName } from "../../estimate/device.ts";
import type { Span } from "../../estimate/timeline.ts";
import type { Layer } from "../layer.ts";
import { horizontalAxis, LINE_HEIGHT, label, legend, type Picture, picture, widthOf } from "./chart.ts";
import { el, type Markup } from "./markup.ts";
import { linearScale, type Scale } from "./scale.ts";

const UNITS: readonly UnitName[] = ["nqu", "mmu", "ssmu", "htu"];
const BAR = 20;
const GAP = 4;
const BETWEEN = 16;
const MARGIN = { left: 112, right: 24, top: 16, bottom: 56 };
const WIDTH = 720;

interface Source {
  title: string;
  class: string;
  spans: readonly Span[];
}

export function ganttChart({ model, rtl }: Layer): Markup[] {
  const sources: Source[] = [{ title: "model", class: "s0", spans: model.spans }];
  if (rtl !== undefined) sources.push({ title: "RTL", class: "s1", spans: rtl.spans });
  const units = UNITS.filter((unit) => model.spans.some((span) => span.unit === unit));
  const rowHeight = sources.length * (BAR + GAP) + BETWEEN;
  const frame = { ...MARGIN, width: WIDTH, height: MARGIN.top + units.length * rowHeight + MARGIN.bottom };
  const end = Math.max(model.cycles, rtl?.cycles ?? 0);
  const x = linearScale([0, end], [frame.left, frame.width - frame.right], 6);
  const about: Picture = {
    ...frame,
    ...{ id: "layer-chart", title: "A layer, unit by unit" },
    description: sources.map(describe).join(" "),
  };
  const rows = units.map((unit, i) => row(unit, sources, MARGIN.top + i * rowHeight, x));
  return [
    picture(about, horizontalAxis(frame, { scale: x, title: "cycles since the layer before ended" }), rows),
    legend([
      ...sources.map((one) => ({ text: one.title, class: one.class, shape: "square" as const })),
      { text: "pale: along with the command before, or waiting for it", class: "s0 pale", shape: "square" },
    ]),
  ];
}

function row(unit: UnitName, sources: readonly Source[], top: number, x: Scale): Markup {
  const middle = top + (sources.length * (BAR + GAP)) / 2;
  const bars = sources.map((source, i) => {
    const y = top + i * (BAR + GAP);
    const own = source.spans.filter((span) => span.unit === unit);
    return [label(MARGIN.left - 8, y + LINE_HEIGHT, source.title, "end"), own.map((span) => bar(span, source, y, x))];
  });
  return el("g", {}, label(8, middle + 2, unit.toUpperCase(), "start", "strong"), bars);
}

/** Pale while it waits for the command before, or works along with it. What lies before the layer is not shown. */
function bar({ what, start, cycles, held }: Span, source: Source, y: number, x: Scale): Markup {
  const [from, alone, to] = [start, start + held, start + cycles].map((cycle) => x(Math.max(0, cycle))) as Three;
  const piece = (left: number, right: number, pale: string) =>
    right > left
      ? el("rect", {
          x: left,
          y,
          width: Math.max(right - left, 0.5),
          height: BAR,
          class: `fill ${source.class}${pale}`,
        })
      : undefined;
  const width = widthOf(what) + 8;
  const solid = to - alone > width;
  const place = solid ? alone : from;
  const text =
    solid || alone - from > width ? label(place + 4, y + LINE_HEIGHT, what, "start", solid ? "on" : "") : undefined;
  const about = `${source.title}: ${what}, cycle ${start} to ${start + cycles}, ${held} of them with the command before`;
  return el("g", {}, el("title", {}, about), piece(from, alone, " pale"), piece(alone, to, ""), text);
}

type Three = [number, number, number];

const describe = ({ title, spans }: Source) =>
  `${title}: ${spans.map(({ unit, what, start, cycles }) => `${unit.toUpperCase()} ${what} from ${start} to ${start + cycles}`).join(", ")}.`;
