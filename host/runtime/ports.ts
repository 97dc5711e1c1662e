/**
 * How the blocks of a matrix are dealt out to the memory ports: so that all ports are done at the same time. docs/accelerator.md.
 */
import { BLOCK_ROWS, STATE_GROUP } from "../../assembly/contract.ts";
import * as lm from "../../assembly/device.generated.ts";
import { type Board, memoriesInUse } from "../device/index.ts";
import type { ModelHeader } from "../model/description.ts";
import { modelTensors } from "../model/tensors.ts";

/** So many ports of the board; where it has fewer, the same ones again. */
export function withPorts(board: Board, count: number): Board {
  return { ...board, ports: Array.from({ length: count }, (_, i) => board.ports[i % board.ports.length]!) };
}

/** The memory of each port: numbers in the order in which ports use them first, so that of port 0 is 0. */
export function portMemories(board: Board): number[] {
  const names = memoriesInUse(board).map(({ name }) => name);
  return board.ports.map(({ memory }) => names.indexOf(memory));
}

/** For each memory its ports, and the GB/s that they get of it. */
function memoryRates(board: Board): { ports: number[]; rate: number }[] {
  return board.memories.map((memory) => {
    const ports = board.ports.flatMap((port, i) => (port.memory === memory.name ? [i] : []));
    const lanes = ports.reduce((sum, i) => sum + board.ports[i]!.gigabytes_per_second, 0);
    return { ports, rate: Math.min(memory.gigabytes_per_second * memory.efficiency, lanes) };
  });
}

/**
 * Bytes of `weights` for each port of the board. A memory gives its ports together what its efficiency leaves, a port no more than its own
 * rate. `side` are the bytes that port 0 moves meanwhile beside the weights: state, rows, constants.
 */
export function portShares(board: Board, weights: number, side: number): number[] {
  const memories = memoryRates(board);
  const total = memories.reduce((sum, { rate }) => sum + rate, 0);
  const shares = board.ports.map(() => 0);
  for (const { ports, rate } of memories) {
    const load = ((weights + side) * rate) / total;
    const each = load / ports.length;
    for (const i of ports) shares[i] = each;
    if (!ports.includes(0)) continue;
    shares[0] = Math.max(0, each - side);
    // What port 0 has beyond its part, the others of its memory have less
    const spill = Math.max(0, side - each) / Math.max(1, ports.length - 1);
    for (const i of ports) if (i !== 0) shares[i] = Math.max(0, each - spill);
  }
  return shares.some((share) => share > 0) ? shares : shares.map(() => 1);
}

/**
 * The port of block b, b mod length: each has its share of the blocks, and they take turns. Of all lengths the one with which the last port is done
 * first. Equal shares: 0, 1, …, n - 1.
 */
export function portPattern(shares: readonly number[]): Uint8Array {
  let best: number[] = [];
  let least = Number.POSITIVE_INFINITY;
  for (let length = 1; length <= lm.PORT_PATTERN; length++) {
    const counts = dealt(shares, length);
    const time = Math.max(...counts.map((count, port) => (count === 0 ? 0 : count / shares[port]!))) / length;
    if (time < least * (1 - 1e-9)) [best, least] = [counts, time];
  }
  return interleave(best);
}

/** Places of a pattern for each port: each goes to the port that has it done first. */
function dealt(shares: readonly number[], length: number): number[] {
  const counts = shares.map(() => 0);
  for (let place = 0; place < length; place++) {
    const times = shares.map((share, port) => (share > 0 ? (counts[port]! + 1) / share : Number.POSITIVE_INFINITY));
    counts[times.indexOf(Math.min(...times))]!++;
  }
  return counts;
}

/** So many places of each port, evenly mixed. */
function interleave(counts: readonly number[]): Uint8Array {
  const length = counts.reduce((sum, count) => sum + count, 0);
  const due = counts.map(() => 0);
  return Uint8Array.from({ length }, () => {
    counts.forEach((count, port) => {
      due[port]! += count / length;
    });
    const next = due.indexOf(Math.max(...due));
    due[next]! -= 1;
    return next;
  });
}

/** What decides sizes. */
type Shape = Pick<ModelHeader, "config" | "description">;

/** Patterns of in_proj, and of out_proj and lm_head. */
export function portPatterns(header: Shape, board: Board): { inProj: Uint8Array; others: Uint8Array } {
  return { inProj: portPattern(inProjShares(header, board)), others: portPattern(portShares(board, 1, 0)) };
}

/** Weights of in_proj for each port, while port 0 moves the state both ways and what else the SSM needs of a row. */
function inProjShares({ config, description }: Shape, board: Board): number[] {
  // A model of lm_head alone has none
  if (config.nLayers === 0) return portShares(board, 1, 0);
  const [blocks, bytes] = modelTensors(config, description.weights).get("layers.0.in_proj.frames")!.shape;
  const groups = config.dInner * Math.ceil(config.dState / STATE_GROUP);
  const constants = blocks! * (BLOCK_ROWS * (lm.ROW_RECORD + 2 * Int16Array.BYTES_PER_ELEMENT) + lm.BLOCK_RECORD);
  return portShares(board, blocks! * bytes!, 2 * groups * (STATE_GROUP + 1) + constants);
}
