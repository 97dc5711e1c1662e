// The split partition's half of a layer that is computed here: norm, Hadamard transform and codes. The device multiplies, scans, and keeps the residual.
import { read, write } from "./accel";
import { deviceTokens, transforms } from "./accel-build";
import { execute, headCommand, outProjCommand, projectAndScanCommands } from "./accel-commands";
import { codedBytes, innerAddend, modelAddend, places, residualBytes, scaleBytes, uBytes } from "./accel-memory";
import { config, dInner } from "./config";
import { ACTIVATION_GROUP, BEAT_BYTES } from "./contract";
import { VECTOR_HEADER } from "./device.generated";
import { codeResidual, factor, rotate } from "./forward";
import { allocate } from "./memory";
import { codesAt, pass, ssmuOf, tokenAt } from "./pass";
import { CODE_BYTES, Codes, codesOf, scaleOf } from "./units/codes";
import { quantize } from "./units/nqu";
import { layerAt } from "./weights";

/** Vectors of a pass as they lie on the device: residuals or u; coded ones. */
let vectors: usize = 0;
let coded: usize = 0;

export function allocateSplit(): void {
  if (vectors != 0) return;
  vectors = allocate(<usize>(deviceTokens() * max(residualBytes(), uBytes())));
  coded = allocate(<usize>(deviceTokens() * max(codedBytes(config.dModel), codedBytes(dInner()))));
}

// ---------------------------------------------------------------------------------------------------- residuals

/** Of all tokens, interleaved by beats. */
export function writeResiduals(tokens: i32): void {
  memory.fill(vectors, 0, tokens * residualBytes());
  for (let t = 0; t < tokens; t++) interleave(t, tokens, true);
  write(places.residual, vectors, tokens * residualBytes());
}

export function readResiduals(tokens: i32): void {
  read(places.residual, vectors, tokens * residualBytes());
  for (let t = 0; t < tokens; t++) interleave(t, tokens, false);
}

/** One token's beats into the interleaved ones, or out of them. */
function interleave(t: i32, tokens: i32, into: bool): void {
  const bytes = config.dModel * 4;
  let residual = tokenAt(t).residual;
  let at = vectors + <usize>t * BEAT_BYTES;
  for (let done = 0; done < bytes; done += BEAT_BYTES) {
    const part = min(bytes - done, BEAT_BYTES);
    memory.copy(into ? at : residual, into ? residual : at, part);
    residual += BEAT_BYTES;
    at += <usize>tokens * BEAT_BYTES;
  }
}

// ---------------------------------------------------------------------------------------------------- a layer

/** From the residuals of `tokens` to those after the layer, here and on the device; t: index of the first token. */
export function splitLayer(layer: i32, tokens: i32, t: u32): void {
  for (let i = 0; i < tokens; i++) putResidualCodes(i, i);
  write(places.modelCodes, coded, tokens * codedBytes(config.dModel));
  projectAndScanCommands(layer, tokens, t);
  execute();
  read(places.u, vectors, tokens * uBytes());
  for (let i = 0; i < tokens; i++) putInnerCodes(layer, i);
  write(places.innerCodes, coded, tokens * codedBytes(dInner()));
  outProjCommand(layer, tokens);
  execute();
  readResiduals(tokens);
}

/** Residual of the last token → logits on the device. */
export function splitHead(tokens: i32): void {
  putResidualCodes(tokens - 1, 0);
  write(places.modelCodes, coded, codedBytes(config.dModel));
  headCommand();
  execute();
}

/** Coded residual of token t as coded vector `at`. */
function putResidualCodes(t: i32, at: i32): void {
  codeResidual(t);
  putCodes(codesAt(pass.modelCodes, t), config.dModel, at, factor.m, factor.s + modelAddend());
}

/** u vector of token t → coded vector. */
function putInnerCodes(layer: i32, t: i32): void {
  const from = vectors + <usize>(t * uBytes());
  const codes = codesAt(pass.innerCodes, t);
  const u = ssmuOf(t).u;
  memory.copy(u, from + VECTOR_HEADER, dInner() << 2);
  if (transforms(layer)) rotate(u);
  quantize(u, codes);
  const s = load<i32>(from, 4) - codes.exponent + innerAddend(layerAt(layer));
  putCodes(codes, dInner(), t, load<u32>(from), s);
}

/** A coded vector as it lies on the device; m and s: the row scale. */
function putCodes(codes: Codes, inputs: i32, at: i32, m: u32, s: i32): void {
  let out = coded + <usize>(at * codedBytes(inputs));
  memory.fill(out, 0, codedBytes(inputs));
  store<i32>(out, codes.exponent);
  store<u32>(out, m, 4);
  store<i32>(out, s, 8);
  store<u32>(out, inputs, 12);
  store<u64>(out, codes.sum, 16);
  out += VECTOR_HEADER;
  const values = out + scaleBytes(inputs);
  for (let g = 0; g < codes.k / ACTIVATION_GROUP; g++) {
    if (codes.bits != 8) store<u8>(out + g, <u8>scaleOf(codes, g));
    const from = codesOf(codes, g);
    const to = values + <usize>(g * ACTIVATION_GROUP);
    for (let i = 0; i < ACTIVATION_GROUP; i++) store<u8>(to + i, load<u8>(from + <usize>i * CODE_BYTES));
  }
}
