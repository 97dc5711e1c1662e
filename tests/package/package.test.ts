/** What `npm pack` puts in the package, and that the package works where it is installed. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, "../..");
const scratch = mkdtempSync(join(tmpdir(), "lightmamba-package-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** The npm that runs these tests; node_modules/.bin, first on the PATH then, has an old one that a tool brought. */
function npm(args: string[], cwd: string) {
  const cli = process.env.npm_execpath;
  if (cli !== undefined) return run(process.execPath, [cli, ...args], { cwd });
  const outside = (process.env.PATH ?? "").split(delimiter).filter((folder) => !folder.includes("node_modules"));
  return run("npm", args, { cwd, env: { ...process.env, PATH: outside.join(delimiter) } });
}

interface Packed {
  filename: string;
  size: number;
  files: { path: string }[];
}

const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  dependencies: Record<string, string>;
  bin: { lightmamba: string };
  version: string;
};
let packed: Packed;
let paths: string[];

before(async () => {
  const { stdout } = await npm(["pack", "--json", "--pack-destination", scratch], ROOT);
  [packed] = JSON.parse(stdout) as [Packed];
  paths = packed.files.map(({ path }) => path);
});

describe("the package", () => {
  const NEEDED = [
    "package.json",
    "LICENSE",
    "README.md",
    "build/js/host/index.js",
    "build/js/host/index.d.ts",
    "build/js/host/cli/main.js",
    "build/js/assembly/contract.js",
    "build/js/assembly/contract.d.ts",
    "build/js/assembly/device.generated.js",
    "build/js/assembly/device.generated.d.ts",
    "build/runtime.wasm",
    "build/runtime.relaxed.wasm",
    "build/runtime.native.wasm",
    "build/offline.wasm",
    ...["ladder.json", "sim.json", "size.json"].map((name) => `bench/results/${name}`),
    ...["config.json", "quantization.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"].map(
      (name) => `models/tiny-w4a4/${name}`,
    ),
  ];
  for (const path of NEEDED) {
    // The README is written last; without it there is nothing to pack.
    const skip = path === "README.md" && !existsSync(join(ROOT, path)) ? "there is no README.md yet" : false;
    it(`has ${path}`, { skip }, () => assert.ok(paths.includes(path)));
  }

  const ABSENT: [what: string, pattern: RegExp][] = [
    ["tests", /(?<!self)test|golden|__tests__|\.spec\./],
    ["the FP16 checkpoint", /^models\/tiny\//],
    ["sources: they would run without types being stripped", /(?<!\.d)\.ts$/],
    ["what is left of interrupted builds", /\.tmp|\.tsbuildinfo|\.stamps/],
    ["modules for the tests only", /^build\/units/],
    ["tools of the repository", /\/tools\//],
  ];
  for (const [what, pattern] of ABSENT) {
    it(`has no ${what}`, () =>
      assert.deepEqual(
        paths.filter((path) => pattern.test(path)),
        [],
      ));
  }

  it("has nothing else than the compiled program, its modules and kernels, results, the model and the papers", () => {
    const places = [
      /^build\/js\/(host\/.*|assembly\/(contract|device\.generated))\.(js|d\.ts)$/,
      /^build\/[a-z.]+\.wasm$/,
      /^build\/native\/(linux|darwin)-x64\.node$/,
    ];
    const known = [
      ...places,
      /^(bench|models)\/README\.md$/,
      /^models\/tiny-w4a4\/[a-z_]+\.(json|safetensors)$/,
      /^bench\/results\/(ladder|sim|size)\.json$/,
      /^(LICENSE|package\.json|[A-Z]+\.md)$/,
    ];
    assert.deepEqual(
      paths.filter((path) => !known.some((pattern) => pattern.test(path))),
      [],
    );
  });

  it("stays a small download", () => assert.ok(packed.size < 6e6, `${packed.size} bytes`));
});

describe("an installation of the package", () => {
  const app = mkdtempSync(join(tmpdir(), "lightmamba-app-"));
  after(() => rmSync(app, { recursive: true, force: true }));

  before(async () => {
    writeFileSync(join(app, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }));
    // The dependencies as they are in the working copy: nothing is downloaded.
    const dependencies = Object.keys(manifest.dependencies).map((name) => `file:${join(ROOT, "node_modules", name)}`);
    const options = ["--offline", "--ignore-scripts", "--no-audit", "--no-fund"];
    await npm(["install", ...options, join(scratch, packed.filename), ...dependencies], app);
    writeFileSync(join(app, "app.js"), APP);
  });

  const APP = `
import { EXIT, generate, LightMambaError, Model, promptIds } from "lightmamba";

const model = Model.load("node_modules/lightmamba/models/tiny-w4a4");
const session = model.session({ seed: 3 });
let text = "";
for (const token of generate(model, session, promptIds(model, "Once upon a time"), { tokens: 12 })) text += token.text;
let exit;
try {
  Model.load("nowhere");
} catch (error) {
  if (error instanceof LightMambaError) exit = EXIT[error.exit];
}
console.log(JSON.stringify({ text, exit }));
`;
  const engines: [name: string, node: string | undefined][] = [
    ["Node 24", process.execPath],
    ["Node 20", process.env.LIGHTMAMBA_NODE20],
  ];

  for (const [name, node] of engines) {
    const skip = node === undefined ? "LIGHTMAMBA_NODE20 names no Node 20" : false;
    const main = () => join(app, "node_modules/lightmamba", manifest.bin.lightmamba);

    it(`${name}: the command runs from anywhere, with the text of the working copy`, { skip }, async () => {
      const args = ["run", "Once upon a time", "-n", "12", "--seed", "3", "--quiet"];
      const installed = await run(node!, [main(), ...args], { cwd: tmpdir() });
      const own = await run(process.execPath, [join(ROOT, manifest.bin.lightmamba), ...args], { cwd: ROOT });
      assert.equal(installed.stdout, own.stdout);
      assert.equal(installed.stderr, "");
    });

    it(`${name}: a program imports the library, and gets the same text`, { skip }, async () => {
      const [library, command] = await Promise.all([
        run(node!, ["app.js"], { cwd: app }),
        run(node!, [main(), "run", "Once upon a time", "-n", "12", "--seed", "3", "--quiet"], { cwd: app }),
      ]);
      const { text, exit } = JSON.parse(library.stdout);
      assert.equal(`Once upon a time${text}\n`, command.stdout);
      assert.equal(exit, 7);
    });

    it(`${name}: quantize, with its threads, works outside the working copy`, { skip }, async () => {
      const output = join(app, `odd-${name.slice(-2)}`);
      const args = [
        "quantize",
        join(ROOT, "tests/golden/odd-a"),
        "-o",
        output,
        "--calibration-tokens",
        "64",
        "--json",
        "-q",
      ];
      const { stdout } = await run(node!, [main(), ...args], { cwd: app });
      assert.equal(JSON.parse(stdout).dir, output);
    });

    it(`${name}: doctor finds the installation sound`, { skip }, async () => {
      const { stdout } = await run(node!, [main(), "doctor", "--json"], { cwd: tmpdir() });
      assert.equal(JSON.parse(stdout).ok, true);
    });
  }

  it("npm puts the command on the path", async () => {
    const { stdout } = await run(process.execPath, [join(app, "node_modules/.bin/lightmamba"), "--version"]);
    assert.equal(stdout, `${manifest.version}\n`);
  });

  it("has no inner modules to import", async () => {
    const script = 'import("lightmamba/build/js/host/errors.js").catch(({ code }) => console.log(code))';
    const { stdout } = await run(process.execPath, ["--input-type=module", "-e", script], { cwd: app });
    assert.equal(stdout, "ERR_PACKAGE_PATH_NOT_EXPORTED\n");
  });
});
