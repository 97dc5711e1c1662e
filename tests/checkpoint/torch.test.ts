/** PyTorch files. A pickle is a program: this one may only describe tensors, whatever it asks for. */

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { InputFile } from "../../host/checkpoint/file.ts";
import { unpickleStateDict } from "../../host/checkpoint/pickle.ts";
import { openTorchWeights } from "../../host/checkpoint/torch.ts";
import { closeWeights } from "../../host/checkpoint/weights.ts";
import { readZipDirectory } from "../../host/checkpoint/zip.ts";
import {
  copyOf,
  editBytes,
  emptyDirectory,
  expectError,
  P,
  pickledStateDict,
  pickledTensor,
  type ZipPart,
  zipBytes,
} from "./support.ts";

const { op, text, int, start, stop, join: seq } = P;
const unpickle = (...parts: Uint8Array[]) => unpickleStateDict(seq(...parts), "x.bin");

describe("a state dict", () => {
  test("of one tensor", () => {
    const tensor = unpickleStateDict(pickledStateDict(pickledTensor()), "x.bin").get("w");
    assert.deepEqual(tensor, {
      kind: "tensor",
      dtype: "F32",
      storage: "0",
      storageLength: 6,
      offset: 0,
      shape: [2, 3],
    });
  });

  test("with the module versions that state_dict() hangs on it as an attribute", () => {
    const dict = seq(P.global("collections", "OrderedDict"), op(")R("), text("w"), pickledTensor(), op("u"));
    const metadata = seq(op("}"), text("_metadata"), op("}"), text(""), op("}"), text("version"), int(1), op("sss"));
    assert.deepEqual([...unpickle(start, dict, metadata, op("b"), stop).keys()], ["w"]);
  });

  test("of parameters, with memo entries and long integers", () => {
    const parameter = seq(
      P.global("torch._utils", "_rebuild_parameter"),
      P.tuple(pickledTensor(), op("\x88"), op("N")),
      op("R"),
    );
    const dict = seq(
      op("}q\x00r\x01\x02\x00\x00("),
      text("w"),
      parameter,
      op("q\x05"),
      text("v"),
      op("h\x05uh\x00"),
      stop,
    );
    assert.deepEqual([...unpickle(start, dict).keys()], ["w", "v"]);
    const storage = P.tuple(
      text("storage"),
      P.global("torch", "HalfStorage"),
      text("k"),
      text("cpu"),
      op("\x8a\x05\x00\x00\x00\x00\x01"),
    );
    const args = P.tuple(storage, op("Q"), op("\x8a\x05\x00\x00\x00\x00\x01"), op(")"), op(")"), op("\x89N"));
    const big = unpickle(
      start,
      op("}"),
      text("w"),
      P.global("torch._utils", "_rebuild_tensor_v2"),
      args,
      op("Rs"),
      stop,
    ).get("w")!;
    assert.deepEqual([big.dtype, big.storageLength, big.offset, big.shape], ["F16", 2 ** 32, 2 ** 32, []]);
  });

  test("with any stride where a size is 1", () => {
    const tensor = pickledTensor({ shape: [2, 1, 3], strides: [3, 99, 1] });
    assert.deepEqual(unpickleStateDict(pickledStateDict(tensor), "x.bin").get("w")!.shape, [2, 1, 3]);
  });
});

