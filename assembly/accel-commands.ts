// Lists of descriptors (docs/device.md). Each one follows the one before it, so a list is a chain: nothing in it runs out of order.
import { run } from "./accel";
import {
  build,
  deviceTokens,
  SERIAL_HTU,
  SERIAL_SSM,
  SERIAL_WEIGHTS,
  transforms,
  unitLog2,
  unitOrder,
} from "./accel-build";
import { DeviceMatrix, deviceLayer, embeddingBytes, places, stateStride } from "./accel-memory";
import { config, dInner } from "./config";
import { BEAT_BYTES } from "./contract";
import {
  DESC_A0,
  DESC_A1,
  DESC_A2,
  DESC_A3,
  DESC_CONV,
  DESC_COUNT,
  DESC_FLAGS,
  DESC_FORMAT,
  DESC_GROUPS,
  DESC_HEAD_DIM,
  DESC_HEADS,
  DESC_INPUTS,
  DESC_LAYER,
  DESC_OPCODE,
  DESC_PLANES,
  DESC_ROUTE,
  DESC_STATE,
  DESC_STRIDE,
  DESC_TOKENS,
  DESC_WEIGHT_GROUP,
  DESCRIPTOR,
  FLAG_BIAS,
  FLAG_FOLLOW,
  FLAG_WAIT,
  OP_EMBED,
  OP_HTU,
  OP_MULTIPLY,
  OP_NQU,
  OP_SSM,
  ROUTE_INNER,
  ROUTE_LOGITS,
  ROUTE_RESIDUAL,
  ROUTE_SEGMENTS,
} from "./device.generated";
import { allocate } from "./memory";
import { weights } from "./weights";

/** Of a descriptor that belongs to no layer: in messages alone. */
const NO_LAYER: i32 = 0xffff;
/** Of a layer. */
const MOST_COMMANDS: i32 = 6;

let list: usize = 0;
let count: i32 = 0;

export function allocateCommands(): void {
  const most = config.layers * MOST_COMMANDS + deviceTokens() + 2;
  if (list == 0) list = allocate(<usize>most * DESCRIPTOR);
}

/** Executes what is in the list. */
export function execute(): void {
  const commands = count;
  count = 0;
  run(list, commands);
}

function command(opcode: i32, flags: i32, layer: i32, tokens: i32): usize {
  const at = list + <usize>count * DESCRIPTOR;
  count++;
  memory.fill(at, 0, DESCRIPTOR);
  store<u8>(at, <u8>opcode, DESC_OPCODE);
  store<u8>(at, <u8>flags, DESC_FLAGS);
  store<u16>(at, <u16>layer, DESC_LAYER);
  store<u8>(at, <u8>tokens, DESC_TOKENS);
  return at;
}

/** Row of a token → residual t of `tokens`. */
export function embedCommand(token: i32, t: i32, tokens: i32): void {
  const at = command(OP_EMBED, 0, NO_LAYER, 1);
  store<u32>(at, config.dModel, DESC_COUNT);
  store<u16>(at, load<u16>(weights.embeddingScale + ((<usize>token) << 1)), DESC_INPUTS);
  store<u64>(at, places.embedding + <u64>token * embeddingBytes(), DESC_A0);
  store<u64>(at, places.residual + <u64>t * BEAT_BYTES, DESC_A1);
  const exponent = <i32>load<i8>(weights.embeddingExponent + token);
  store<i16>(at, <i16>-(exponent + config.residualFraction), DESC_STATE);
  store<u8>(at, <u8>tokens, DESC_STRIDE);
}

/** Residuals → coded vectors: of `tokens`, or of the last one alone. Waits for all, since the embedding is several commands. */
export function codeResiduals(layer: i32, tokens: i32, lastOnly: bool): void {
  const at = command(OP_NQU, layer == 0 ? FLAG_WAIT : FLAG_FOLLOW, lastOnly ? NO_LAYER : layer, lastOnly ? 1 : tokens);
  const first = lastOnly ? tokens - 1 : 0;
  store<u32>(at, config.dModel, DESC_COUNT);
  store<u8>(at, <u8>config.activationBits, DESC_FORMAT);
  store<u64>(at, places.residual + <u64>first * BEAT_BYTES, DESC_A0);
  store<u64>(at, places.modelCodes, DESC_A1);
  store<u64>(at, places.norm, DESC_A2);
  store<u8>(at, ROUTE_RESIDUAL, DESC_ROUTE);
  store<u8>(at, <u8>tokens, DESC_STRIDE);
}

