/** Slow heads keep what they hold: 8- and 16-bit states follow the exact recurrence over three time constants. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type OracleModel, randomModel, type Segments } from "../oracle/model.ts";
import type { StateBits } from "../oracle/ssmu.ts";
import { BACKENDS } from "./backend.ts";

const DECAYS = [0.98, 0.99, 0.995, 0.999, 0.9995, 0.9999];
/** Largest relative error of y, by the bits of the state. */
const BOUNDS = { 8: 0.05, 16: 0.01 } as const;
/** Fraction bits of everything in the conv: its input is silu's. */
const FRACTION = 11;
/** An impulse is still some hundred units of Q12 after three time constants; a step stays below the readout's limit. */
const TIME_STEPS = { impulse: 0.03, step: 0.01 };
type Kind = keyof typeof TIME_STEPS;
const CHANNELS = 2;
const STATES = 32;

/** A head for each decay, a constant time step, a conv that passes its newest input, no skip. */
function heads(timeStep: number, stateBits: StateBits): OracleModel {
  const shape = { D: 8, H: DECAYS.length, P: CHANNELS, N: STATES, G: 1, W: 4, V: 2, layers: 1, stateBits };
  const model = randomModel(1, shape);
  const layer = model.layers[0]!;
  model.dtLow = Math.round(timeStep * 2 ** 24);
  model.dtHigh = model.dtLow;
  Object.assign(layer, { fx: FRACTION, fB: FRACTION, fC: FRACTION, fw: 14, fxs: 12, fBs: 12, fCs: 12, fD: 0 });
  layer.convWeight = layer.convWeight.map(() => [0, 0, 0, 2 ** 14]);
  layer.convBias = layer.convBias.map(() => 0);
  layer.Dq = DECAYS.map(() => 0);
  const rates = DECAYS.map((decay) => -Math.log2(decay) / (model.dtLow / 2 ** 24));
  layer.ae = rates.map((rate) => 15 - Math.floor(Math.log2(rate)));
  layer.am = rates.map((rate, h) => Math.round(rate * 2 ** layer.ae[h]!));
  return model;
}

const silu = (raw: number): number => {
  const x = raw / 2 ** FRACTION;
  return x / (1 + Math.exp(-x));
};

/** B = C: the readout is a sum of squares, so that its relative error means something. */
const KEYS = Array.from({ length: STATES }, (_, n) => 1500 + 137 * ((n * 7) % 23));
const INPUTS = Array.from({ length: DECAYS.length * CHANNELS }, (_, i) => (i % 2 === 0 ? 4000 : 1500));
/** y of one input at once, for a time step of 1 and x of 1. */
const GAIN = KEYS.reduce((sum, key) => sum + silu(key) ** 2, 0);

function segments(on: boolean): Segments {
  const silent = DECAYS.map(() => 0);
  return { z: INPUTS.map(() => 0), x: INPUTS.map((x) => (on ? x : 0)), B: KEYS, C: KEYS, dt: silent };
}

/** The largest relative error of each head, over three of its time constants. */
function errors(backend: (typeof BACKENDS)[number], kind: Kind, bits: StateBits): number[] {
  const unit = backend.ssmu(heads(TIME_STEPS[kind], bits));
  const worst = DECAYS.map(() => 0);
  const [on, off] = [segments(true), segments(false)];
  const last = 3 / (1 - Math.max(...DECAYS));
  for (let t = 0; t <= last; t++) {
    const { y } = unit.token(t === 0 || kind === "step" ? on : off, t);
    DECAYS.forEach((decay, h) => {
      if (t > 3 / (1 - decay)) return;
      const response = kind === "impulse" ? decay ** t : (1 - decay ** (t + 1)) / (1 - decay);
      for (let p = 0; p < CHANNELS; p++) {
        const channel = h * CHANNELS + p;
        const exact = TIME_STEPS[kind] * GAIN * silu(INPUTS[channel]!) * response;
        worst[h] = Math.max(worst[h]!, Math.abs(y[channel]! / 2 ** 12 / exact - 1));
      }
    });
  }
  return worst;
}

for (const backend of BACKENDS) {
  describe(`responses of slow heads, ${backend.name}`, () => {
    for (const bits of [8, 16] as const) {
      for (const kind of ["impulse", "step"] as const) {
        const bound = BOUNDS[bits];
        test(`${bits} bits, ${kind}: within ${100 * bound} % for decays of ${DECAYS.join(", ")}`, (t) => {
          const worst = errors(backend, kind, bits);
          t.diagnostic(worst.map((error, h) => `${DECAYS[h]}: ${(100 * error).toFixed(2)} %`).join(", "));
          for (const error of worst) assert.ok(error < bound, `errors ${worst}`);
        });
      }
    }
  });
}
