// Where a token's time goes: seconds per unit, counted while profiling is on.
import { clock } from "./host";

/** Order of the units in unitSeconds; the host has their names (host/runtime/engine.ts). */
export const EMBED: i32 = 0;
export const NQU: i32 = 1;
export const IN_PROJ: i32 = 2;
export const SSMU: i32 = 3;
export const HTU: i32 = 4;
export const OUT_PROJ: i32 = 5;
export const HEAD: i32 = 6;
export const SAMPLER: i32 = 7;
const UNITS: i32 = 8;

const SECONDS: usize = memory.data(64, 64); // f64 [UNITS]
let on: bool = false;
let last: f64 = 0;

/** Starts counting from zero, or stops. */
export function profile(enable: bool): void {
  on = enable;
  for (let unit = 0; unit < UNITS; unit++) store<f64>(SECONDS + ((<usize>unit) << 3), 0);
}

export function unitSeconds(unit: i32): f64 {
  return load<f64>(SECONDS + ((<usize>unit) << 3)) / 1000;
}

/** The time from here on belongs to the next lap. */
export function start(): void {
  if (on) last = clock();
}

/** The time since the last start or lap was `unit`'s. */
export function lap(unit: i32): void {
  if (!on) return;
  const now = clock();
  const at = SECONDS + ((<usize>unit) << 3);
  store<f64>(at, load<f64>(at) + now - last);
  last = now;
}
