/** Checks an image: its structure, its file systems, every file against the manifest, and that its model is whole. */
import { existsSync, readFileSync } from "node:fs";
import type { BoardSetup } from "../board/prepare.ts";
import { fileSha256 } from "../checkpoint/sha256.ts";
import { badInput, LightMambaError } from "../errors.ts";
import type { ImageBoard } from "./build.ts";
import type { StepOptions } from "./components.ts";
import { modelOf, SETUP } from "./inspect.ts";
import { readPartitions } from "./layout.ts";
import { type FileHash, readManifest } from "./manifest.ts";
import { withFiles } from "./read.ts";

export interface VerifyOptions extends StepOptions {
  board?: ImageBoard;
}

/** What was checked, a line each; throws at the first thing that does not hold. */
export async function verifyImage(image: string, { board, signal }: VerifyOptions = {}): Promise<string[]> {
  const done: string[] = [];
  const partitions = readPartitions(image);
  done.push(
    `partitions: ${partitions.map(({ name, size }) => `${name} ${(size / 2 ** 20).toFixed(0)} MiB`).join(", ")}`,
  );
  done.push(...checkHash(image));
  return withFiles(
    image,
    partitions,
    (files, read) => {
      done.push(`file systems: ${files.length} files can be read`);
      done.push(...checkManifest(image, files, board));
      const setup = read(SETUP);
      if (setup !== undefined) done.push(checkModel(image, setup, files, board));
      return done;
    },
    signal,
  );
}

/** Of the whole image, where its hash is beside it. */
function checkHash(image: string): string[] {
  const path = `${image}.sha256`;
  if (!existsSync(path)) return [];
  const expected = /^[0-9a-f]{64}/.exec(readFileSync(path, "utf8"))?.[0];
  if (expected === undefined) throw badInput("not a SHA-256", { file: path });
  const found = fileSha256(image);
  if (found !== expected)
    throw new LightMambaError("verification", "the image has changed", { file: image, expected, found });
  return [`sha256: ${found}`];
}

function checkManifest(image: string, files: readonly FileHash[], board: ImageBoard | undefined): string[] {
  const path = `${image}.manifest.json`;
  if (!existsSync(path)) return [];
  const manifest = readManifest(path);
  if (board !== undefined && manifest.board !== board)
    throw new LightMambaError("verification", "an image for another board", {
      file: image,
      expected: board,
      found: manifest.board,
    });
  const found = new Map(files.map((file) => [file.path, file]));
  for (const { path: name, sha256 } of manifest.files) {
    const file = found.get(name);
    if (file === undefined)
      throw new LightMambaError("verification", "is missing in the image", { file: image, field: name });
    if (file.sha256 !== sha256)
      throw new LightMambaError("verification", "has changed", {
        file: image,
        field: name,
        expected: sha256,
        found: file.sha256,
      });
    found.delete(name);
  }
  const [more] = found.keys();
  if (more !== undefined)
    throw new LightMambaError("verification", "is not in the manifest", { file: image, field: more });
  return [`manifest: ${manifest.files.length} files as they were written, ${manifest.components.length} components`];
}

function checkModel(image: string, text: string, files: readonly FileHash[], board: ImageBoard | undefined): string {
  const { generator, board: made, runtime } = modelOf(text, image);
  if (board !== undefined && made !== board)
    throw new LightMambaError("verification", "a model for another board", {
      file: image,
      field: SETUP,
      expected: board,
      found: made,
    });
  for (const [name, { sha256 }] of Object.entries((JSON.parse(text) as BoardSetup).files)) {
    const path = `data:model/${name}`;
    const found = files.find((file) => file.path === path)?.sha256;
    if (found === sha256) continue;
    throw new LightMambaError("verification", "the model is not whole", {
      file: image,
      field: path,
      expected: sha256,
      found: found ?? "nothing",
    });
  }
  return `model: ${generator}, for ${made}, runtime ${runtime}`;
}
