/** The loop around a session: what it yields, when it ends, and why. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type GenerationSummary, generate, promptIds } from "../../host/generate.ts";
import { Model } from "../../host/runtime/model.ts";
import type { Session } from "../../host/runtime/session.ts";
import { expectError } from "../checkpoint/support.ts";

const model = Model.load("models/tiny-w4a4");
const { tokenizer } = model;
const EOS = model.config.eosTokenIds[0]!;

/** A session that draws what it is told, and remembers what it was fed. */
function scripted(draws: readonly number[]) {
  const fed: number[] = [];
  let drawn = 0;
  const session = {
    feed: (token: number) => void fed.push(token),
    prefill: (tokens: readonly number[]) => void fed.push(...tokens),
    sample(): number {
      assert.ok(fed.length > 0, "nothing was fed before the first draw");
      const token = draws[drawn++];
      assert.notEqual(token, undefined, "drew beyond its end");
      return token!;
    },
  };
  return { session: session as unknown as Session, fed };
}

function run(draws: readonly number[], options: { tokens?: number; stop?: string[] } = {}) {
  const { session, fed } = scripted(draws);
  const steps = generate(model, session, [5, 6], options);
  const [ids, texts]: [number[], string[]] = [[], []];
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return { ids, texts, fed: fed.slice(2), summary: value as GenerationSummary };
    ids.push(value.id);
    texts.push(value.text);
  }
}

describe("a generation", () => {
  const words = tokenizer.encode("Once upon a time there was");

  interface Case {
    draws: readonly number[];
    tokens?: number;
    stop?: string[];
    text: string;
    finish: GenerationSummary["finish"];
    count: number;
    pending: number | undefined;
  }
  const CASES: Record<string, Case> = {
    "ends at its length, the last token not fed": {
      ...{ draws: words, tokens: 3, text: tokenizer.decode(words.slice(0, 3)) },
      ...{ finish: "length", count: 3, pending: words[2] },
    },
    "of one token feeds none": {
      ...{ draws: words, tokens: 1, text: tokenizer.decode(words.slice(0, 1)) },
      ...{ finish: "length", count: 1, pending: words[0] },
    },
    "of no tokens draws none": {
      ...{ draws: [], tokens: 0, text: "" },
      ...{ finish: "length", count: 0, pending: undefined },
    },
    "ends at an end-of-text token, which is neither shown nor counted": {
      ...{ draws: [...words, EOS], text: "Once upon a time there was" },
      ...{ finish: "eos", count: words.length, pending: EOS },
    },
    "may end at once": { draws: [EOS], text: "", finish: "eos", count: 0, pending: EOS },
    "may end with its last token": {
      ...{ draws: [words[0]!, EOS], tokens: 2, text: tokenizer.decode(words.slice(0, 1)) },
      ...{ finish: "eos", count: 1, pending: EOS },
    },
    "ends before a stop text inside a token": {
      ...{ draws: words, stop: ["pon"], text: "Once u" },
      ...{ finish: "stop", count: 3, pending: words[2] },
    },
    "ends before a stop text that several tokens make": {
      ...{ draws: words, stop: ["upon a time"], text: "Once " },
      ...{ finish: "stop", count: 5, pending: words[4] },
    },
    "a stop text with the last token is a stop": {
      ...{ draws: words, tokens: 3, stop: ["upon"], text: "Once " },
      ...{ finish: "stop", count: 3, pending: words[2] },
    },
    "gives out what it held for a stop text that did not come": {
      ...{ draws: words, tokens: 3, stop: ["upon my word"], text: "Once upon" },
      ...{ finish: "length", count: 3, pending: words[2] },
    },
    "gives it out at the end of the text too": {
      ...{ draws: [...words.slice(0, 3), EOS], stop: ["upon my word"], text: "Once upon" },
      ...{ finish: "eos", count: 3, pending: EOS },
    },
  };
  for (const [name, { draws, text, finish, count, pending, ...options }] of Object.entries(CASES)) {
    it(name, () => {
      const { ids, texts, fed, summary } = run(draws, options);
      assert.equal(texts.join(""), text);
      assert.deepEqual(
        [summary.finish, summary.tokens, summary.pending, summary.promptTokens],
        [finish, count, pending, 2],
      );
      assert.deepEqual(ids.slice(0, count), draws.slice(0, count));
      // Every token is fed but the pending one.
      const last = finish === "eos" ? count : Math.max(0, count - 1);
      assert.deepEqual(fed, draws.slice(0, last));
    });
  }

  it("has 256 tokens when nothing is said", () => {
    const draws = Array.from({ length: 300 }, () => words[1]!);
    assert.equal(run(draws).summary.tokens, 256);
  });

  it("shows whole characters only, and a replacement character for one cut off by the length", () => {
    const pieces = tokenizer.encode("👩é");
    assert.ok(pieces.length > 3, "the emoji must be several tokens");
    const { texts } = run(pieces, { tokens: pieces.length });
    assert.equal(texts.join(""), "👩é");
    assert.ok(texts.every((text) => !text.includes("\ufffd")));
    assert.equal(run(pieces, { tokens: 1 }).texts.join(""), "\ufffd");
    assert.equal(run([pieces[0]!, EOS]).texts.join(""), "\ufffd");
  });

  it("finds a stop text whose bytes are spread over tokens", () => {
    const pieces = tokenizer.encode("a👩b");
    const { texts, summary } = run(pieces, { stop: ["👩"] });
    assert.deepEqual([texts.join(""), summary.finish], ["a", "stop"]);
  });

  it("is lazy: a token is drawn when it is asked for", () => {
    const { session, fed } = scripted(words);
    const steps = generate(model, session, [5], { tokens: 4 });
    assert.deepEqual(fed, []);
    steps.next();
    assert.deepEqual(fed, [5]);
    steps.next();
    assert.deepEqual(fed, [5, words[0]]);
  });

  it("refuses to go on from nothing", () => {
    expectError(() => generate(model, model.session(), []).next(), "usage", "nothing to go on from");
  });

  it("refuses prompt ids outside the vocabulary", () => {
    expectError(() => generate(model, model.session(), [4096]).next(), "badInput", "vocabulary");
  });

  it("measures times that are none below zero", () => {
    const { promptSeconds, seconds, tokensPerSecond } = run(words, { tokens: 5 }).summary;
    assert.ok(promptSeconds >= 0 && seconds >= 0 && tokensPerSecond > 0);
    assert.equal(run(words, { tokens: 1 }).summary.tokensPerSecond, 0);
  });
});

describe("the ids of a prompt", () => {
  it("are the text's", () => assert.deepEqual(promptIds(model, "Once upon"), tokenizer.encode("Once upon")));
  it("of no text are the token that begins one", () => assert.deepEqual(promptIds(model, ""), [0]));
});

describe("a conversation in parts", () => {
  it("goes on from the pending token with the same tokens as in one piece", () => {
    const write = (session: Session, prompt: number[], tokens: number) => {
      const steps = generate(model, session, prompt, { tokens });
      const ids: number[] = [];
      for (;;) {
        const { done, value } = steps.next();
        if (done === true) return { ids, pending: (value as GenerationSummary).pending! };
        ids.push(value.id);
      }
    };
    const prompt = promptIds(model, "Once upon a time");
    const whole = write(model.session({ seed: 6 }), prompt, 24).ids;
    const session = model.session({ seed: 6 });
    const first = write(session, prompt, 9);
    const second = write(session, [first.pending], 15);
    assert.deepEqual([...first.ids, ...second.ids], whole);
  });
});
