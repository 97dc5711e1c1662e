/** What the loader does to an instance of the runtime, so that a program without the loader can do it again: the calls, and what it writes. */
import { LightMambaError } from "../errors.ts";
import type { Engine, RuntimeExports } from "../runtime/engine.ts";
import type { FileRange } from "../runtime/load.ts";

/** A call of the runtime, and what memory that it allocated is to hold: bytes, or a range of the weights' file. */
export interface RecordedCall {
  call: string;
  /** i32 as numbers, i64 as decimal text. */
  args: (number | string)[];
  /** Of `allocate`. */
  result?: number;
  /** Base64, from the start of what was allocated on. */
  bytes?: string;
  file?: FileRange;
}

type Exports = Record<string, (...args: (number | bigint)[]) => number | bigint | undefined>;

/** Records what `load` does to the engine. The range that it returns is not recorded as bytes. */
export function record(engine: Engine, load: (engine: Engine) => FileRange): RecordedCall[] {
  const calls: RecordedCall[] = [];
  const own = engine.exports as unknown as Exports;
  // Not a proxy of the exports themselves: they are frozen, and a proxy must show what a frozen object has.
  const exports = new Proxy({} as Exports, {
    get:
      (_, name: string) =>
      (...args: (number | bigint)[]) => {
        const result = own[name]!(...args);
        calls.push({
          call: name,
          args: args.map((arg) => (typeof arg === "bigint" ? String(arg) : arg)),
          ...(result === undefined ? {} : { result: Number(result) }),
        });
        return result;
      },
  });
  const range = load({ ...engine, exports: exports as unknown as RuntimeExports });
  return calls.map((call) => (call.call === "allocate" ? { ...call, ...contents(engine, call, range) } : call));
}

/** The loader fills what it allocates and leaves it alone: at the end it still has what the calls behind it saw. */
function contents(
  engine: Engine,
  { args, result }: RecordedCall,
  range: FileRange,
): { bytes?: string; file?: FileRange } {
  const [start, size] = [Number(result) >>> 0, Number(args[0])];
  const area = Buffer.from(engine.memory.buffer, start, size);
  if (range.at < start || range.at >= start + size) return { bytes: area.toString("base64") };
  const around = [area.subarray(0, range.at - start), area.subarray(range.at - start + range.bytes)];
  if (around.every((part) => part.every((byte) => byte === 0))) return { file: range };
  throw new LightMambaError("bug", "the loader wrote beside the weights");
}
