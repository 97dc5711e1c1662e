// Where everything lies in the device's memory, in the layouts of docs/device.md. One walk over the model: the first time it measures, the second
// time it writes.
import { write } from "./accel";
import { build, deviceTokens, unitLog2, unitOrder } from "./accel-build";
import { config, convChannels, dInner, headRows, inProjRows, outProjRows, paddedInputs } from "./config";
import { ACTIVATION_GROUP, BEAT_BYTES, BLOCK_ROWS, LOGIT_FRACTION } from "./contract";
import {
  BLOCK_RECORD,
  BLOCK_RECORD_BIAS,
  LAYER_RECORD,
  NORM_RECORD,
  PORT_PATTERN,
  ROW_RECORD,
  STATE_PARTS,
  VECTOR_HEADER,
} from "./device.generated";
import { allocate } from "./memory";
import { DT, targetOf, Z } from "./pass";
import { layerStateBytes, partBytes, ringBytes } from "./state";
import { productShift } from "./units/codes";
import { blockBytes } from "./units/mmu";
import { guardBits } from "./units/nqu";
import { Layer, layerAt, weights } from "./weights";

/** A matrix on the device. */
@unmanaged
export class DeviceMatrix {
  rows: i32; //     as stored
  inputs: i32;
  planes: i32;
  bias: i32; //     1: block records have biases
  table: u64; //    of the ports
  records: u64; //  of the blocks
}

@unmanaged
export class DeviceLayer {
  record: u64;
  norm: u64; //     norm record of the codes before out_proj
  inProj: usize; // DeviceMatrix
  outProj: usize;
}

/** Addresses in device memory. T = deviceTokens(). */
@unmanaged
export class Places {
  // Read and written by the device
  residual: u64; //   T residuals, interleaved
  modelCodes: u64; // T coded vectors of D inputs
  innerCodes: u64; // T coded vectors of E inputs
  rows: u64; //       T times in_proj's rows, interleaved
  u: u64; //          T u vectors
  turned: u64; //     the same, transformed
  logits: u64;
  state: u64; //      of all layers; F and taps alone where other ports have the rest
  // Only read
  norm: u64; //       norm record of the codes of the residual
  signs: u64;
  embedding: u64; //  rows of embeddingBytes()
  layers: usize; //   DeviceLayer [L]
  head: usize; //     DeviceMatrix
}

export const places: Places = changetype<Places>(memory.data(offsetof<Places>(), 16));

export function deviceLayer(i: i32): DeviceLayer {
  return changetype<DeviceLayer>(places.layers + <usize>i * offsetof<DeviceLayer>());
}

// ---------------------------------------------------------------------------------------------------- sizes

/** Bytes in whole beats. */
export function beats(bytes: i32): i32 {
  return (bytes + BEAT_BYTES - 1) & ~(BEAT_BYTES - 1);
}

export function residualBytes(): i32 {
  return beats(outProjRows() * 4);
}

/** Group scales of a coded vector; 8-bit activations have none. */
export function scaleBytes(k: i32): i32 {
  return config.activationBits == 8 ? 0 : beats(paddedInputs(k) / ACTIVATION_GROUP);
}

export function codedBytes(k: i32): i32 {
  return VECTOR_HEADER + scaleBytes(k) + beats(paddedInputs(k));
}

export function uBytes(): i32 {
  return VECTOR_HEADER + beats(dInner() * 4);
}

export function embeddingBytes(): i32 {
  return beats(config.dModel);
}

/** Everything that the device writes, from `at` on; returns the first address behind it. */
export function placeData(at: u64): u64 {
  const p = places;
  const tokens = deviceTokens();
  p.residual = at;
  p.modelCodes = p.residual + tokens * residualBytes();
  p.innerCodes = p.modelCodes + tokens * codedBytes(config.dModel);
  p.rows = p.innerCodes + tokens * codedBytes(dInner());
  p.u = p.rows + tokens * beats(inProjRows() * 2);
  p.turned = p.u + tokens * uBytes();
  p.logits = p.turned + tokens * uBytes();
  p.state = p.logits + beats(headRows() * 4);
  return placeParts(0, p.state + <u64>config.layers * stateStride());
}

