// What NQU does to the input of a linear layer, on floating-point rows: codes times scales, written back in place.
// The same rules as docs/numerics.md section 3.1 without the fixed-point steps inside.

const A4_GROUP: i32 = 16;
const SYMMETRIC_GROUP: i32 = 32;
/** Group scales are 8-bit multiples of a power of two. */
const LARGEST_SCALE: f32 = 255;

/** x [rows, n] in place; bits 4, 5, 6 or 8. */
export function quantizeActivations(x: usize, rows: i32, n: i32, bits: i32): void {
  const row = (<usize>n) << 2;
  for (let r = 0; r < rows; r++) {
    if (bits == 4) zeroPointRow(x, n);
    else if (bits == 8) wholeRow(x, n);
    else symmetricRow(x, n, bits == 5 ? 15 : 31);
    x += row;
  }
}

function at(x: usize, i: i32): f32 {
  return load<f32>(x + ((<usize>i) << 2));
}

function put(x: usize, i: i32, value: f32): void {
  store<f32>(x + ((<usize>i) << 2), value);
}

/** Smallest power of two with which the widest range gets a scale of at most 255. */
function unitFor(widest: f32, levels: f32): f32 {
  return <f32>Math.pow(2, Math.ceil(Math.log2(<f64>widest / <f64>(levels * LARGEST_SCALE))));
}

function groupScale(range: f32, unit: f32, levels: f32): f32 {
  return unit * max<f32>(1, ceil<f32>(ceil<f32>(range / unit) / levels));
}

function lowOf(x: usize, from: i32, to: i32): f32 {
  let low: f32 = 0;
  for (let i = from; i < to; i++) low = min(low, at(x, i));
  return low;
}

function highOf(x: usize, from: i32, to: i32): f32 {
  let high: f32 = 0;
  for (let i = from; i < to; i++) high = max(high, at(x, i));
  return high;
}

function zeroPointRow(x: usize, n: i32): void {
  let widest: f32 = 0;
  for (let g = 0; g < n; g += A4_GROUP) {
    const end = min(g + A4_GROUP, n);
    widest = max(widest, highOf(x, g, end) - lowOf(x, g, end));
  }
  if (widest == 0) return;
  const unit = unitFor(widest, 15);
  for (let g = 0; g < n; g += A4_GROUP) {
    const end = min(g + A4_GROUP, n);
    const low = lowOf(x, g, end);
    const scale = groupScale(highOf(x, g, end) - low, unit, 15);
    const zero = min<f32>(15, floor<f32>(-low / scale + 0.5));
    for (let i = g; i < end; i++) {
      const code = min<f32>(15, max<f32>(0, floor<f32>(at(x, i) / scale + 0.5) + zero));
      put(x, i, (code - zero) * scale);
    }
  }
}

function symmetricRow(x: usize, n: i32, levels: f32): void {
  let widest: f32 = 0;
  for (let i = 0; i < n; i++) widest = max(widest, abs(at(x, i)));
  if (widest == 0) return;
  const unit = unitFor(widest, levels);
  for (let g = 0; g < n; g += SYMMETRIC_GROUP) {
    const end = min(g + SYMMETRIC_GROUP, n);
    const range = max(highOf(x, g, end), -lowOf(x, g, end));
    const scale = groupScale(range, unit, levels);
    for (let i = g; i < end; i++) {
      const code = min(levels, max(-levels, floor<f32>(at(x, i) / scale + 0.5)));
      put(x, i, code * scale);
    }
  }
}

function wholeRow(x: usize, n: i32): void {
  let widest: f32 = 0;
  for (let i = 0; i < n; i++) widest = max(widest, abs(at(x, i)));
  if (widest == 0) return;
  let scale = <f32>Math.pow(2, Math.ceil(Math.log2(<f64>widest / 127)));
  if (floor<f32>((widest / scale) * 2 + 0.5) <= 127) scale /= 2;
  for (let i = 0; i < n; i++) put(x, i, min<f32>(127, max<f32>(-127, floor<f32>(at(x, i) / scale + 0.5))) * scale);
}
