/** Updates of a card's model, from a file: what holds is installed, everything else is refused and leaves what was there. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { EXIT } from "../../host/errors.ts";
import { scratchFolder } from "../firmware.ts";
import { randomOf } from "../fuzz/random.ts";
import {
  bundleOf,
  Card,
  headOf,
  type Manifest,
  modelId,
  modelParts,
  newKey,
  type Parts,
  runtimeOf,
  sha256,
} from "./bundle.ts";
import { Models } from "./models.ts";
import { run, runnerFor, start } from "./support.ts";

const { skip, runner, runtime: built } = runnerFor("native");
const folder = scratchFolder();
const models = skip ? undefined : new Models(folder);
const [model, other] = [models?.model ?? "", models?.other() ?? ""];
const runtime = skip ? "" : runtimeOf(model);
const key = newKey();
const KILLS = 25;

const [oldId, newId] = skip ? ["", ""] : [modelId(model), modelId(other)];

const newCard = (board?: string) => new Card(mkdtempSync(join(folder, "card-")), model, key, board);

function written(bytes: Buffer): string {
  const path = join(folder, "update.lmb");
  writeFileSync(path, bytes);
  return path;
}

function install(card: Card, bytes: Buffer, options: string[] = []) {
  return run(["update", "install", written(bytes), ...card.options, ...options]);
}

/** The card is as it was made, but for its key. */
function assertOld(card: Card): void {
  assert.equal(card.current(runtime), oldId);
  assert.deepEqual([card.names("models"), card.names("current")], [[oldId], [runtime]]);
}

