/** The models of a data partition, by the pointers that lead to them. */
import { MODEL_PARTS, modelFolder, modelId, pointedId, pointerTo, shortHash, summarizeSetup } from "../board/data.ts";
import { badInput, LightMambaError } from "../errors.ts";
import type { FileHash } from "./manifest.ts";

/** The second part: not yet confirmed by a self-test on the board, or in the middle of it. */
const POINTER = /^data:current\/([0-9a-f]{16})(\.next|\.testing)?$/;

export interface ImageModel {
  id: string;
  /** True before it has passed its self-test on the board. */
  candidate: boolean;
  generator: string;
  board: string;
  /** Variant and hash of the runtime that it is made for. */
  runtime: string;
}

export function isPointer({ path }: FileHash): boolean {
  return POINTER.test(path);
}

/** `read` gives a file's text; `badInput` where a pointer leads to no model, or to one that is not as its names say. */
export function modelsOf(
  file: string,
  files: readonly FileHash[],
  read: (path: string) => string | undefined,
): ImageModel[] {
  return files.filter(isPointer).map((pointer) => {
    const [, expected, trial] = POINTER.exec(pointer.path)!;
    const id = idOf(file, pointer);
    const field = `data:${modelFolder(id)}/setup.json`;
    const text = read(field);
    if (text === undefined) throw badInput("is missing: a pointer leads there", { file, field });
    const { generator, board, variant, runtime } = summarizeSetup(text, { file, field });
    const found = shortHash(runtime);
    if (found !== expected)
      throw badInput("a model for another runtime", { file, field: pointer.path, expected: expected!, found });
    return { id, candidate: trial !== undefined, generator, board, runtime: `${variant} ${runtime.slice(0, 12)}` };
  });
}

function idOf(file: string, { path: field, link }: FileHash): string {
  const id = pointedId(link ?? "");
  if (id !== undefined) return id;
  throw badInput("is no pointer to a model", { file, field, expected: pointerTo("<id>"), found: link ?? "a file" });
}

/** Of a model whose files were all read: its name says what they hold. */
export function checkModelFiles(file: string, id: string, files: readonly FileHash[]): void {
  const sha256 = MODEL_PARTS.map((name) => {
    const field = `data:${modelFolder(id)}/${name}`;
    const found = files.find(({ path, link }) => path === field && link === undefined);
    if (found === undefined)
      throw new LightMambaError("verification", "the model is not whole: is missing", { file, field });
    return found.sha256;
  });
  const found = modelId(sha256);
  if (found === id) return;
  const field = `data:${modelFolder(id)}`;
  throw new LightMambaError("verification", "the model is not whole", { file, field, expected: id, found });
}
