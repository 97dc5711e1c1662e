/**
 * The element types of ggml: their numbers in a GGUF file, and how many elements and bytes a block has.
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (the numbers), ggml-common.h (the blocks).
 */

export interface GgmlType {
  name: string;
  /** Elements that are stored together; a row has whole blocks. */
  elements: number;
  bytes: number;
}

const READABLE: [number: number, name: string, elements: number, bytes: number][] = [
  [0, "F32", 1, 4],
  [1, "F16", 1, 2],
  [2, "Q4_0", 32, 18],
  [3, "Q4_1", 32, 20],
  [6, "Q5_0", 32, 22],
  [7, "Q5_1", 32, 24],
  [8, "Q8_0", 32, 34],
  [12, "Q4_K", 256, 144],
  [13, "Q5_K", 256, 176],
  [14, "Q6_K", 256, 210],
  [30, "BF16", 1, 2],
];

/** Known by name, so that the message can say what was found. */
const REFUSED: Record<number, string> = {
  9: "Q8_1",
  10: "Q2_K",
  11: "Q3_K",
  15: "Q8_K",
  16: "IQ2_XXS",
  17: "IQ2_XS",
  18: "IQ3_XXS",
  19: "IQ1_S",
  20: "IQ4_NL",
  21: "IQ3_S",
  22: "IQ2_S",
  23: "IQ4_XS",
  24: "I8",
  25: "I16",
  26: "I32",
  27: "I64",
  28: "F64",
  29: "IQ1_M",
  34: "TQ1_0",
  35: "TQ2_0",
  39: "MXFP4",
};

const BY_NUMBER = new Map(READABLE.map(([number, name, elements, bytes]) => [number, { name, elements, bytes }]));
const BY_NAME = new Map(READABLE.map(([, name, elements, bytes]) => [name, { name, elements, bytes }]));

export const READABLE_GGML_TYPES = READABLE.map(([, name]) => name).join(", ");

export function ggmlType(number: number): GgmlType | undefined {
  return BY_NUMBER.get(number);
}

export function ggmlTypeNamed(name: string): GgmlType | undefined {
  return BY_NAME.get(name);
}

/** The name of a type that exists but is not read. */
export function refusedGgmlType(number: number): string | undefined {
  return REFUSED[number];
}
