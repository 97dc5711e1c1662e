import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { loadTokenizer } from "../../host/tokenizer/index.ts";

interface Case {
  text: string;
  ids: number[];
  decoded: string;
}

interface Reference {
  origin: string;
  texts: Case[];
  /** Ids that make no valid text: what a model may well generate. */
  ids: Omit<Case, "text">[];
}

const golden = JSON.parse(readFileSync("tests/golden/tokenizer-cases.json", "utf8")) as Case[];
const reference = JSON.parse(readFileSync("tests/tokenizer/hugging-face-cases.json", "utf8")) as Reference;
const tokenizer = loadTokenizer("models/tiny");

function stream(ids: number[]): string {
  const decoder = tokenizer.streamDecoder();
  return ids.map((id) => decoder.push(id)).join("") + decoder.flush();
}

for (const [name, cases] of Object.entries({ golden, "white space and Unicode": reference.texts })) {
  describe(`tokenizer: ${name} cases`, () => {
    for (const { text, ids, decoded } of cases) {
      it(JSON.stringify(text), () => {
        assert.deepEqual(tokenizer.encode(text), ids);
        assert.equal(tokenizer.decode(ids), decoded);
        assert.equal(stream(ids), decoded);
      });
    }
  });
}

describe("tokenizer: ids that are no text", () => {
  for (const { ids, decoded } of reference.ids) {
    it(ids.join(","), () => {
      assert.equal(tokenizer.decode(ids), decoded);
      assert.equal(stream(ids), decoded);
    });
  }
});

describe("tokenizer: the embedded model's", () => {
  it("knows its size and special tokens", () => {
    assert.equal(tokenizer.size, 4096);
    assert.deepEqual(tokenizer.eosTokenIds, [0]);
    assert.equal(tokenizer.bosTokenId, 0);
  });

  it("gives every text back whose normal form it is", () => {
    const text = Array.from({ length: 0x3000 }, (_, code) => String.fromCodePoint(code))
      .join("")
      .normalize("NFC");
    assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
  });
});
