/**
 * The beginning of a bundle: magic, version, length of the manifest, id of the key, signature, manifest. Little-endian, and the same bytes whether
 * they come from a file or from a line of the console. docs/update.md.
 */
import { decodeUtf8 } from "../checkpoint/json.ts";
import { badInput } from "../errors.ts";
import { type BundleManifest, parseBundleManifest } from "./manifest.ts";

const MAGIC = "LMBUNDLE";
const VERSION = 1;
export const HEADER_BYTES = 88;
const MOST_MANIFEST = 2 ** 20;
/** What is signed before the manifest. */
const SIGNED_BYTES = 24;
const SIGNATURE_BYTES = 64;
/** Every file begins at a multiple of it. */
const ALIGNMENT = 4096;

export interface BundleHead {
  keyId: Buffer;
  signature: Buffer;
  manifest: BundleManifest;
  /** What the signature is of. */
  signed: Buffer;
  /** All of it, as it is sent. */
  bytes: Buffer;
}

export const aligned = (bytes: number) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/** How many bytes the manifest has, of the first `HEADER_BYTES`. */
export function manifestBytes(header: Buffer, file: string): number {
  const magic = header.toString("latin1", 0, MAGIC.length);
  if (header.length < HEADER_BYTES || magic !== MAGIC) throw badInput("not a bundle", { file, expected: MAGIC });
  const version = header.readUInt32LE(8);
  if (version !== VERSION)
    throw badInput("a bundle of another version", { file, field: "version", expected: VERSION, found: version });
  const bytes = header.readUInt32LE(12);
  if (bytes <= MOST_MANIFEST) return bytes;
  const expected = `at most ${MOST_MANIFEST} bytes`;
  throw badInput("the manifest is too long", { file, field: "manifest", expected, found: bytes });
}

/** `bytes`: header and manifest, no more. */
export function parseHead(bytes: Buffer, file: string): BundleHead {
  const length = manifestBytes(bytes, file);
  const expected = HEADER_BYTES + length;
  if (bytes.length !== expected)
    throw badInput("the bundle ends within its manifest", { file, expected, found: bytes.length });
  const text = bytes.subarray(HEADER_BYTES);
  return {
    keyId: bytes.subarray(16, SIGNED_BYTES),
    signature: bytes.subarray(SIGNED_BYTES, HEADER_BYTES),
    manifest: parseBundleManifest(decodeUtf8(text, file), file),
    signed: Buffer.concat([bytes.subarray(0, SIGNED_BYTES), text]),
    bytes,
  };
}

/** Header and manifest; `sign` gives the signature of what it is given. */
export function makeHead(manifest: BundleManifest, keyId: Buffer, sign: (signed: Buffer) => Buffer): Buffer {
  const text = Buffer.from(JSON.stringify(manifest));
  const start = Buffer.alloc(SIGNED_BYTES);
  start.write(MAGIC, "latin1");
  start.writeUInt32LE(VERSION, 8);
  start.writeUInt32LE(text.length, 12);
  keyId.copy(start, 16);
  const signature = sign(Buffer.concat([start, text]));
  if (signature.length !== SIGNATURE_BYTES) throw new Error("not an Ed25519 signature");
  return Buffer.concat([start, signature, text]);
}
