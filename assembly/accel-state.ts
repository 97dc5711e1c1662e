// The state's way to the device and back. A device whose ports have a part of it each (build.statePorts) gets it dealt out: F and taps of all layers
// stay together, and of exponents and codes beat i of a layer is the next one of part i mod statePorts (docs/device.md, State).
import { read, write } from "./accel";
import { build } from "./accel-build";
import { partPlace, places } from "./accel-memory";
import { config } from "./config";
import { BEAT_BYTES } from "./contract";
import { allocate } from "./memory";
import { exponentBytes, layerStateBytes, layersBytes, partBytes, ringBytes, shareBytes } from "./state";

/** The whole state as the device has it: F and taps of all layers, then part after part. */
let dealt: usize = 0;

export function allocateState(): void {
  const layers = <usize>config.layers;
  if (build.statePorts > 0)
    dealt = allocate(layers * (ringBytes() + <usize>build.statePorts * partBytes(build.statePorts)));
}

/** layers: of a state in linear memory. */
export function sendState(layers: usize): void {
  if (build.statePorts == 0) {
    write(places.state, layers, layersBytes());
    return;
  }
  deal(layers, true);
  write(places.state, dealt, <usize>config.layers * ringBytes());
  for (let part = 0; part < build.statePorts; part++) write(partPlace(part), dealtPart(part), partLength());
}

/** Where reading fails, what is at `layers` stays as it was. */
export function fetchState(layers: usize): void {
  if (build.statePorts == 0) {
    read(places.state, layers, layersBytes());
    return;
  }
  read(places.state, dealt, <usize>config.layers * ringBytes());
  for (let part = 0; part < build.statePorts; part++) read(partPlace(part), dealtPart(part), partLength());
  deal(layers, false);
}

function partLength(): usize {
  return <usize>config.layers * partBytes(build.statePorts);
}

function dealtPart(part: i32): usize {
  return dealt + <usize>config.layers * ringBytes() + <usize>part * partLength();
}

/** out: from the state to the parts, else back. */
function deal(layers: usize, out: bool): void {
  const exponents = exponentBytes();
  const codes = layerStateBytes() - ringBytes() - exponents;
  for (let i: usize = 0; i < <usize>config.layers; i++) {
    const state = layers + i * layerStateBytes();
    move(state, dealt + i * ringBytes(), ringBytes(), out);
    dealBeats(state + ringBytes(), i, 0, exponents, out);
    dealBeats(state + ringBytes() + exponents, i, shareBytes(exponents, build.statePorts), codes, out);
  }
}

/** at: in the parts of a layer. */
function dealBeats(state: usize, layer: usize, at: usize, bytes: usize, out: bool): void {
  const ports = build.statePorts;
  const stride = <usize>ports * BEAT_BYTES;
  for (let part = 0; part < ports; part++) {
    let place = dealtPart(part) + layer * partBytes(ports) + at;
    for (let beat = <usize>part * BEAT_BYTES; beat < bytes; beat += stride) {
      move(state + beat, place, BEAT_BYTES, out);
      place += BEAT_BYTES;
    }
  }
}

function move(state: usize, part: usize, bytes: usize, out: bool): void {
  if (out) memory.copy(part, state, bytes);
  else memory.copy(state, part, bytes);
}
