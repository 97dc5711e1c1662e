// SSMU with a 16-bit state: the same update with 8 guard bits in int32 (docs/numerics.md section 3.5).
import { stateGroups } from "../config";
import { STATE_EXPONENT_MAX, STATE_EXPONENT_MIN, STATE_GROUP } from "../contract";
import { clamp, rsh } from "../fixed";
import { CODE_DITHER, ditherOffset } from "./dither";
import { Lanes } from "./lanes";
import { HeadStep, TERM_LIMIT } from "./ssmu-groups";

/** Bits of a below its code, and of b below a product of codes. */
const STATE_GUARD: i32 = 8;
const INPUT_GUARD: i32 = 9;
const LARGEST_CODE: i32 = 32767;

/** Codes i16 [Np] and exponents i8 [Np/16] in place; q is dt·x of the channel. Returns Σ h·C in Q12, before 2^-F. */
export function scanChannelWide(step: HeadStep, codes: usize, exponents: usize, q: i32, channel: i32): i32 {
  const groups = stateGroups();
  const x = i16x8.splat(<i16>q);
  let bCodes = step.bCodes;
  let cCodes = step.cCodes;
  let y = 0;
  for (let g = 0; g < groups; g++) {
    const dither = CODE_DITHER + ditherOffset(step.t, channel, g * STATE_GROUP);
    y += scanGroup(step, codes, exponents, x, bCodes, cCodes, dither);
    codes += STATE_GROUP * 2;
    exponents++;
    bCodes += STATE_GROUP * 2;
    cCodes += STATE_GROUP * 2;
  }
  return y;
}

/** Σ h·C of 16 values in Q12. */
function readTerm(part: i32, exponent: i32, readShift: i32): i32 {
  return <i32>clamp(rsh(part, max(readShift - exponent, -24)), -TERM_LIMIT, TERM_LIMIT);
}

/** rsh of four lanes for 0 ≤ s ≤ 31; |v| ≤ 2^23, so a shift beyond 25 gives 0 as its sum with half would. */
function rshLanes(v: v128, s: i32): v128 {
  if (s == 0) return v;
  if (s > 25) return i32x4.splat(0);
  return i32x4.shr_s(i32x4.add(v, i32x4.splat(1 << (s - 1))), s);
}

function scanGroup(
  step: HeadStep,
  codes: usize,
  exponents: usize,
  x: v128,
  bCodes: usize,
  cCodes: usize,
  dither: usize,
): i32 {
  let h0 = v128.load(codes);
  let h1 = v128.load(codes, 16);
  let eh = <i32>load<i8>(exponents) - step.k;
  if (eh < STATE_EXPONENT_MIN) {
    h0 = i16x8.splat(0);
    h1 = h0;
    eh = STATE_EXPONENT_MIN;
  }
  const eb = step.exponent - INPUT_GUARD;
  const ew = max(eh - STATE_GUARD, eb);
  const sa = ew - eh + STATE_GUARD;
  const sb = ew - eb;
  const b0 = v128.load(bCodes);
  const b1 = v128.load(bCodes, 16);
  const a0 = sumLanes(i32x4.extend_low_i16x8_s(h0), sa, i32x4.extmul_low_i16x8_s(b0, x), sb);
  const a1 = sumLanes(i32x4.extend_high_i16x8_s(h0), sa, i32x4.extmul_high_i16x8_s(b0, x), sb);
  const a2 = sumLanes(i32x4.extend_low_i16x8_s(h1), sa, i32x4.extmul_low_i16x8_s(b1, x), sb);
  const a3 = sumLanes(i32x4.extend_high_i16x8_s(h1), sa, i32x4.extmul_high_i16x8_s(b1, x), sb);
  const m01 = i32x4.max_s(i32x4.abs(a0), i32x4.abs(a1));
  const magnitude = Lanes.max(i32x4.max_s(m01, i32x4.max_s(i32x4.abs(a2), i32x4.abs(a3))));
  let r = max(17 - <i32>clz(magnitude), 0);
  if (magnitude > LARGEST_CODE << r) r++;
  eh = ew + r;
  if (magnitude == 0 || eh < STATE_EXPONENT_MIN) {
    v128.store(codes, i16x8.splat(0));
    v128.store(codes, i16x8.splat(0), 16);
    store<i8>(exponents, STATE_EXPONENT_MIN);
    return 0;
  }
  eh = min(eh, STATE_EXPONENT_MAX);
  h0 = i16x8.narrow_i32x4_s(
    ditherLanes(a0, v128.load16x4_u(dither), r),
    ditherLanes(a1, v128.load16x4_u(dither, 8), r),
  );
  h1 = i16x8.narrow_i32x4_s(
    ditherLanes(a2, v128.load16x4_u(dither, 16), r),
    ditherLanes(a3, v128.load16x4_u(dither, 24), r),
  );
  v128.store(codes, h0);
  v128.store(codes, h1, 16);
  store<i8>(exponents, <i8>eh);
  const dots = i32x4.add(i32x4.dot_i16x8_s(h0, v128.load(cCodes)), i32x4.dot_i16x8_s(h1, v128.load(cCodes, 16)));
  return readTerm(Lanes.sum(dots), eh, step.readShift);
}

/** (a + the 8-bit dither scaled to r bits) >> r, 0 ≤ r ≤ 10. */
function ditherLanes(a: v128, dither: v128, r: i32): v128 {
  const offset = r > 8 ? i32x4.add(i32x4.shl(dither, r - 8), i32x4.splat(1 << (r - 9))) : i32x4.shr_u(dither, 8 - r);
  return i32x4.shr_s(i32x4.add(a, offset), r);
}

/** h · 2^8 and b · 2^9, each aligned to the working exponent by a rounding shift, added. */
function sumLanes(h: v128, sa: i32, b: v128, sb: i32): v128 {
  const left = rshLanes(i32x4.shl(h, STATE_GUARD), sa);
  return i32x4.add(left, rshLanes(i32x4.shl(b, INPUT_GUARD), sb));
}
