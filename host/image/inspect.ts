/** What an image holds. */
import type { BoardSetup } from "../board/prepare.ts";
import { badInput } from "../errors.ts";
import { type FileSystem, type Partition, readFileSystem, readPartitions } from "./layout.ts";
import { type FileHash, MANIFEST, type Manifest, parseManifest } from "./manifest.ts";
import { withFiles } from "./read.ts";

export interface ImageModel {
  generator: string;
  board: string;
  /** Variant and hash of the runtime that it is made for. */
  runtime: string;
}

export interface InspectedPartition extends Partition, Partial<FileSystem> {
  files: FileHash[];
}

export interface InspectedImage {
  image: string;
  partitions: InspectedPartition[];
  /** Without its files, which are those of the partitions. */
  manifest: Omit<Manifest, "files"> | undefined;
  model: ImageModel | undefined;
}

export const SETUP = "data:model/setup.json";

export function inspectImage(image: string, signal?: AbortSignal): Promise<InspectedImage> {
  const partitions = readPartitions(image);
  const inspect = (all: FileHash[], read: (path: string) => string | undefined): InspectedImage => {
    const field = `boot:${MANIFEST}`;
    const [text, setup] = [read(field), read(SETUP)];
    const { files: _, ...manifest } = text === undefined ? { files: [] } : parseManifest(text, { file: image, field });
    return {
      image,
      partitions: partitions.map((partition) => ({
        ...partition,
        ...readFileSystem(image, partition),
        files: all.filter(({ path }) => path.startsWith(`${partition.name}:`)),
      })),
      manifest: text === undefined ? undefined : (manifest as Omit<Manifest, "files">),
      model: setup === undefined ? undefined : modelOf(setup, image),
    };
  };
  return withFiles(image, partitions, inspect, signal);
}

export function modelOf(text: string, image: string): ImageModel {
  try {
    const { generator, device, runtime } = JSON.parse(text) as BoardSetup;
    return { generator, board: device.board, runtime: `${runtime.variant} ${runtime.sha256.slice(0, 12)}` };
  } catch (error) {
    throw badInput(`cannot be read: ${(error as Error).message}`, { file: image, field: SETUP });
  }
}
