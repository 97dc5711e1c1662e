/** The safetensors reader and writer, on their own: other modules use them for files that are not checkpoints. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import {
  isPadding,
  SafetensorsFile,
  type SafetensorsTensor,
  writeSafetensors,
} from "../../host/checkpoint/safetensors.ts";
import type { LightMambaError } from "../../host/errors.ts";
import { emptyDirectory, expectError, GOLDEN, type Json, safetensorsBytes } from "./support.ts";

const bytes = (...values: number[]) => Uint8Array.from(values);

describe("reading", () => {
  test("tensors and metadata of a file that another program wrote", () => {
    const file = SafetensorsFile.open(join(GOLDEN, "odd-a/expected.safetensors"));
    assert.deepEqual([...file.tensors.keys()], ["greedy_ids", "input_ids", "hidden_states", "logits"]);
    assert.match(file.metadata.origin!, /transformers/);
    const { dtype, shape, begin, end } = file.tensors.get("logits")!;
    assert.deepEqual([dtype, shape, end - begin], ["F32", [24, 259], 24 * 259 * 4]);
    const ids = new BigInt64Array(40);
    file.readInto("greedy_ids", new Uint8Array(ids.buffer));
    assert.ok(ids.every((id) => id >= 0n && id < 259n));
    assert.deepEqual(file.readBytes("greedy_ids"), new Uint8Array(ids.buffer));
    expectError(() => file.readBytes("nothing"), "badInput", "nothing", "no such tensor");
    expectError(() => file.readInto("logits", new Uint8Array(3)), "badInput", "logits", "a target of 3");
    file.close();
  });

  test("scalars and empty tensors", () => {
    const path = join(emptyDirectory(), "a.safetensors");
    const header = {
      scalar: { dtype: "U16", shape: [], data_offsets: [0, 2] },
      none: { dtype: "F64", shape: [0, 3], data_offsets: [2, 2] },
    };
    writeFileSync(path, safetensorsBytes(header, bytes(1, 2)));
    const file = SafetensorsFile.open(path);
    assert.deepEqual([file.readBytes("scalar"), file.readBytes("none")], [bytes(1, 2), bytes()]);
    file.close();
  });
});

describe("reading refuses", () => {
  const u8 = (begin: number, end: number, shape = [end - begin]) => ({
    dtype: "U8",
    shape,
    data_offsets: [begin, end],
  });
  /** What is wrong, the header, the bytes of data after it, parts of the message. */
  const cases: [string, Json, number, ...string[]][] = [
    ["a header that is no JSON", "{]", 0, "not valid JSON", "line 1, column 2"],
    ["a header that is a list", [], 0, "not a JSON object"],
    ["JSON that goes on after its end", "{} {}", 0, "expected the end of the text"],
    ["endless nesting", '{"a":'.repeat(9999), 0, "64 levels"],
    [
      "a name given twice",
      `{"a":${JSON.stringify(u8(0, 2))},"a":${JSON.stringify(u8(0, 2))}}`,
      2,
      "a: the name is given twice",
    ],
    ["metadata that are not strings", { __metadata__: { a: 1 } }, 0, "__metadata__"],
    ["an entry that is a number", { a: 7 }, 0, "a: wrong entry", "found 7"],
    ["no dtype", { a: { shape: [], data_offsets: [0, 1] } }, 1, "wrong dtype", "found nothing"],
    ["an unknown dtype", { a: { ...u8(0, 1), dtype: "F8_E4M3" } }, 1, "wrong dtype", 'found "F8_E4M3"'],
    ["a dtype from Object.prototype", { a: { ...u8(0, 1), dtype: "toString" } }, 1, "wrong dtype"],
    ["a negative size", { a: u8(0, 1, [-1]) }, 1, "wrong shape", "[-1]"],
    ["a size that is not an integer", { a: u8(0, 1, [1.5]) }, 1, "wrong shape"],
    ["sizes whose product overflows", { a: u8(0, 1, [2 ** 40, 2 ** 40]) }, 1, "wrong data_offsets"],
    ["an infinite product of zero", { a: u8(0, 0, [...Array(40).fill(2 ** 52), 0]) }, 0, "wrong data_offsets"],
    ["too many dimensions", { a: u8(0, 1, Array(65).fill(1)) }, 1, "wrong shape"],
    ["one offset", { a: { ...u8(0, 1), data_offsets: [0] } }, 1, "wrong data_offsets"],
    ["an end before the beginning", { a: { ...u8(0, 1), data_offsets: [1, 0] } }, 1, "wrong data_offsets"],
    [
      "a size that is not shape times dtype",
      { a: { ...u8(0, 2), dtype: "F32" } },
      2,
      "a: wrong data_offsets",
      "8 bytes",
    ],
    ["tensors that overlap", { a: u8(0, 2), b: u8(1, 3) }, 3, "b: the tensor overlaps"],
    ["two names for the same bytes", { a: u8(0, 2), b: u8(0, 2) }, 2, "overlaps"],
    ["a hole", { a: u8(0, 2), b: u8(3, 4) }, 4, "b: a hole", "expected begin at 2", "found 3"],
    ["a hole at the beginning", { a: u8(1, 2) }, 2, "a: a hole"],
    ["bytes after the last tensor", { a: u8(0, 2) }, 3, "bytes after the last tensor"],
    ["a file cut short", { a: u8(0, 2) }, 1, "cut short"],
    ["a name that would break the message", { "a\nb": 1 }, 0, "a\\nb"],
  ];
  for (const [name, header, size, ...parts] of cases) {
    test(name, () => {
      const path = join(emptyDirectory(), "a.safetensors");
      writeFileSync(path, safetensorsBytes(header, new Uint8Array(size)));
      expectError(() => SafetensorsFile.open(path), "badInput", "a.safetensors", ...parts);
    });
  }

  /** Files without a usable header. */
  const raw: [string, Buffer, string][] = [
    ["an empty file", Buffer.alloc(0), "too short"],
    ["seven bytes", Buffer.alloc(7), "too short"],
    ["a header longer than the file", Buffer.from([200, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x7d]), "found 200"],
    ["a header of 2^64 bytes", Buffer.alloc(16, 0xff), "header length"],
    ["text that is not UTF-8", safetensorsBytes("{}").fill(0xff, 8), "UTF-8"],
  ];
  for (const [name, content, part] of raw) {
    test(name, () => {
      const path = join(emptyDirectory(), "a.safetensors");
      writeFileSync(path, content);
      expectError(() => SafetensorsFile.open(path), "badInput", part);
    });
  }

  test("a header above 100 MB, without reading it", () => {
    const path = join(emptyDirectory(), "a.safetensors");
    writeFileSync(path, Buffer.from([0x01, 0xe1, 0xf5, 0x05, 0, 0, 0, 0]));
    truncateSync(path, 100_000_100);
    expectError(() => SafetensorsFile.open(path), "badInput", "at most 100000000 bytes", "found 100000001");
  });
});

