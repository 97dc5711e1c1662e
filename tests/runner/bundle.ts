/** Bundles as docs/update.md has them, written from the page alone; and a card's folders that take them. */
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const ALIGNMENT = 4096;
const FIXED_BYTES = 88;
export const MODEL_FILES = ["model.safetensors", "tokenizer.json", "setup.json"];

export interface Manifest {
  format: string;
  version: number;
  board: string;
  title: string;
  system?: { version: string; runtime: string; file: string };
  model?: { id: string; runtime: string };
  files: { path: string; bytes: number; sha256: string }[];
}

/** What a bundle is made of. */
export interface Parts {
  manifest: Manifest;
  files: Buffer[];
}

export interface Key {
  secret: KeyObject;
  /** Raw. */
  public: Buffer;
}

export function newKey(): Key {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return { secret: privateKey, public: publicKey.export({ type: "spki", format: "der" }).subarray(-32) };
}

export function sha256(bytes: Buffer | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export function modelId(dir: string): string {
  return sha256(MODEL_FILES.map((name) => `${sha256(readFileSync(join(dir, name)))}\n`).join("")).slice(0, 16);
}

/** As setup.json names it. */
export function runtimeOf(dir: string): string {
  return JSON.parse(readFileSync(join(dir, "setup.json"), "utf8")).runtime.sha256.slice(0, 16);
}

export function modelParts(dir: string): Parts {
  const files = MODEL_FILES.map((name) => readFileSync(join(dir, name)));
  const entries = files.map((bytes, i) => ({
    path: `model/${MODEL_FILES[i]}`,
    bytes: bytes.length,
    sha256: sha256(bytes),
  }));
  const model = { id: modelId(dir), runtime: runtimeOf(dir) };
  const manifest = { format: "lightmamba-bundle", version: 1, board: "qemu", title: "A test", model, files: entries };
  return { manifest, files };
}

/** Adds a system to it. */
export function withSystem({ manifest, files }: Parts, runtime: string, image: Buffer): Parts {
  const entry = { path: "system.squashfs", bytes: image.length, sha256: sha256(image) };
  const system = { version: "2.0.0", runtime, file: "system.squashfs" };
  return { manifest: { ...manifest, system, files: [entry, ...manifest.files] }, files: [image, ...files] };
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & (ALIGNMENT - 1))]);
}

/** Signed head: 88 bytes and the manifest. */
export function headOf(text: string, key: Key, version = 1): Buffer {
  const manifest = Buffer.from(text);
  const head = Buffer.alloc(FIXED_BYTES);
  head.write("LMBUNDLE");
  head.writeUInt32LE(version, 8);
  head.writeUInt32LE(manifest.length, 12);
  head.write(sha256(key.public).slice(0, 16), 16, "hex");
  sign(null, Buffer.concat([head.subarray(0, 24), manifest]), key.secret).copy(head, 24);
  return Buffer.concat([head, manifest]);
}

export function bundleOf({ manifest, files }: Parts, key: Key): Buffer {
  return Buffer.concat([headOf(JSON.stringify(manifest), key), ...files].map(padded));
}

/** The folders of a card, with a model that its program uses. */
export class Card {
  readonly data: string;
  readonly etc: string;

  constructor(folder: string, model: string, key: Key, board = "qemu") {
    [this.data, this.etc] = [join(folder, "data"), join(folder, "etc")];
    mkdirSync(join(this.etc, "lightmamba"), { recursive: true });
    writeFileSync(join(this.etc, "lightmamba-release"), `LightMamba 1.0.0, ${board}\n  linux 6.6\n`);
    writeFileSync(join(this.etc, "lightmamba/update.pub"), `# ours\n${key.public.toString("base64")} # and no other\n`);
    for (const name of ["current", "states"]) mkdirSync(join(this.data, name), { recursive: true });
    cpSync(model, join(this.data, "models", modelId(model)), { recursive: true });
    symlinkSync(`../models/${modelId(model)}`, join(this.data, "current", runtimeOf(model)));
  }

  /** Options of `update`. */
  get options(): string[] {
    return ["--data", this.data, "--etc", this.etc, "--device", "wasm"];
  }

  /** Names below a folder of the data partition. */
  names(folder: "current" | "models" | "states"): string[] {
    return readdirSync(join(this.data, folder)).sort();
  }

  /** The model that is used, once every byte of it is what its name says. */
  current(runtime: string): string {
    const id = readlinkSync(join(this.data, "current", runtime)).replace("../models/", "");
    const found = modelId(join(this.data, "models", id));
    if (found !== id) throw new Error(`models/${id} holds ${found}`);
    return id;
  }
}
