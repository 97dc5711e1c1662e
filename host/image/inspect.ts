/** What an image holds. */
import type { BoardSetup } from "../board/prepare.ts";
import { badInput } from "../errors.ts";
import { type Partition, readPartitions } from "./layout.ts";
import type { FileHash } from "./manifest.ts";
import { withFiles } from "./read.ts";

export interface ImageModel {
  generator: string;
  board: string;
  /** Variant and hash of the runtime that it is made for. */
  runtime: string;
}

export interface InspectedImage {
  image: string;
  partitions: (Partition & { files: FileHash[] })[];
  model: ImageModel | undefined;
}

export const SETUP = "data:model/setup.json";

export function inspectImage(image: string): Promise<InspectedImage> {
  const partitions = readPartitions(image);
  return withFiles(image, partitions, (files, read) => {
    const setup = read(SETUP);
    return {
      image,
      partitions: partitions.map((partition) => ({
        ...partition,
        files: files.filter(({ path }) => path.startsWith(`${partition.name}:`)),
      })),
      model: setup === undefined ? undefined : modelOf(setup, image),
    };
  });
}

export function modelOf(text: string, image: string): ImageModel {
  try {
    const { generator, device, runtime } = JSON.parse(text) as BoardSetup;
    return { generator, board: device.board, runtime: `${runtime.variant} ${runtime.sha256.slice(0, 12)}` };
  } catch (error) {
    throw badInput(`cannot be read: ${(error as Error).message}`, { file: image, field: SETUP });
  }
}