describe("writing", () => {
  const tensors: SafetensorsTensor[] = [
    { name: "10", dtype: "U8", shape: [3], data: bytes(1, 2, 3) },
    { name: "2", dtype: "I32", shape: [], data: () => bytes(4, 5, 6, 7) },
    { name: "empty", dtype: "F64", shape: [0], data: bytes() },
    { name: "last", dtype: "BF16", shape: [1, 2], data: bytes(8, 9, 10, 11) },
  ];
  const expected = tensors.map(({ name, data }) => [name, typeof data === "function" ? data() : data]);

  function writeAndRead(align?: number) {
    const path = join(emptyDirectory(), "out.safetensors");
    writeSafetensors(path, tensors, { metadata: { format: "test" }, ...(align !== undefined && { align }) });
    const file = SafetensorsFile.open(path);
    const names = [...file.tensors.keys()];
    const read = names.filter((name) => !isPadding(name)).map((name) => [name, file.readBytes(name)]);
    file.close();
    return { path, file, names, read };
  }

  test("gives back what was written, in the same order", () => {
    const { file, names, read } = writeAndRead();
    assert.deepEqual(read, expected);
    assert.deepEqual(names, ["10", "2", "empty", "last"]);
    assert.deepEqual({ ...file.metadata }, { format: "test" });
  });

  for (const align of [1, 3, 8, 64, 4096]) {
    test(`starts every tensor on a multiple of ${align}, with named padding between`, () => {
      const { file, read } = writeAndRead(align);
      assert.deepEqual(read, expected);
      for (const [name, { begin, dtype }] of file.tensors) {
        if (isPadding(name)) assert.equal(dtype, "U8");
        else assert.equal(begin % align, 0, name);
      }
    });
  }

  test("names the padding by number", () => {
    const { names } = writeAndRead(8);
    assert.deepEqual(names, ["10", "__pad.0", "2", "__pad.1", "empty", "last"]);
  });

  test("gives the same bytes every time, and no other file", () => {
    const [one, two] = [writeAndRead(64), writeAndRead(64)];
    assert.deepEqual(readFileSync(one.path), readFileSync(two.path));
    assert.deepEqual(readdirSync(join(one.path, "..")), ["out.safetensors"]);
  });

  test("asks for a tensor's bytes only when their turn comes", () => {
    const order: string[] = [];
    const lazy = ["a", "b"].map((name): SafetensorsTensor => {
      const data = () => {
        order.push(name);
        return bytes(1);
      };
      return { name, dtype: "U8", shape: [1], data };
    });
    writeSafetensors(join(emptyDirectory(), "x"), lazy);
    assert.deepEqual(order, ["a", "b"]);
  });

  test("leaves the old file, and nothing else, when it fails half way", () => {
    const directory = emptyDirectory();
    const path = join(directory, "x");
    writeFileSync(path, "old");
    const fail = (): Uint8Array => {
      throw new Error("no more");
    };
    const broken = [tensors[0]!, { name: "b", dtype: "U8" as const, shape: [1], data: fail }];
    assert.throws(() => writeSafetensors(path, broken), /no more/);
    assert.deepEqual(readdirSync(directory), ["x"]);
    assert.equal(readFileSync(path, "utf8"), "old");
  });

  const one: SafetensorsTensor = { name: "a", dtype: "F32", shape: [2], data: new Uint8Array(8) };
  const refused: [string, SafetensorsTensor[], number | undefined, LightMambaError["exit"], string][] = [
    ["data of another size", [{ ...one, shape: [3] }], undefined, "bug", "8 bytes given for F32 [3]"],
    ["a name twice", [one, one], undefined, "bug", "given twice"],
    ["a padding's name", [{ ...one, name: "__pad.0" }], undefined, "bug", "reserved"],
    ["the metadata's name", [{ ...one, name: "__metadata__" }], undefined, "bug", "reserved"],
    ["an alignment of 0", [one], 0, "bug", "align"],
  ];
  for (const [name, given, align, exit, part] of refused) {
    test(`refuses ${name}`, () => {
      const directory = emptyDirectory();
      expectError(
        () => writeSafetensors(join(directory, "x"), given, align === undefined ? {} : { align }),
        exit,
        part,
      );
      assert.deepEqual(readdirSync(directory), []);
    });
  }

  test("says where it could not write", () => {
    const path = join(emptyDirectory(), "no/such/x");
    expectError(() => writeSafetensors(path, [one]), "usage", "cannot be written", "no such file");
  });
});
