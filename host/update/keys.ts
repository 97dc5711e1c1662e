/** Ed25519 keys: who may update a board. The private key stays with whoever makes bundles, the public one goes into the system. */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { badInput, LightMambaError } from "../errors.ts";
import type { BundleHead } from "./header.ts";

const RAW_BYTES = 32;
const ID_BYTES = 8;
const MOST_KEY_FILE = 65_536;

export interface SigningKey {
  id: Buffer;
  sign: (data: Buffer) => Buffer;
}

export interface PublicKey {
  id: Buffer;
  key: KeyObject;
}

/** The first bytes of the SHA-256 of the raw public key. */
function idOf(raw: Buffer): Buffer {
  return createHash("sha256").update(raw).digest().subarray(0, ID_BYTES);
}

function rawOf(key: KeyObject): Buffer {
  return Buffer.from(key.export({ format: "jwk" }).x!, "base64url");
}

/** Writes `path` (PKCS#8, for its owner alone) and the public key beside it; returns the latter's path, and the id. */
export function generateKeys(path: string, comment: string): { publicPath: string; id: string } {
  const publicPath = publicPathOf(path);
  for (const file of [path, publicPath])
    if (existsSync(file))
      throw new LightMambaError("usage", "exists already: a key is never overwritten", {
        file,
        expected: "a new file",
      });
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const raw = rawOf(publicKey);
  const id = idOf(raw).toString("hex");
  writeNew(path, privateKey.export({ format: "pem", type: "pkcs8" }).toString(), 0o600);
  writeNew(publicPath, `# ${comment}, key ${id}\n${raw.toString("base64")}\n`, 0o644);
  return { publicPath, id };
}

function publicPathOf(path: string): string {
  return `${path.replace(/\.key$/, "")}.pub`;
}

function writeNew(path: string, text: string, mode: number): void {
  writeFileSync(path, text, { mode, flag: "wx", flush: true });
}

function keyText(file: string): string {
  const stats = statSync(file, { throwIfNoEntry: false });
  if (stats === undefined) throw new LightMambaError("usage", "no such key", { file });
  if (!stats.isFile() || stats.size > MOST_KEY_FILE) throw badInput("is no file of a key", { file });
  return readFileSync(file, "utf8");
}

/** Of a file that `generateKeys` wrote, or `openssl genpkey -algorithm ed25519`. */
export function readSigningKey(file: string): SigningKey {
  const key = parsePrivate(keyText(file), file);
  return { id: idOf(rawOf(createPublicKey(key))), sign: (data) => sign(null, data, key) };
}

function parsePrivate(text: string, file: string): KeyObject {
  let found = "";
  try {
    const key = createPrivateKey(text);
    if (key.asymmetricKeyType === "ed25519") return key;
    found = key.asymmetricKeyType ?? "";
  } catch {
    found = /^-+BEGIN ENCRYPTED/m.test(text) ? "an encrypted one" : "something else";
  }
  throw badInput("is no private key", { file, expected: "Ed25519 in PEM", found });
}

/** As a system has them in /etc/lightmamba/update.pub: base64, one a line, # before comments. */
export function readPublicKeys(file: string): PublicKey[] {
  const lines = keyText(file).split("\n");
  const keys = lines.flatMap((line, i) => (/^\s*(#|$)/.test(line) ? [] : [parsePublic(line.trim(), file, i + 1)]));
  if (keys.length === 0) throw badInput("no public key is in it", { file });
  return keys;
}

function parsePublic(line: string, file: string, number: number): PublicKey {
  const raw = Buffer.from(line, "base64");
  if (raw.length !== RAW_BYTES || raw.toString("base64") !== line)
    throw badInput("is no public key", { file, field: `line ${number}`, expected: "base64 of 32 bytes" });
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") }, format: "jwk" });
  return { id: idOf(raw), key };
}

/** Throws `verification` where none of the keys has signed the bundle. */
export function checkSignature(head: BundleHead, keys: readonly PublicKey[], file: string): void {
  const found = head.keyId.toString("hex");
  const key = keys.find(({ id }) => id.equals(head.keyId));
  if (key === undefined) {
    const expected = keys.map(({ id }) => id.toString("hex")).join(", ");
    throw new LightMambaError("verification", "signed with another key", { file, field: "key", expected, found });
  }
  if (verify(null, head.signed, key.key, head.signature)) return;
  throw new LightMambaError("verification", "the signature does not hold", { file, field: "signature" });
}