/** Parts of the state that lie in a memory, one after the other from `at` on; returns the first address behind them. */
function placeParts(memory: i32, at: u64): u64 {
  for (let part = 0; part < build.statePorts; part++) {
    if (load<u8>(build.memories + part + 1) != memory) continue;
    store<u64>(parts + ((<usize>part) << 3), at);
    at += <u64>config.layers * partBytes(build.statePorts);
  }
  return at;
}

/** Of a layer's state, or where its parts lie elsewhere, of its F and taps. */
export function stateStride(): u64 {
  return build.statePorts == 0 ? layerStateBytes() : ringBytes();
}

/** Where each part of the state begins, u64. */
const parts: usize = memory.data(STATE_PARTS * 8, 8);

export function partPlace(part: i32): u64 {
  return load<u64>(parts + ((<usize>part) << 3));
}

// ---------------------------------------------------------------------------------------------------- the walk

/** Columns of the HTU's matrix, u64 each; a larger order is no unit's. */
const MOST_ORDER: i32 = 64;
const SIGN_BYTES: usize = 64 * 8;
/** Bytes that are put together before they go to the device. */
const STAGING_BYTES: usize = 65536;

/** Of each memory, u64: a port has its blocks in its own, the first has everything else. */
const cursors: usize = memory.data(PORT_PATTERN * 8, 8);
let current: i32 = 0; // the memory that is written
let cursor: u64 = 0; //  in it
let writing: bool = false;
let table: usize = 0; // of ports
let staging: usize = 0;
let staged: usize = 0;

/** Where a memory's part of what the device only reads begins; after placeWeights, where it ends. */
export function setCursor(memory: i32, at: u64): void {
  store<u64>(cursors + ((<usize>memory) << 3), at);
}

export function cursorOf(memory: i32): u64 {
  return load<u64>(cursors + ((<usize>memory) << 3));
}

function moveTo(memory: i32): void {
  flush();
  setCursor(current, cursor);
  current = memory;
  cursor = cursorOf(memory);
}

/** `bytes` zeros at the cursor, to be filled in: at most STAGING_BYTES, valid until the next call. */
function next(bytes: usize): usize {
  if (staged + bytes > STAGING_BYTES) flush();
  const at = staging + staged;
  memory.fill(at, 0, bytes);
  staged += bytes;
  cursor += bytes;
  return at;
}

function flush(): void {
  if (writing && staged > 0) write(cursor - staged, staging, staged);
  staged = 0;
}

/** Fills up a beat with zeros; returns the address of the next. */
function align(): u64 {
  const over = <i32>cursor & (BEAT_BYTES - 1);
  if (over > 0) next(BEAT_BYTES - over);
  return cursor;
}

/** Bytes of linear memory as they are, whole beats. */
function put(pointer: usize, bytes: usize): void {
  flush();
  if (writing) write(cursor, pointer, bytes);
  cursor += bytes;
}

/** Everything that the device only reads, from the cursors on; in memories beside the first behind their parts of the state. */
export function placeWeights(write: bool): void {
  const p = places;
  if (p.layers == 0) allocatePlaces();
  for (let i = 1; i < PORT_PATTERN; i++) setCursor(i, placeParts(i, cursorOf(i)));
  cursor = cursorOf(0);
  writing = write;
  p.norm = align();
  putNorm(config.residualEpsilon, modelAddend());
  p.signs = align();
  putSigns();
  p.embedding = align();
  if (weights.embedding) putEmbedding();
  for (let i = 0; i < config.layers; i++) putLayer(i);
  const head = changetype<DeviceMatrix>(p.head);
  setMatrix(head, headRows(), config.dModel, weights.headPlanes, false);
  putMatrix(head, weights.headFrames, weights.headRowExponents, 0, null);
  align();
  moveTo(0);
}

function allocatePlaces(): void {
  staging = allocate(STAGING_BYTES);
  table = allocate(beats(PORT_PATTERN + 1) + beats(PORT_PATTERN * 8));
  places.head = allocate(offsetof<DeviceMatrix>());
  places.layers = allocate(<usize>config.layers * offsetof<DeviceLayer>());
  for (let i = 0; i < config.layers; i++) {
    deviceLayer(i).inProj = allocate(offsetof<DeviceMatrix>());
    deviceLayer(i).outProj = allocate(offsetof<DeviceMatrix>());
  }
}