describe("a pickle is refused that", () => {
  const system = P.global("os", "system");
  const rebuild = P.global("torch._utils", "_rebuild_tensor_v2");
  const orderedDict = P.global("collections", "OrderedDict");
  const tensorOf = (spec: object) => pickledStateDict(pickledTensor(spec));
  /** Doubles a tuple again and again: small to write, endless to walk. */
  const laughs = seq(op("()q\x00"), ...Array(64).fill(op("h\x00h\x00\x86q\x00")), op("t"));
  const rows: [string, Uint8Array, ...string[]][] = [
    ["asks for os.system", seq(start, system, P.tuple(text("id")), op("R"), stop), "the name os.system"],
    ["asks for eval", seq(start, P.global("builtins", "eval"), stop), "the name builtins.eval"],
    ["asks for a storage of another type", tensorOf({ storageType: "DoubleStorage" }), "torch.DoubleStorage"],
    ["asks for a storage of integers", tensorOf({ storageType: "LongStorage" }), "torch.LongStorage"],
    ["asks for a name with a line break", seq(start, op("cos\nsys\\tem\n"), stop), "sys\\\\tem"],
    ["calls a string", seq(start, text("os.system"), op(")R"), stop), "a call of something that is not a name"],
    ["calls a tensor", seq(start, pickledTensor(), op(")R"), stop), "a call of something"],
    [
      "calls a storage type",
      seq(start, P.global("torch", "FloatStorage"), op(")R"), stop),
      "a call of torch.FloatStorage",
    ],
    [
      "calls OrderedDict with arguments",
      seq(start, orderedDict, P.tuple(int(1)), op("R"), stop),
      "a call of collections.OrderedDict",
    ],
    ["calls with a dict for arguments", seq(start, rebuild, op("}R"), stop), "a call of something"],
    ["calls a rebuild with nothing", seq(start, rebuild, op(")R"), stop), "a tensor without storage"],
    [
      "rebuilds a parameter of a number",
      seq(start, P.global("torch._utils", "_rebuild_parameter"), P.tuple(int(1)), op("R"), stop),
      "_rebuild_parameter",
    ],
    ["uses INST", seq(start, op("(ios\nsystem\n"), stop), "instruction INST"],
    ["uses OBJ", seq(start, op("(o"), stop), "instruction OBJ"],
    ["uses NEWOBJ", seq(start, orderedDict, op(")\x81"), stop), "instruction NEWOBJ"],
    ["uses NEWOBJ_EX", seq(start, op("\x92"), stop), "instruction NEWOBJ_EX"],
    ["uses STACK_GLOBAL", seq(start, text("os"), text("system"), op("\x93"), stop), "instruction STACK_GLOBAL"],
    ["uses EXT1", seq(start, op("\x82\x01"), stop), "instruction EXT1"],
    ["uses EXT2", seq(start, op("\x83\x01\x00"), stop), "instruction EXT2"],
    ["uses EXT4", seq(start, op("\x84\x01\x00\x00\x00"), stop), "instruction EXT4"],
    ["uses an instruction that does not exist", seq(start, op("\xff"), stop), "instruction 0xff"],
    ["builds a tensor's attributes", seq(start, pickledTensor(), op("}b"), stop), "BUILD"],
    ["builds a name's attributes", seq(start, orderedDict, op("}b"), stop), "BUILD"],
    ["builds with a tuple", seq(start, op("})b"), stop), "BUILD"],
    ["takes from an empty stack", seq(start, op("R"), stop), "an empty stack"],
    ["ends with nothing", seq(start, stop), "an empty stack"],
    ["takes from under a mark", seq(start, int(1), op("(\x85"), stop), "an empty stack"],
    ["takes to a mark that is not there", seq(start, op("t"), stop), "no mark"],
    ["recalls what it never stored", seq(start, op("h\x07"), stop), "memo entry 7, which was never set"],
    ["stores at an absurd index", seq(start, op("}r\xff\xff\xff\xff"), stop), "memo entry 4294967295"],
    ["stores nothing", seq(start, op("q\x00"), stop), "an empty stack"],
    ["sets an item of a number", seq(start, int(1), text("a"), int(1), op("s"), stop), "not a dict"],
    ["sets half an item", seq(start, op("}("), text("a"), op("u"), stop), "not a dict"],
    ["has a number for a key", seq(start, op("}"), int(1), int(1), op("s"), stop), "a key that is not a string"],
    [
      "names a tensor twice",
      seq(start, op("}("), text("w"), int(1), text("w"), int(1), op("u"), stop),
      "the name w twice",
    ],
    ["is of protocol 4", seq(op("\x80\x04}"), stop), "pickle protocol 4"],
    ["ends early", seq(start, op("}")), "the end in the middle"],
    ["ends in a string", seq(start, op("X\xff\xff\xff\x7fabc")), "the end in the middle"],
    ["ends in a name", seq(start, op("cos")), "the end in the middle of a name"],
    ["has an integer of 200 bytes", seq(start, op("\x8a\xc8"), Buffer.alloc(200), stop), "more than 64 bits"],
    ["marks without end", seq(start, Buffer.alloc(2 ** 21, "(")), "too deep"],
    ["makes dicts without end", seq(start, Buffer.alloc(2 ** 20, "}")), "too many dicts"],
    ["has a persistent id that is a string", seq(start, text("storage"), op("Q"), stop), "not a storage"],
    ["has a storage of negative length", tensorOf({ length: -1 }), "not a storage"],
    ["has a tensor at a negative offset", tensorOf({ offset: -1 }), "a tensor without storage"],
    ["has a tensor of negative size", tensorOf({ shape: [-2, 3] }), "a tensor without storage"],
    ["has a transposed tensor", tensorOf({ strides: [1, 2] }), "[2, 3] with strides [1, 2]: not contiguous"],
    ["has an expanded tensor", tensorOf({ strides: [0, 0] }), "not contiguous"],
    ["has fewer strides than sizes", tensorOf({ strides: [1] }), "not contiguous"],
    ["is a number", seq(start, int(1), stop), "not a state dict"],
    ["is a tensor", seq(start, pickledTensor(), stop), "not a state dict"],
    ["holds a number", seq(start, op("}"), text("step"), int(1), op("s"), stop), "step: not a state dict"],
    ["holds a nested dict", seq(start, op("}"), text("model"), op("}s"), stop), "model: not a state dict"],
    ["holds itself", seq(start, op("}q\x00"), text("self"), op("h\x00s"), stop), "self: not a state dict"],
    ["laughs a billion times", seq(start, op("}"), text("w"), laughs, op("s"), stop), "w: not a state dict"],
    [
      "laughs in a shape",
      seq(start, rebuild, P.tuple(op("N"), int(0), laughs, laughs), op("R"), stop),
      "a tensor without",
    ],
  ];
  for (const [name, pickle, ...parts] of rows) {
    test(name, () => expectError(() => unpickleStateDict(pickle, "x.bin"), "badInput", "x.bin", ...parts));
  }
});

