/** Bundles as a user makes and checks them; of one that is not as it was signed, what is wrong is named. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { MODEL_PARTS, modelId } from "../../host/board/data.ts";
import { fileSha256 } from "../../host/checkpoint/sha256.ts";
import { EXIT } from "../../host/errors.ts";
import { runtimePath } from "../../host/runtime/engine.ts";
import { readPublicKeys, readSigningKey } from "../../host/update/keys.ts";
import type { BundleManifest } from "../../host/update/manifest.ts";
import { openBundle, verifyBundle } from "../../host/update/read.ts";
import { lightmamba, succeed } from "../cli/lightmamba.ts";
import { failureOf, rejectionOf } from "../device/support.ts";
import { scratchFolder, withoutProgram } from "../firmware.ts";
import { changed, manifestOf, resigned, TINY } from "./support.ts";

const folder = scratchFolder();
const at = (name: string) => join(folder, name);
const [KEY, PUBLIC, BUNDLE] = ["update.key", "update.pub", "model.lmb"].map(at) as [string, string, string];
const CREATE = ["bundle", "create", "--board", "qemu", "--model", TINY];

before(async () => {
  await succeed("bundle", "keygen", "-o", KEY);
  await succeed(...CREATE, "--key", KEY, "-o", BUNDLE);
});

describe("a key", () => {
  it("is for its owner alone; the public one is 32 bytes in base64", () => {
    assert.equal(statSync(KEY).mode & 0o777, 0o600);
    const [comment, raw] = readFileSync(PUBLIC, "utf8").trim().split("\n");
    const id = createHash("sha256").update(Buffer.from(raw!, "base64")).digest("hex").slice(0, 16);
    assert.match(comment!, new RegExp(`^# lightmamba .*, key ${id}$`));
  });

  it("is one of OpenSSL, and the other way round", { skip: withoutProgram("openssl", "version") }, async () => {
    const raw = readFileSync(PUBLIC, "utf8").trim().split("\n").at(-1)!;
    const { stdout } = spawnSync("openssl", ["pkey", "-in", KEY, "-pubout", "-outform", "DER"]);
    assert.equal(stdout.subarray(-32).toString("base64"), raw);
    spawnSync("openssl", ["genpkey", "-algorithm", "ed25519", "-out", at("other.key")]);
    await succeed(...CREATE, "--key", at("other.key"), "-o", at("other.lmb"));
    const { code, stderr } = await lightmamba(["bundle", "verify", at("other.lmb"), "--key", PUBLIC]);
    assert.equal(code, EXIT.verification);
    assert.match(stderr, /other\.lmb: key: signed with another key \(expected [0-9a-f]{16}, found [0-9a-f]{16}\)/);
  });

  it("is never overwritten", async () => {
    for (const [path, found] of [
      [KEY, "update.key"],
      [at("update"), "update.pub"],
    ]) {
      const { code, stderr } = await lightmamba(["bundle", "keygen", "-o", path!]);
      assert.match(stderr, new RegExp(`${found}: exists already: a key is never overwritten`));
      assert.equal(code, EXIT.usage);
    }
  });

  const refused: [name: string, text: string, message: RegExp][] = [
    ["nothing", "", /no public key is in it/],
    ["comments", "# one\n\n#two\n", /no public key is in it/],
    ["a short one", "# x\nAAAA\n", /line 2: is no public key \(expected base64 of 32 bytes\)/],
    ["other letters", `${"_".repeat(43)}=\n`, /line 1: is no public key/],
    ["a private one", "-----BEGIN PRIVATE KEY-----\n", /line 1: is no public key/],
  ];
  for (const [name, text, message] of refused)
    it(`public: is not ${name}`, () => {
      writeFileSync(at("bad.pub"), text);
      const error = failureOf(() => readPublicKeys(at("bad.pub")));
      assert.match(error.message, message);
      assert.equal(error.exit, "badInput");
    });

  const noKeys: [name: string, text: string, message: RegExp][] = [
    ["text", "x", /is no private key \(expected Ed25519 in PEM, found something else\)/],
    ["a public one", "PUBLIC", /is no private key/],
    ["an encrypted one", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n", /found an encrypted one/],
    ["RSA", "RSA", /is no private key \(expected Ed25519 in PEM, found rsa\)/],
  ];
  for (const [name, text, message] of noKeys)
    it(`private: is not ${name}`, { skip: text === "RSA" && withoutProgram("openssl", "version") }, () => {
      const rsa = () => spawnSync("openssl", ["genpkey", "-algorithm", "rsa"], { encoding: "utf8" }).stdout;
      const content = text === "RSA" ? rsa() : text === "PUBLIC" ? readFileSync(PUBLIC) : text;
      writeFileSync(at("bad.key"), content);
      const error = failureOf(() => readSigningKey(at("bad.key")));
      assert.match(error.message, message);
      assert.equal(error.exit, "badInput");
    });
});

describe("a bundle of a model", () => {
  it("has the files as they are on a board, each at a multiple of 4096", () => {
    const { file, head, files } = openBundle(BUNDLE);
    assert.deepEqual(
      files.map(({ path }) => path),
      MODEL_PARTS.map((name) => `model/${name}`),
    );
    for (const { path, offset, bytes, sha256 } of files) {
      assert.equal(offset % 4096, 0);
      const found = file.read(offset, bytes);
      assert.equal(createHash("sha256").update(found).digest("hex"), sha256);
      const source = join(TINY, path.slice("model/".length));
      if (existsSync(source)) assert.equal(sha256, fileSha256(source));
    }
    file.close();
    const { model } = head.manifest;
    const runtime = fileSha256(runtimePath("relaxed")).slice(0, 16);
    assert.deepEqual({ ...model }, { id: modelId(files.map(({ sha256 }) => sha256)), runtime });
  });

  it("is the same again but for its signature's key", async () => {
    await succeed(...CREATE, "--key", KEY, "-o", at("again.lmb"));
    assert.ok(readFileSync(at("again.lmb")).equals(readFileSync(BUNDLE)));
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.startsWith("again")),
      ["again.lmb"],
    );
  });

  it("is shown", async () => {
    const { stdout } = await lightmamba(["bundle", "inspect", BUNDLE]);
    assert.match(
      stdout,
      /^model ([0-9a-f]{16}), for qemu, key [0-9a-f]{16}\nmodel \1, for runtime [0-9a-f]{16}\n +\d+ {2}model\/model\.safetensors {2}[0-9a-f]{12}\n/,
    );
    const { manifest } = JSON.parse(await succeed("bundle", "inspect", BUNDLE, "--json"));
    assert.deepEqual(manifest, manifestOf(readFileSync(BUNDLE)));
  });

  it("verifies, with one of several keys", async () => {
    await succeed("bundle", "keygen", "-o", at("second.key"));
    writeFileSync(at("both.pub"), `${readFileSync(at("second.pub"))}\n${readFileSync(PUBLIC)}`);
    const said = await succeed("bundle", "verify", BUNDLE, "--key", at("both.pub"));
    assert.deepEqual(
      said.split("\n").map((line) => line.split(":")[0]),
      ["ok    signature", "ok    files", "ok    model", ""],
    );
  });

  it("leaves nothing behind when it is interrupted", async () => {
    const left = () => readdirSync(folder).filter((name) => name.startsWith("interrupted"));
    const { code } = await lightmamba([...CREATE, "--key", KEY, "-o", at("interrupted.lmb")], {
      onStart: (child) => {
        // The model is prepared there, before anything can be heard
        const timer = setInterval(() => {
          if (left().length === 0) return;
          clearInterval(timer);
          child.kill("SIGINT");
        }, 5);
        child.on("close", () => clearInterval(timer));
      },
    });
    assert.deepEqual([code, left()], [EXIT.interrupted, []]);
  });
});

describe("bundle create refuses", () => {
  const refused: [name: string, args: string[], exit: keyof typeof EXIT, message: RegExp][] = [
    ["nothing", ["--board", "qemu"], "usage", /--system, --model: nothing to put into a bundle/],
    ["a model without a board", ["--model", TINY], "usage", /--board: for which board the model is, must be said/],
    ["no such board", ["--board", "zcu102"], "usage", /Expected qemu or vck190/],
    ["a model that is none", ["--board", "qemu", "--model", folder], "badInput", /./],
    ["a system that is none", ["--system", KEY], "badInput", /update\.key: not an image/],
    ["a title of several lines", ["--board", "qemu", "--model", TINY, "--title", "a\nb"], "usage", /title/],
  ];
  for (const [name, args, exit, message] of refused)
    it(name, async () => {
      const { code, stderr } = await lightmamba(["bundle", "create", ...args, "--key", KEY, "-o", at("x.lmb")]);
      assert.match(stderr, message);
      assert.deepEqual([code, existsSync(at("x.lmb"))], [EXIT[exit], false]);
    });

  it("a folder that is not there, one as output, a key that is not there", async () => {
    mkdirSync(at("folder"), { recursive: true });
    for (const [key, output, message] of [
      [KEY, "/no/such/x.lmb", /\/no\/such: no such folder/],
      [KEY, at("folder"), /is there, and no file/],
      [at("none"), at("x.lmb"), /none: no such key/],
    ] as const) {
      const { code, stderr } = await lightmamba([...CREATE, "--key", key, "-o", output]);
      assert.match(stderr, message);
      assert.equal(code, EXIT.usage);
    }
  });
});

describe("bundle verify names what is wrong", () => {
  type Change = Parameters<typeof changed>[2];
  const signed = (change: (manifest: BundleManifest) => unknown): Change => resigned(KEY, change);
  const cases: [name: string, change: Change, exit: keyof typeof EXIT, message: RegExp][] = [
    ["no magic", (bytes) => void bytes.write("X"), "badInput", /not a bundle \(expected LMBUNDLE\)/],
    ["empty", () => Buffer.alloc(0), "badInput", /not a bundle/],
    ["half a header", (bytes) => bytes.subarray(0, 50), "badInput", /not a bundle/],
    [
      "another version",
      (bytes) => void bytes.writeUInt32LE(2, 8),
      "badInput",
      /version: a bundle of another version \(expected 1, found 2\)/,
    ],
    [
      "a long manifest",
      (bytes) => void bytes.writeUInt32LE(2 ** 20 + 1, 12),
      "badInput",
      /manifest: the manifest is too long/,
    ],
    ["cut in the manifest", (bytes) => bytes.subarray(0, 200), "badInput", /ends within its manifest/],
    [
      "cut",
      (bytes) => bytes.subarray(0, -4096),
      "badInput",
      /another length than its files \(expected \d+, found \d+\)/,
    ],
    ["longer", (bytes) => Buffer.concat([bytes, Buffer.alloc(1)]), "badInput", /another length than its files/],
    [
      "another key",
      (bytes) => void bytes.writeUInt8(bytes[16]! ^ 1, 16),
      "verification",
      /key: signed with another key/,
    ],
    [
      "another signature",
      (bytes) => void bytes.writeUInt8(bytes[30]! ^ 1, 30),
      "verification",
      /signature: the signature does not hold/,
    ],
    [
      "another manifest",
      (bytes) => void bytes.write("MODEL", bytes.indexOf("model ")),
      "verification",
      /signature: the signature does not hold/,
    ],
    [
      "another byte in the weights",
      (bytes) => void bytes.writeUInt8(bytes[100_000]! ^ 1, 100_000),
      "verification",
      /model\/model\.safetensors: the file is not as it was signed/,
    ],
    [
      "bytes between the files",
      (bytes) => void bytes.writeUInt8(1, bytes.length - 1),
      "badInput",
      /after byte \d+: something lies between the files/,
    ],
    ["an unknown key", signed((m) => ({ ...m, more: 1 })), "badInput", /more: an unknown key in the manifest/],
    ["no title", signed(({ title: _, ...m }) => m), "badInput", /title: wrong value in the manifest \(found/],
    ["another board", signed((m) => ({ ...m, board: "zcu102" })), "badInput", /board: wrong value in the manifest/],
    ["no parts", signed(({ model: _, ...m }) => m), "badInput", /neither a system nor a model is in it/],
    [
      "a part without its file",
      signed((m) => ({ ...m, system: { version: "1", runtime: "0".repeat(16), file: "system.squashfs" } })),
      "badInput",
      /files: not the files of its parts \(expected system\.squashfs, model\/model/,
    ],
    [
      "a path that leads out",
      signed((m) => {
        m.files[0]!.path = "../model.safetensors";
      }),
      "badInput",
      /files: not the files of its parts/,
    ],
    ["files in another order", signed((m) => void m.files.reverse()), "badInput", /files: not the files of its parts/],
    [
      "half a byte",
      signed((m) => {
        m.files[1]!.bytes = 1.5;
      }),
      "badInput",
      /files\[1\]\.bytes: wrong value in the manifest \(found 1\.5\)/,
    ],
    [
      "no hash",
      signed((m) => {
        m.files[2]!.sha256 = "A".repeat(64);
      }),
      "badInput",
      /files\[2\]\.sha256: wrong value in the manifest/,
    ],
    [
      "the id of another model",
      signed((m) => {
        m.model!.id = "0".repeat(16);
      }),
      "badInput",
      /model\.id: not the id of the model's files \(expected [0-9a-f]{16}, found 0{16}\)/,
    ],
    [
      "another runtime than the model's own",
      signed((m) => {
        m.model!.runtime = "0".repeat(16);
      }),
      "badInput",
      /model\/setup\.json: the model is for another runtime \(expected 0{16}, found [0-9a-f]{16}\)/,
    ],
    [
      "another board than the model's own",
      signed((m) => {
        m.board = "vck190";
      }),
      "badInput",
      /model\/setup\.json: the model is for another board \(expected vck190, found qemu\)/,
    ],
  ];
  for (const [name, change, exit, message] of cases)
    it(name, async () => {
      const path = changed(BUNDLE, at("bad.lmb"), change);
      const error = await rejectionOf(verifyBundle(path, readPublicKeys(PUBLIC)));
      assert.match(error.message, message);
      assert.equal(error.exit, exit);
    });

  it("on the command line", async () => {
    const path = changed(BUNDLE, at("bad.lmb"), (bytes) => void bytes.writeUInt8(1, 100_000));
    const { code, stderr } = await lightmamba(["bundle", "verify", path, "--key", PUBLIC]);
    assert.equal(code, EXIT.verification);
    assert.match(
      stderr,
      /check: failed \(.*\)\nlightmamba: .*bad\.lmb: model\/model\.safetensors: the file is not as it was signed/,
    );
  });

  it("what is no file", async () => {
    for (const [path, message] of [
      [folder, /not a regular file/],
      [at("none.lmb"), /no such file/],
    ] as const) {
      const { code, stderr } = await lightmamba(["bundle", "inspect", path]);
      assert.match(stderr, message);
      assert.equal(code, EXIT.badInput);
    }
  });

  it("a file of a size that nobody could read", () => {
    const path = changed(
      BUNDLE,
      at("bad.lmb"),
      resigned(KEY, (m) => {
        m.files[0]!.bytes = 2 ** 40;
      }),
    );
    assert.throws(() => openBundle(path), /another length than its files/);
  });
});
