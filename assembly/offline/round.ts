// Rounding of weight rows to codes with two-level scales, with or without error feedback
// (GPTQ, arXiv 2210.17323; asymmetric calibration: GPTAQ, arXiv 2504.02692).

/** Rows that go through a column together, so that a row of the factors is read once for all. */
const BLOCK: i32 = 8;
/** Inputs are padded to this. */
const PADDED: i32 = 32;
const LARGEST_SCALE: f32 = 255;
/** Scales tried: from the one that clips nothing down to this part of it, in at most 64 steps per octave. */
const CLIP: f32 = 0.72;

/** Of the current column, a row each: rounding error over the factor's diagonal, and the value before rounding. f32 [BLOCK]. */
const errors: usize = memory.data(BLOCK * 4, 16);
const before: usize = memory.data(BLOCK * 4, 16);

/** Arguments of one call that every row shares. */
class Rules {
  static inputs: i32 = 0;
  static group: i32 = 0;
  static slot: i32 = 0;
  static low: f32 = 0;
  static high: f32 = 0;
  static powerOfTwo: bool = false;
  static importance: usize = 0;
}

/**
 * Rounds w f32 [rows, k], which is overwritten by the rounded weights.
 *
 * @param codes i8 [rows, kp], kp = k padded to 32
 * @param scales u8 [rows, kp/slot]
 * @param exponents i8 [rows]: a scale counts 2^exponent
 * @param u f32 [k, k] upper with H⁻¹ = uᵀu: column c's rounding error is fed to the later columns; 0: round to nearest
 * @param p f32 [k, k]: the correction towards the FP32 model's inputs; 0: none
 * @param importance f32 [k]: what a squared error of each column costs when a scale is chosen; 0: all the same
 * @param group inputs that share a scale, a multiple of slot
 * @param slot inputs per stored scale, 16 or 32
 * @param low, high range of a code
 * @param powerOfTwo scales 1, 2, 4, … only
 */
export function roundRows(
  w: usize,
  codes: usize,
  scales: usize,
  exponents: usize,
  u: usize,
  p: usize,
  importance: usize,
  rows: i32,
  k: i32,
  group: i32,
  slot: i32,
  low: i32,
  high: i32,
  powerOfTwo: bool,
): void {
  Rules.inputs = k;
  Rules.group = group;
  Rules.slot = slot;
  Rules.low = <f32>low;
  Rules.high = <f32>high;
  Rules.powerOfTwo = powerOfTwo;
  Rules.importance = importance;
  for (let r = 0; r < rows; r += BLOCK) {
    const count = min(BLOCK, rows - r);
    const kp = (k + PADDED - 1) & ~(PADDED - 1);
    roundBlock(
      w + ((<usize>r * <usize>k) << 2),
      codes + <usize>r * <usize>kp,
      scales + <usize>r * <usize>(kp / Rules.slot),
      exponents + r,
      u,
      p,
      count,
      kp,
    );
  }
}

/** Codes of all columns, column by column: the errors of this column change the next ones. */
function roundBlock(
  w: usize,
  codes: usize,
  scales: usize,
  exponents: usize,
  u: usize,
  p: usize,
  count: i32,
  kp: i32,
): void {
  const k = Rules.inputs;
  const row = (<usize>k) << 2;
  const slots = <usize>(kp / Rules.slot);
  for (let c = 0; c < k; c++) {
    const column = (<usize>c) << 2;
    if (c % Rules.group == 0) {
      for (let i = 0; i < count; i++) chooseScale(w + <usize>i * row, scales + <usize>i * slots, exponents + i, c);
    }
    const diagonal: f32 = u ? load<f32>(u + <usize>c * row + column) : 1;
    for (let i = 0; i < count; i++) {
      const at = w + <usize>i * row + column;
      const scale = <f32>load<u8>(scales + <usize>i * slots + <usize>(c / Rules.slot)) * unit(exponents + i);
      const value = load<f32>(at);
      const code = codeOf(value, scale);
      store<i8>(codes + <usize>i * <usize>kp + <usize>c, <i8>code);
      store<f32>(at, code * scale);
      store<f32>(errors + ((<usize>i) << 2), (value - code * scale) / diagonal);
      store<f32>(before + ((<usize>i) << 2), value);
    }
    if (u) feedForward(w + column, u + <usize>c * row + column, p ? p + <usize>c * row + column : 0, count, k - c);
  }
}

