// The recurrent state: constant size, no pointers, so that saving, restoring and forking a conversation is a copy.
import { config, convChannels, dInner, stateGroups } from "./config";
import { BEAT_BYTES, STATE_EXPONENT_MAX, STATE_EXPONENT_MIN, STATE_GROUP, TOKEN_MODULUS } from "./contract";

/** Bytes before the first layer: the token counter t (u32), the rest reserved and 0. */
const HEADER_BYTES: usize = BEAT_BYTES;

/** Views of one layer's state. E channels, n padded to whole groups of 16. */
@unmanaged
export class LayerState {
  decay: usize; //     u32 [H], F: fraction of the summed log2 decay, Q24
  taps: usize; //      i16 [W - 1][C], a ring: the input of token t is in slot t mod (W - 1)
  exponents: usize; // i8 [E][N/16]
  codes: usize; //     i8 or i16 [E][N]
}

const view: LayerState = changetype<LayerState>(memory.data(offsetof<LayerState>(), 16));

function aligned(bytes: i32): usize {
  return (<usize>bytes + BEAT_BYTES - 1) & ~(<usize>BEAT_BYTES - 1);
}

function decayBytes(): usize {
  return aligned(config.heads * 4);
}

function tapBytes(): usize {
  return aligned((config.convWidth - 1) * convChannels() * 2);
}

/** F and taps of a layer. */
export function ringBytes(): usize {
  return decayBytes() + tapBytes();
}

export function exponentBytes(): usize {
  return aligned(dInner() * stateGroups());
}

function codeBytes(): i32 {
  return (dInner() * stateGroups() * STATE_GROUP * config.stateBits) / 8;
}

export function layerStateBytes(): usize {
  return ringBytes() + exponentBytes() + aligned(codeBytes());
}

/** What each of so many parts has of bytes that are dealt out beat by beat. */
export function shareBytes(bytes: usize, ports: i32): usize {
  const all = <usize>ports * BEAT_BYTES;
  return ((bytes + all - 1) / all) * BEAT_BYTES;
}

/** The same of a layer: its share of the exponents, and of the codes. */
export function partBytes(ports: i32): usize {
  return shareBytes(exponentBytes(), ports) + shareBytes(aligned(codeBytes()), ports);
}

/** Bytes of all layers, which follow each other. */
export function layersBytes(): usize {
  return <usize>config.layers * layerStateBytes();
}

export function layersOf(state: usize): usize {
  return state + HEADER_BYTES;
}

export function stateBytes(): usize {
  return HEADER_BYTES + layersBytes();
}

/** The view of layer i; valid until the next call. */
export function layerState(state: usize, i: i32): LayerState {
  view.decay = layersOf(state) + <usize>i * layerStateBytes();
  view.taps = view.decay + decayBytes();
  view.exponents = view.taps + tapBytes();
  view.codes = view.exponents + exponentBytes();
  return view;
}

/** Tokens since the state was reset, modulo TOKEN_MODULUS: seeds the dither and the ring of conv taps. */
export function tokenIndex(state: usize): u32 {
  return load<u32>(state);
}

export function setTokenIndex(state: usize, t: u32): void {
  store<u32>(state, t);
}

export function advance(state: usize): void {
  const next = tokenIndex(state) + 1;
  store<u32>(state, next == TOKEN_MODULUS ? 0 : next);
}

export function reset(state: usize): void {
  memory.fill(state, 0, stateBytes());
  for (let i = 0; i < config.layers; i++) {
    memory.fill(layerState(state, i).exponents, <u8>STATE_EXPONENT_MIN, dInner() * stateGroups());
  }
}

/** 1 when a state from outside holds only values that the arithmetic can produce. */
export function checkState(state: usize): bool {
  if (tokenIndex(state) >= TOKEN_MODULUS) return false;
  for (let i = 0; i < config.layers; i++) {
    const layer = layerState(state, i);
    for (let h = 0; h < config.heads; h++) if (load<u32>(layer.decay + ((<usize>h) << 2)) >> 24 != 0) return false;
    const groups = dInner() * stateGroups();
    for (let g = 0; g < groups; g++) {
      const exponent = load<i8>(layer.exponents + g);
      if (exponent < STATE_EXPONENT_MIN || exponent > STATE_EXPONENT_MAX) return false;
    }
    for (let c = 0; c < codeBytes(); c += config.stateBits / 8) {
      if (config.stateBits == 8 ? load<i8>(layer.codes + c) == -128 : load<i16>(layer.codes + c) == -32768)
        return false;
    }
  }
  return true;
}
