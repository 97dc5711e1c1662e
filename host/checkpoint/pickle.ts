/**
 * Reads the pickle of a PyTorch state dict. A pickle is a program; this interpreter can run only the few instructions
 * torch.save writes for a state dict, and calls nothing: the names it knows stand for shapes and storages, every other
 * name or instruction is refused. Instructions: CPython Lib/pickletools.py. Model: torch/_weights_only_unpickler.py.
 */

import { badInput, type LightMambaError } from "../errors.ts";
import { isShape, isSize } from "./dtype.ts";
import { printable } from "./file.ts";
import { describe } from "./json.ts";
import type { Dtype } from "./types.ts";

/** A tensor as a view of a storage, an entry of the archive. */
export interface PickledTensor {
  kind: "tensor";
  dtype: Dtype;
  /** Name of the storage under `data/`. */
  storage: string;
  /** Elements of the whole storage. */
  storageLength: number;
  /** First element of the tensor. */
  offset: number;
  shape: number[];
}

interface Storage {
  kind: "storage";
  dtype: Dtype;
  key: string;
  length: number;
}

interface Global {
  kind: "global";
  name: string;
}

type Dict = Map<string, Value>;
type Value = null | boolean | number | string | Value[] | Dict | Global | Storage | PickledTensor;

const STORAGES: { [name: string]: Dtype } = {
  "torch.FloatStorage": "F32",
  "torch.HalfStorage": "F16",
  "torch.BFloat16Storage": "BF16",
};
const ORDERED_DICT = "collections.OrderedDict";
const REBUILD_TENSOR = "torch._utils._rebuild_tensor_v2";
const REBUILD_PARAMETER = "torch._utils._rebuild_parameter";
const GLOBALS = new Set([...Object.keys(STORAGES), ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER]);

/** What torch.save writes, always. */
const PROTOCOL = 2;
/** Of the stack with its marks, and of the memo. A state dict of 10,000 tensors needs a fraction. */
const MOST_VALUES = 2 ** 20;

/** A dict costs far more memory than the byte that makes one; each tensor has one, for its hooks. */
const MOST_DICTS = 2 ** 17;

/** The instructions of a state dict, by their names in pickletools. */
const OP = {
  PROTO: 0x80,
  MARK: 0x28,
  EMPTY_DICT: 0x7d,
  EMPTY_TUPLE: 0x29,
  TUPLE: 0x74,
  TUPLE1: 0x85,
  TUPLE2: 0x86,
  TUPLE3: 0x87,
  NONE: 0x4e,
  NEWTRUE: 0x88,
  NEWFALSE: 0x89,
  BININT1: 0x4b,
  BININT2: 0x4d,
  BININT: 0x4a,
  LONG1: 0x8a,
  BINUNICODE: 0x58,
  BINPUT: 0x71,
  LONG_BINPUT: 0x72,
  BINGET: 0x68,
  LONG_BINGET: 0x6a,
  SETITEM: 0x73,
  SETITEMS: 0x75,
  GLOBAL: 0x63,
  BINPERSID: 0x51,
  REDUCE: 0x52,
  BUILD: 0x62,
  STOP: 0x2e,
} as const;

/** Instructions that make objects of any class: worth naming when they are refused. */
const REFUSED = new Map([
  [0x69, "INST"],
  [0x6f, "OBJ"],
  [0x81, "NEWOBJ"],
  [0x82, "EXT1"],
  [0x83, "EXT2"],
  [0x84, "EXT4"],
  [0x92, "NEWOBJ_EX"],
  [0x93, "STACK_GLOBAL"],
]);

/** The tensors of a pickled state dict by name. `file` is for messages only. */
export function unpickleStateDict(bytes: Uint8Array, file: string): Map<string, PickledTensor> {
  const value = new Unpickler(bytes, file).run();
  const wrong = (field: string | undefined): LightMambaError =>
    badInput("not a state dict", { file, ...(field && { field: printable(field) }), expected: "names with tensors" });
  if (!(value instanceof Map)) throw wrong(undefined);
  const tensors = new Map<string, PickledTensor>();
  for (const [name, tensor] of value) {
    if (!isKind(tensor, "tensor")) throw wrong(name);
    tensors.set(name, tensor);
  }
  return tensors;
}

type KindOf<K> = Extract<Value, { kind: K }>;

