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