describe("a model from a bundle", { skip }, () => {
  it("is tested, and takes the place of the old one", () => {
    const card = newCard();
    const { code, stdout, stderr } = install(card, bundleOf(modelParts(other), key));
    assert.equal(code, 0, stderr);
    assert.match(stderr, /A test\n.*testing model/s);
    assert.match(stdout, new RegExp(`model ${newId} is used from the next start on`));
    assert.deepEqual([card.current(runtime), card.names("models")], [newId, [newId]]);
    const status = JSON.parse(run(["update", "status", "--json", ...card.options]).stdout);
    assert.deepEqual(status, { board: "qemu", runtime, model: newId, candidate: null });
  });

  it("is what run, tokenize and doctor take without --model; states are beside", () => {
    const card = newCard();
    const own = ["--data", card.data];
    const text = ["run", "It was", "--seed", "3", "-n", "4", "--device", "wasm"];
    assert.equal(run([...text, ...own]).stdout, run([...text, "--model", model]).stdout);
    assert.equal(run(["tokenize", "It was", ...own]).code, 0);
    assert.equal(run(["doctor", ...own]).code, 0);
    run(["serve", ...own, "--device", "wasm", "-n", "2"], { stdin: "It was\n/save a\n" });
    assert.deepEqual(card.names("states"), ["a.state"]);
    rmSync(join(card.data, "current", runtime));
    const none = run([...text, ...own]);
    assert.match(none.stderr, new RegExp(`current/${runtime}: the card has no model for this runtime`));
    assert.equal(none.code, EXIT.badInput);
  });

  it("again, or the one that is here: nothing is copied, and it stays", () => {
    const card = newCard();
    const bytes = bundleOf(modelParts(model), key);
    for (let i = 0; i < 2; i++) assert.equal(install(card, bytes).code, 0);
    assertOld(card);
  });

  it("has the files that are the same from the one that was here", () => {
    const card = newCard();
    const node = (id: string) => statSync(join(card.data, "models", id, "model.safetensors")).ino;
    const before = node(oldId);
    const again = models!.again();
    assert.equal(install(card, bundleOf(modelParts(again), key)).code, 0);
    assert.deepEqual([card.current(runtime), node(modelId(again))], [modelId(again), before]);
  });

  it("takes the place of one that is damaged, under the same name", () => {
    const card = newCard();
    writeFileSync(join(card.data, "models", oldId, "tokenizer.json"), "{}");
    assert.equal(install(card, bundleOf(modelParts(model), key)).code, 0);
    assertOld(card);
  });

  it("is signed by one of several keys", () => {
    const card = newCard();
    const path = join(card.etc, "lightmamba/update.pub");
    writeFileSync(path, `${newKey().public.toString("base64")}\n\n${readFileSync(path, "utf8")}`);
    assert.equal(install(card, bundleOf(modelParts(other), key)).code, 0);
    assert.equal(card.current(runtime), newId);
  });

  it("that gives other tokens here is told, and goes", () => {
    const wrong = models!.wrong();
    const card = newCard();
    const { code, stdout, stderr } = install(card, bundleOf(modelParts(wrong), key));
    assert.match(stderr, /other tokens than the host's/);
    assert.match(stderr, /its self-test failed: exit code 6\nhint: the model that was here before is used/);
    assert.deepEqual([code, stdout], [EXIT.verification, ""]);
    assertOld(card);
  });
});

describe("a bundle that is refused leaves what was there", { skip }, () => {
  const good = skip ? ({} as Parts) : modelParts(other);
  const edited = (change: (manifest: Manifest) => void, signer = key): Buffer => {
    const manifest = structuredClone(good.manifest);
    change(manifest);
    return bundleOf({ ...good, manifest }, signer);
  };
  const bytes = skip ? Buffer.alloc(0) : bundleOf(good, key);
  const flipped = (at: number) => {
    const copy = Buffer.from(bytes);
    copy[at]! ^= 1;
    return copy;
  };
  /** Where a file begins in the bundle. */
  const startOf = (index: number) => {
    const before = [headOf(JSON.stringify(good.manifest), key), ...good.files.slice(0, index)];
    return before.reduce((at, part) => at + Math.ceil(part.length / 4096) * 4096, 0);
  };
  const head = (text: string, version?: number) => {
    const raw = headOf(text, key, version);
    return Buffer.concat([raw, Buffer.alloc(-raw.length & 4095)]);
  };

  const cases: [name: string, make: () => Buffer, exit: keyof typeof EXIT, message: RegExp][] = [
    ["an empty file", () => Buffer.alloc(0), "badInput", /the head cannot be read/],
    ["another file", () => Buffer.alloc(8192, "x"), "badInput", /magic: not a bundle \(expected LMBUNDLE, found xxxx/],
    ["a later version", () => head("{}", 2), "unsupported", /version: .*expected 1, found 2/],
    ["no manifest", () => head(""), "badInput", /manifest bytes: .*found 0/],
    [
      "a manifest that is too large",
      () => {
        const raw = Buffer.from(bytes);
        raw.writeUInt32LE(0xffff_ffff, 12);
        return raw;
      },
      "badInput",
      /manifest bytes: .*expected 1 to 1048576, found 4294967295/,
    ],
    [
      "another's key",
      () => bundleOf(good, newKey()),
      "verification",
      /key id: signed with a key .*expected [0-9a-f]{16}/,
    ],
    [
      "another's key under our key's name",
      () => {
        const raw = bundleOf(good, newKey());
        bytes.copy(raw, 16, 16, 24);
        return raw;
      },
      "verification",
      /signature: the signature does not hold/,
    ],
    ["a changed signature", () => flipped(40), "verification", /the signature does not hold/],
    ["a changed manifest", () => flipped(88 + 30), "verification", /the signature does not hold/],
    [
      "a byte of the weights",
      () => flipped(startOf(0) + 1_000_000),
      "verification",
      /model\.safetensors: the file was changed/,
    ],
    [
      "a byte of the tokenizer",
      () => flipped(startOf(1) + 100),
      "verification",
      /tokenizer\.json: the file was changed/,
    ],
    ["a byte of the setup", () => flipped(startOf(2)), "verification", /setup\.json: the file was changed/],
    ["a byte of the padding", () => flipped(bytes.length - 1), "badInput", /byte \d+: not padded with zeros/],
    ["a cut head", () => bytes.subarray(0, 100), "badInput", /the head cannot be read/],
    [
      "a cut file",
      () => bytes.subarray(0, -4096),
      "badInput",
      /another size than its manifest .*expected \d+ bytes, found/,
    ],
    ["bytes behind it", () => Buffer.concat([bytes, Buffer.alloc(4096)]), "badInput", /another size than its manifest/],
    ["no JSON", () => head("no"), "badInput", /manifest: not as it must be/],
    [
      "a key that is unknown",
      () => edited((m) => Object.assign(m, { script: "rm" })),
      "badInput",
      /unknown field `script`/,
    ],
    [
      "another format",
      () => edited((m) => (m.format = "x")),
      "unsupported",
      /manifest: format: .*expected lightmamba-bundle/,
    ],
    ["another board", () => edited((m) => (m.board = "vck190")), "unsupported", /board: .*expected qemu, found vck190/],
    [
      "a title for a terminal",
      () => edited((m) => (m.title = "\u001b[2J")),
      "badInput",
      /title: .*found \\u\{1b\}\[2J/,
    ],
    [
      "another runtime",
      () => edited((m) => (m.model!.runtime = "0123456789abcdef")),
      "unsupported",
      /model\.runtime: a model for another runtime .*found 0123456789abcdef/,
    ],
    [
      "an id that is not the model's",
      () => edited((m) => (m.model!.id = oldId)),
      "badInput",
      /model\.id: .*expected [0-9a-f]{16}/,
    ],
    [
      "an id that is a path",
      () => edited((m) => (m.model!.id = "../../etc")),
      "badInput",
      /model\.id: not as it must be/,
    ],
    [
      "a path outside",
      () => edited((m) => (m.files[1]!.path = "model/../../../etc/passwd")),
      "badInput",
      /files: not as it must be .*found .*passwd/,
    ],
    [
      "a path twice",
      () => edited((m) => (m.files[1]!.path = m.files[0]!.path)),
      "badInput",
      /files: not as it must be/,
    ],
    ["a file too few", () => edited((m) => m.files.pop()), "badInput", /files: not as it must be/],
    [
      "a system that is not there",
      () => edited((m) => (m.system = { version: "1", runtime, file: "system.squashfs" })),
      "badInput",
      /files: .*expected .*system\.squashfs/,
    ],
    [
      "nothing",
      () => {
        const { model: _, ...rest } = good.manifest;
        return head(JSON.stringify({ ...rest, files: [] }));
      },
      "badInput",
      /it brings nothing/,
    ],
    [
      "a size that overflows",
      () => edited((m) => (m.files[0]!.bytes = 2 ** 63)),
      "badInput",
      /bytes: a?.*(a size that a file can have|invalid)/,
    ],
    [
      "sizes that overflow together",
      () => edited((m) => Object.assign(m, { files: m.files.map((file) => ({ ...file, bytes: 2 ** 62 - 4096 })) })),
      "badInput",
      /bytes: not as it must be \(expected a size that a file can have/,
    ],
    [
      "no size",
      () => edited((m) => (m.files[0]!.bytes = 0)),
      "badInput",
      /model\/model\.safetensors: bytes: .*at least 1/,
    ],
    ["half a byte", () => edited((m) => (m.files[0]!.bytes = 1.5)), "badInput", /invalid type: floating point/],
    [
      "another hash",
      () => edited((m) => (m.files[2]!.sha256 = "A".repeat(64))),
      "badInput",
      /sha256: .*64 hexadecimal digits/,
    ],
  ];
  for (const [name, make, exit, message] of cases) {
    it(name, () => {
      const card = newCard();
      const { code, stdout, stderr } = install(card, make());
      assert.match(stderr, message);
      assert.deepEqual([code, stdout], [EXIT[exit], ""], stderr);
      assertOld(card);
    });
  }

  const setups: [name: string, change: (card: Card) => void, exit: keyof typeof EXIT, message: RegExp][] = [
    [
      "no key",
      ({ etc }) => rmSync(join(etc, "lightmamba/update.pub")),
      "prerequisite",
      /update\.pub: this system takes no updates: it was built without a key/,
    ],
    [
      "an empty key file",
      ({ etc }) => writeFileSync(join(etc, "lightmamba/update.pub"), "# none\n"),
      "prerequisite",
      /it has no key/,
    ],
    [
      "a key that is none",
      ({ etc }) => writeFileSync(join(etc, "lightmamba/update.pub"), "\nAAAA\n"),
      "badInput",
      /update\.pub: line 2: not a key \(expected 32 bytes of Ed25519/,
    ],
    [
      "no release",
      ({ etc }) => rmSync(join(etc, "lightmamba-release")),
      "badInput",
      /lightmamba-release: no such file/,
    ],
  ];
  for (const [name, change, exit, message] of setups) {
    it(name, () => {
      const card = newCard();
      change(card);
      const { code, stderr } = install(card, bytes);
      assert.match(stderr, message);
      assert.equal(code, EXIT[exit], stderr);
      assertOld(card);
    });
  }
});

describe("a card that is full", { skip }, () => {
  it("is told before anything is written", () => {
    const card = newCard();
    const parts = modelParts(other);
    const [weights] = parts.manifest.files;
    weights!.bytes = 2 ** 43;
    parts.manifest.model!.id = sha256(parts.manifest.files.map(({ sha256 }) => `${sha256}\n`).join("")).slice(0, 16);
    const head = bundleOf({ ...parts, files: [] }, key);
    const path = written(head);
    const ends = parts.manifest.files.reduce((at, { bytes }) => at + Math.ceil(bytes / 4096) * 4096, head.length);
    truncateSync(path, ends);
    const { code, stderr } = run(["update", "install", path, ...card.options]);
    rmSync(path);
    assert.match(stderr, /data: there is no room for it \(expected 8796\d+ bytes, found \d+\)\nhint/);
    assert.equal(code, EXIT.prerequisite);
    assertOld(card);
  });

  it("or while it is written", () => {
    const card = newCard();
    const path = written(bundleOf(modelParts(other), key));
    // Blocks of 512 bytes; a signal that is ignored becomes an error of the write
    const limited = 'trap "" XFSZ; ulimit -f 2000; exec "$@"';
    const args = ["-c", limited, "sh", runner, "update", "install", path, ...card.options, "--runtime", built];
    const { status, stderr } = spawnSync("sh", args, { encoding: "utf8" });
    assert.match(stderr, /\.part\/model\.safetensors: file too large/);
    assert.equal(status, EXIT.prerequisite);
    assertOld(card);
  });
});

describe("what stopped in the middle", { skip }, () => {
  it("half-written models and links go; a candidate is tested", () => {
    const card = newCard();
    mkdirSync(join(card.data, "models", `${newId}.part`));
    // Of a process that cannot be
    symlinkSync("../models/0", join(card.data, "current", `${runtime}.4194305.tmp`));
    for (const pid of [4194305, process.pid]) writeFileSync(join(card.data, "states", `a.state.${pid}.tmp`), "");
    cpSync(other, join(card.data, "models", newId), { recursive: true });
    symlinkSync(`../models/${newId}`, join(card.data, "current", `${runtime}.next`));
    const { code, stdout, stderr } = run(["update", "finish", ...card.options]);
    assert.deepEqual([code, stdout], [0, `model ${newId} has passed its test: it is used from now on\n`], stderr);
    assert.deepEqual([card.current(runtime), card.names("models"), card.names("current")], [newId, [newId], [runtime]]);
    assert.deepEqual(card.names("states"), [`a.state.${process.pid}.tmp`], "whose writer is at work");
    assert.deepEqual(run(["update", "finish", ...card.options]), { code: 0, stdout: "", stderr: "" });
  });

  it("a candidate with which the machine stopped goes, and is told", () => {
    const card = newCard();
    cpSync(other, join(card.data, "models", newId), { recursive: true });
    symlinkSync(`../models/${newId}`, join(card.data, "current", `${runtime}.testing`));
    const { code, stderr } = run(["update", "finish", ...card.options]);
    assert.match(stderr, new RegExp(`models/${newId}: the machine stopped while this model was tested`));
    assert.equal(code, EXIT.verification);
    assertOld(card);
  });

  it(`killed at any moment, ${KILLS} times: the old model or the new one, whole`, async () => {
    const card = newCard();
    const random = randomOf(17);
    const bundles = [other, model].map((dir, i) => {
      const path = join(folder, `${i}.lmb`);
      writeFileSync(path, bundleOf(modelParts(dir), key));
      return path;
    });
    const begin = performance.now();
    assert.equal(run(["update", "install", bundles[0]!, ...card.options]).code, 0);
    const whole = performance.now() - begin;
    const seen = { old: 0, new: 0, left: 0 };
    for (let i = 0; i < KILLS; i++) {
      const before = card.current(runtime);
      const next = before === oldId ? newId : oldId;
      const child = start(["update", "install", bundles[next === newId ? 0 : 1]!, ...card.options]);
      const closed = new Promise((resolve) => child.once("close", resolve));
      // From its first moment to behind its end, which the last one reaches
      const moment = ((i + random(1000) / 1000) / KILLS) * 1.3 * whole;
      const killed = i < KILLS - 1 && setTimeout(() => child.kill("SIGKILL"), moment);
      await closed;
      if (killed) clearTimeout(killed);
      const after = card.current(runtime);
      assert.ok([before, next].includes(after), after);
      seen[after === before ? "old" : "new"]++;
      seen.left += Number(card.names("models").some((name) => name.endsWith(".part")));
      assert.ok([0, EXIT.verification].includes(run(["update", "finish", ...card.options]).code!));
      assert.deepEqual([card.names("models").length, card.names("current")], [1, [runtime]]);
      card.current(runtime);
    }
    assert.ok(seen.old > 0 && seen.new > 0 && seen.left > 0, JSON.stringify(seen));
  });
});