function isKind<K extends "tensor" | "storage" | "global">(value: Value | undefined, kind: K): value is KindOf<K> {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === kind;
}

class Unpickler {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #file: string;
  readonly #stack: Value[] = [];
  /** Stack heights, innermost last. */
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, Value>();
  #dicts = 0;
  #at = 0;

  constructor(bytes: Uint8Array, file: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#file = file;
  }

  run(): Value {
    for (;;) {
      const opcode = this.#u8();
      if (opcode === OP.STOP) return this.#pop();
      this.#execute(opcode);
      if (this.#stack.length + this.#marks.length > MOST_VALUES) throw this.#error("a stack that is too deep");
    }
  }

  #execute(opcode: number): void {
    const instruction = INSTRUCTIONS[opcode];
    if (!instruction) {
      const name = REFUSED.get(opcode) ?? `0x${opcode.toString(16).padStart(2, "0")}`;
      throw this.#error(`instruction ${name}, which no state dict needs`);
    }
    instruction(this);
  }

  /** Here because the machine's parts are private to its class. */
  static instructions(): { [opcode: number]: (machine: Unpickler) => void } {
    return {
      [OP.PROTO]: (m) => m.#protocol(),
      [OP.MARK]: (m) => m.#marks.push(m.#stack.length),
      [OP.EMPTY_DICT]: (m) => m.#stack.push(m.#newDict()),
      [OP.EMPTY_TUPLE]: (m) => m.#stack.push([]),
      [OP.TUPLE]: (m) => m.#stack.push(m.#popToMark()),
      [OP.TUPLE1]: (m) => m.#stack.push(m.#popMany(1)),
      [OP.TUPLE2]: (m) => m.#stack.push(m.#popMany(2)),
      [OP.TUPLE3]: (m) => m.#stack.push(m.#popMany(3)),
      [OP.NONE]: (m) => m.#stack.push(null),
      [OP.NEWTRUE]: (m) => m.#stack.push(true),
      [OP.NEWFALSE]: (m) => m.#stack.push(false),
      [OP.BININT1]: (m) => m.#stack.push(m.#u8()),
      [OP.BININT2]: (m) => m.#stack.push(m.#view.getUint16(m.#skip(2), true)),
      [OP.BININT]: (m) => m.#stack.push(m.#view.getInt32(m.#skip(4), true)),
      [OP.LONG1]: (m) => m.#stack.push(m.#long()),
      [OP.BINUNICODE]: (m) => m.#stack.push(m.#text(m.#u32())),
      [OP.BINPUT]: (m) => m.#put(m.#u8()),
      [OP.LONG_BINPUT]: (m) => m.#put(m.#u32()),
      [OP.BINGET]: (m) => m.#get(m.#u8()),
      [OP.LONG_BINGET]: (m) => m.#get(m.#u32()),
      [OP.SETITEM]: (m) => m.#setItems(m.#popMany(2)),
      [OP.SETITEMS]: (m) => m.#setItems(m.#popToMark()),
      [OP.GLOBAL]: (m) => m.#global(),
      [OP.BINPERSID]: (m) => m.#stack.push(m.#storage(m.#pop())),
      [OP.REDUCE]: (m) => m.#reduce(),
      [OP.BUILD]: (m) => m.#build(),
    };
  }

  #error(found: string): LightMambaError {
    return badInput("refused to read the pickle", { file: this.#file, field: `byte ${this.#at}`, found });
  }

  /** Steps over `length` bytes and returns where they start. */
  #skip(length: number): number {
    const begin = this.#at;
    if (begin + length > this.#bytes.length) throw this.#error("the end in the middle of an instruction");
    this.#at += length;
    return begin;
  }

  #u8(): number {
    return this.#bytes[this.#skip(1)]!;
  }

  #u32(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  #text(length: number): string {
    const begin = this.#skip(length);
    return new TextDecoder().decode(this.#bytes.subarray(begin, this.#at));
  }

