import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BYTE_SYMBOLS, tokenBytes } from "../../host/tokenizer/bytes.ts";
import { loadTokenizer } from "../../host/tokenizer/index.ts";
import { makeStreamDecoder } from "../../host/tokenizer/stream.ts";

/** Here an id is a byte, so that a test can cut a text anywhere. */
const byteDecoder = () => makeStreamDecoder((id) => Uint8Array.of(id));
const bytesOf = (text: string) => [...new TextEncoder().encode(text)];

describe("stream decoder", () => {
  it("holds back a character of two, three or four bytes until it is complete", () => {
    for (const character of ["é", "日", "👩"]) {
      const bytes = bytesOf(character);
      const decoder = byteDecoder();
      const pieces = bytes.map((byte) => decoder.push(byte));
      assert.deepEqual(pieces, [...bytes.slice(1).map(() => ""), character]);
      assert.equal(decoder.flush(), "");
    }
  });

  it("emits each part of a joined emoji when its bytes are there, and never takes text back", () => {
    const family = "👩‍👩‍👧‍👦";
    const decoder = byteDecoder();
    let shown = "";
    for (const byte of bytesOf(family)) {
      shown += decoder.push(byte);
      assert.ok(family.startsWith(shown));
      assert.ok(!shown.includes("\ufffd"));
    }
    assert.equal(shown, family);
  });

  it("turns an incomplete character at the end into one replacement character", () => {
    const decoder = byteDecoder();
    assert.equal(
      bytesOf("a👩")
        .slice(0, 3)
        .map((byte) => decoder.push(byte))
        .join(""),
      "a",
    );
    assert.equal(decoder.flush(), "\ufffd");
  });

  it("goes on after a byte that fits nowhere", () => {
    const decoder = byteDecoder();
    assert.equal([0xf0, 0x41, 0xff, 0x42].map((byte) => decoder.push(byte)).join(""), "\ufffdA\ufffdB");
  });

  it("can be used again after a flush", () => {
    const decoder = byteDecoder();
    decoder.push(0xf0);
    decoder.flush();
    assert.equal(decoder.push(0x41), "A");
    assert.equal(decoder.flush(), "");
  });

  it("keeps a byte order mark, which is text here", () => {
    const decoder = byteDecoder();
    assert.equal(
      bytesOf("\ufeffx")
        .map((byte) => decoder.push(byte))
        .join(""),
      "\ufeffx",
    );
  });

  it("keeps two streams of one tokenizer apart", () => {
    const tokenizer = loadTokenizer("models/tiny");
    const [first, second] = [tokenizer.streamDecoder(), tokenizer.streamDecoder()];
    const ids = tokenizer.encode("👩");
    assert.ok(ids.length > 1);
    const pieces = ids.map((id) => first.push(id) + second.push(id)).join("");
    assert.equal(pieces, "👩👩");
  });

  it("says nothing for the padding rows of a model", () => {
    const decoder = loadTokenizer("models/tiny").streamDecoder();
    assert.equal(decoder.push(4096) + decoder.push(1_000_000) + decoder.flush(), "");
  });

  it("refuses what is no id", () => {
    const decoder = loadTokenizer("models/tiny").streamDecoder();
    for (const id of [-1, 0.5, Number.NaN])
      assert.throws(() => decoder.push(id), { name: "LightMambaError", exit: "badInput" });
  });
});

describe("byte symbols", () => {
  it("are 256 different characters", () => assert.equal(new Set(BYTE_SYMBOLS).size, 256));

  it("agree with GPT-2's table where it is well known", () => {
    assert.equal(BYTE_SYMBOLS[0x20], "Ġ");
    assert.equal(BYTE_SYMBOLS[0x0a], "Ċ");
    assert.equal(BYTE_SYMBOLS[0x41], "A");
  });

  it("give the byte back", () => {
    for (const [byte, symbol] of BYTE_SYMBOLS.entries()) assert.deepEqual([...tokenBytes(symbol)], [byte]);
  });

  it("leave text alone that is not made of them", () => {
    assert.equal(new TextDecoder().decode(tokenBytes("<a b>")), "<a b>");
  });
});