function torchFile(
  parts: Partial<Record<string, Uint8Array>>,
  edit: (parts: ZipPart[]) => ZipPart[] = (all) => all,
): string {
  const whole = {
    "a/data.pkl": pickledStateDict(pickledTensor({ length: 8, offset: 2 })),
    "a/byteorder": Buffer.from("little"),
    "a/data/0": new Uint8Array(Float32Array.from([0, 1, 2, 3, 4, 5, 6, 7]).buffer),
    ...parts,
  };
  const present = Object.entries(whole).flatMap(([name, data]) => (data ? [{ name, data }] : []));
  const path = join(emptyDirectory(), "pytorch_model.bin");
  writeFileSync(path, zipBytes(edit(present)));
  return path;
}

describe("the archive around the pickle", () => {
  function valuesOf(path: string): number[] {
    const weights = openTorchWeights(path);
    const { file, begin, end } = weights.ranges.get("w")!;
    const values = [...new Float32Array(file.read(begin, end - begin).buffer)];
    closeWeights(weights);
    return values;
  }

  test("gives the bytes of a tensor inside its storage", () => {
    assert.deepEqual(valuesOf(torchFile({})), [2, 3, 4, 5, 6, 7]);
  });
  test("may be zip64", () => {
    const path = torchFile({}, (parts) => parts.map((part) => ({ ...part, zip64: true })));
    assert.deepEqual(valuesOf(path), [2, 3, 4, 5, 6, 7]);
    writeFileSync(path, zipBytes([{ name: "x", data: Buffer.from("hello"), zip64: true }], true));
    const file = InputFile.open(path);
    const { begin, end } = readZipDirectory(file).get("x")!;
    assert.equal(Buffer.from(file.read(begin, end - begin)).toString(), "hello");
    file.close();
  });

  const pickle = (spec: object) => ({ "a/data.pkl": pickledStateDict(pickledTensor(spec)) });
  const rows: [string, () => string, ...string[]][] = [
    ["no pickle", () => torchFile({ "a/data.pkl": undefined }), "not a PyTorch file", "found 0"],
    ["two pickles", () => torchFile({ "b/data.pkl": Buffer.from(".") }), "not a PyTorch file", "found 2"],
    [
      "a missing storage",
      () => torchFile(pickle({ length: 8, key: "7" })),
      "w: the tensor's storage is missing",
      "data/7",
    ],
    ["a storage key that climbs", () => torchFile(pickle({ length: 8, key: "../data.pkl" })), "storage is missing"],
    [
      "a storage of another size",
      () => torchFile(pickle({ length: 9 })),
      "w: the tensor's storage has another size",
      "36 bytes",
    ],
    [
      "an offset out of range",
      () => torchFile(pickle({ length: 8, offset: 3 })),
      "w: the tensor reaches outside its storage",
      "offset 3",
    ],
    ["a shape out of range", () => torchFile(pickle({ length: 8, shape: [3, 3] })), "reaches outside its storage"],
    [
      "big-endian numbers",
      () => torchFile({ "a/byteorder": Buffer.from("big") }),
      "byteorder: wrong byte order",
      "found big",
    ],
    ["a name given twice", () => torchFile({}, (parts) => [...parts, parts[2]!]), "two entries named a/data/0"],
  ];
  for (const [name, build, ...parts] of rows) {
    test(`is refused with ${name}`, () =>
      expectError(() => openTorchWeights(build()), "badInput", "pytorch_model.bin", ...parts));
  }

  test("is refused with compressed entries", () => {
    const path = torchFile({}, (parts) => parts.map((part) => ({ ...part, method: 8 })));
    expectError(() => openTorchWeights(path), "unsupported", "a/data.pkl", "compressed");
  });
  test("is refused in PyTorch's old form", () => {
    const path = join(emptyDirectory(), "pytorch_model.bin");
    writeFileSync(path, Buffer.from("80028a0a6cfc9c46f920", "hex"));
    expectError(() => openTorchWeights(path), "unsupported", "old file format", "safetensors");
  });

  /** Overwrites 32-bit words counted from the first entry of the directory, or from the end. */
  const poke =
    (from: "directory" | "end", value: number, ...offsets: number[]) =>
    (bytes: Buffer) => {
      const base = from === "end" ? bytes.length : bytes.indexOf("PK\x01\x02");
      for (const offset of offsets) bytes.writeUInt32LE(value, base + offset);
      return bytes;
    };
  const damages: [string, (bytes: Buffer) => Uint8Array, string][] = [
    ["an empty file", () => Buffer.alloc(0), "not a zip archive"],
    ["no end record", (bytes) => bytes.subarray(0, -30), "not a zip archive"],
    ["a missing beginning", (bytes) => bytes.subarray(40), "damaged"],
    ["a directory outside the file", poke("end", 2 ** 31, -6), "outside the file"],
    ["a directory that starts elsewhere", poke("end", 1, -6), "wrong signature"],
    ["an entry past the data", poke("directory", 10_000_000, 20, 24), "reaches outside"],
    ["two sizes for an entry", poke("directory", 1, 20), "two sizes"],
    ["an entry where there is none", poke("directory", 3, 42), "no entry where"],
  ];
  for (const [name, damage, part] of damages) {
    test(`is refused damaged: ${name}`, () => {
      const path = torchFile({});
      editBytes(path, damage);
      expectError(() => openTorchWeights(path), "badInput", part);
    });
  }

  test("of a real checkpoint, cut short anywhere, is refused", () => {
    const path = join(copyOf("odd-f-original"), "pytorch_model.bin");
    for (const kept of [320_349, 320_000, 317_000, 50_000, 30, 1]) {
      editBytes(path, (bytes) => bytes.subarray(0, kept));
      expectError(() => openTorchWeights(path), "badInput", "pytorch_model.bin");
    }
  });
});