  /** Two's complement, little-endian, up to 64 bits: sizes above 2^31. */
  #long(): number {
    const length = this.#u8();
    if (length > 8) throw this.#error("an integer of more than 64 bits");
    const bytes = this.#bytes.subarray(this.#skip(length), this.#at);
    const bits = bytes.reduceRight((value, byte) => value * 256n + BigInt(byte), 0n);
    return Number(BigInt.asIntN(length * 8, bits));
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0) throw this.#error("the end in the middle of a name");
    const text = this.#text(end - this.#at);
    this.#at++;
    return text;
  }

  #protocol(): void {
    const version = this.#u8();
    if (version !== PROTOCOL) throw this.#error(`pickle protocol ${version}, not ${PROTOCOL}`);
  }

  #pop(): Value {
    return this.#popMany(1)[0]!;
  }

  #popMany(count: number): Value[] {
    if (this.#stack.length - (this.#marks.at(-1) ?? 0) < count) throw this.#error("an empty stack");
    return this.#stack.splice(this.#stack.length - count);
  }

  #popToMark(): Value[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.#error("no mark on the stack");
    return this.#stack.splice(mark);
  }

  #top(): Value {
    const value = this.#pop();
    this.#stack.push(value);
    return value;
  }

  #put(index: number): void {
    if (index >= MOST_VALUES) throw this.#error(`memo entry ${index}`);
    this.#memo.set(index, this.#top());
  }

  #get(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.#error(`memo entry ${index}, which was never set`);
    this.#stack.push(value);
  }

  #newDict(): Dict {
    if (++this.#dicts > MOST_DICTS) throw this.#error("too many dicts");
    return new Map();
  }

  #setItems(items: Value[]): void {
    const dict = this.#top();
    if (!(dict instanceof Map) || items.length % 2 !== 0) throw this.#error("items for something that is not a dict");
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i]!;
      if (typeof key !== "string") throw this.#error("a key that is not a string");
      if (dict.has(key)) throw this.#error(`the name ${printable(key)} twice`);
      dict.set(key, items[i + 1]!);
    }
  }

  #global(): void {
    const name = `${this.#line()}.${this.#line()}`;
    if (!GLOBALS.has(name)) throw this.#error(`the name ${printable(name)}, which no supported state dict needs`);
    this.#stack.push({ kind: "global", name });
  }

  /** `("storage", type, key, device, length)`. */
  #storage(id: Value): Storage {
    const [tag, type, key, , length, ...rest] = Array.isArray(id) ? id : [];
    const dtype = isKind(type, "global") ? STORAGES[type.name] : undefined;
    if (tag !== "storage" || !dtype || typeof key !== "string" || !isSize(length) || rest.length > 0) {
      throw this.#error("a persistent id that is not a storage");
    }
    return { kind: "storage", dtype, key, length };
  }

  #reduce(): void {
    const [callee, args] = this.#popMany(2);
    if (!isKind(callee, "global") || !Array.isArray(args)) throw this.#error("a call of something that is not a name");
    if (callee.name === ORDERED_DICT && args.length === 0) this.#stack.push(this.#newDict());
    else if (callee.name === REBUILD_TENSOR) this.#stack.push(this.#rebuildTensor(args));
    else if (callee.name === REBUILD_PARAMETER && isKind(args[0], "tensor")) this.#stack.push(args[0]);
    else throw this.#error(`a call of ${callee.name} with other arguments than torch.save writes`);
  }

  /** `(storage, offset, shape, strides, requires_grad, hooks)`; the last two mean nothing to a reader. */
  #rebuildTensor(args: Value[]): PickledTensor {
    const [storage, offset, shape, strides] = args;
    if (!isKind(storage, "storage") || !isSize(offset) || !isShape(shape) || !isShape(strides)) {
      throw this.#error("a tensor without storage, offset, shape and strides");
    }
    if (!isContiguous(shape, strides))
      throw this.#error(`a tensor ${describe(shape)} with strides ${describe(strides)}: not contiguous`);
    return { kind: "tensor", dtype: storage.dtype, storage: storage.key, storageLength: storage.length, offset, shape };
  }

  /** state_dict() hangs `_metadata` (module versions) on its dict as an attribute: attributes of a dict are dropped. */
  #build(): void {
    const [target, state] = this.#popMany(2);
    if (!(target instanceof Map && state instanceof Map)) throw this.#error("BUILD of something that is not a dict");
    this.#stack.push(target);
  }
}

const INSTRUCTIONS = Unpickler.instructions();

/** Row-major, without gaps; the stride of a dimension of size 1 is never used. */
function isContiguous(shape: number[], strides: number[]): boolean {
  if (shape.length !== strides.length) return false;
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return false;
    expected *= shape[i]!;
  }
  return true;
}
