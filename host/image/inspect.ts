/** What an image holds. */
import { type FileSystem, type Partition, readFileSystem, readPartitions } from "./layout.ts";
import { type FileHash, MANIFEST, type Manifest, parseManifest } from "./manifest.ts";
import { type ImageModel, modelsOf } from "./models.ts";
import { withFiles } from "./read.ts";

export interface InspectedPartition extends Partition, Partial<FileSystem> {
  files: FileHash[];
}

export interface InspectedImage {
  image: string;
  partitions: InspectedPartition[];
  /** Without its files, which are those of the partitions. */
  manifest: Omit<Manifest, "files"> | undefined;
  models: ImageModel[];
}

export function inspectImage(image: string, signal?: AbortSignal): Promise<InspectedImage> {
  const partitions = readPartitions(image);
  const inspect = (all: FileHash[], read: (path: string) => string | undefined): InspectedImage => {
    const field = `boot:${MANIFEST}`;
    const text = read(field);
    const { files: _, ...manifest } = text === undefined ? { files: [] } : parseManifest(text, { file: image, field });
    return {
      image,
      partitions: partitions.map((partition) => ({
        ...partition,
        ...readFileSystem(image, partition),
        files: all.filter(({ path }) => path.startsWith(`${partition.name}:`)),
      })),
      manifest: text === undefined ? undefined : (manifest as Omit<Manifest, "files">),
      models: modelsOf(image, all, read),
    };
  };
  return withFiles(image, partitions, inspect, signal);
}
