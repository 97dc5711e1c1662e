/** Text generation: the loop around a session. */
import { LightMambaError } from "./errors.ts";
import type { Model } from "./runtime/model.ts";
import type { Session } from "./runtime/session.ts";
import { StopFilter } from "./stop.ts";

export interface GenerateOptions {
  /** How many tokens to generate at most. Default 256. */
  tokens?: number;
  /** Generation ends when the text contains one of these; the text stops before it. */
  stop?: readonly string[];
}

export interface GeneratedToken {
  id: number;
  /** Text that is certain by now: whole characters, and nothing that may still become a stop text. */
  text: string;
}

export interface GenerationSummary {
  promptTokens: number;
  tokens: number;
  /** Why it ended. */
  finish: "length" | "eos" | "stop";
  /** Seconds for the prompt, and for the generated tokens. */
  promptSeconds: number;
  seconds: number;
  /** Generated tokens per second, the first left out: it belongs to the prompt. */
  tokensPerSecond: number;
  /** The last token drawn, which the session has not been fed: what a saved state goes on with. */
  pending: number | undefined;
}

/** Ids to start a conversation with: the text's, or the token that begins a text. */
export function promptIds(model: Model, text: string): number[] {
  const ids = model.tokenizer.encode(text);
  if (ids.length > 0) return ids;
  const { bosTokenId, eosTokenIds } = model.config;
  return [model.tokenizer.bosTokenId ?? bosTokenId ?? eosTokenIds[0] ?? 0];
}

/** Ids that end a text. */
export function endIds({ config, tokenizer }: Model): ReadonlySet<number> {
  return new Set([...config.eosTokenIds, ...tokenizer.eosTokenIds]);
}

/**
 * Feeds `prompt` and draws tokens until the count, an end-of-text token or a stop text. Streams: pull one token at a
 * time; the return value is the summary.
 */
export function* generate(
  model: Model,
  session: Session,
  prompt: readonly number[],
  options: GenerateOptions = {},
): Generator<GeneratedToken, GenerationSummary> {
  const { tokens: limit = 256, stop = [] } = options;
  // A restored state has no logits: without a token to feed there is nothing to draw from.
  if (prompt.length === 0) throw new LightMambaError("usage", "nothing to go on from", { hint: "give a prompt" });
  const ends = endIds(model);
  const decoder = model.tokenizer.streamDecoder();
  const filter = new StopFilter(stop);
  const start = performance.now();
  session.prefill(prompt);

  let finish: GenerationSummary["finish"] = "length";
  let count = 0;
  let pending: number | undefined;
  let first = performance.now();
  const promptSeconds = (first - start) / 1000;
  while (count < limit) {
    const id = session.sample();
    if (count === 0) first = performance.now();
    if (ends.has(id)) {
      finish = "eos";
      pending = id;
      break;
    }
    count++;
    pending = id;
    const text = filter.push(decoder.push(id));
    if (filter.stopped) finish = "stop";
    const rest = filter.stopped ? "" : count === limit ? filter.push(decoder.flush()) + filter.flush() : "";
    yield { id, text: text + rest };
    if (filter.stopped) break;
    if (count < limit) session.feed(id);
  }
  if (finish === "eos") {
    const rest = filter.push(decoder.flush()) + filter.flush();
    if (rest !== "") yield { id: pending!, text: rest };
  }
  const seconds = (performance.now() - first) / 1000;
  const tokensPerSecond = count > 1 && seconds > 0 ? (count - 1) / seconds : 0;
  return { promptTokens: prompt.length, tokens: count, finish, promptSeconds, seconds, tokensPerSecond, pending };
}
