/** Products a byte that is read against products a second: what memory and multipliers allow, and where a token lies. */
import type { Board } from "../device/index.ts";
import type { Command } from "../estimate/device.ts";
import { type Configuration, estimatePass, passOf } from "../estimate/estimate.ts";
import { PAPER_VCK190, PUBLISHED } from "../estimate/published.ts";
import type { Shape } from "../estimate/workload.ts";
import { type Kind, plural, type Quantity } from "./quantity.ts";

export interface Roof {
  title: string;
  kind: Kind;
  gigabytesPerSecond: number;
  /** 1e9 a second. */
  gigaproducts: number;
}

export interface Point {
  title: string;
  kind: Kind;
  productsAByte: number;
  gigaproducts: number;
  tokensPerSecond: number;
}

export interface Roofline {
  roofs: Roof[];
  points: Point[];
}

/** Of 4-bit weights in a beat of 64 bytes, which a lane takes in a cycle. */
const PRODUCTS_A_BEAT = 128;
const BLOCK_ROWS = 8;

export function roofline(shape: Shape, configuration: Configuration, tokens: number, paper: boolean): Roofline {
  const { board } = configuration;
  const own = (vectors: number): Roof => ({
    title: `${plural(board.ports.length, "port")}, ${plural(vectors, "token")} a pass`,
    kind: "bound",
    gigabytesPerSecond: gigabytesOf(board),
    gigaproducts: (PRODUCTS_A_BEAT * vectors * board.ports.length * board.clock_mhz) / 1000,
  });
  const passes = [...new Set([1, tokens])];
  const points = passes.map((vectors) => pointOf(shape, configuration, vectors));
  const theirs = paper ? paperOf(shape, points[0]!) : { roofs: [], points: [] };
  return { roofs: [...passes.map(own), ...theirs.roofs], points: [...points, ...theirs.points] };
}

/** What can be read at most: what memories give, and no more than their ports take. Writes have a way of their own through a port. */
function gigabytesOf({ memories, ports }: Board): number {
  return memories.reduce((sum, { name, gigabytes_per_second, efficiency }) => {
    const rates = ports.filter(({ memory }) => memory === name).map((port) => port.gigabytes_per_second);
    const together = rates.reduce((total, rate) => total + rate, 0);
    return sum + Math.min(gigabytes_per_second * efficiency, together);
  }, 0);
}

/** Products of weights and activations. */
const productsOf = (commands: readonly Command[]) =>
  commands.reduce((sum, one) => sum + (one.unit === "mmu" ? one.blocks * BLOCK_ROWS * one.inputs * one.tokens : 0), 0);

/** A pass of several tokens is one of a prompt: without logits. */
function pointOf(shape: Shape, configuration: Configuration, tokens: number): Point {
  const pass = { tokens, logits: tokens === 1 };
  const { seconds, bytesRead } = estimatePass(shape, configuration, pass);
  const products = productsOf(passOf(shape, configuration, pass).flat());
  return {
    title: tokens === 1 ? "generation" : `a prompt, ${tokens} tokens a pass`,
    kind: "estimated",
    productsAByte: products / bytesRead,
    gigaproducts: products / seconds / 1e9,
    tokensPerSecond: tokens / seconds,
  };
}

/** Their tokens have no lm_head; their products and bytes are taken to be in the proportion of ours. */
function paperOf(shape: Shape, { productsAByte }: Point): Roofline {
  const { gigabytesPerSecond, productsACycle, clockMhz } = PAPER_VCK190;
  const { dModel, dInner, nHeads, nGroups, dState, nLayers } = shape.config;
  const products = nLayers * dModel * (3 * dInner + 2 * nGroups * dState + nHeads);
  const point = (title: string, { value }: Quantity): Point => {
    return { title, kind: "published", productsAByte, gigaproducts: (value * products) / 1e9, tokensPerSecond: value };
  };
  const roof = { gigabytesPerSecond, gigaproducts: (productsACycle * clockMhz) / 1000 };
  return {
    roofs: [{ title: "the paper's VCK190", kind: "published", ...roof }],
    points: [
      point("the paper, natural order", PUBLISHED.naturalOrder),
      point("the paper, reordered", PUBLISHED.vck190),
    ],
  };
}
