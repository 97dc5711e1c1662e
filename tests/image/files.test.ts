/** What lies in folders and partitions, and the programs that put it there. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { LightMambaError } from "../../host/errors.ts";
import { readFileSystem } from "../../host/image/layout.ts";
import { formatManifest, hashesBelow, type Manifest, parseManifest } from "../../host/image/manifest.ts";
import { makeData } from "../../host/image/partitions.ts";
import { runProgram } from "../../host/image/programs.ts";
import { withScratch } from "../../host/image/scratch.ts";
import { failureOf, rejectionOf } from "../device/support.ts";
import { scratchFolder, withoutProgram } from "../firmware.ts";

const folder = scratchFolder();

describe("files of a folder", () => {
  it("are those in it, by name; links are not followed", () => {
    const tree = join(folder, "tree");
    mkdirSync(join(tree, "b/c"), { recursive: true });
    writeFileSync(join(tree, "b/c/file"), "content");
    writeFileSync(join(tree, "a"), "");
    symlinkSync("/", join(tree, "b/all"));
    symlinkSync(".", join(tree, "loop"));
    const found = hashesBelow(tree, "root:");
    assert.deepEqual(
      found.map(({ path, bytes, link }) => [path, bytes, link]),
      [
        ["root:a", 0, undefined],
        ["root:b/all", 1, "/"],
        ["root:b/c/file", 7, undefined],
        ["root:loop", 1, "."],
      ],
    );
    assert.equal(found[2]!.sha256, createHash("sha256").update("content").digest("hex"));
  });
});

describe("a manifest", () => {
  const good: Manifest = {
    format: "lightmamba-image",
    version: 1,
    generator: "lightmamba 0.0.0",
    board: "qemu",
    components: [{ name: "a", version: "1", licence: "MIT", source: "s", files: [], sha256: "00" }],
    files: [{ path: "boot:a", bytes: 1, sha256: "00" }],
  };

  it("is read as it was written", () => assert.deepEqual(parseManifest(formatManifest(good), { file: "x" }), good));

  const refused: [name: string, text: string][] = [
    ["no JSON", "{"],
    ["null", "null"],
    ["a list", "[]"],
    ["another format", JSON.stringify({ ...good, format: "x" })],
    ["a later version", JSON.stringify({ ...good, version: 2 })],
    ["no board", JSON.stringify({ ...good, board: 1 })],
    ["no components", JSON.stringify({ ...good, components: {} })],
    ["a component without a licence", JSON.stringify({ ...good, components: [{ name: "a" }] })],
    ["a file that is none", JSON.stringify({ ...good, files: [null] })],
    ["a file with half a byte", JSON.stringify({ ...good, files: [{ path: "a", sha256: "", bytes: 0.5 }] })],
  ];
  for (const [name, text] of refused)
    it(`is not ${name}`, () => {
      const error = failureOf(() => parseManifest(text, { file: "x.img", field: "boot:manifest.json" }));
      assert.match(error.message, /^x\.img: boot:manifest\.json: (not a manifest|the manifest cannot be read)/);
    });
});

describe("programs", () => {
  it("give what they say, and log it", async () => {
    const log = join(folder, "log");
    const args = ["-c", 'echo out; echo err >&2; echo "$TZ $LC_ALL"'];
    assert.deepEqual(await runProgram("sh", args, { log }), { stdout: "out\nUTC C\n", stderr: "err\n" });
    await runProgram("true", ["x"], { log });
    assert.equal(readFileSync(log, "utf8"), `$ sh ${args.join(" ")}\nout\nUTC C\nerr\n$ true x\n`);
  });

  it("that fail say their end and last words", async () => {
    const error = await rejectionOf(runProgram("sh", ["-c", "seq 20; exit 3"]));
    assert.deepEqual([error.exit, error.message], ["bug", "sh ended with 3:\n  15\n  16\n  17\n  18\n  19\n  20"]);
    assert.match((await rejectionOf(runProgram("sh", ["-c", "kill -9 $$"]))).message, /^sh ended with SIGKILL$/);
  });

  it("that are missing are named", async () => {
    const error = await rejectionOf(runProgram("no-such-program", []));
    assert.deepEqual([error.exit, error.message], ["prerequisite", "no no-such-program"]);
  });
});

describe("a folder for what is under way", () => {
  const prefix = join(folder, "under-way.");
  const left = () => readdirSync(folder).filter((name) => name.startsWith("under-way."));

  it("is gone at the end, and after a failure", async () => {
    await withScratch(async (path) => writeFileSync(join(path, "x"), ""), prefix);
    assert.deepEqual(left(), []);
    const failing = async () => {
      assert.equal(left().length, 1);
      throw new LightMambaError("bug", "x");
    };
    await rejectionOf(withScratch(failing, prefix));
    assert.deepEqual(left(), []);
  });

  it("is gone when the process ends, also while others write there", () => {
    const module = join(import.meta.dirname, "../../host/image/scratch.ts");
    const writer = `for (let i = 0; ; i++) fs.writeFileSync(process.argv[1] + "/" + i, "")`;
    const script = `import { spawn } from "node:child_process";
      const { withScratch } = await import(${JSON.stringify(module)});
      withScratch(async (path) => {
        const child = spawn(process.execPath, ["-e", ${JSON.stringify(writer)}, path]);
        setTimeout(() => { child.kill("SIGKILL"); process.exit(7); }, 300);
        await new Promise(() => {});
      }, ${JSON.stringify(prefix)});`;
    const { status, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
    assert.deepEqual([status, stderr, left()], [7, "", []]);
  });
});

describe("the data partition", { skip: withoutProgram("mke2fs", "-V") || withoutProgram("debugfs", "-V") }, () => {
  it("belongs to root, whoever builds it", async () => {
    const [data, output] = [join(folder, "data"), join(folder, "data.ext4")];
    mkdirSync(join(data, "model/below"), { recursive: true });
    mkdirSync(join(data, "states"));
    writeFileSync(join(data, "model/a file"), "content", { mode: 0o600 });
    symlinkSync("../model/no such file", join(data, "states/link"));
    await makeData(data, output, {});
    const partition = { name: "data", offset: 0, size: 0 } as const;
    assert.deepEqual(readFileSystem(output, partition), { kind: "ext4", label: "lm-data" });
    assert.equal((await runProgram("debugfs", ["-R", 'cat "/model/a file"', output])).stdout, "content");
    const list = async (path: string) => {
      const { stdout } = await runProgram("debugfs", ["-R", `ls -p ${path}`, output]);
      const lines = stdout
        .trim()
        .split("\n")
        .map((line) => line.split("/").slice(2, 6));
      return lines.filter(([, , , name]) => !["", ".", "..", "lost+found"].includes(name!));
    };
    assert.deepEqual(await list("/"), [
      ["040755", "0", "0", "model"],
      ["040755", "0", "0", "states"],
    ]);
    assert.deepEqual(await list("/states"), [["120777", "0", "0", "link"]]);
    const { stdout } = await runProgram("debugfs", ["-R", "stat /states/link", output]);
    assert.match(stdout, /^Fast link dest: "\.\.\/model\/no such file"$/m);
    assert.deepEqual(await list("/model"), [
      ["100644", "0", "0", "a file"],
      ["040755", "0", "0", "below"],
    ]);
  });

  it("cannot hold what debugfs does not take", async () => {
    const data = join(folder, "quotes");
    mkdirSync(data);
    for (const make of [
      (path: string) => writeFileSync(path, ""),
      (path: string) => symlinkSync('c"d', path.replace('a"b', "link")),
    ]) {
      make(join(data, 'a"b'));
      const error = await rejectionOf(makeData(data, join(folder, "quotes.ext4"), {}));
      assert.match(error.message, /(a"b|link): a name that debugfs cannot take/);
      rmSync(join(data, 'a"b'), { force: true });
    }
  });

  it("that lacks a file is none", async () => {
    const data = join(folder, "many");
    mkdirSync(data);
    // More than an empty partition has room for
    for (let i = 0; i < 3000; i++) writeFileSync(join(data, `${i}`), "");
    const error = await rejectionOf(makeData(data, join(folder, "many.ext4"), {}));
    assert.match(error.message, /^debugfs: .*inode/i);
  });
});
