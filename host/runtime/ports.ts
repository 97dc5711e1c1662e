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
 * rate. `sides` are the bytes that each port moves meanwhile beside the weights: state, rows, constants.
 */
export function portShares(board: Board, weights: number, sides: readonly number[]): number[] {
  const side = (port: number) => sides[port] ?? 0;
  const memories = memoryRates(board).map((memory) => ({ ...memory, side: sumOf(memory.ports, side) }));
  const shares = board.ports.map(() => 0);
  const all = openOf(memories, weights + sumOf(memories, (memory) => memory.side));
  for (const { ports, rate } of all.open) {
    const members = ports.map((port) => ({ port, rate: 1, side: side(port) }));
    const own = openOf(members, (all.load * rate) / all.rates);
    for (const one of own.open) shares[one.port] = own.load / own.rates - one.side;
  }
  return shares.some((share) => share > 0) ? shares : shares.map(() => 1);
}

/** Those who get weights, and their load with what is beside these. Who has more beside than a part by rate gets none, so that the others are done together. */
function openOf<T extends { rate: number; side: number }>(
  members: readonly T[],
  load: number,
): { open: readonly T[]; load: number; rates: number } {
  const rates = sumOf(members, ({ rate }) => rate);
  const isFull = ({ rate, side }: T) => side > (load * rate) / rates;
  const full = members.filter(isFull);
  if (full.length === 0) return { open: members, load, rates };
  return openOf(
    members.filter((member) => !isFull(member)),
    load - sumOf(full, ({ side }) => side),
  );
}

function sumOf<T>(members: readonly T[], of: (member: T) => number): number {
  return members.reduce((sum, member) => sum + of(member), 0);
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

/**
 * Patterns of in_proj, and of out_proj and lm_head. statePorts: of the build, as in boards/*.yaml. Such a build fetches the weights of the next matrix as
 * soon as a port has done its part of this one, so its ports are to be done with a layer together, else with each matrix.
 */
export function portPatterns(
  header: Shape,
  board: Board,
  statePorts: number,
): { inProj: Uint8Array; others: Uint8Array } {
  // A model of lm_head alone has no layers
  if (header.config.nLayers > 0 && statePorts > 0) {
    const all = portPattern(layerShares(header, board, statePorts));
    return { inProj: all, others: all };
  }
  const inProj = header.config.nLayers > 0 ? inProjShares(header, board) : portShares(board, 1, []);
  return { inProj: portPattern(inProj), others: portPattern(portShares(board, 1, [])) };
}

/** Blocks of a matrix of the first layer, and bytes of each. */
function framesOf({ config, description }: Shape, matrix: "in_proj" | "out_proj"): [blocks: number, bytes: number] {
  const shape = modelTensors(config, description.weights).get(`layers.0.${matrix}.frames`)!.shape;
  return [shape[0]!, shape[1]!];
}

/** Exponents and codes of a layer's state, read and written. */
function stateBytes({ config }: Shape): number {
  return 2 * config.dInner * Math.ceil(config.dState / STATE_GROUP) * (STATE_GROUP + 1);
}

/** For a block of in_proj: its rows, written and read, their constants, and its record. */
const BESIDE_BLOCK = BLOCK_ROWS * (lm.ROW_RECORD + 2 * Int16Array.BYTES_PER_ELEMENT) + lm.BLOCK_RECORD;

/** Weights of in_proj for each port, while port 0 moves the state both ways and what else the SSM needs of a row. */
function inProjShares(shape: Shape, board: Board): number[] {
  const [blocks, bytes] = framesOf(shape, "in_proj");
  return portShares(board, blocks * bytes, [stateBytes(shape) + blocks * BESIDE_BLOCK]);
}

/** Weights of a layer for each port: the first few have parts of the state, and port 0 all that is neither. */
function layerShares(shape: Shape, board: Board, statePorts: number): number[] {
  const [inBlocks, inBytes] = framesOf(shape, "in_proj");
  const [outBlocks, outBytes] = framesOf(shape, "out_proj");
  const { dModel, dInner, nHeads, nGroups, dState, convWidth } = shape.config;
  // F and taps both ways; u and u transformed, both written and read; the residual coded, added to; codes
  const ring = 2 * (4 * nHeads + 2 * (convWidth - 1) * (dInner + 2 * nGroups * dState));
  const vectors = 4 * 4 * dInner + 3 * 4 * dModel + 2 * (dModel + dInner);
  const first = inBlocks * BESIDE_BLOCK + outBlocks * lm.BLOCK_RECORD + ring + vectors;
  const sides = board.ports.map((_, port) =>
    port === 0 ? first : port <= statePorts ? stateBytes(shape) / statePorts : 0,
  );
  return portShares(board, inBlocks * inBytes + outBlocks * outBytes, sides);
}
