/** One configuration of board and build with a published shape, and what the model says of it. */
import { BOARDS, FIGURES } from "../device/boards.generated.ts";
import type { BoardName } from "../device/index.ts";
import { LightMambaError } from "../errors.ts";
import type { ActivationBits } from "../model/description.ts";
import { findShape, shapeConfig } from "../model/shapes.ts";
import type { Partition } from "../runtime/accelerator.ts";
import { withPorts } from "../runtime/ports.ts";
import { syntheticDescription } from "../runtime/synthetic.ts";
import type { Counts } from "./counts.ts";
import type { Build } from "./device.ts";
import { energyOf } from "./energy.ts";
import { type EstimateBoard, estimatePass } from "./estimate.ts";
import { checkFit } from "./fit.ts";
import { beyond, type Limits, limitsOf, parametersOf, resourcesOf } from "./resources.ts";
import type { Shape } from "./workload.ts";

export interface Point {
  /** A published one, or the name of a model that is given with the point. */
  shape: string;
  activationBits: ActivationBits;
  headBits: 4 | 8;
  board: BoardName;
  partition: Partition;
  clockMhz: number;
  ports: number;
  stateLanes: number;
  statePorts: number;
  prefetch: number;
}

export interface Evaluated {
  point: Point;
  /** Of the model that said so: lines of another one are made again. */
  version: string;
  tokensPerSecond?: number;
  shareOfBound?: number;
  /** Of the whole design, with what stands beside lm_top. */
  resources?: Counts;
  /** With all that is known of the board's power, and the figures at their ends; not where nothing is. */
  joulesPerToken?: number;
  joulesBand?: [low: number, high: number];
  /** Why it cannot be. */
  refused?: string;
}

/** A board with so many of its ports, at another clock. */
export function boardWith(board: EstimateBoard, ports: number, clockMhz: number): EstimateBoard {
  return { ...board, ...withPorts(board, ports), clock_mhz: clockMhz };
}

function publishedShape({ shape, activationBits, headBits }: Point): Shape {
  const name = findShape(shape);
  if (name === undefined) throw new LightMambaError("usage", "is no published shape", { field: "shape", found: shape });
  const config = shapeConfig(name);
  return { config, description: syntheticDescription(config, { activationBits, headBits }) };
}

export function evaluate(point: Point, version: string, model = publishedShape(point)): Evaluated {
  const { partition, ports, clockMhz, stateLanes, statePorts, prefetch } = point;
  const known = BOARDS[point.board];
  const board = boardWith(known, ports, clockMhz);
  const build: Build = { stateLanes, statePorts, multiplies: statePorts > 0 ? 2 : 1, prefetch };
  try {
    checkFit(model, { ...board, build: known.build }, { ...build, partition, tokens: 1 });
  } catch (error) {
    if (error instanceof LightMambaError) return { point, version, refused: error.message };
    throw error;
  }
  const pass = estimatePass(model, { board, build, partition, serial: [] }, { tokens: 1, logits: true });
  const resources = resourcesOf(parametersOf(known.build, ports, build));
  const energy = energyOf(pass, resources, board, FIGURES[point.board]!);
  return {
    ...{ point, version, tokensPerSecond: 1 / pass.seconds },
    shareOfBound: pass.boundCycles / (clockMhz * 1e6) / pass.seconds,
    resources: resources.all,
    ...(energy === undefined ? {} : { joulesPerToken: energy.joulesPerToken, joulesBand: energy.joulesBand }),
  };
}

/** Those that take more than `limits`, or else than the board has, are refused. */
export function limited(results: readonly Evaluated[], limits: Limits): Evaluated[] {
  return results.map((one) => {
    if (one.resources === undefined) return one;
    const board: EstimateBoard = BOARDS[one.point.board];
    const refused = beyond(one.resources, { ...limitsOf(board.logic), ...limits });
    return refused === undefined ? one : { point: one.point, version: one.version, refused: refused.message };
  });
}
