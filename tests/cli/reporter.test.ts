import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, describe, it } from "node:test";
import { pathToFileURL } from "node:url";

const scratch = mkdtempSync(join(tmpdir(), "lightmamba reporter-"));
after(() => rmSync(scratch, { recursive: true }));

const reporter = pathToFileURL(resolve("tests/reporter.mjs")).href;

const GOOD = 'test("good", () => {});';
const BAD = 'test("bad", () => assert.equal(1, 2));';
const SKIPPED = 'test("left out", { skip: "no tool" }, () => {});';
const SKIPPED_SUITE = 'describe("out", { skip: "no tool" }, () => { test("a", () => {}); test("b", () => {}); });';
const NESTED = `describe("outer", () => { describe("inner", () => { test("fine", () => {}); ${BAD} }); });`;
const WITH_SUBTESTS = 'test("parent", async (t) => { await t.test("child", () => { throw new Error("x"); }); });';
const BROKEN_HOOK = 'describe("hooked", () => { before(() => { throw new Error("no"); }); test("never", () => {}); });';

/** Runs a test file of these lines under the reporter. */
function reported(
  lines: string[],
  env: NodeJS.ProcessEnv = {},
): { code: number | null; lines: string[]; last: string } {
  const head = 'import assert from "node:assert"; import { before, describe, test } from "node:test";';
  writeFileSync(join(scratch, "some.test.mjs"), [head, ...lines].join("\n"));
  const args = ["--test", `--test-reporter=${reporter}`, "some.test.mjs"];
  const clean = { LIGHTMAMBA_NO_SKIP: undefined, LIGHTMAMBA_COUNTS: undefined, NODE_TEST_CONTEXT: undefined };
  const { status, stdout } = spawnSync(process.execPath, args, {
    cwd: scratch,
    encoding: "utf8",
    env: { ...process.env, ...clean, ...env },
  });
  const all = stdout.trimEnd().split("\n");
  return { code: status, lines: all, last: all.at(-1) ?? "" };
}

describe("the test reporter", () => {
  const CASES: [what: string, lines: string[], code: number, last: string][] = [
    ["all good", [GOOD], 0, "1 passed, 0 failed, 0 skipped"],
    ["a failure", [GOOD, BAD], 1, "1 passed, 1 failed, 0 skipped"],
    ["a skip", [GOOD, SKIPPED], 0, "1 passed, 0 failed, 1 skipped"],
    ["a skipped suite is one skip", [GOOD, SKIPPED_SUITE], 0, "1 passed, 0 failed, 1 skipped"],
    ["suites count for nothing themselves", [NESTED], 1, "1 passed, 1 failed, 0 skipped"],
    ["a parent does not count its child's failure again", [WITH_SUBTESTS], 1, "0 passed, 1 failed, 0 skipped"],
    [
      "a broken hook is a failure, and so is what it kept from running",
      [BROKEN_HOOK],
      1,
      "0 passed, 2 failed, 0 skipped",
    ],
    ["a file that does not load", ["import './no-such.mjs';"], 1, "0 passed, 1 failed, 0 skipped"],
    ["a file that ends the process", ["process.exit(3);"], 1, "0 passed, 1 failed, 0 skipped"],
  ];
  for (const [what, lines, code, last] of CASES) {
    it(what, () => {
      const result = reported(lines);
      assert.deepEqual([result.code, result.last], [code, last]);
    });
  }

  it("names a failed test with its suites and shows the difference", () => {
    const { lines } = reported([NESTED]);
    assert.ok(lines.includes("  FAILED: outer > inner > bad"));
    assert.ok(lines.some((line) => line.includes("1 == 2")));
  });

  it("with LIGHTMAMBA_NO_SKIP=1, fails for a skip and says which", () => {
    const { code, lines, last } = reported([GOOD, SKIPPED], { LIGHTMAMBA_NO_SKIP: "1" });
    assert.deepEqual([code, last], [1, "1 passed, 1 failed, 0 skipped"]);
    assert.ok(lines.some((line) => line.startsWith("  skipped: left out: no tool (a skip is a failure here")));
  });

  it("with LIGHTMAMBA_COUNTS, hands the counts over instead of the closing line", () => {
    const file = join(scratch, "counts.json");
    const { last } = reported([GOOD, BAD], { LIGHTMAMBA_COUNTS: file });
    assert.doesNotMatch(last, /passed, \d+ failed, \d+ skipped$/);
    assert.deepEqual(JSON.parse(readFileSync(file, "utf8")), { passed: 1, failed: 1, skipped: 0 });
  });
});
