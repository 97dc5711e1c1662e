/** Keys, bundles and what is wrong with them. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HEADER_BYTES, makeHead } from "../../host/update/header.ts";
import { readSigningKey } from "../../host/update/keys.ts";
import type { BundleManifest } from "../../host/update/manifest.ts";

export const TINY = join(import.meta.dirname, "../../models/tiny-w4a4");

/** A copy of the bundle with other bytes. */
export function changed(from: string, to: string, change: (bytes: Buffer) => Buffer | undefined): string {
  const bytes = readFileSync(from);
  writeFileSync(to, change(bytes) ?? bytes);
  return to;
}

export function manifestOf(bytes: Buffer): BundleManifest {
  const length = bytes.readUInt32LE(12);
  return JSON.parse(bytes.subarray(HEADER_BYTES, HEADER_BYTES + length).toString());
}

/** The bundle with another manifest, signed with the key all the same; the files behind it stay. */
export function resigned(key: string, change: (manifest: BundleManifest) => unknown) {
  return (bytes: Buffer): Buffer => {
    const { id, sign } = readSigningKey(key);
    const manifest = manifestOf(bytes);
    const head = makeHead((change(manifest) ?? manifest) as BundleManifest, id, sign);
    assert.ok(head.length <= 4096);
    return Buffer.concat([head, Buffer.alloc(4096 - head.length), bytes.subarray(4096)]);
  };
}
