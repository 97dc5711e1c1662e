/** `lightmamba report`: its forms, its file and its faults. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { EXIT } from "../../host/errors.ts";
import { lightmamba } from "./lightmamba.ts";

const scratch = mkdtempSync(join(tmpdir(), "lightmamba-report-"));
after(() => rmSync(scratch, { recursive: true, force: true }));
const MODEL = ["--model", "models/tiny-w4a4", "--prompt", "8"];

describe("report", { concurrency: 2 }, () => {
  it("writes a page, and nothing beside it", async () => {
    const folder = join(scratch, "page");
    mkdirSync(folder);
    const file = join(folder, "page.html");
    const { code, stdout, stderr } = await lightmamba(["report", ...MODEL, "-o", file]);
    assert.deepEqual([code, stdout], [0, ""]);
    assert.match(stderr, /page\.html: written\n$/);
    assert.deepEqual(readdirSync(folder), ["page.html"]);
    assert.match(readFileSync(file, "utf8"), /^<!doctype html>\n<html lang="en">[\s\S]*<\/html>\n$/);
    const again = await lightmamba(["report", ...MODEL, "-o", file]);
    assert.equal(again.code, EXIT.usage);
    assert.match(again.stderr, /page\.html: exists already\nhint: add --force/);
  });

  it("is text in a terminal, and one document with --json", async () => {
    const [text, json] = await Promise.all([
      lightmamba(["report", ...MODEL, "-q"]),
      lightmamba(["report", ...MODEL, "--ports", "2", "--json", "-q"]),
    ]);
    assert.match(text.stdout, /^models\/tiny-w4a4 on vck190\n\nW4A4, lm_head of 4 bits; 6 ports, 300 MHz, fused\n/);
    assert.match(text.stdout, /\nBESIDE THE PAPER\n[\s\S]*^VCK190: speed, tok\/s +7\.21 /m);
    assert.equal(text.stderr, "");
    const { estimate, layer, comparison } = JSON.parse(json.stdout);
    assert.deepEqual([estimate.ports, layer.rtl, comparison.length > 10], [2, undefined, true]);
  });

  it("replaces a file with --force, in the form that was asked for", async () => {
    const file = join(scratch, "old.txt");
    writeFileSync(file, "old");
    const { code } = await lightmamba([
      "report",
      ...MODEL,
      "--force",
      "-o",
      file,
      "--board",
      "sim",
      "--format",
      "json",
    ]);
    assert.equal(code, 0);
    assert.equal(JSON.parse(readFileSync(file, "utf8")).estimate.board, "sim");
  });

  it("that is interrupted leaves no file", async () => {
    const folder = join(scratch, "interrupted");
    mkdirSync(folder);
    const onStderr = (_: string, child: ChildProcess) => void child.kill("SIGINT");
    const ended = await lightmamba(["report", "--shape", "130m", "-o", join(folder, "page.html")], { onStderr });
    assert.equal(ended.code, EXIT.interrupted);
    assert.deepEqual(readdirSync(folder), []);
  });

  it("that is refused leaves no file", async () => {
    const folder = join(scratch, "refused");
    mkdirSync(folder);
    const args = ["--shape", "130m", "--activation-bits", "8", "-o", join(folder, "page.html")];
    assert.equal((await lightmamba(["report", ...args])).code, EXIT.unsupported);
    assert.deepEqual(readdirSync(folder), []);
  });

  const faults: [args: string[], code: number, message: RegExp][] = [
    [["--board", "none"], EXIT.usage, /vck190/],
    [["--ports", "33"], EXIT.usage, /from 1 to 32/],
    [["--clock", "5"], EXIT.usage, /from 10 to 1000/],
    [["--shape", "3b"], EXIT.usage, /mamba2-130m/],
    [["--format", "pdf"], EXIT.usage, /html, text or json/],
    [["--format", "html", "--json"], EXIT.usage, /--format: --json is a format of its own/],
    [["-o", "page"], EXIT.usage, /page: says no format.*expected \.html, \.json or \.txt/],
    [["-m", "models/tiny-w4a4", "--shape", "130m"], EXIT.usage, /cannot be used with/],
    [["-m", "models/tiny-w4a4", "--head-bits", "8"], EXIT.usage, /widths already/],
    [["-m", "docs"], EXIT.badInput, /not a model directory/],
    [["--shape", "130m", "--activation-bits", "8"], EXIT.unsupported, /activation_bits.*at most 5, found 8/],
    [["--shape", "2.7b", "--board", "sim"], EXIT.unsupported, /memory ddr4.*does not fit/],
    [["--shape", "130m", "-o", join(scratch, "none", "page.html")], EXIT.usage, /page\.html: cannot be written/],
  ];
  for (const [args, code, message] of faults) {
    it(`refuses ${args.join(" ").replace(scratch, "…")}`, async () => {
      const ended = await lightmamba(["report", ...args]);
      assert.equal(ended.code, code, ended.stderr);
      assert.match(args.includes("--json") ? ended.stdout : ended.stderr, message);
    });
  }
});
