/** PyTorch's file: a zip archive with a pickle that describes tensors and, beside it, one stored entry per storage. */

import { badInput, LightMambaError } from "../errors.ts";
import { byteLength, DTYPE_BYTES } from "./dtype.ts";
import { InputFile, printable } from "./file.ts";
import { describe } from "./json.ts";
import { type PickledTensor, unpickleStateDict } from "./pickle.ts";
import type { WeightRange, Weights } from "./weights.ts";
import { readZipDirectory, type ZipEntry } from "./zip.ts";

const PICKLE = "/data.pkl";
/** Well above what a state dict of 4,096 layers needs: a value takes far more memory than its byte here. */
const LARGEST_PICKLE = 2 ** 23;
/** Before PyTorch 1.6 a file was a row of pickles, the first of them this magic number. */
const LEGACY_MAGIC = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20];

export function openTorchWeights(path: string): Weights {
  const file = InputFile.open(path);
  try {
    return { path, files: [file], ranges: readTorchFile(file) };
  } catch (error) {
    file.close();
    throw error;
  }
}

function readTorchFile(file: InputFile): Map<string, WeightRange> {
  refuseLegacy(file);
  const entries = readZipDirectory(file);
  const pickles = [...entries.keys()].filter((name) => name.split("/").length === 2 && name.endsWith(PICKLE));
  if (pickles.length !== 1) {
    throw badInput("not a PyTorch file", { file: file.path, expected: "one entry */data.pkl", found: pickles.length });
  }
  const pickle = pickles[0]!;
  const archive = pickle.slice(0, -PICKLE.length);
  checkByteOrder(file, entries.get(`${archive}/byteorder`));
  const tensors = unpickleStateDict(readSmall(file, entries.get(pickle)!, LARGEST_PICKLE), file.path);
  const ranges = new Map<string, WeightRange>();
  for (const [name, tensor] of tensors) {
    ranges.set(name, place(file, name, tensor, entries.get(`${archive}/data/${tensor.storage}`)));
  }
  return ranges;
}

function refuseLegacy(file: InputFile): void {
  const head = file.read(0, Math.min(file.size, LEGACY_MAGIC.length));
  if (LEGACY_MAGIC.every((byte, i) => head[i] === byte)) {
    const hint = "load it with PyTorch and save it again, or convert it to safetensors";
    throw new LightMambaError("unsupported", `PyTorch's old file format is not supported: ${hint}`, {
      file: file.path,
      hint,
    });
  }
}

function readSmall(file: InputFile, { begin, end }: ZipEntry, limit: number): Uint8Array {
  if (end - begin > limit) {
    throw badInput("an entry is too large", {
      file: file.path,
      expected: `at most ${limit} bytes`,
      found: end - begin,
    });
  }
  return file.read(begin, end - begin);
}

/** Absent before PyTorch 2.1, when only little-endian machines could share files anyway. */
function checkByteOrder(file: InputFile, entry: ZipEntry | undefined): void {
  const order = entry ? new TextDecoder().decode(readSmall(file, entry, 64)).trim() : "little";
  if (order !== "little") {
    throw badInput("wrong byte order", {
      file: file.path,
      field: "byteorder",
      expected: "little",
      found: printable(order),
    });
  }
}

/** Where in the file the tensor lies: its storage must be there, have the size the pickle says and hold all of it. */
function place(file: InputFile, name: string, tensor: PickledTensor, entry: ZipEntry | undefined): WeightRange {
  const { dtype, shape, storage, storageLength, offset } = tensor;
  const where = { file: file.path, field: printable(name) };
  if (!entry)
    throw badInput("the tensor's storage is missing", { ...where, expected: `entry data/${printable(storage)}` });
  const storageBytes = byteLength(dtype, [storageLength]);
  if (entry.end - entry.begin !== storageBytes) {
    const found = `${entry.end - entry.begin} bytes`;
    throw badInput("the tensor's storage has another size", { ...where, expected: `${storageBytes} bytes`, found });
  }
  const begin = entry.begin + offset * DTYPE_BYTES[dtype];
  const end = begin + byteLength(dtype, shape);
  if (!(end <= entry.end)) {
    const found = `offset ${offset}, shape ${describe(shape)}`;
    throw badInput("the tensor reaches outside its storage", {
      ...where,
      expected: `${storageLength} elements`,
      found,
    });
  }
  return { dtype, shape, file, begin, end };
}
