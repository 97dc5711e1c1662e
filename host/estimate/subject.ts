/** What an estimate is asked for: a model or a shape, on a build for a board. */
import { BOARDS, FIGURES } from "../device/boards.generated.ts";
import type { BoardName } from "../device/index.ts";
import { LightMambaError } from "../errors.ts";
import { type ActivationBits, readModelHeader } from "../model/description.ts";
import { type ShapeName, shapeConfig } from "../model/shapes.ts";
import { EMBEDDED_MODEL, modelDir } from "../package.ts";
import type { Overlap, Partition } from "../runtime/accelerator.ts";
import { syntheticDescription } from "../runtime/synthetic.ts";
import type { Build } from "./device.ts";
import { energyOf } from "./energy.ts";
import { bandedBoard, type Configuration, type EstimateBoard, estimate, estimatePass } from "./estimate.ts";
import { type BuildLimits, checkFit } from "./fit.ts";
import { boardWith } from "./point.ts";
import type { Assumption, EstimateReport } from "./report.ts";
import { beyond, limitsOf, parametersOf, type Resources, resourcesOf } from "./resources.ts";
import type { Shape } from "./workload.ts";

export interface ModelChoice {
  /** A model directory; or a published shape, with widths. Neither: the embedded model. */
  model?: string;
  shape?: ShapeName;
  activationBits?: ActivationBits;
  headBits?: 4 | 8;
}

export interface Subject extends Shape {
  name: string;
}

export function subjectOf({ model, shape, activationBits, headBits }: ModelChoice): Subject {
  if (shape !== undefined) {
    const config = shapeConfig(shape);
    const recipe = { activationBits: activationBits ?? 4, headBits: headBits ?? 4 };
    return { name: shape, config, description: syntheticDescription(config, recipe) };
  }
  if (activationBits !== undefined || headBits !== undefined) {
    throw new LightMambaError("usage", "a model directory has its widths already", { hint: "add --shape <name>" });
  }
  const { config, description } = readModelHeader(modelDir(model ?? EMBEDDED_MODEL));
  return { name: model ?? EMBEDDED_MODEL, config, description };
}

export interface BuildChoice {
  board: BoardName;
  /** Of ports, MHz and tokens a pass: the board's. */
  ports?: number;
  clock?: number;
  tokens?: number;
  partition: Partition;
  serial: readonly Overlap[];
  /** Of the board's build. */
  stateLanes?: number;
  statePorts?: number;
}

/** The board's build with what was chosen otherwise, and the board itself or one with other figures. */
export function configurationOf(choice: BuildChoice, board: EstimateBoard = BOARDS[choice.board]): Configuration {
  const { ports, clock, partition, serial } = choice;
  const used = boardWith(board, ports ?? board.ports.length, clock ?? board.clock_mhz);
  return { board: used, build: buildOf(choice, used.ports.length), partition, serial };
}

/** With fewer ports than the board's build deals the state out to, port 0 has it. */
function buildOf({ board, stateLanes, statePorts }: BuildChoice, ports: number): Build {
  const { state_lanes, state_ports, prefetch }: BuildLimits = BOARDS[board].build;
  const parts = statePorts ?? (state_ports < ports ? state_ports : 0);
  const lanes = stateLanes ?? (parts === 0 ? Math.min(4, state_lanes) : state_lanes);
  return { stateLanes: lanes, statePorts: parts, multiplies: parts === 0 ? 1 : 2, prefetch };
}

/** What the build takes of the board's logic. */
function configuredResources(name: BoardName, { board, build }: Configuration): Resources {
  return resourcesOf(parametersOf(BOARDS[name].build, board.ports.length, build), board.logic);
}

/** Throws where the build cannot run the model, or the board's logic not hold the build. */
export function checkedConfiguration(shape: Shape, choice: BuildChoice): Configuration & { tokens: number } {
  const build: BuildLimits = BOARDS[choice.board].build;
  const tokens = choice.tokens ?? build.tokens;
  const configuration = configurationOf(choice);
  checkFit(shape, { ...configuration.board, build }, { ...configuration.build, partition: choice.partition, tokens });
  const refused = beyond(configuredResources(choice.board, configuration).all, limitsOf(configuration.board.logic));
  if (refused !== undefined) throw refused;
  return { ...configuration, tokens };
}

export function estimateReport(subject: Subject, choice: BuildChoice & { prompt: number }): EstimateReport {
  const { tokens, ...configuration } = checkedConfiguration(subject, choice);
  const { board, partition, serial } = configuration;
  const found = estimate(subject, configuration, { tokens, prompt: choice.prompt });
  const resources = configuredResources(choice.board, configuration);
  const energy = energyOf(found.decode, resources, board, FIGURES[choice.board]!);
  const end = (which: "worst" | "best") => {
    const banded = bandedBoard(BOARDS[choice.board], FIGURES[choice.board]!, which);
    return 1 / estimatePass(subject, configurationOf(choice, banded), { tokens: 1, logits: true }).seconds;
  };
  return {
    ...{ model: subject.name, board: choice.board, clockMhz: board.clock_mhz, ports: board.ports.length },
    ...{ partition, serial, activationBits: subject.description.activationBits },
    headBits: subject.description.weights.wide.includes("lm_head") ? 8 : 4,
    ...found,
    band: [end("worst"), end("best")],
    resources,
    ...(energy === undefined ? {} : { energy }),
    assumptions: assumptionsOf(choice.board),
  };
}

/** Figures that nobody has documented or measured, and every band; of those that are alike the first. */
function assumptionsOf(board: BoardName): Assumption[] {
  const found = new Map<string, Assumption>();
  for (const [path, figure] of Object.entries(FIGURES[board]!)) {
    if (figure.confidence !== "assumed" && figure.confidence !== "chosen" && figure.band === undefined) continue;
    const alike = `${path.split(".").at(-1)} ${JSON.stringify(figure)}`;
    if (!found.has(alike)) found.set(alike, { path, ...figure });
  }
  return [...found.values()];
}
