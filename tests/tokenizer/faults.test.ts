import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { checkTokenizer, loadTokenizer } from "../../host/tokenizer/index.ts";

const scratch = mkdtempSync(join(tmpdir(), "lightmamba-tokenizer-"));
after(() => rmSync(scratch, { recursive: true }));

// biome-ignore lint/suspicious/noExplicitAny: tests break a foreign structure in every way.
type Loose = any;

const original = readFileSync("models/tiny/tokenizer.json", "utf8");

/** A copy of the embedded model's tokenizer directory with changes. */
function directory(change: (tokenizer: Loose) => void = () => {}, configs: Record<string, string> = {}): string {
  const dir = mkdtempSync(join(scratch, "case-"));
  cpSync("models/tiny/tokenizer_config.json", join(dir, "tokenizer_config.json"));
  const tokenizer = JSON.parse(original) as Loose;
  change(tokenizer);
  writeFileSync(join(dir, "tokenizer.json"), JSON.stringify(tokenizer));
  for (const [name, text] of Object.entries(configs)) writeFileSync(join(dir, name), text);
  return dir;
}

const BAD: [name: string, change: (t: Loose) => void, message: RegExp][] = [
  ["no model", (t) => delete t.model, /model: missing/],
  ["no vocabulary", (t) => delete t.model.vocab, /model\.vocab: missing/],
  ["a vocabulary that is a list", (t) => (t.model.vocab = []), /model\.vocab: missing or no object/],
  ["no merges", (t) => (t.model.merges = "x"), /model\.merges: missing or no list/],
  ["a merge of three", (t) => t.model.merges.push("a b c"), /merges\[\d+\]: not a pair/],
  ["a merge of numbers", (t) => t.model.merges.push([1, 2]), /merges\[\d+\]: not a pair/],
  ["a merge without its result", (t) => t.model.merges.push(["zzzz", "qqqq"]), /lacks \(found zzzzqqqq\)/],
  ["a negative id", (t) => (t.model.vocab.x1 = -1), /vocab\["x1"\]: not a token id .*found -1/],
  ["a fractional id", (t) => (t.model.vocab.x1 = 1.5), /not a token id/],
  ["an id that is text", (t) => (t.model.vocab.x1 = "7"), /not a token id/],
  ["an absurdly large id", (t) => (t.model.vocab.x1 = 1e15), /not a token id/],
  ["a byte without a token", (t) => delete t.model.vocab.Ġ, /lacks the token of a byte \(expected Ġ/],
  ["added tokens that are no list", (t) => (t.added_tokens = {}), /added_tokens: not a list/],
  ["an added token without content", (t) => (t.added_tokens[0].content = ""), /added_tokens\[0\]: has no content/],
  ["an added token without id", (t) => delete t.added_tokens[0].id, /added_tokens\[0\]\.id: not a token id/],
];

const UNSUPPORTED: [name: string, change: (t: Loose) => void, message: RegExp][] = [
  ["WordPiece", (t) => (t.model.type = "WordPiece"), /model: .*expected BPE, found WordPiece/],
  ["a lower-casing normalizer", (t) => (t.normalizer = { type: "Lowercase" }), /normalizer: .*found Lowercase/],
  ["a Metaspace pre-tokenizer", (t) => (t.pre_tokenizer = { type: "Metaspace" }), /pre_tokenizer: .*found Metaspace/],
  ["no pre-tokenizer", (t) => (t.pre_tokenizer = null), /pre_tokenizer: .*found nothing/],
  [
    "a sequence with a stranger in it",
    (t) => (t.pre_tokenizer = { type: "Sequence", pretokenizers: [{ type: "Punctuation" }, t.pre_tokenizer] }),
    /found Punctuation/,
  ],
  ["no decoder", (t) => (t.decoder = null), /decoder: .*found nothing/],
  ["a decoder without type", (t) => (t.decoder = {}), /decoder: .*found nothing/],
  ["byte fallback", (t) => (t.model.byte_fallback = true), /model\.byte_fallback/],
  ["dropout", (t) => (t.model.dropout = 0.1), /model\.dropout/],
  ["single words", (t) => (t.added_tokens[0].single_word = true), /single_word/],
];

describe("tokenizer.json at fault", () => {
  for (const [name, change, message] of BAD) {
    it(`${name}: bad input`, () =>
      assert.throws(() => loadTokenizer(directory(change)), { exit: "badInput", message }));
  }
  for (const [name, change, message] of UNSUPPORTED) {
    it(`${name}: unsupported`, () =>
      assert.throws(() => loadTokenizer(directory(change)), { exit: "unsupported", message }));
  }

  it("names the file", () => {
    const dir = directory((t) => delete t.model);
    assert.throws(() => loadTokenizer(dir), { detail: { file: join(dir, "tokenizer.json"), field: "model" } });
  });

  it("is missing", () => {
    const dir = mkdtempSync(join(scratch, "empty-"));
    assert.throws(() => loadTokenizer(dir), { exit: "badInput", message: /tokenizer\.json: no such file/ });
  });

  it("is cut off, is a list, is empty", () => {
    for (const text of [original.slice(0, 1000), "[]", ""]) {
      const dir = directory(() => {}, { "tokenizer.json": text });
      assert.throws(() => loadTokenizer(dir), { exit: "badInput", message: /not valid JSON|not a JSON object/ });
    }
  });

  it("is too large to be one, and is not read", () => {
    const dir = directory();
    truncateSync(join(dir, "tokenizer.json"), 2 ** 31);
    assert.throws(() => loadTokenizer(dir), { exit: "badInput", message: /too large \(expected at most/ });
  });
});

describe("configuration beside tokenizer.json", () => {
  it("may be missing", () => {
    const dir = directory();
    rmSync(join(dir, "tokenizer_config.json"));
    const tokenizer = loadTokenizer(dir);
    assert.deepEqual(tokenizer.eosTokenIds, []);
    assert.equal(tokenizer.bosTokenId, undefined);
    assert.deepEqual(tokenizer.encode("Once"), [47, 1307]);
  });

  it("is too large or not JSON", () => {
    const large = directory(() => {}, { "generation_config.json": " ".repeat(2 * 1024 * 1024) });
    assert.throws(() => loadTokenizer(large), { message: /generation_config\.json: too large/ });
    const broken = directory(() => {}, { "config.json": "{" });
    assert.throws(() => loadTokenizer(broken), { message: /config\.json: not valid JSON/ });
  });

  it("may name several ends of text; generation_config.json comes first", () => {
    const dir = directory(() => {}, {
      "generation_config.json": '{"eos_token_id":[3,0]}',
      "config.json": '{"eos_token_id":5}',
    });
    assert.deepEqual(loadTokenizer(dir).eosTokenIds, [3, 0]);
  });

  it("may write the token as an object", () => {
    const dir = directory(() => {}, { "tokenizer_config.json": '{"eos_token":{"content":"<|endoftext|>"}}' });
    assert.deepEqual(loadTokenizer(dir).eosTokenIds, [0]);
  });

  it("falls back to config.json", () => {
    const dir = directory(() => {}, {
      "tokenizer_config.json": "{}",
      "config.json": '{"eos_token_id":5,"bos_token_id":6}',
    });
    const { eosTokenIds, bosTokenId } = loadTokenizer(dir);
    assert.deepEqual([eosTokenIds, bosTokenId], [[5], 6]);
  });

  it("may not name a token that does not exist", () => {
    for (const id of ["4096", "-1", '"0"', "1.5"]) {
      const dir = directory(() => {}, { "generation_config.json": `{"eos_token_id":${id}}` });
      assert.throws(() => loadTokenizer(dir), {
        exit: "badInput",
        message: /eos_token_id: names a token that does not exist/,
      });
    }
  });
});

describe("unusual but good tokenizers", () => {
  it("take white space as Unicode defines it: with U+0085, without U+FEFF", () => {
    // Merges that only happen within a piece show where the pieces end. The ids are those of Hugging Face's library.
    const pairs = [
      ["!", "ï"],
      ["!", "Â"],
      ["Ġ", "Ġ"],
    ] as const;
    const tokenizer = loadTokenizer(
      directory((t) => {
        for (const [index, [left, right]] of pairs.entries()) {
          t.model.vocab[left + right] = 4096 + index;
          t.model.merges.push([left, right]);
        }
      }),
    );
    assert.deepEqual(tokenizer.encode("!\ufeff"), [4096, 120, 124]);
    assert.deepEqual(tokenizer.encode("!\u0085"), [1, 127, 228]);
    assert.deepEqual(tokenizer.encode("  \ufeffx"), [221, 221, 172, 120, 124, 88]);
    assert.deepEqual(tokenizer.encode("  \u0085x"), [4098, 127, 228, 88]);
  });

  it("have added tokens beyond the vocabulary, and gaps", () => {
    const tokenizer = loadTokenizer(
      directory((t) => t.added_tokens.push({ id: 5000, content: "<extra é>", special: true })),
    );
    assert.equal(tokenizer.size, 5001);
    assert.deepEqual(tokenizer.encode("a<extra é>"), [65, 5000]);
    assert.equal(tokenizer.decode([65, 4500, 5000]), "a<extra é>");
  });

  it("write merges as pairs", () => {
    const tokenizer = loadTokenizer(
      directory(
        (t) => (t.model.merges = t.model.merges.map((m: string | string[]) => (Array.isArray(m) ? m : m.split(" ")))),
      ),
    );
    assert.deepEqual(tokenizer.encode("Once upon a time"), [47, 1307, 586, 259, 567]);
  });

  it("split by a pattern of their own before the bytes", () => {
    const split = { type: "Split", pattern: { Regex: "\\s+|\\S+" }, behavior: "Isolated", invert: false };
    const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
    const tokenizer = loadTokenizer(
      directory((t) => (t.pre_tokenizer = { type: "Sequence", pretokenizers: [split, bytes] })),
    );
    const text = "Once upon a\u0085time \ufeff";
    assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
  });
});

describe("checkTokenizer", () => {
  const tokenizer = loadTokenizer("models/tiny");

  it("accepts a model with as many rows, or more", () => {
    checkTokenizer(tokenizer, 4096);
    checkTokenizer(tokenizer, 4352);
  });

  it("refuses a model with fewer rows", () => {
    assert.throws(() => checkTokenizer(tokenizer, 4095), {
      exit: "badInput",
      message: /more token ids than the model has embeddings \(expected at most 4095, found 4096\)/,
    });
  });
});
