/** Sizes as tables: of units, of their parts, and beside what a part of silicon has. */
import { type Column, formatTable, percent } from "../../host/bench/table.ts";
import { BOARDS } from "../../host/device/boards.generated.ts";
import { type Counts, KINDS, sumOfCounted } from "../../host/estimate/counts.ts";
import { PAPER_COUNTS } from "../../host/estimate/paper.ts";
import {
  type Logic,
  limitsOf,
  NAMES,
  needsOf,
  SHELL,
  type Shares,
  sharesOf,
  withShell,
} from "../../host/estimate/resources.ts";
import { markdown } from "../pages.ts";
import { UNITS } from "./design.ts";
import type { Size } from "./yosys.ts";

export interface PartRow extends Size {
  module: string;
  count: number;
  /** As in bench/size/design.ts: what it was measured of. */
  hash: string;
}

export interface BuildSizes {
  name: string;
  parameters: { [name: string]: number };
  parts: PartRow[];
}

export interface Sizes {
  date: string;
  yosys: string;
  builds: BuildSizes[];
}

interface Line {
  title: string;
  text: { [kind in keyof Counts]?: string };
  levels?: string;
  path?: string;
}

const number = (value: number) => value.toLocaleString("en-US");
const texts = (counts: Partial<Counts>) =>
  Object.fromEntries(Object.entries(counts).map(([kind, value]) => [kind, number(value)]));

const deepest = (parts: readonly PartRow[]) =>
  parts.reduce((worst, part) => (part.path.levels > worst.path.levels ? part : worst));

/** Units of a build, their sum, and the sum's share of a board's logic with the shell in it. */
export function unitLines({ parts }: BuildSizes): Line[] {
  const units = [...new Set(Object.values(UNITS))];
  const lines = units.flatMap((title): Line[] => {
    const own = parts.filter(({ module }) => UNITS[module] === title);
    if (own.length === 0) return [];
    return [{ title, text: texts(sumOfCounted(own)), levels: deepest(own).path.levels.toFixed(1) }];
  });
  return [...lines, { title: "all", text: texts(sumOfCounted(parts)) }];
}

/** Of all and the shell, what share of a part's logic that is. */
export function usedOf(counts: Counts, logic: Logic): Shares {
  return sharesOf(withShell(counts), logic);
}

/** What the sum stands beside. */
export function besideLines({ parts }: BuildSizes): Line[] {
  const { logic } = BOARDS.vck190;
  const share = Object.entries(usedOf(sumOfCounted(parts), logic)).map(([kind, value]) => [kind, percent(value)]);
  return [
    { title: "shell (assumed)", text: texts(needsOf(SHELL)) },
    { title: "VCK190 has", text: texts(limitsOf(logic)) },
    { title: "all and shell, of these", text: Object.fromEntries(share) },
    { title: "the paper's design", text: texts(needsOf(PAPER_COUNTS)) },
  ];
}

/** yosys' own names say nothing. */
const named = (net: string) => (net.startsWith("$") || net === "" ? "…" : `\`${net}\``);

export function partLines({ parts }: BuildSizes): Line[] {
  return parts.map((part) => ({
    title: part.count > 1 ? `${part.count} × \`${part.module}\`` : `\`${part.module}\``,
    text: texts(sumOfCounted([{ ...part, count: 1 }])),
    levels: part.path.levels.toFixed(1),
    path: `${named(part.path.from)} → ${named(part.path.to)}`,
  }));
}

const TITLES: { readonly [kind in keyof Counts]: string } = { ...NAMES, memoryLuts: "LUT as memory" };

export function columns(first: string): Column<Line>[] {
  return [
    { title: first, left: true, cell: ({ title }) => title },
    ...KINDS.map((kind) => ({ title: TITLES[kind], cell: ({ text }: Line) => text[kind] })),
    { title: "levels", cell: ({ levels }) => levels },
    { title: "longest path", left: true, cell: ({ path }) => path },
  ];
}

export function formatTerminal(sizes: Sizes): string {
  return sizes.builds
    .map((build) => {
      const lines = [...unitLines(build), ...besideLines(build)];
      return [build.name, formatTable(lines, columns("unit")), formatTable(partLines(build), columns("part"))].join(
        "\n\n",
      );
    })
    .join("\n\n");
}

/** What stands between the marks in docs/resources.md. */
export function formatMarkdown({ date, yosys, builds }: Sizes): string {
  const parameters = (build: BuildSizes) =>
    Object.entries(build.parameters)
      .map(([name, value]) => `${name} ${value}`)
      .join(", ");
  const lane = ({ parts, parameters }: BuildSizes) => {
    const { luts } = parts.find(({ module }) => module === "lm_mmu_lane")!;
    return `One row of 16 inputs with its scale and its sum, for one vector: ${number(Math.round(luts / (8 * parameters.TOKENS!)))} LUT of the lane's.`;
  };
  const tables = builds.map((build) => {
    const units = markdown([...unitLines(build), ...besideLines(build)], columns("unit"));
    const each = markdown(partLines(build), columns("part, one of each"));
    return [`### ${build.name}`, parameters(build), units, lane(build), each].join("\n\n");
  });
  return [`${yosys}, ${date.slice(0, 10)}.`, ...tables].join("\n\n");
}
