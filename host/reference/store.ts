import type { Mamba2Config } from "../checkpoint/types.ts";
import type { PlacedHadamard } from "./block.ts";
import { type LayerAddresses, matrixSizes, placeLayer } from "./layout.ts";
import { Arena, type Offline } from "./offline.ts";
import { checkHadamard, type ReferenceLayer, type ReferenceWeights } from "./weights.ts";

/** Below this all weights stay in the WebAssembly memory; above it each call reads them block by block. */
const RESIDENT_BYTES = 2 * 2 ** 30;
/** Piece of lm_head that is copied in at a time when the weights do not stay. */
const HEAD_PIECE_BYTES = 64 * 2 ** 20;

/** The weights inside the WebAssembly memory: all of them, or one block at a time. */
export class WeightStore {
  /** [D]. */
  readonly finalNorm: number;
  readonly online: PlacedHadamard | undefined;
  /** Rows of lm_head that fit at a time. */
  readonly headRows: number;
  private readonly offline: Offline;
  private readonly weights: ReferenceWeights;
  private readonly slots: LayerAddresses[];
  private readonly head: number;
  private readonly loaded = new Map<number, number>();
  private headStart = -1;

  constructor(offline: Offline, weights: ReferenceWeights, arena: Arena, residentBytes = RESIDENT_BYTES) {
    const { config } = weights;
    this.offline = offline;
    this.weights = weights;
    this.finalNorm = arena.floats(config.dModel);
    this.online = placeHadamard(arena, weights);
    const resident = weightBytes(config) <= residentBytes;
    this.slots = Array.from({ length: resident ? config.nLayers : 1 }, () => placeLayer(arena, config));
    const piece = Math.max(1, Math.floor(HEAD_PIECE_BYTES / (4 * config.dModel)));
    this.headRows = resident ? config.vocabSize : Math.min(config.vocabSize, piece);
    this.head = arena.floats(this.headRows * config.dModel);
    offline.reserve(arena.end);
    this.reload();
  }

  /** Forgets what was copied, for a caller that changed the weights. */
  reload(): void {
    const { finalNorm, online } = this.weights;
    this.loaded.clear();
    this.headStart = -1;
    this.offline.floats(this.finalNorm, finalNorm.length).set(finalNorm);
    if (online && this.online) this.offline.bytes(this.online.signs, online.signs.length).set(online.signs);
  }

  layer(index: number): LayerAddresses {
    const slot = index % this.slots.length;
    const at = this.slots[slot]!;
    if (this.loaded.get(slot) !== index) {
      const { inProj, outProj } = matrixSizes(this.weights.config);
      const matrices = {
        inProj: this.offline.floats(at.inProj, inProj),
        outProj: this.offline.floats(at.outProj, outProj),
      };
      copyLayer(this.offline, this.weights.config, at, this.weights.layer(index, matrices));
      this.loaded.set(slot, index);
    }
    return at;
  }

  /** Address of rows [start, start + headRows) of lm_head. */
  headPiece(start: number): number {
    if (this.headStart !== start) {
      const { dModel } = this.weights.config;
      const end = Math.min(start + this.headRows, this.weights.config.vocabSize);
      const rows = this.weights.lmHead.subarray(start * dModel, end * dModel);
      this.offline.floats(this.head, rows.length).set(rows);
      this.headStart = start;
    }
    return this.head;
  }
}

/** What all blocks and lm_head take. */
function weightBytes(config: Mamba2Config): number {
  const probe = new Arena(0);
  placeLayer(probe, config);
  return probe.end * config.nLayers + 4 * config.vocabSize * config.dModel;
}

export function placeHadamard(
  arena: Arena,
  weights: Pick<ReferenceWeights, "online" | "config">,
): PlacedHadamard | undefined {
  const { online, config } = weights;
  if (!online) return undefined;
  checkHadamard(config.dInner, online);
  const { blocks, order, log2 } = online;
  return {
    blocks,
    order,
    log2,
    signs: arena.take(order * order),
    unrotated: online.unrotated ?? [],
    scratch: arena.floats(config.dInner / blocks),
    factor: Math.fround(Math.sqrt(blocks / config.dInner)),
  };
}

export function copyLayer(offline: Offline, config: Mamba2Config, at: LayerAddresses, layer: ReferenceLayer): void {
  const transposed = transpose(layer.conv, config.convWidth);
  for (const name of Object.keys(at) as (keyof ReferenceLayer)[]) {
    const values = name === "conv" ? transposed : layer[name];
    if (!values || at[name] === 0) continue;
    const placed = offline.floats(at[name], values.length);
    // Unless it was read to that place.
    if (values.buffer !== placed.buffer) placed.set(values);
  }
}

/** [C, W] to [W, C]. */
function transpose(conv: Float32Array, width: number): Float32Array {
  const channels = conv.length / width;
  const out = new Float32Array(conv.length);
  for (let c = 0; c < channels; c++) for (let j = 0; j < width; j++) out[j * channels + c] = conv[c * width + j]!;
  return out;
}
