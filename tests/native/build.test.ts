/** The add-on's build: what it makes, and that it says why it makes nothing. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { it } from "node:test";
import { emptyDirectory } from "../runtime/support.ts";

const BUILD = join(import.meta.dirname, "../../host/native/build.mjs");
const HERE = process.arch === "x64" && process.platform !== "win32";
const MISSING = 3;

function build(env: Record<string, string>, args = [join(emptyDirectory(), "kernels.node")]) {
  const { status, stderr } = spawnSync(process.execPath, [BUILD, ...args], {
    env: { ...process.env, ...env },
    encoding: "utf8",
  });
  return { status, stderr, made: args[0]! };
}

const skip = HERE ? false : "there are kernels for x64 alone";

it("makes one file", { skip }, () => {
  const { status, stderr, made } = build({});
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  assert.deepEqual(readdirSync(dirname(made)), ["kernels.node"]);
});

it("takes a path from here", { skip }, () => {
  const made = relative(process.cwd(), join(emptyDirectory(), "kernels.node"));
  assert.deepEqual(build({}, [made]), { status: 0, stderr: "", made });
  assert.ok(existsSync(made));
});

for (const [what, compiler, expected] of [
  ["no compiler", "no-such-compiler", /no C compiler \(no-such-compiler\): WebAssembly does without/],
  // It has a version, and cannot compile.
  ["a compiler that fails", process.execPath, /-std=gnu11/],
] as const) {
  it(`leaves nothing behind: ${what}`, { skip }, () => {
    const { status, stderr, made } = build({ CC: compiler });
    assert.equal(status, MISSING);
    assert.match(stderr, expected);
    assert.ok(!existsSync(made));
    assert.deepEqual(readdirSync(dirname(made)), []);
  });
}

it("says how it is called", () => {
  const { status, stderr } = build({}, []);
  assert.equal(status, 2);
  assert.match(stderr, /^usage: /);
});
