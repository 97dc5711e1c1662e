/** What each overlap of the dataflow is worth: switched off one by one, in the model and on the simulated RTL; and the paper's own steps. */
import { type Configuration, estimatePass } from "../estimate/estimate.ts";
import { PUBLISHED } from "../estimate/published.ts";
import type { Shape } from "../estimate/workload.ts";
import type { Overlap } from "../runtime/accelerator.ts";
import type { Quantity } from "./quantity.ts";
import { inTurn, type SimRow } from "./recorded.ts";

export interface AblationRow {
  title: string;
  design: "ours" | "the paper's";
  /** Tokens a second: from the model, the RTL or the paper. */
  speeds: Quantity[];
}

const STEPS: readonly [title: string, serial: readonly Overlap[]][] = [
  ["everything in turn", ["ssm", "weights", "htu"]],
  ["no reordering: SSM after in_proj", ["ssm"]],
  ["no prefetch: weights after the codes", ["weights"]],
  ["HTU after the SSM", ["htu"]],
  ["all overlaps", []],
];

/** recorded: what the RTL said of the same model and build; paper: whether it is the paper's model. */
export function ablation(
  shape: Shape,
  configuration: Configuration,
  { recorded, paper }: { recorded: readonly SimRow[]; paper: boolean },
): AblationRow[] {
  const ours = STEPS.map(([title, serial]): AblationRow => {
    const pass = estimatePass(shape, { ...configuration, serial }, { tokens: 1, logits: true });
    const modelled: Quantity = { value: 1 / pass.seconds, kind: "estimated", source: "lightmamba estimate" };
    const row = inTurn(recorded, serial);
    return { title, design: "ours", speeds: row === undefined ? [modelled] : [modelled, simulated(row)] };
  });
  return paper ? [...ours, ...paperSteps()] : ours;
}

export function simulated(row: SimRow): Quantity {
  return { value: row.tokensPerSecond, kind: "simulated", source: "bench/results/sim.json (npm run sim:report)" };
}

function paperSteps(): AblationRow[] {
  const { fp16, naturalOrder, vck190 } = PUBLISHED;
  const step = (title: string, speed: Quantity): AblationRow => ({ title, design: "the paper's", speeds: [speed] });
  return [step("FP16", fp16), step("W4A4, natural order", naturalOrder), step("W4A4, reordered", vck190)];
}
