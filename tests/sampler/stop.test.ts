import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { StopFilter } from "../../host/stop.ts";

/** Pieces go in one by one; what comes out for each, and what was held at the end. */
function filter(stops: string[], pieces: string[]): { out: string[]; rest: string; stopped: boolean } {
  const it = new StopFilter(stops);
  const out = pieces.map((piece) => it.push(piece));
  return { out, rest: it.flush(), stopped: it.stopped };
}

describe("stop texts", () => {
  const CASES: [name: string, stops: string[], pieces: string[], out: string[], rest: string, stopped: boolean][] = [
    ["none: all text at once", [], ["ab", "c"], ["ab", "c"], "", false],
    ["only an empty one, which is none", [""], ["ab"], ["ab"], "", false],
    ["not in the text", ["xyz"], ["ab", "c"], ["ab", "c"], "", false],
    ["inside one piece", ["STOP"], ["one STOP two"], ["one "], "", true],
    ["a whole piece", ["STOP"], ["one ", "STOP"], ["one ", ""], "", true],
    ["at the very beginning", ["a"], ["abc"], [""], "", true],
    ["split in two", ["STOP"], ["one ST", "OP two"], ["one ", ""], "", true],
    ["split into letters", ["STOP"], [..."a STOP"], ["a", " ", "", "", "", ""], "", true],
    ["almost, then not", ["STOP"], ["STO", "NE"], ["", "STONE"], "", false],
    ["a beginning at the end of the text", ["STOP"], ["a STO"], ["a "], "STO", false],
    ["begins again inside its own beginning", ["aab"], ["aa", "ab"], ["", "a"], "", true],
    ["of one letter repeated", ["aaa"], ["aa", "ba", "aa"], ["", "aab", ""], "", true],
    ["the first of several in the text", ["b", "a"], ["x b a"], ["x "], "", true],
    ["one that contains another", ["abc", "b"], ["xabc"], ["xa"], "", true],
    ["one that begins with another", ["ab", "abc"], ["xabc"], ["x"], "", true],
    ["held for the longer of two", ["abcd", "cx"], ["abc", "x"], ["", "ab"], "", true],
    ["one falls, the other may still come", ["abcd", "bce"], ["abc", "e"], ["", "a"], "", true],
    ["nothing after it", ["."], ["a.", "b", "c"], ["a", "", ""], "", true],
    ["a line end", ["\n\n"], ["a\n", "b\n", "\nc"], ["a", "\nb", ""], "", true],
    ["letters beyond ASCII", ["né"], ["caf", "én", "é"], ["caf", "é", ""], "", true],
    ["an emoji of two units", ["👩"], ["a👩b"], ["a"], "", true],
    ["an emoji that shares its first unit", ["👩"], ["a👨b"], ["a👨b"], "", false],
    ["not the letter with an accent of its own", ["e"], ["\u00e9"], ["\u00e9"], "", false],
    ["empty pieces", ["ab"], ["", "a", "", "b"], ["", "", "", ""], "", true],
  ];
  for (const [name, stops, pieces, out, rest, stopped] of CASES) {
    it(name, () => assert.deepEqual(filter(stops, pieces), { out, rest, stopped }));
  }
});

describe("cut into pieces in any way", () => {
  const TEXTS: [text: string, stops: string[]][] = [
    ["to be or not to be", ["not"]],
    ["aaaaaaaab", ["aaab"]],
    ["abababac", ["ababac"]],
    ["no stop in here", ["hero", "zero"]],
    ["mississippi", ["issip", "ppi"]],
    ["xabc", ["abc", "b"]],
  ];
  for (const [text, stops] of TEXTS) {
    it(`${JSON.stringify(text)} ends at the same place, and nothing is lost or taken back`, () => {
      // The stop text that is complete first, as if the text came letter by letter; of two, the longer.
      const found = stops.map((stop) => [text.indexOf(stop), stop.length] as const).filter(([at]) => at >= 0);
      const [first] = found.toSorted(([a, m], [b, n]) => a + m - (b + n) || a - b);
      const expected = text.slice(0, first?.[0]);
      for (let cuts = 0; cuts < 2 ** (text.length - 1); cuts += text.length > 12 ? 97 : 1) {
        const pieces = cut(text, cuts);
        const { out, rest, stopped } = filter(stops, pieces);
        assert.equal(out.join("") + rest, expected, JSON.stringify(pieces));
        assert.equal(stopped, first !== undefined);
      }
    });
  }
});

/** Cuts after letter i where bit i is set. */
function cut(text: string, cuts: number): string[] {
  const pieces = [""];
  [...text].forEach((letter, i) => {
    pieces.push(pieces.pop()! + letter);
    if ((cuts >> i) & 1) pieces.push("");
  });
  return pieces;
}
