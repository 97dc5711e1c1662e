/** The board's own scripts, run by busybox on this machine. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { scratchFolder, withoutProgram } from "../firmware.ts";
import { SYSTEM } from "./support.ts";

const OVERLAY = join(SYSTEM, "overlay");
const FUNCTIONS = join(OVERLAY, "usr", "lib", "lightmamba", "functions");
const scratch = scratchFolder();

/** Runs a script with a command line of the kernel's, and with our own programs before all others. */
function shell(script: string, cmdline: string, { input = "", args = [] as readonly string[] } = {}) {
  const path = join(scratch, "cmdline");
  writeFileSync(path, `${cmdline}\n`);
  const env = { CMDLINE: path, PATH: `${join(scratch, "bin")}:${process.env.PATH}`, LANG: "C.UTF-8" };
  return spawnSync("busybox", ["sh", "-c", script, "sh", ...args], { env, input, encoding: "utf8" });
}

function program(name: string, lines: readonly string[]): void {
  mkdirSync(join(scratch, "bin"), { recursive: true });
  const path = join(scratch, "bin", name);
  writeFileSync(path, ["#!/bin/sh", ...lines, ""].join("\n"));
  chmodSync(path, 0o755);
}

const skip = withoutProgram("busybox");

describe("the kernel's command line", { skip }, () => {
  const parameter = (name: string, cmdline: string) =>
    shell(`. ${FUNCTIONS}; parameter "$1"`, cmdline, { args: [name] });

  it("gives the last value of a name", () => {
    const { status, stdout } = parameter("lightmamba.run", "ro lightmamba.run=a console=x lightmamba.run=b=c quiet");
    assert.deepEqual([status, stdout], [0, "b=c\n"]);
  });

  it("gives an empty value of a name alone, and none of one that is not there", () => {
    assert.deepEqual([parameter("lightmamba.poweroff", "ro lightmamba.poweroff").status], [0]);
    for (const cmdline of ["ro", "lightmamba.poweroffs", "xlightmamba.poweroff", "x=lightmamba.poweroff"]) {
      assert.equal(parameter("lightmamba.poweroff", cmdline).status, 1, cmdline);
    }
  });

  it("has no patterns", () => assert.equal(parameter("a", "a=/* b=?").stdout, "/*\n"));
});

describe("words in the kernel's command line", { skip }, () => {
  const words = (text: string) =>
    shell(`. ${FUNCTIONS}; show() { for word; do printf '<%s>' "$word"; done; }; with_words "$1" show first`, "", {
      args: [text],
    });
  const encode = (list: readonly string[]) => list.map(encodeURIComponent).join("+");

  for (const list of [
    ["run", "Once upon a time", "-n", "16"],
    ["run", "", "x"],
    ["ünï ✓ \u{1f40d}", "a+b", "50%", "%41", "\\x41\\n", "'\"$(false)`*?[a]", "-e"],
    ["line\n", "\n\nlines\n\n", "\ttab"],
  ]) {
    it(`come as they were: ${JSON.stringify(list)}`, () => {
      const { status, stdout, stderr } = words(encode(list));
      assert.equal(status, 0, stderr);
      assert.equal(stdout, ["first", ...list].map((word) => `<${word}>`).join(""));
    });
  }

  for (const text of ["run+%", "%4", "%zz", "%4z+x", "a%%41"]) {
    it(`are refused where they are not percent-encoded: ${text}`, () => {
      const { status, stdout, stderr } = words(text);
      assert.deepEqual([status, stdout], [2, ""]);
      assert.equal(stderr, `lightmamba: lightmamba.run: not percent-encoded: ${text}\n`);
    });
  }
});

describe("the console", { skip }, () => {
  const source = readFileSync(join(OVERLAY, "usr", "sbin", "lightmamba-console"), "utf8");
  const script = source.replace("/usr/lib/lightmamba/functions", FUNCTIONS);
  assert.notEqual(script, source);
  program("poweroff", ["echo off"]);
  const answers = (codes: string) => {
    program("lightmamba", ['printf "<%s>" "$@"; echo', `case $1 in ${codes} *) exit 0 ;; esac`]);
  };
  const console = (cmdline: string, input = "") => shell(script, cmdline, { input }).stdout;

  it("tests itself, serves, and ends in a prompt", () => {
    answers("");
    const said = console("ro", "run 'a  b'\nserve -n 3\nbroken '\n\nhelp\nreboot-not\npoweroff\n");
    const lines = said.replaceAll("lightmamba> ", "").trim().split("\n");
    const begin = ["<update><finish>", "<selftest>", "<slot><confirm>", "<supervise><--><serve>"];
    assert.deepEqual(lines.splice(0, 4), begin);
    assert.match(lines.shift() ?? "", /^lightmamba: ended with 0\. Here go the program's commands/);
    assert.deepEqual(lines, ["<run><a  b>", "<supervise><--><serve><-n><3>", "<--help>", "<reboot-not>", "off"]);
  });

  it("runs what is asked for, says how it ended, and switches off", () => {
    answers("run) exit 7 ;;");
    const said = console("lightmamba.run=run+a%20b lightmamba.poweroff");
    assert.equal(said, "<update><finish>\n<selftest>\n<slot><confirm>\n<run><a b>\nlightmamba: exit 7\noff\n");
  });

  it("runs nothing when the self-test fails", () => {
    answers("selftest) exit 5 ;; slot) exit 4 ;;");
    const said = console("lightmamba.run=run lightmamba.poweroff");
    assert.equal(said, "<update><finish>\n<selftest>\n<slot><fail>\nlightmamba: exit 5\noff\n");
  });

  it("starts anew with the other system when the self-test fails on trial", () => {
    answers("selftest) exit 5 ;;");
    program("reboot", ["echo anew"]);
    program("sleep", ["exit 0"]);
    const said = console("lightmamba.run=run lightmamba.poweroff");
    assert.equal(said, "<update><finish>\n<selftest>\n<slot><fail>\nanew\nlightmamba: exit 5\noff\n");
  });

  it("can do without the self-test", () => {
    answers("selftest) exit 5 ;;");
    assert.equal(
      console("lightmamba.noselftest lightmamba.poweroff"),
      "<supervise><--><serve>\nlightmamba: exit 0\noff\n",
    );
  });

  it("says by its exit code that what is asked for cannot be read", () => {
    answers("");
    assert.equal(console("lightmamba.noselftest lightmamba.poweroff lightmamba.run=%"), "lightmamba: exit 2\noff\n");
  });
});
