/** Which blocks of an ext4 file system nobody has: what was there before can stay, since nothing reads a block that it has not written. */
import { LightMambaError } from "../errors.ts";
import type { Extent } from "./bmap.ts";
import { type RunOptions, runProgram } from "./programs.ts";

/** Bytes from the beginning of `file` on, in order. */
export async function freeExtents(file: string, options: RunOptions = {}): Promise<Extent[]> {
  return parseFree((await runProgram("dumpe2fs", [file], options)).stdout);
}

/** Of what dumpe2fs says; it must add up to what it says in its first lines. */
export function parseFree(text: string): Extent[] {
  const [size, blocks] = ["Block size", "Free blocks"].map((name) =>
    Number(new RegExp(`^${name}: +(\\d+)$`, "m").exec(text)?.[1]),
  );
  const free: Extent[] = [];
  let found = 0;
  for (const [, ranges] of text.matchAll(/^ {2}Free blocks: *([\d, -]*)$/gm))
    for (const [, first, last = first] of ranges!.matchAll(/(\d+)(?:-(\d+))?/g)) {
      const count = Number(last) - Number(first) + 1;
      found += count;
      append(free, { offset: Number(first) * size!, bytes: count * size! });
    }
  if (found === blocks) return free;
  throw new LightMambaError("bug", "dumpe2fs does not say which blocks are free", { expected: blocks!, found });
}

/** Groups of blocks are described one by one; free blocks may go on from one to the next. */
function append(free: Extent[], next: Extent): void {
  const last = free.at(-1);
  if (last !== undefined && last.offset + last.bytes === next.offset) last.bytes += next.bytes;
  else free.push(next);
}
