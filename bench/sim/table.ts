/** What the simulated RTL said, as tables of a terminal and of docs/accelerator.md. */
import { type Column, formatTable, percent, whole } from "../../host/bench/table.ts";
import { BOARDS } from "../../host/device/boards.generated.ts";
import type { BoardName } from "../../host/device/index.ts";
import { shapeConfig } from "../../host/model/shapes.ts";
import type { Sim, SimRow } from "../../host/report/recorded.ts";
import { BUILD_COLUMNS, kilobytes, unfused } from "../buffers.ts";
import { markdown } from "../pages.ts";
import { WORKING } from "./measure.ts";

const COLUMNS: readonly Column<SimRow>[] = [
  { title: "model", left: true, cell: ({ model }) => model },
  { title: "setting", left: true, cell: ({ setting }) => setting.name },
  { title: "ports", cell: ({ setting }) => String(setting.ports) },
  { title: "cycles/layer", cell: ({ cycles }) => whole(cycles) },
  { title: "bound", cell: ({ bound }) => whole(bound) },
  { title: "memory busy", cell: ({ memoryBusy }) => percent(memoryBusy) },
  { title: "MMU busy", cell: ({ mmuBusy }) => percent(mmuBusy) },
  { title: "kB on chip", cell: ({ buffers }) => kilobytes(buffers) },
  ...WORKING.map((unit) => ({
    title: `${unit.toUpperCase()} work`,
    cell: ({ work }: SimRow) => whole(work[unit]!),
  })),
  { title: "tok/s", cell: ({ tokensPerSecond }) => tokensPerSecond.toFixed(1) },
];

export function formatSim({ board, layers, a72, rows, builds }: Sim): string {
  const intermediates = unfused(shapeConfig("mamba2-2.7b"));
  return `board ${board}, ${BOARDS[board as BoardName].clock_mhz} MHz (a plan: nothing was placed and routed), ${layers} layers of the shape

${formatTable(rows, COLUMNS)}

tok/s: all layers like these and lm_head at the memory's speed, without sampling; split with ${a72} µs a hand-over.
The paper (VCK190, W4A4, 400 MHz): MMU busy 58 % without and 96 % with reordering; 2.23, 5.32, 7.21 tok/s; 67 to 72 % of its 12 GB/s.

${formatTable(builds, BUILD_COLUMNS)}

Arrays of the RTL as Verilator elaborates it; weights: read ahead for the MMU; masters' queues count with their unit. URAM: these bytes in blocks of
36,864, which is what they fill at least: nothing was synthesized. Builds that were not measured are elaborated alone.
Three int32 of E x N, which a scan without fusion and tiles holds beside that (2.7B): ${kilobytes(intermediates.bytes)} kB, ${intermediates.uram.toFixed(1)} URAM, computed from the shape.
The paper: 246 URAM without them, 61 with, the whole of an implemented design, beside 912 BRAM; its code keeps a layer's state in some, here it streams.
`;
}

const PAGE_COLUMNS: readonly Column<SimRow>[] = [
  { title: "two DDR4, four LPDDR4 ports where not said", left: true, cell: ({ setting }) => setting.name },
  { title: "cycles a layer", cell: ({ cycles }) => whole(cycles) },
  { title: "memory busy", cell: ({ memoryBusy }) => percent(memoryBusy) },
  { title: "MMU busy", cell: ({ mmuBusy }) => percent(mmuBusy) },
  { title: "tok/s", cell: ({ tokensPerSecond }) => tokensPerSecond.toFixed(1) },
];

/** Of docs/accelerator.md, by the names of their places. */
export function simTables({ rows, builds }: Sim): { speed: string; buffers: string } {
  const shape = rows.filter(({ model }) => model !== "embedded");
  return { speed: markdown(shape, PAGE_COLUMNS), buffers: markdown(builds, BUILD_COLUMNS) };
}
