/** A card that is one of ours already: its partitions, its systems and their runtimes, its board. Only read here. */
import { accessSync, constants } from "node:fs";
import { badInput } from "../errors.ts";
import { LABELS, type Partition, parsePartitions, readAt, readFileSystem, SECTOR } from "../image/layout.ts";
import { readManifest } from "../image/read.ts";
import { runtimeOfSystem } from "../update/system.ts";
import type { Drive } from "./drives.ts";
import { openFault } from "./target.ts";

export interface Card {
  drive: Drive;
  board: string;
  /** Partitions with a system, and its runtime, short. */
  systems: { name: string; runtime: string }[];
  data: Partition;
}

/** `badInput` where it is none of ours, or not whole. */
export async function readCard(drive: Drive): Promise<Card> {
  const { path, bytes } = drive;
  assertReadable(path);
  const partitions = parsePartitions(readAt(path, 0, SECTOR), bytes, path);
  const named = (name: Partition["name"]) => partitions.find((one) => one.name === name)!;
  for (const name of ["boot", "data"] as const) assertLabel(path, named(name), LABELS[name]);
  const { board } = await readManifest(path, named("boot"));
  const systems: Card["systems"] = [];
  for (const slot of partitions.filter(({ name }) => name !== "boot" && name !== "data")) {
    if (readFileSystem(path, slot) === undefined) continue;
    systems.push({ name: slot.name, runtime: await runtimeOfSystem(path, slot.offset) });
  }
  if (systems.length > 0) return { drive, board, systems, data: named("data") };
  throw badInput("one of our cards, but there is no system on it", { file: path, hint: "write the whole image" });
}

function assertReadable(path: string): void {
  try {
    accessSync(path, constants.R_OK);
  } catch (error) {
    throw openFault(path, error);
  }
}

function assertLabel(file: string, partition: Partition, expected: string): void {
  const found = readFileSystem(file, partition)?.label ?? "no file system";
  if (found === expected) return;
  const detail = { file, field: partition.name, expected, found, hint: "write the whole image" };
  throw badInput("one of our cards, but damaged", detail);
}