function multiply(m: DeviceMatrix, layer: i32, tokens: i32, route: i32, codes: u64, to: u64, flags: i32): void {
  const at = command(OP_MULTIPLY, m.bias ? flags | FLAG_BIAS : flags, layer, tokens);
  store<u32>(at, m.rows, DESC_COUNT);
  store<u16>(at, <u16>m.inputs, DESC_INPUTS);
  store<u8>(at, <u8>config.activationBits, DESC_FORMAT);
  store<u64>(at, m.table, DESC_A0);
  store<u64>(at, codes, DESC_A1);
  store<u64>(at, to, DESC_A2);
  store<u64>(at, m.records, DESC_A3);
  store<u8>(at, <u8>route, DESC_ROUTE);
  store<u8>(at, <u8>m.planes, DESC_PLANES);
  store<u8>(at, <u8>config.weightGroup, DESC_WEIGHT_GROUP);
}

/** Of a command that reads what the one before makes: as soon as it can, or after it. */
function after(serial: i32): i32 {
  return build.serial & serial ? FLAG_WAIT : FLAG_FOLLOW;
}

function matrixFlags(): i32 {
  return build.split ? 0 : after(SERIAL_WEIGHTS);
}

/** Coded vectors → rows → u. t: index of the first token. */
export function projectAndScanCommands(layer: i32, tokens: i32, t: u32): void {
  const l = deviceLayer(layer);
  const m = changetype<DeviceMatrix>(l.inProj);
  multiply(m, layer, tokens, ROUTE_SEGMENTS, places.modelCodes, places.rows, matrixFlags());
  const at = command(OP_SSM, after(SERIAL_SSM), layer, tokens);
  store<u32>(at, t, DESC_COUNT);
  store<u16>(at, <u16>(t % <u32>(config.convWidth - 1)), DESC_INPUTS);
  store<u8>(at, <u8>config.stateBits, DESC_FORMAT);
  store<u64>(at, places.state + <u64>layer * stateStride(), DESC_A0);
  store<u64>(at, l.record, DESC_A1);
  store<u64>(at, places.rows, DESC_A2);
  store<u64>(at, places.u, DESC_A3);
  store<u16>(at, <u16>config.heads, DESC_HEADS);
  store<u16>(at, <u16>config.headDim, DESC_HEAD_DIM);
  store<u16>(at, <u16>config.dState, DESC_STATE);
  store<u8>(at, <u8>config.groups, DESC_GROUPS);
  store<u8>(at, <u8>config.convWidth, DESC_CONV);
}

/** u → coded vectors, through the Hadamard transform where the layer has one. */
export function transformAndCodeCommands(layer: i32, tokens: i32): void {
  const turned = transforms(layer);
  if (turned) {
    const at = command(OP_HTU, after(SERIAL_HTU), layer, tokens);
    store<u32>(at, dInner(), DESC_COUNT);
    store<u16>(at, <u16>unitOrder(), DESC_INPUTS);
    store<u64>(at, places.u, DESC_A0);
    store<u64>(at, places.turned, DESC_A1);
    store<u64>(at, places.signs, DESC_A2);
    store<u16>(at, <u16>config.hadamardBlocks, DESC_HEADS);
    store<u16>(at, <u16>unitLog2(), DESC_HEAD_DIM);
  }
  const at = command(OP_NQU, FLAG_FOLLOW, layer, tokens);
  store<u32>(at, dInner(), DESC_COUNT);
  store<u8>(at, <u8>config.activationBits, DESC_FORMAT);
  store<u64>(at, turned ? places.turned : places.u, DESC_A0);
  store<u64>(at, places.innerCodes, DESC_A1);
  store<u64>(at, deviceLayer(layer).norm, DESC_A2);
  store<u8>(at, ROUTE_INNER, DESC_ROUTE);
}

/** Coded vectors → residuals. */
export function outProjCommand(layer: i32, tokens: i32): void {
  const m = changetype<DeviceMatrix>(deviceLayer(layer).outProj);
  multiply(m, layer, tokens, ROUTE_RESIDUAL, places.innerCodes, places.residual, matrixFlags());
}

/** Coded vector of the last token → logits. */
export function headCommand(): void {
  const m = changetype<DeviceMatrix>(places.head);
  multiply(m, NO_LAYER, 1, ROUTE_LOGITS, places.modelCodes, places.logits, matrixFlags());
}
