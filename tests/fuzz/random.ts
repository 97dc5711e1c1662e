/** Seeded random numbers, and changes of bytes that hit what parsers look at. */

export type Pick = (below: number) => number;

/** xorshift32. The seed is stirred first: neighbours must not begin alike. */
export function randomOf(seed: number): Pick {
  let state = (Math.imul(seed + 1, 0x9e3779b1) ^ 0x5bd1e995) | 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  for (let i = 0; i < 4; i++) next();
  return (below) => next() % below;
}

/** Numbers at which lengths, counts and offsets go wrong. */
const EDGES = [
  0n,
  1n,
  7n,
  8n,
  31n,
  32n,
  63n,
  64n,
  255n,
  256n,
  65535n,
  65536n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
];

function insert(bytes: Buffer, at: number, added: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at)]);
}

/** One change. `near` keeps it in the first so many bytes: a header is worth more than the numbers behind it. */
function change(bytes: Buffer, pick: Pick, near: number): Buffer {
  const at = pick(Math.min(bytes.length, near));
  const length = 1 + pick(9);
  switch (pick(8)) {
    case 0:
      bytes[at] = pick(256);
      return bytes;
    case 1:
      bytes[at]! ^= 1 << pick(8);
      return bytes;
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    case 3:
      return insert(bytes, at, bytes.subarray(at, at + length * 3));
    case 4:
      return insert(bytes, at, Buffer.from(Array.from({ length }, () => pick(256))));
    case 5:
      return bytes.subarray(0, at);
    case 6: {
      const edge = EDGES[pick(EDGES.length)]!;
      if (at + 8 <= bytes.length) bytes.writeBigUInt64LE(edge, at);
      return bytes;
    }
    default: {
      const edge = Number(EDGES[pick(EDGES.length)]! & 0xffffffffn);
      if (at + 4 <= bytes.length) bytes.writeUInt32LE(edge, at);
      return bytes;
    }
  }
}

/** One to four changes of a copy. */
export function mutate(valid: Uint8Array, pick: Pick, near = valid.length): Buffer {
  let bytes = Buffer.from(valid);
  for (let left = pick(4); left >= 0 && bytes.length > 0; left--) bytes = Buffer.from(change(bytes, pick, near));
  return bytes;
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const SPECIMENS: Json[] = [
  null,
  true,
  false,
  0,
  -1,
  1,
  0.5,
  2 ** 31,
  2 ** 53,
  1e308,
  "",
  "x",
  "__proto__",
  "\u0000",
  "a\nb",
  "y".repeat(5000),
  "deep list",
  [],
  {},
  [[]],
  [0, 0],
];

/** Changes one place of a JSON value: another value, a name gone, doubled or new, a list cut, doubled or filled. */
export function mutateJson(value: Json, pick: Pick): Json {
  if (value === null || typeof value !== "object" || pick(6) === 0) return another(value, pick);
  if (Array.isArray(value)) return mutateList(value, pick);
  const keys = Object.keys(value);
  if (keys.length === 0) return another(value, pick);
  const key = keys[pick(keys.length)]!;
  const rest = { ...value };
  switch (pick(8)) {
    case 0:
      delete rest[key];
      return rest;
    case 1:
      delete rest[key];
      return { ...rest, [`${key}${pick(10)}`]: value[key]! };
    default:
      return { ...value, [key]: mutateJson(value[key]!, pick) };
  }
}

function mutateList(value: Json[], pick: Pick): Json {
  if (value.length === 0) return another(value, pick);
  const at = pick(value.length);
  switch (pick(5)) {
    case 0:
      return value.toSpliced(at, 1);
    case 1:
      return value.toSpliced(at, 0, value[at]!);
    default:
      return value.with(at, mutateJson(value[at]!, pick));
  }
}

function another(value: Json, pick: Pick): Json {
  if (typeof value === "number" && pick(2) === 0)
    return [value + 1, value - 1, -value, value * 2 ** pick(60)][pick(4)]!;
  if (typeof value === "string" && pick(2) === 0)
    return value.slice(pick(value.length + 1)) + String.fromCharCode(pick(0x3000));
  return SPECIMENS[pick(SPECIMENS.length)]!;
}

/** Bytes of the value with one to three changes. */
export function mutatedJson(value: Json, pick: Pick): Buffer {
  let changed = value;
  for (let left = pick(3); left >= 0; left--) changed = mutateJson(changed, pick);
  // Put in as text: JSON.stringify would not survive it.
  const deep = "[".repeat(20_000) + "]".repeat(20_000);
  return Buffer.from(JSON.stringify(changed).replaceAll('"deep list"', deep));
}
