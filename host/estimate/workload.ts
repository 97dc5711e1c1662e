/** What a pass costs: the lists of commands that the runtime gives to the device (assembly/accel-commands.ts, accel-pass.ts), by their sizes. */
import { BLOCK_ROWS } from "../../assembly/contract.ts";
import * as lm from "../../assembly/device.generated.ts";
import type { ModelHeader } from "../model/description.ts";
import { identityShape } from "../model/hadamard.ts";
import { modelTensors } from "../model/tensors.ts";
import type { Overlap, Partition } from "../runtime/accelerator.ts";
import type { Command, Order } from "./device.ts";
import type { HtuCommand } from "./units/htu.ts";
import type { MultiplyCommand } from "./units/mmu.ts";
import type { SsmCommand } from "./units/ssmu.ts";

/** A model without its weights. */
export type Shape = Pick<ModelHeader, "config" | "description">;

export interface Pass {
  tokens: number;
  partition: Partition;
  serial: readonly Overlap[];
  patterns: { inProj: Uint8Array; others: Uint8Array };
  /** Butterflies of the HTU that was built. */
  maxLog2: number;
  /** Whether the last token's logits are wanted. */
  logits: boolean;
}

/** A list for each doorbell. */
export function passLists(shape: Shape, pass: Pass): Command[][] {
  const { config } = shape;
  const layers = Array.from({ length: config.nLayers }, (_, i) => i);
  const residual = (layer: number): Command => ({
    unit: "nqu",
    when: layer === 0 ? "wait" : "follow",
    layer: layer < config.nLayers ? layer : -1,
    inputs: config.dModel,
    tokens: layer < config.nLayers ? pass.tokens : 1,
    bits: shape.description.activationBits,
    inner: false,
    stride: pass.tokens,
  });
  const head = pass.logits ? [headOf(shape, pass)] : [];
  if (pass.partition === "split") {
    return [...layers.flatMap((i) => [scanOf(shape, pass, i), [outProjOf(shape, pass, i)]]), head].filter(notEmpty);
  }
  const list = [
    ...embeddings(shape, pass),
    ...layers.flatMap((i) => [
      residual(i),
      ...scanOf(shape, pass, i),
      ...innerCodesOf(shape, pass, i),
      outProjOf(shape, pass, i),
    ]),
    ...(pass.logits ? [residual(config.nLayers)] : []),
    ...head,
  ];
  return [list];
}

const notEmpty = (list: readonly Command[]) => list.length > 0;

function embeddings({ config, description }: Shape, { tokens }: Pass): Command[] {
  if (description.weights.embedding === "head") return [];
  return Array.from({ length: tokens }, () => ({
    unit: "embed",
    when: "plain",
    layer: -1,
    inputs: config.dModel,
    stride: tokens,
  }));
}

/** Of a command that reads what the one before makes. */
function after({ serial }: Pass, overlap: Overlap): Order {
  return serial.includes(overlap) ? "wait" : "follow";
}

function scanOf(shape: Shape, pass: Pass, layer: number): Command[] {
  const { config } = shape;
  const scan: SsmCommand = {
    unit: "ssmu",
    tokens: pass.tokens,
    heads: config.nHeads,
    headDim: config.headDim,
    state: config.dState,
    groups: config.nGroups,
    width: config.convWidth,
    normGroup: config.nGroups > 1 ? config.dInner / config.nGroups : 0,
  };
  const inProj = matrix(shape, pass, layer, "in_proj");
  return [inProj, { ...scan, when: after(pass, "ssm"), layer }];
}

/** From u to coded vectors, through the transform where the layer has one. */
function innerCodesOf(shape: Shape, pass: Pass, layer: number): Command[] {
  const { config, description } = shape;
  const code: Command = {
    unit: "nqu",
    when: "follow",
    layer,
    inputs: config.dInner,
    tokens: pass.tokens,
    bits: description.activationBits,
    inner: true,
    stride: 1,
  };
  const transform = transformOf(shape, pass, layer);
  return transform === undefined ? [code] : [{ ...transform, when: after(pass, "htu"), layer }, code];
}

/** A power of two beyond the unit's butterflies goes into its matrix. */
function transformOf({ config, description }: Shape, { tokens, maxLog2 }: Pass, layer: number): HtuCommand | undefined {
  const { inner, unrotated } = description.rotation;
  if (unrotated.includes(layer) || inner.blocks === identityShape(config.dInner).blocks) return undefined;
  const log2 = Math.min(inner.log2, maxLog2);
  const order = inner.order * 2 ** (inner.log2 - log2);
  return { unit: "htu", inputs: config.dInner, tokens, blocks: inner.blocks, order, log2 };
}

function outProjOf(shape: Shape, pass: Pass, layer: number): Command {
  return matrix(shape, pass, layer, "out_proj");
}

function headOf(shape: Shape, pass: Pass): Command {
  return matrix(shape, pass, -1, "lm_head");
}

function matrix(shape: Shape, pass: Pass, layer: number, name: "in_proj" | "out_proj" | "lm_head"): Command {
  const { config, description } = shape;
  const full = layer < 0 ? name : `layers.${layer}.${name}`;
  const tensors = tensorsOf(shape);
  const [blocks, bytes] = tensors.get(`${full}.frames`)!.shape as [number, number];
  const routes = { in_proj: "segments", out_proj: "residual", lm_head: "logits" } as const;
  const multiply: MultiplyCommand = {
    unit: "mmu",
    matrix: name,
    blocks,
    blockBeats: bytes / lm.BEAT,
    inputs: name === "out_proj" ? config.dInner : config.dModel,
    tokens: layer < 0 ? 1 : pass.tokens,
    bits: description.activationBits,
    route: routes[name],
    bias: tensors.has(`${full}.bias`),
    pattern: name === "in_proj" ? pass.patterns.inProj : pass.patterns.others,
  };
  return { ...multiply, when: pass.partition === "split" ? "plain" : after(pass, "weights"), layer };
}

const known = new WeakMap<Shape, ReturnType<typeof modelTensors>>();

function tensorsOf(shape: Shape): ReturnType<typeof modelTensors> {
  const tensors = known.get(shape) ?? modelTensors(shape.config, shape.description.weights);
  known.set(shape, tensors);
  return tensors;
}

/** Blocks of lm_head. */
export function headBlocks({ config }: Shape): number {
  return Math.ceil(config.vocabSize / BLOCK_ROWS);
}
