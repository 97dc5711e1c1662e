/** Everything that a report shows of a model on a board, as data; html/, text.ts and JSON are its forms. */
import { setImmediate } from "node:timers/promises";
import type { EstimateReport } from "../estimate/report.ts";
import { type BuildChoice, checkedConfiguration, estimateReport, type Subject } from "../estimate/subject.ts";
import { EMBEDDED_MODEL, packageVersion } from "../package.ts";
import { type AblationRow, ablation } from "./ablation.ts";
import { type Accuracy, accuracy } from "./accuracy.ts";
import { type ComparisonRow, comparison } from "./comparison.ts";
import { type Layer, layerTimelines } from "./layer.ts";
import { type Pareto, pareto, type Work } from "./pareto.ts";
import { inTurn, readLadder, readSim, readSynthesis, type Sim, type SimRow } from "./recorded.ts";
import { type Roofline, roofline } from "./roofline.ts";

export interface Report {
  version: string;
  estimate: EstimateReport;
  comparison: ComparisonRow[];
  roofline: Roofline;
  layer: Layer;
  ablation: AblationRow[];
  pareto: Pareto;
  accuracy: Accuracy;
}

export type ReportChoice = BuildChoice & { prompt: number };

export async function gatherReport(subject: Subject, choice: ReportChoice, work: Work): Promise<Report> {
  const { tokens, ...configuration } = checkedConfiguration(subject, choice);
  const [sim, ladder] = [readSim(), readLadder()];
  const recorded = recordedFor(sim, subject, choice, configuration.board.ports.length);
  const large = subject.name === "mamba2-2.7b";
  return {
    version: packageVersion(),
    estimate: await later(() => estimateReport(subject, choice)),
    roofline: await later(() => roofline(subject, configuration, tokens, large)),
    layer: await later(() => layerTimelines(subject, configuration, inTurn(recorded, choice.serial))),
    ablation: await later(() => ablation(subject, configuration, { recorded, paper: large })),
    comparison: await later(() => comparison(sim, ladder, readSynthesis())),
    accuracy: accuracy(ladder),
    pareto: await pareto(subject, choice, work),
  };
}

/** Between two of them Ctrl-C is heard. */
async function later<T>(make: () => T): Promise<T> {
  await setImmediate();
  return make();
}

/** What the RTL said of this very model and build, overlaps apart. */
function recordedFor(sim: Sim, subject: Subject, choice: ReportChoice, ports: number): SimRow[] {
  const { activationBits, weights } = subject.description;
  const plain = activationBits === 4 && !weights.wide.includes("lm_head");
  const build = choice.board === sim.board && choice.clock === undefined && (choice.stateLanes ?? 2) === 2;
  if (!plain || !build) return [];
  const name = subject.name === EMBEDDED_MODEL ? "embedded" : subject.name;
  return sim.rows.filter(({ model, setting }) => {
    const { tokens, partition } = setting;
    return model === name && setting.ports === ports && tokens === 1 && partition === choice.partition;
  });
}
