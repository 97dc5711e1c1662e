/** Cards of ours, small: what `image build` makes, without a kernel. For whoever looks at partitions, labels, runtimes and models. */
import { mkdirSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { shortHash, stageData } from "../../host/board/data.ts";
import { fileSha256 } from "../../host/checkpoint/sha256.ts";
import { formatManifest, type Manifest } from "../../host/image/manifest.ts";
import { makeData, makeSystem } from "../../host/image/partitions.ts";
import { runProgram } from "../../host/image/programs.ts";
import { withScratch } from "../../host/image/scratch.ts";
import { runtimePath } from "../../host/runtime/engine.ts";
import { partitionTable, writeAt } from "../card.ts";
import { withoutProgram } from "../firmware.ts";
import { MIB } from "./support.ts";

export const RUNTIME = fileSha256(runtimePath("relaxed"));
export const OWN = shortHash(RUNTIME);

/** In MiB; the last one is as large as its file system. */
const BOOT = [1, 36] as const;
const SYSTEMS = [
  [40, 2],
  [42, 2],
] as const;
export const DATA_OFFSET = 48 * MIB;

export interface CardParts {
  board?: string;
  /** Of its systems' runtimes, SHA-256; "" for a slot without a system. */
  runtimes?: [string, string];
  model?: string;
}

export function skipCards(): string | false {
  const programs = ["mkfs.vfat", "mcopy", "mksquashfs", "mke2fs", "debugfs", "unsquashfs"];
  return programs.map((name) => withoutProgram(name, "-version")).find(Boolean) ?? false;
}

export async function makeCard(path: string, parts: CardParts = {}): Promise<void> {
  const { board = "qemu", runtimes = [RUNTIME, ""], model } = parts;
  await withScratch(async (folder) => {
    const inside = (name: string) => join(folder, name);
    await makeBoot(inside("boot"), board);
    const systems = await Promise.all(runtimes.map((runtime, i) => makeSlot(inside(`system${i}`), runtime)));
    stageData(inside("stage"), model, { board: "qemu" });
    writeFileSync(inside("stage/states/a.state"), "a state");
    await makeData(inside("stage"), inside("data"), {});
    await place(path, [
      [inside("boot"), BOOT[0] * MIB],
      ...systems.map((slot, i) => [slot, SYSTEMS[i]![0] * MIB] as const),
      [inside("data"), DATA_OFFSET],
    ]);
  });
}

async function makeBoot(path: string, board: string): Promise<void> {
  const generator = "lightmamba 0.0.0";
  const manifest: Manifest = { format: "lightmamba-image", version: 1, generator, board, components: [], files: [] };
  writeFileSync(`${path}.json`, formatManifest(manifest));
  writeFileSync(path, "");
  truncateSync(path, BOOT[1] * MIB);
  await runProgram("mkfs.vfat", ["-F", "32", "-s", "1", "-n", "LM-BOOT", path]);
  await runProgram("mcopy", ["-i", path, `${path}.json`, "::manifest.json"]);
}

/** A squashfs with a compiled runtime of a header alone. */
async function makeSlot(folder: string, runtime: string): Promise<string> {
  if (runtime === "") return "";
  const header = Buffer.from(JSON.stringify({ runtime_sha256: runtime }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  mkdirSync(join(folder, "usr/lib/lightmamba"), { recursive: true });
  writeFileSync(
    join(folder, "usr/lib/lightmamba/relaxed.cwasm"),
    Buffer.concat([Buffer.from("LMCWASM1"), length, header]),
  );
  await makeSystem(folder, `${folder}.squashfs`, {});
  return `${folder}.squashfs`;
}

/** Parts at their places, and the table. The card is full of something else before. */
async function place(path: string, parts: (readonly [file: string, offset: number])[]): Promise<void> {
  writeFileSync(path, "");
  for (const [file, offset] of parts)
    if (file !== "")
      await runProgram("dd", [
        `if=${file}`,
        `of=${path}`,
        "bs=1M",
        `seek=${offset / MIB}`,
        "conv=notrunc,sparse",
        "status=none",
      ]);
  const bytes = Math.ceil(statSync(path).size / MIB) * MIB;
  truncateSync(path, bytes);
  const table = partitionTable([
    [0x0c, BOOT[0] * MIB, BOOT[1] * MIB],
    ...SYSTEMS.map(([at, size]) => [0x83, at * MIB, size * MIB] as const),
    [0x83, DATA_OFFSET, bytes - DATA_OFFSET],
  ]);
  writeAt(path, 0, table);
}