/** What the shift of in_proj's and lm_head's row scale has beside the norm's, the row's exponent and the fraction of the result. */
export function modelAddend(): i32 {
  return -productShift(config.activationBits) - guardBits(config.activationBits);
}

/** The same of out_proj, beside the exponent of the codes too; FR is the result's. */
export function innerAddend(l: Layer): i32 {
  const normed = config.normGroups > 1 ? 0 : -l.fG;
  return l.fU + normed - config.residualFraction - productShift(config.activationBits);
}

/** epsilon is 0 where the norm is not the NQU's. */
function putNorm(epsilon: u64, addend: i32): void {
  const at = next(NORM_RECORD);
  store<u64>(at, epsilon);
  store<u16>(at, <u16>config.rootModel, 8);
  store<u8>(at, <u8>config.rootModelShift, 10);
  store<i32>(at, addend, 12);
}

/** Column i of the unit's matrix H_m ⊗ H_2^j, j = log2 beyond what its butterflies take: bit r is set where row r has -1. */
function putSigns(): void {
  const columns = next(SIGN_BYTES);
  const order = unitOrder();
  const j = config.hadamardLog2 - unitLog2();
  if (order > MOST_ORDER) return;
  for (let i = 0; i < order; i++) {
    let column: u64 = 0;
    for (let r = 0; r < order; r++) {
      const sign = load<i8>(config.hadamardSigns + <usize>((r >> j) * config.hadamardOrder + (i >> j)));
      const flips = popcnt(r & i & ((1 << j) - 1)) & 1;
      if (sign < 0 == (flips == 0)) column |= (<u64>1) << r;
    }
    store<u64>(columns + ((<usize>i) << 3), column);
  }
}

/** A row begins on a beat. */
function putEmbedding(): void {
  const d = config.dModel;
  for (let token = 0; token < config.vocab; token++) {
    memory.copy(next(embeddingBytes()), weights.embedding + <usize>token * <usize>d, d);
  }
}

function putLayer(i: i32): void {
  const l = layerAt(i);
  const to = deviceLayer(i);
  const constants = align();
  putRows(l);
  to.record = align();
  putRecord(l, constants);
  if (build.statePorts > 0) putParts(i);
  to.norm = align();
  putNorm(0, innerAddend(l));
  const inProj = changetype<DeviceMatrix>(to.inProj);
  setMatrix(inProj, inProjRows(), config.dModel, l.inPlanes, l.inBias != 0);
  putMatrix(inProj, l.inFrames, l.inRowExponents, l.inBias, l);
  const outProj = changetype<DeviceMatrix>(to.outProj);
  setMatrix(outProj, outProjRows(), dInner(), l.outPlanes, l.outBias != 0);
  putMatrix(outProj, l.outFrames, l.outRowExponents, l.outBias, null);
}

function putRecord(l: Layer, constants: u64): void {
  const at = next(LAYER_RECORD);
  const fractions = changetype<usize>(l) + offsetof<Layer>("fZ");
  for (let i = 0; i < 14; i++) store<i8>(at + i, <i8>load<i32>(fractions + ((<usize>i) << 2)));
  store<u8>(at, config.normGroups > 1 ? 1 : 0, 14);
  store<u32>(at, <u32>config.timeStepLow, 16);
  store<u32>(at, <u32>config.timeStepHigh, 20);
  store<u64>(at, l.gateEpsilon, 24);
  store<u16>(at, <u16>config.rootInner, 32);
  store<u8>(at, <u8>config.rootInnerShift, 34);
  store<u64>(at, constants, 40);
}

/** Where the parts of a layer's state begin. */
function putParts(layer: i32): void {
  const at = next(BEAT_BYTES);
  for (let part = 0; part < build.statePorts; part++) {
    store<u64>(at + ((<usize>part) << 3), partPlace(part) + <u64>layer * partBytes(build.statePorts));
  }
}

