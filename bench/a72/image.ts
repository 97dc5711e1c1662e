/** A model set up in linear memory, as one file: the A72 runs the compiled runtime on it and needs nothing else of the host. */
import type { ModelHeader } from "../../host/model/description.ts";
import { type Engine, instantiate, type WasmVariant } from "../../host/runtime/engine.ts";
import { allocate } from "../../host/runtime/load.ts";

/** What run/src/main.rs reads, in this order: four words, tokens, logits, memory. */
export interface Image {
  /** Addresses. */
  state: number;
  logitsAt: number;
  vocabulary: number;
  tokens: readonly number[];
  /** What the tokens must give: [tokens][vocabulary], Q16. */
  expected: Int32Array;
  /** All of it, between the text before and the first token. */
  memory: Uint8Array;
}

export interface Text {
  /** Consumed by the host: a state that was empty a moment ago takes other ways through the SSMU. */
  before: readonly number[];
  tokens: readonly number[];
}

/**
 * The image holds for `variant` only, since each has its own static data. WebAssembly globals are no part of it: the allocator's, the
 * profile's and the sampler's, none of which a token needs.
 */
export function takeImage(
  header: ModelHeader,
  fill: (engine: Engine, header: ModelHeader) => void,
  variant: WasmVariant,
  { before, tokens }: Text,
): Image {
  const engine = instantiate(variant);
  fill(engine, header);
  const { exports, memory } = engine;
  const state = allocate(engine, exports.stateBytes(), "the state");
  exports.resetState(state);
  for (const token of before) exports.forward(state, token);
  const start = new Uint8Array(memory.buffer).slice();
  const vocabulary = header.config.vocabSize;
  const expected = new Int32Array(tokens.length * vocabulary);
  tokens.forEach((token, i) => {
    exports.forward(state, token);
    expected.set(new Int32Array(memory.buffer, exports.logitsAt(), vocabulary), i * vocabulary);
  });
  return { state, logitsAt: exports.logitsAt(), vocabulary, tokens, expected, memory: start };
}

/** Parts of the file, to be written one behind the other. */
export function imageParts({ state, logitsAt, vocabulary, tokens, expected, memory }: Image): Uint8Array[] {
  const words = Uint32Array.of(state, logitsAt, vocabulary, tokens.length, ...tokens);
  return [words, expected, memory].map((part) => new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
}
