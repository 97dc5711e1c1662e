// The one allocator of the module: buffers live as long as the instance, aligned for SIMD and DMA.
import { BEAT_BYTES } from "./contract";

let top: usize = __heap_base;

/** Zero-filled bytes at a 64-byte boundary. Traps when 4 GiB are not enough: the host adds up the sizes first. */
export function allocate(bytes: usize): usize {
  const start = (top + BEAT_BYTES - 1) & ~(<usize>BEAT_BYTES - 1);
  const end = <u64>start + <u64>bytes;
  assert(end <= <u64>u32.MAX_VALUE);
  const pages = <i32>((end + 0xffff) >> 16);
  const missing = pages - memory.size();
  if (missing > 0) assert(memory.grow(missing) >= 0);
  top = <usize>end;
  return start;
}

/** Reads whole 64-byte beats and returns a number that depends on all of them: the bandwidth that the MMU is measured against. */
export function readBytes(at: usize, bytes: usize): i64 {
  let a = i64x2.splat(0);
  let b = a;
  for (const end = at + bytes; at < end; at += BEAT_BYTES) {
    a = v128.xor(a, v128.xor(v128.load(at), v128.load(at, 16)));
    b = v128.xor(b, v128.xor(v128.load(at, 32), v128.load(at, 48)));
  }
  a = v128.xor(a, b);
  return i64x2.extract_lane(a, 0) ^ i64x2.extract_lane(a, 1);
}