/** Constants of each row of in_proj as stored; those of padding are 0. */
function putRows(l: Layer): void {
  for (let block = 0; block < inProjRows() / BLOCK_ROWS; block++) {
    const target = targetOf(block);
    for (let row = 0; row < BLOCK_ROWS; row++) {
      const at = next(ROW_RECORD);
      if (row >= target.rows) continue;
      if (target.segment == DT) putHead(at, l, target.at + row);
      else if (target.segment == Z) store<i16>(at, load<i16>(l.gamma + ((<usize>(target.at + row)) << 1)));
      else putChannel(at, l, target.at + row);
    }
  }
}

function putHead(at: usize, l: Layer, head: i32): void {
  const h = <usize>head;
  store<u16>(at, load<u16>(l.decay + (h << 1)));
  store<u8>(at, load<u8>(l.decayShift + h), 2);
  store<i32>(at, load<i32>(l.dtBias + (h << 2)), 4);
  store<i16>(at, load<i16>(l.skip + (h << 1)), 8);
}

/** Channel of the convolution: x, B, C. */
function putChannel(at: usize, l: Layer, channel: i32): void {
  for (let tap = 0; tap < config.convWidth; tap++) {
    const weight = load<i16>(l.convWeights + ((<usize>(tap * convChannels() + channel)) << 1));
    store<i16>(at + ((<usize>tap) << 1), weight);
  }
  store<i32>(at, load<i32>(l.convBias + ((<usize>channel) << 2)), 8);
}

function setMatrix(m: DeviceMatrix, rows: i32, inputs: i32, planes: i32, bias: bool): void {
  m.rows = rows;
  m.inputs = inputs;
  m.planes = planes;
  m.bias = bias ? 1 : 0;
}

/** layer: of in_proj, whose segments have fraction bits of their own. */
function putMatrix(m: DeviceMatrix, frames: usize, exponents: usize, bias: usize, layer: Layer | null): void {
  m.records = align();
  putBlocks(m, exponents, bias, layer);
  m.table = align();
  putPorts(m, frames, layer ? build.inProj : build.others);
}

function putBlocks(m: DeviceMatrix, exponents: usize, bias: usize, layer: Layer | null): void {
  for (let block = 0; block < m.rows / BLOCK_ROWS; block++) {
    const at = next(bias ? BLOCK_RECORD_BIAS : BLOCK_RECORD);
    const row = <usize>(block * BLOCK_ROWS);
    store<u64>(at, load<u64>(exponents + row));
    store<i8>(at, <i8>fractionOf(m, block, layer), 8);
    if (bias) memory.copy(at + 32, bias + (row << 2), BLOCK_ROWS * 4);
  }
}

/** Of a block's rows: the segment's in in_proj; that of the residual is in the norm record. */
function fractionOf(m: DeviceMatrix, block: i32, layer: Layer | null): i32 {
  if (layer) return layer.fraction(targetOf(block).segment);
  return changetype<usize>(m) == places.head ? LOGIT_FRACTION : 0;
}

/** Port table, then the blocks of each port one after the other. pattern: as in Build. */
function putPorts(m: DeviceMatrix, frames: usize, pattern: usize): void {
  const blocks = m.rows / BLOCK_ROWS;
  const bytes = <usize>(m.planes * blockBytes(paddedInputs(m.inputs)));
  const patternBytes = PORT_PATTERN + 1;
  const tableBytes = beats(patternBytes) + beats(build.ports * 8);
  memory.fill(table, 0, tableBytes);
  memory.copy(table, pattern, patternBytes);
  flush();
  cursor += tableBytes;
  for (let port = 0; port < build.ports; port++) {
    moveTo(load<u8>(build.memories + port));
    store<u64>(table + BEAT_BYTES + ((<usize>port) << 3), cursor);
    putBlocksOf(port, pattern, frames, blocks, bytes);
  }
  moveTo(0);
  if (writing) write(m.table, table, tableBytes);
}

function putBlocksOf(port: i32, pattern: usize, frames: usize, blocks: i32, bytes: usize): void {
  if (build.ports == 1) {
    put(frames, <usize>blocks * bytes);
    return;
  }
  for (let block = 0; block < blocks; block++) {
    if (portOf(pattern, block) == port) put(frames + <usize>block * bytes, bytes);
  }
}

function portOf(pattern: usize, block: i32): i32 {
  return load<u8>(pattern + (block % <i32>load<u8>(pattern)), 1);
}