/** Columns after this one: w += -error · u + value · p, for each row. The slices start at the column itself. */
function feedForward(w: usize, u: usize, p: usize, count: i32, width: i32): void {
  const row = (<usize>Rules.inputs) << 2;
  let j: usize = 4;
  const end = (<usize>width) << 2;
  for (; j + 16 <= end; j += 16) {
    const uj = v128.load(u + j);
    const pj = p ? v128.load(p + j) : f32x4.splat(0);
    for (let i = 0; i < count; i++) {
      const at = w + <usize>i * row + j;
      const error = v128.load32_splat(errors + ((<usize>i) << 2));
      let value = f32x4.sub(v128.load(at), f32x4.mul(error, uj));
      if (p) value = f32x4.add(value, f32x4.mul(v128.load32_splat(before + ((<usize>i) << 2)), pj));
      v128.store(at, value);
    }
  }
  for (; j < end; j += 4) {
    for (let i = 0; i < count; i++) {
      const at = w + <usize>i * row + j;
      let value = load<f32>(at) - load<f32>(errors + ((<usize>i) << 2)) * load<f32>(u + j);
      if (p) value += load<f32>(before + ((<usize>i) << 2)) * load<f32>(p + j);
      store<f32>(at, value);
    }
  }
}

/** 2^e, from its bits: row exponents stay far inside the range of normal numbers. */
function unit(exponent: usize): f32 {
  return reinterpret<f32>((<i32>load<i8>(exponent) + 127) << 23);
}

function codeOf(value: f32, scale: f32): f32 {
  return min(Rules.high, max(Rules.low, floor<f32>(value / scale + 0.5)));
}

/** Chooses the scale of the group that starts at column c, and writes it to all its slots. */
function chooseScale(w: usize, scales: usize, exponent: usize, c: i32): void {
  const end = min(c + Rules.group, Rules.inputs);
  const from = w + ((<usize>c) << 2);
  const scale = bestScale(from, c, end - c, unit(exponent));
  for (let at = c; at < end; at += Rules.slot) store<u8>(scales + <usize>(at / Rules.slot), scale);
}

function bestScale(values: usize, column: i32, count: i32, step: f32): u8 {
  let largest: f32 = 0;
  for (let i = 0; i < count; i++) largest = max(largest, abs(load<f32>(values + ((<usize>i) << 2))));
  const top = min<f32>(LARGEST_SCALE, max<f32>(1, ceil<f32>(largest / Rules.high / step)));
  return <u8>(
    (Rules.powerOfTwo ? bestPower(values, column, count, step, top) : bestLinear(values, column, count, step, top))
  );
}

function bestLinear(values: usize, column: i32, count: i32, step: f32, top: f32): f32 {
  const stride = max<f32>(1, floor<f32>(top / 64));
  let best = top;
  let least = squaredError(values, column, count, top * step, f32.MAX_VALUE);
  for (let scale = top - stride; scale >= max<f32>(1, top * CLIP); scale -= stride) {
    const error = squaredError(values, column, count, scale * step, least);
    if (error < least) {
      least = error;
      best = scale;
    }
  }
  return best;
}

function bestPower(values: usize, column: i32, count: i32, step: f32, top: f32): f32 {
  let best: f32 = 1;
  let least = f32.MAX_VALUE;
  for (let scale: f32 = 1; scale <= 128 && scale < 2 * top; scale *= 2) {
    const error = squaredError(values, column, count, scale * step, least);
    if (error < least) {
      least = error;
      best = scale;
    }
  }
  return best;
}

/** Σ (w - code·scale)² by importance, given up once above `limit`. */
function squaredError(values: usize, column: i32, count: i32, scale: f32, limit: f32): f32 {
  let sum: f32 = 0;
  for (let i = 0; i < count && sum < limit; i++) {
    const value = load<f32>(values + ((<usize>i) << 2));
    const error = value - codeOf(value, scale) * scale;
    sum += Rules.importance
      ? error * error * load<f32>(Rules.importance + ((<usize>(column + i)) << 2))
      : error * error;
  }
  return sum;
}
