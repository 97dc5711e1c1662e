/** Whether a board's build holds a model, as assembly/accel-build.ts decides when one is there; and whether its memories do. */
import { STATE_GROUP } from "../../assembly/contract.ts";
import type { BOARDS } from "../device/boards.generated.ts";
import { LightMambaError } from "../errors.ts";
import { modelTensors } from "../model/tensors.ts";
import type { Partition } from "../runtime/accelerator.ts";
import { portPatterns } from "../runtime/ports.ts";
import type { EstimateBoard } from "./estimate.ts";
import type { HtuCommand } from "./units/htu.ts";
import { sharesOf } from "./units/mmu.ts";
import { type Pass, passLists, type Shape } from "./workload.ts";

export type BuildLimits = { readonly [name in keyof (typeof BOARDS)["sim"]["build"]]: number };

/** Throws where the build cannot run the model, or its memory not hold it. */
export function checkFit(
  shape: Shape,
  board: EstimateBoard & { readonly build: BuildLimits },
  { partition, tokens, statePorts = 0 }: { partition: Partition; tokens: number; statePorts?: number | undefined },
): void {
  const { config, description } = shape;
  const { build } = board;
  const check = (field: string, what: string, found: number, most: number) => {
    if (found <= most) return;
    throw new LightMambaError("unsupported", what, { field, expected: `at most ${most}`, found });
  };
  check("tokens", "the build takes fewer tokens a pass", tokens, build.tokens);
  check("state_bits", "the device has no such state", description.stateBits, 8);
  const operand = description.activationBits === 4 ? 5 : description.activationBits;
  check("activation_bits", "the build has narrower multipliers", operand, build.act_bits);
  const { dModel, dInner, nHeads, headDim, dState, nGroups, convWidth } = config;
  check("d_inner", "the build is for less", Math.max(dModel, dInner), build.max_inputs);
  check("num_heads", "the build is for fewer", nHeads, build.max_heads);
  check("head_dim", "the build is for less", headDim, build.max_head_dim);
  check("state_size", "the build is for less", dState, build.max_state);
  check("n_groups", "the build is for fewer", nGroups, build.max_groups);
  check("words of the state", "the build is for fewer", nGroups * Math.ceil(dState / STATE_GROUP), build.max_words);
  const taps = (convWidth - 1) * (dInner + 2 * nGroups * dState);
  check("values of the convolution's ring", "the build is for fewer", taps, build.max_taps);
  check("channels of a norm group", "the build is for fewer", nGroups > 1 ? dInner / nGroups : 0, build.max_norm_group);
  check("state_ports", "the build has fewer ports behind the first", statePorts, board.ports.length - 1);
  const patterns = portPatterns(shape, board, statePorts);
  const pass: Pass = { tokens, partition, serial: [], patterns, maxLog2: build.max_log2, logits: true };
  const transform = passLists(shape, pass)
    .flat()
    .find((command) => command.unit === "htu") as HtuCommand | undefined;
  check("order of the Hadamard matrix", "the build is for less", transform?.order ?? 0, build.max_order);
  checkMemory(shape, board, pass, statePorts);
}

function checkMemory(shape: Shape, board: EstimateBoard, pass: Pass, statePorts: number): void {
  const needs = new Map<string, number>();
  const add = (memory: string, bytes: number) => needs.set(memory, (needs.get(memory) ?? 0) + bytes);
  for (const command of passLists(shape, { ...pass, tokens: 1 }).flat()) {
    if (command.unit !== "mmu") continue;
    const beats = sharesOf(command, board.ports.length).map((share) => share * command.blockBeats);
    for (const [port, share] of beats.entries()) add(board.ports[port]!.memory, share * 64);
  }
  const parts = statePorts === 0 ? [board.ports[0]!] : board.ports.slice(1, 1 + statePorts);
  for (const { memory } of parts) add(memory, stateBytes(shape) / parts.length);
  // Everything else lies where port 0 leads
  add(board.ports[0]!.memory, otherBytes(shape));
  for (const { name, bytes } of board.memories) {
    const found = needs.get(name) ?? 0;
    if (found <= bytes) continue;
    const detail = { field: `memory ${name}`, expected: `at most ${bytes} bytes`, found };
    throw new LightMambaError("unsupported", "the model does not fit", {
      ...detail,
      hint: "more ports, or another board",
    });
  }
}

/** Exponents and codes of all layers. */
function stateBytes({ config }: Shape): number {
  return config.nLayers * config.dInner * Math.ceil(config.dState / STATE_GROUP) * (STATE_GROUP + 1);
}

/** Embedding and row constants, roughly: what is more than a beat or two. */
function otherBytes({ config, description }: Shape): number {
  const tensors = modelTensors(config, description.weights);
  const table = tensors.get("embedding.codes")?.shape ?? [0, 0];
  const rows = tensors.get("layers.0.in_proj.row_exponent")?.shape[0] ?? 0;
  return table[0]! * table[1]! + config.nLayers * 16 * rows;
}
