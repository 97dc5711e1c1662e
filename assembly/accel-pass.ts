// Tokens through the device, and whose state it holds.
//
// The device has the state of one conversation at a time: it goes up when that one's first token comes, and back when the host wants to see it
// (settle), when another's token comes, and every JOURNAL tokens. In between linear memory has an older state, and the tokens since. So when a
// pass fails, which leaves the device's copy in pieces, the state before that pass is computed from these two, in WebAssembly: same bits.
import { read } from "./accel";
import { build, deviceTokens } from "./accel-build";
import {
  allocateCommands,
  codeResiduals,
  embedCommand,
  execute,
  headCommand,
  outProjCommand,
  projectAndScanCommands,
  transformAndCodeCommands,
} from "./accel-commands";
import { cursorOf, placeData, places, placeWeights, setCursor } from "./accel-memory";
import { allocateSplit, readResiduals, splitHead, splitLayer, writeResiduals } from "./accel-split";
import { allocateState, fetchState, sendState } from "./accel-state";
import { config, headRows } from "./config";
import { TOKEN_MODULUS } from "./contract";
import { PORT_PATTERN } from "./device.generated";
import { embedToken, forwardHere, untilDither } from "./forward";
import { pass } from "./pass";
import { advance, layersOf, reset, setTokenIndex, tokenIndex } from "./state";
import { weights } from "./weights";

/** Tokens that may have to be computed again, at most. */
const JOURNAL: i32 = 256;

const journal: usize = memory.data(256 * 4, 16); // i32 [JOURNAL]

let open: bool = false;
/** The state that the device has; 0: none. */
let resident: usize = 0;
/** Tokens that the device's state is ahead of linear memory: those in the journal. */
let ahead: i32 = 0;
/** A pass was begun and has not ended. */
let broken: bool = false;
/** Tokens of the last pass, while only the device has its residuals. */
let residuals: i32 = 0;

// ---------------------------------------------------------------------------------------------------- opening

/** Bytes that the device writes, after planDevice. */
export function deviceDataBytes(): u64 {
  return placeData(0);
}

/** Bytes that it only reads in a memory. */
export function deviceWeightBytes(memory: i32): u64 {
  for (let i = 0; i < PORT_PATTERN; i++) setCursor(i, 0);
  placeWeights(false);
  return cursorOf(memory);
}

/** Where they are to lie, for each memory, before openDevice. */
export function setDeviceWeights(memory: i32, at: u64): void {
  setCursor(memory, at);
}

/** Brings the model into device memory. From here on tokens go through the device. */
export function openDevice(data: u64): void {
  placeData(data);
  placeWeights(true);
  allocateCommands();
  allocateSplit();
  allocateState();
  open = true;
}

export function accelerated(): bool {
  return open;
}

// ---------------------------------------------------------------------------------------------------- state

/** Makes linear memory what it would be without a device; the host may read and write the state then. 0: whichever the device has. */
export function settle(state: usize): void {
  if (resident == 0 || (state != 0 && state != resident)) return;
  if (broken) replay();
  else if (ahead > 0) readState();
  keepResidual();
  forget();
}

/** A reset state; what the device has of an older one is not asked for. */
export function resetState(state: usize): void {
  if (state == resident) forget();
  reset(state);
}

function forget(): void {
  resident = 0;
  ahead = 0;
  broken = false;
}

/** What was read back last, and the tokens since. */
function replay(): void {
  const t = tokenIndex(resident);
  const tokens = <u32>ahead;
  setTokenIndex(resident, t >= tokens ? t - tokens : t - tokens + <u32>TOKEN_MODULUS);
  forwardHere(resident, journal, ahead, false);
}

function readState(): void {
  fetchState(layersOf(resident));
  ahead = 0;
}

function bring(state: usize): void {
  settle(0);
  sendState(layersOf(state));
  resident = state;
}

// ---------------------------------------------------------------------------------------------------- passes

/** forwardAll on the device: ids are pass.ids. */
export function forwardDevice(state: usize, count: i32, logits: bool): void {
  let from = 0;
  while (from < count) {
    const tokens = min(min(count - from, deviceTokens()), untilDither(state));
    if (broken || state != resident) bring(state);
    if (ahead + tokens > JOURNAL) readState();
    const ids = pass.ids + ((<usize>from) << 2);
    from += tokens;
    broken = true;
    residuals = 0;
    passOf(state, ids, tokens, logits && from == count);
    broken = false;
    memory.copy(journal + ((<usize>ahead) << 2), ids, (<usize>tokens) << 2);
    ahead += tokens;
    residuals = tokens;
    for (let t = 0; t < tokens; t++) advance(state);
  }
}

function passOf(state: usize, ids: usize, tokens: i32, logits: bool): void {
  const first = tokenIndex(state);
  if (build.split) passSplit(first, ids, tokens, logits);
  else passFused(first, ids, tokens, logits);
  if (logits) read(places.logits, pass.logits, headRows() << 2);
}

/** One list of commands. An embedding that comes out of lm_head is made here. */
function passFused(first: u32, ids: usize, tokens: i32, logits: bool): void {
  for (let t = 0; t < tokens; t++) {
    const id = load<i32>(ids + ((<usize>t) << 2));
    if (weights.embedding) embedCommand(id, t, tokens);
    else embedToken(t, id);
  }
  if (!weights.embedding) writeResiduals(tokens);
  for (let i = 0; i < config.layers; i++) {
    codeResiduals(i, tokens, false);
    projectAndScanCommands(i, tokens, first);
    transformAndCodeCommands(i, tokens);
    outProjCommand(i, tokens);
  }
  if (logits) {
    codeResiduals(config.layers, tokens, true);
    headCommand();
  }
  execute();
}

/** Norm, Hadamard transform and codes here; the rest in two lists a layer. */
function passSplit(first: u32, ids: usize, tokens: i32, logits: bool): void {
  for (let t = 0; t < tokens; t++) embedToken(t, load<i32>(ids + ((<usize>t) << 2)));
  writeResiduals(tokens);
  for (let i = 0; i < config.layers; i++) splitLayer(i, tokens, first);
  if (logits) splitHead(tokens);
}

/** Residual of the pass's first token, i32 [D]. */
export function keepResidual(): void {
  if (residuals > 0) readResiduals(residuals);
  residuals = 0;
}
