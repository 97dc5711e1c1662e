/** An estimate as text. */
import { type Column, formatTable, percent, whole } from "../bench/table.ts";
import type { Figure } from "../device/boards.generated.ts";
import { type Counts, KINDS } from "./counts.ts";
import { UNITS, type UnitName } from "./device.ts";
import type { Energy, EnergyPart } from "./energy.ts";
import type { Estimate } from "./estimate.ts";
import { NAMES, RESOURCE_UNITS, type Resources, type ResourceUnit, type Shares } from "./resources.ts";

export interface Assumption extends Figure {
  /** In boards/<board>.yaml; of several alike the first. */
  path: string;
}

export interface EstimateReport extends Estimate {
  model: string;
  board: string;
  clockMhz: number;
  ports: number;
  partition: string;
  serial: readonly string[];
  activationBits: number;
  headBits: number;
  /** Tokens a second with every figure that has a band at its worst, and at its best. */
  band: [low: number, high: number];
  resources: Resources;
  /** Not where nothing is known of the board's power. */
  energy?: Energy;
  /** What was not documented or measured: figures of the board. */
  assumptions: Assumption[];
}

const TITLES: { [unit in UnitName]: string } = { mmu: "MMU", ssmu: "SSMU", htu: "HTU", nqu: "NQU", embed: "EMBED" };
const RESOURCE_TITLES: { [unit in ResourceUnit]: string } = {
  ...TITLES,
  ...{ top: "lm_top itself", commands: "commands", masters: "masters", copy: "COPY" },
};

/** Of a unit, or of another part that draws power. */
export const partTitle = (part: string) => RESOURCE_TITLES[part as ResourceUnit] ?? part;

export function formatEstimate(report: EstimateReport): string {
  const { decode, prompt, clockMhz, band } = report;
  const milliseconds = (seconds: number) => `${(seconds * 1000).toFixed(2)} ms`;
  const onDevice = decode.cycles / (clockMhz * 1e6);
  const serial = report.serial.length > 0 ? `, in turn: ${report.serial.join(", ")}` : "";
  const rows: [string, string][] = [
    ["model", `${report.model}, W4A${report.activationBits}, lm_head of ${report.headBits} bits`],
    ["device", `${report.board}, ${report.ports} ports, ${clockMhz} MHz, ${report.partition}${serial}`],
    ["speed", `${report.tokensPerSecond.toFixed(2)} tok/s (${band.map((end) => end.toFixed(1)).join(" to ")})`],
    [
      "a token",
      `${milliseconds(decode.seconds)}: ${milliseconds(onDevice)} device, ${milliseconds(decode.processorSeconds)} processor`,
    ],
    ["memory", `${megabytes(decode.bytesRead)} read, ${megabytes(decode.bytesWritten)} written, ${gigabytes(report)}`],
    [
      "of the bound",
      `${percent(report.shareOfBound)} (${whole(decode.boundCycles)} of ${whole(decode.cycles)} cycles)`,
    ],
    ["first token", `${milliseconds(prompt.seconds)} after a prompt of ${prompt.tokens}, ${prompt.tokensAPass} a pass`],
    ...energyRows(report.energy),
  ];
  return [
    ...rows.map(([label, value]) => `${label.padEnd(14)}${value}`),
    "",
    formatTable(unitRows(report), COLUMNS),
    "",
    formatTable(resourceRows(report), RESOURCE_COLUMNS),
    "",
    ...(report.energy === undefined ? [] : [formatTable(report.energy.parts, ENERGY_COLUMNS(report.energy)), ""]),
    "Simulated, not measured: nothing has run on silicon, and the clock is a plan. What is assumed:",
    formatTable(report.assumptions, ASSUMED_COLUMNS),
  ].join("\n");
}

function gigabytes({ decode, clockMhz }: EstimateReport): string {
  const seconds = decode.cycles / (clockMhz * 1e6);
  return `${((decode.bytesRead + decode.bytesWritten) / seconds / 1e9).toFixed(1)} GB/s`;
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(2)} MB`;

interface UnitRow {
  unit: UnitName;
  cycles: number;
  exposed: number;
  share: number;
}

function unitRows({ decode }: EstimateReport): UnitRow[] {
  return UNITS.map((unit) => {
    const cycles = decode.unitCycles[unit];
    return { unit, cycles, exposed: decode.exposedCycles[unit], share: cycles / decode.cycles };
  });
}

const COLUMNS: readonly Column<UnitRow>[] = [
  { title: "unit", left: true, cell: ({ unit }) => TITLES[unit] },
  { title: "own cycles", cell: ({ cycles }) => whole(cycles) },
  { title: "of the token's", cell: ({ share }) => percent(share) },
  { title: "following nobody", cell: ({ exposed }) => whole(exposed) },
];

function energyRows(energy: Energy | undefined): [string, string][] {
  if (energy === undefined) return [["power", "nothing is known of this board's"]];
  const { watts, wattsBand, joulesPerToken, joulesBand } = energy;
  return [
    ["power", `${watts.toFixed(1)} W (${wattsBand.map((end) => end.toFixed(1)).join(" to ")}), part and memories`],
    ["energy", `${showJoules(joulesPerToken, joulesBand)} J/token`],
  ];
}

/** Never without its band. */
export function showJoules(joules: number, band: readonly [low: number, high: number]): string {
  return `${joules.toPrecision(3)} (${band.map((end) => end.toPrecision(3)).join(" to ")})`;
}

interface ResourceRow {
  unit: string;
  counts: Counts;
  share?: Shares;
}

export function resourceRows({ resources: { units, shell, all, share } }: EstimateReport): ResourceRow[] {
  return [
    ...RESOURCE_UNITS.map((unit) => ({ unit: RESOURCE_TITLES[unit], counts: units[unit] })),
    { unit: "shell (assumed)", counts: shell },
    { unit: "all, of the board's", counts: all, ...(share === undefined ? {} : { share }) },
  ];
}

export const RESOURCE_COLUMNS: readonly Column<ResourceRow>[] = [
  { title: "resources", left: true, cell: ({ unit }) => unit },
  ...KINDS.map((kind) => ({
    title: kind === "memoryLuts" ? "LUT as memory" : NAMES[kind],
    cell: ({ counts, share }: ResourceRow) => {
      const count = counts[kind].toLocaleString("en-US");
      return share === undefined || kind === "memoryLuts" ? count : `${count}, ${percent(share[kind])}`;
    },
  })),
];

export const ENERGY_COLUMNS = ({ joulesPerToken }: Energy): readonly Column<EnergyPart>[] => [
  { title: "energy", left: true, cell: ({ part }) => partTitle(part) },
  { title: "mJ/token", cell: ({ joules }) => (1000 * joules).toFixed(2) },
  { title: "share", cell: ({ joules }) => `${((100 * joules) / joulesPerToken).toFixed(1)} %` },
];

export const ASSUMED_COLUMNS: readonly Column<Assumption>[] = [
  { title: "figure", left: true, cell: ({ path }) => path },
  { title: "value", cell: ({ value }) => String(value) },
  { title: "band", cell: ({ band }) => band?.join(" to ") },
  { title: "confidence", left: true, cell: ({ confidence }) => confidence },
  { title: "source", left: true, cell: ({ source }) => source },
];
