/** Ours beside the paper's and beside what memory allows, for Mamba2-2.7B with 4-bit weights and activations: the table of README.md. */
import { BOARDS } from "../device/boards.generated.ts";
import type { BoardName } from "../device/index.ts";
import { KINDS as COUNTED, sumOfCounted } from "../estimate/counts.ts";
import { PUBLISHED } from "../estimate/published.ts";
import type { EstimateReport } from "../estimate/report.ts";
import { limitsOf, NAMES, needsOf, type Shares, withShell } from "../estimate/resources.ts";
import { type BuildChoice, estimateReport, subjectOf } from "../estimate/subject.ts";
import { LADDER } from "../ladder.ts";
import { simulated } from "./ablation.ts";
import type { RecordedLadder } from "./accuracy.ts";
import type { Quantity } from "./quantity.ts";
import type { Sim, SimRow, Synthesis } from "./recorded.ts";

export interface ComparisonRow {
  what: string;
  unit: string;
  paper?: Quantity;
  /** Or what the part has. */
  bound?: Quantity;
  ours: Quantity;
}

const ESTIMATE = "lightmamba estimate --shape 2.7b";

export function comparison(sim: Sim, ladder: RecordedLadder, synthesis: Synthesis): ComparisonRow[] {
  const rows = sim.rows.filter(({ model }) => model === "mamba2-2.7b");
  const of = (name: string) => rows.find(({ setting }) => setting.name === name)!;
  const [vck190, u280] = (["vck190", "u280"] as const).map(estimated) as [EstimateReport, EstimateReport];
  return [
    ...speedRows("VCK190", PUBLISHED.vck190, vck190, of("all overlaps")),
    ...speedRows("U280", PUBLISHED.u280, u280),
    ...stepRows(of),
    ...energyRows(vck190),
    ...resourceRows(synthesis),
    ...accuracyRows(ladder),
  ];
}

function estimated(board: BoardName): EstimateReport {
  const choice: BuildChoice = { board, partition: "fused", serial: [] };
  return estimateReport(subjectOf({ shape: "mamba2-2.7b" }), { ...choice, prompt: 1 });
}

function speedRows(board: string, paper: Quantity, report: EstimateReport, row?: SimRow): ComparisonRow[] {
  const { tokensPerSecond, shareOfBound, band } = report;
  const bound: Quantity = {
    value: tokensPerSecond / shareOfBound,
    kind: "bound",
    source: `${ESTIMATE}: bytes over rates`,
  };
  const what = `${board}: speed`;
  const ours: Quantity = {
    value: tokensPerSecond,
    band,
    kind: "estimated",
    source: `${ESTIMATE} --board ${report.board}`,
  };
  const common = { unit: "tok/s", paper, bound };
  const modelled = { what: `${what}, with sampling`, ...common, ours };
  return row === undefined ? [modelled] : [{ what, ...common, ours: simulated(row) }, modelled];
}

function stepRows(of: (name: string) => SimRow): ComparisonRow[] {
  const source = "bench/results/sim.json";
  const busy = (value: number): Quantity => ({ value: 100 * value, kind: "simulated", source });
  const percent = ({ value, source }: Quantity): Quantity => ({ value: 100 * value, kind: "published", source });
  return [
    {
      ...{ what: "VCK190, scan after in_proj: speed", unit: "tok/s", paper: PUBLISHED.naturalOrder },
      ours: simulated(of("all but the reordering: SSM after in_proj")),
    },
    {
      ...{ what: "VCK190, a single memory port: speed", unit: "tok/s", paper: PUBLISHED.vck190 },
      ours: simulated(of("one port")),
    },
    {
      ...{ what: "VCK190: memory busy", unit: "%", bound: { value: 100, kind: "bound", source } },
      ours: busy(of("all overlaps").memoryBusy),
    },
    {
      ...{ what: "VCK190: MMU busy", unit: "%", paper: percent(PUBLISHED.mmuBusy) },
      ours: busy(of("all overlaps").mmuBusy),
    },
  ];
}

function energyRows({ energy, board }: EstimateReport): ComparisonRow[] {
  if (energy === undefined) return [];
  const [low, high] = energy.joulesBand;
  const ours: Quantity = {
    ...{ value: 1 / energy.joulesPerToken, band: [1 / high, 1 / low] },
    ...{ kind: "estimated", source: `${ESTIMATE} --board ${board}` },
  };
  return [{ what: "VCK190: tokens for a joule", unit: "tok/J", paper: PUBLISHED.tokensAJoule, ours }];
}

/** With the shell that is assumed. */
function resourceRows({ builds }: Synthesis): ComparisonRow[] {
  const { parts } = builds.find(({ name }) => name === "vck190")!;
  const needs = needsOf(withShell(sumOfCounted(parts)));
  const has = limitsOf(BOARDS.vck190.logic) as Shares;
  const kinds = COUNTED.filter((kind): kind is keyof Shares => kind !== "memoryLuts");
  return kinds.map((kind) => ({
    ...{ what: `VCK190: ${NAMES[kind]}`, unit: "", paper: PUBLISHED[kind] },
    bound: { value: has[kind], kind: "bound", source: "boards/vck190.yaml: what the part has" },
    ours: { value: needs[kind], kind: "synthesized", source: "bench/results/size.json, and a shell" },
  }));
}

function accuracyRows({ rungs, by }: RecordedLadder): ComparisonRow[] {
  const rung = (title: string): Quantity => {
    const { kl } = rungs.find(({ name }) => name === title)!;
    return { value: kl, kind: "measured", source: `bench/results/ladder.json (${by})` };
  };
  const paper: Quantity = { ...rung(LADDER[0]!.name), source: "the paper's recipe, measured here" };
  return [{ what: "KL to FP32 of a model of 7 million parameters", unit: "nats/token", paper, ours: rung("A4 gptq") }];
}
