import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { printable } from "../checkpoint/file.ts";
import { badInput } from "../errors.ts";
import type { TokenizerFiles } from "./files.ts";

/**
 * White space in the patterns means Unicode's property, as in the Rust library that trained the tokenizer.
 * JavaScript's `\s` differs in two characters: it has U+FEFF and lacks U+0085.
 */
function withUnicodeSpace(pattern: RegExp): RegExp {
  if (!/[uv]/.test(pattern.flags)) return pattern;
  // Taking whole escapes, so that the second backslash of `\\s` is not mistaken for the start of one.
  const source = pattern.source.replaceAll(/\\[\s\S]/g, (pair) => {
    if (pair === "\\s") return "\\p{White_Space}";
    return pair === "\\S" ? "\\P{White_Space}" : pair;
  });
  return new RegExp(source, pattern.flags);
}

interface PreTokenizerPart {
  pattern?: unknown;
  tokenizers?: PreTokenizerPart[];
}

function correctPatterns(part: PreTokenizerPart | null): void {
  if (part === null) return;
  if (part.pattern instanceof RegExp) part.pattern = withUnicodeSpace(part.pattern);
  for (const inner of part.tokenizers ?? []) correctPatterns(inner);
}

/** Building the merge table costs more than reading the files, and a program that only decodes never needs it. */
export function makeEncoder({ file, tokenizer, tokenizerConfig }: TokenizerFiles): (text: string) => number[] {
  let library: HuggingFaceTokenizer;
  try {
    library = new HuggingFaceTokenizer(tokenizer, tokenizerConfig);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw badInput(`cannot be used: ${printable(reason)}`, { file });
  }
  correctPatterns(library.pre_tokenizer as PreTokenizerPart | null);
  return (text) => library.encode(text).ids;
}
