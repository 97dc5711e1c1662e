/** A measurement for people. */
import type { BenchResult } from "./bench.ts";
import type { BenchRun } from "./candidate.ts";
import { machineLine } from "./machine.ts";
import { scaled, showSpread } from "./spread.ts";
import { type Column, formatTable } from "./table.ts";
import type { UnitTime } from "./units.ts";

export function formatResult(result: BenchResult): string {
  const { runs, machine, variant, rounds } = result;
  return [
    `${titleOf(result)}; medians of ${rounds} rounds (lowest-highest)`,
    `${machineLine(machine)}, ${variant === "native" ? "the processor's own" : variant} SIMD`,
    "",
    formatTable(runs, columns(result)),
    "",
    ...powerLines(result),
    "",
    formatTable(runs[0]!.units, [
      { title: "ms of a decoded token", cell: ({ unit }) => unit, left: true },
      ...runs.map(unitColumn),
    ]),
  ].join("\n");
}

function titleOf({ model, synthetic, dModel, layers }: BenchResult): string {
  return `${model}, ${layers} layers of ${dModel}${synthetic ? ", synthetic weights" : ""}`;
}

const POWER_COLUMNS: readonly Column<BenchRun>[] = [
  { title: "J/token", cell: ({ power }) => power?.joulesPerToken?.toPrecision(3) },
  { title: "W", cell: ({ power }) => power?.watts?.toFixed(1) },
];

/** Which rails that is, and what is wrong with others. */
function powerLines({ runs, hwmon }: BenchResult): string[] {
  const powers = runs.flatMap(({ power }) => (power === null ? [] : [power]));
  const [first] = powers;
  if (first === undefined) return [`no power monitor in ${hwmon}`];
  const counted = first.rails.filter(({ joules }) => joules !== null).map(({ rail }) => rail);
  const notes = new Set(powers.flatMap(({ notes }) => notes));
  return [
    `power: ${counted.length === 0 ? "of no rail" : counted.join(", ")}`,
    ...[...notes].map((note) => `remark: ${note}`),
  ];
}

function columns({ runs, decodeTokens, prefillTokens }: BenchResult): Column<BenchRun>[] {
  return [
    { title: "model", cell: nameOf, left: true },
    { title: "threads", cell: ({ threads }) => String(threads) },
    { title: "MB/token", cell: ({ weightBytesPerToken }) => (weightBytesPerToken / 1e6).toFixed(1) },
    { title: `decode tok/s (${decodeTokens})`, cell: (run) => showSpread(run.decodeTokensPerSecond, 1) },
    { title: "GB/s", cell: ({ weightBytesPerSecond }) => (weightBytesPerSecond / 1e9).toFixed(2) },
    { title: "threads read GB/s", cell: (run) => showSpread(scaled(run.readBytesPerSecond, 1e-9), 1) },
    { title: "of it %", cell: (run) => showSpread(scaled(run.shareOfReadBandwidth, 100)) },
    { title: "with the state %", cell: (run) => showSpread(scaled(run.shareWithState, 100)) },
    ...(runs.some(({ power }) => power !== null) ? POWER_COLUMNS : []),
    { title: `prefill tok/s (${prefillTokens})`, cell: (run) => showSpread(run.prefillTokensPerSecond, 1) },
    { title: "first token ms", cell: (run) => showSpread(scaled(run.timeToFirstTokenSeconds, 1000)) },
  ];
}

function nameOf({ activationBits, headBits }: BenchRun): string {
  return `W4A${activationBits}${headBits === 8 ? ", 8-bit head" : ""}`;
}

function threadsText(count: number): string {
  return `${count} thread${count > 1 ? "s" : ""}`;
}

function unitColumn(run: BenchRun): Column<UnitTime> {
  return {
    title: `${nameOf(run)}, ${threadsText(run.threads)}`,
    cell: ({ unit }) => (1000 * run.units.find((other) => other.unit === unit)!.seconds).toFixed(3),
  };
}
