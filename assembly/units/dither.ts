// The dither of the state update (docs/numerics.md sections 3.3 and 5): i = (t + 11·n + 57·channel) mod 256.
//
// Kept in the order in which n takes it: place m holds entry 11·m mod 256, so what a channel takes for n, n + 1, … is a run of places, and eight
// of them one load. A run may begin at any of 256 places and is at most 128 long.
import { STATE_GROUP } from "../contract";
import { DITHER1, DITHER2 } from "../tables.generated";

const DITHER_N: i32 = 11;
/** Places from a token to the next, and from a channel to the next: 1/11 and 57/11 mod 256. */
const TOKEN_PLACES: i32 = 163;
const CHANNEL_PLACES: i32 = 75;
const PLACES: i32 = 256 + 8 * STATE_GROUP;

/** d1: u16 [PLACES]. */
export const CODE_DITHER: usize = memory.data(2 * PLACES, 16);

/**
 * A row for each way of bringing state and input to one exponent, u = -15..8: for u > 0 the input is shifted by s = u, for u < 0 the state by
 * sa = -u. 2^(14-sa) and -2^(15-s), i16 [8] each, then what a rounding shift by s lacks, negative: 2^(s-1) - (d2 >> (8 - s)), i16 [PLACES].
 */
export const LEAST_SHIFT: i32 = -15;
export const MOST_SHIFT: i32 = 8;
export const ROW_POWERS: usize = 32;
export const ROW_BYTES: i32 = <i32>ROW_POWERS + 2 * PLACES;
export const SHIFT_ROWS: usize = memory.data((MOST_SHIFT - LEAST_SHIFT + 1) * ROW_BYTES, 16);

/** For the add-on: d1, and 256 · d2 of the rows' t >> 8; u16 [2][PLACES / 2], those of even places, then those of odd ones. */
export const CODE_DITHER_HALVES: usize = isDefined(NATIVE) ? memory.data(2 * PLACES, 16) : 0;
export const INPUT_DITHER_HALVES: usize = isDefined(NATIVE) ? memory.data(2 * PLACES, 16) : 0;

/** The t >> 8 that the rows are of, bits reversed; -1: none. */
const slow: usize = memory.data(4, 4);

export function allocateDither(): void {
  for (let m = 0; m < PLACES; m++) {
    store<u16>(CODE_DITHER + ((<usize>m) << 1), entry(DITHER1, m));
    if (isDefined(NATIVE)) store<u16>(CODE_DITHER_HALVES + halved(m), entry(DITHER1, m));
  }
  for (let u = LEAST_SHIFT; u <= MOST_SHIFT; u++) {
    v128.store(shiftRow(u), i16x8.splat(u == LEAST_SHIFT ? 0 : <i16>(<i32>0x4000 >> max(-u, 0))));
    v128.store(shiftRow(u), i16x8.splat(<i16>-(<i32>0x8000 >> max(u, 0))), 16);
  }
  store<i32>(slow, -1);
}

/** Byte offset of place m where even and odd ones lie apart. */
function halved(m: i32): usize {
  return <usize>((m & 1) * PLACES + (m & ~1));
}

function shiftRow(u: i32): usize {
  return SHIFT_ROWS + <usize>((u - LEAST_SHIFT) * ROW_BYTES);
}

function entry(permutation: usize, m: i32): i32 {
  return load<u8>(permutation + <usize>((DITHER_N * m) & 255));
}

/** Before the tokens of one t >> 8: the second permutation changes with it. */
export function prepareDither(t: u32): void {
  const reversed = bitReverse8(t >> 8);
  if (load<i32>(slow) == reversed) return;
  for (let s = 1; s <= MOST_SHIFT; s++) {
    const run = shiftRow(s) + ROW_POWERS;
    for (let m = 0; m < PLACES; m++) {
      const d = entry(DITHER2, m) ^ reversed;
      store<i16>(run + ((<usize>m) << 1), <i16>(((<i32>1) << (s - 1)) - (d >> (8 - s))));
    }
  }
  if (isDefined(NATIVE)) {
    for (let m = 0; m < PLACES; m++) store<u16>(INPUT_DITHER_HALVES + halved(m), (entry(DITHER2, m) ^ reversed) << 8);
  }
  store<i32>(slow, reversed);
}

function bitReverse8(x: u32): i32 {
  let r = x & 0xff;
  r = ((r & 0xf0) >> 4) | ((r & 0x0f) << 4);
  r = ((r & 0xcc) >> 2) | ((r & 0x33) << 2);
  return ((r & 0xaa) >> 1) | ((r & 0x55) << 1);
}

/** Byte offset, in any run, of what a channel takes from n on. */
export function ditherOffset(t: u32, channel: i32, n: i32): usize {
  return <usize>(((TOKEN_PLACES * <i32>t + CHANNEL_PLACES * channel + n) & 255) << 1);
}
