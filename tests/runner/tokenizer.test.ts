/** The board's tokenizer against the library that the model's was trained with. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { EXIT } from "../../host/errors.ts";
import { scratchFolder } from "../firmware.ts";
import { boardModel, run, runnerFor } from "./support.ts";

interface Case {
  text: string;
  ids: number[];
  decoded: string;
}

const { skip } = runnerFor("native");
const model = skip ? "" : boardModel(scratchFolder());
const golden = JSON.parse(readFileSync("tests/golden/tokenizer-cases.json", "utf8")) as Case[];
const { texts, ids: noTexts } = JSON.parse(readFileSync("tests/tokenizer/hugging-face-cases.json", "utf8")) as {
  texts: Case[];
  ids: Omit<Case, "text">[];
};

function tokenize(args: readonly string[], stdin = "") {
  return run(["tokenize", ...args, "--model", model], { stdin });
}

describe("tokenize", { skip }, () => {
  for (const { text, ids, decoded } of [...golden, ...texts]) {
    it(JSON.stringify(text), () => {
      const { code, stdout, stderr } = tokenize(["-", "--json"], text);
      assert.equal(code, 0, stderr);
      assert.deepEqual(JSON.parse(stdout).ids, ids);
      if (ids.length === 0) return;
      assert.equal(JSON.parse(tokenize(["--decode", ids.join(","), "--json"]).stdout).text, decoded);
    });
  }

  for (const { ids, decoded } of noTexts) {
    it(`ids that are no text: ${ids}`, () => {
      assert.equal(JSON.parse(tokenize(["--decode", ids.join(","), "--json"]).stdout).text, decoded);
    });
  }

  it("refuses what is no text, and no text", () => {
    assert.deepEqual([tokenize([]).code, tokenize(["--file", model]).code], [EXIT.usage, EXIT.badInput]);
    assert.match(tokenize(["--file", `${model}/model.safetensors`]).stderr, /not UTF-8 text/);
  });
});
