/** The drives of this machine. The list is behind one interface: tests bring their own, and never see a real drive. docs/flash.md. */
import { readFileSync } from "node:fs";
import { release } from "node:os";
import { LightMambaError } from "../errors.ts";
import { isProgramFailure, runProgram } from "../image/programs.ts";

export interface DrivePartition {
  path: string;
  bytes: number;
  /** "" where nobody knows. */
  fileSystem: string;
  label: string;
}

export interface Drive {
  path: string;
  /** Major and minor number, as in 8:16. */
  number: string;
  /** Maker and model; "" where nobody knows. */
  model: string;
  serial: string;
  /** usb, mmc, nvme, … */
  bus: string;
  bytes: number;
  /** By its bus or by what the kernel says of it: meant to be taken out. */
  removable: boolean;
  readOnly: boolean;
  partitions: DrivePartition[];
  /** Where it, or anything that lies on it, is mounted; [SWAP] too. */
  mounts: string[];
  /** What the kernel has built on it: crypt, lvm, raid1, … */
  holders: string[];
}

export type ListDrives = () => Promise<Drive[]>;

/** What /sys/block/<name>/device/type says of a drive on an MMC bus: SD for a card, MMC for a chip on the board. */
export type CardType = (name: string) => string | undefined;

/** A drive or what lies on it, as `lsblk --json -b -O` of util-linux has it. */
interface Node {
  kname: string;
  path: string;
  type: string;
  size: number;
  "maj:min": string;
  rm: boolean;
  ro: boolean;
  tran?: string | null;
  subsystems?: string | null;
  vendor?: string | null;
  model?: string | null;
  serial?: string | null;
  fstype?: string | null;
  label?: string | null;
  mountpoints: (string | null)[];
  children?: Node[];
}

export async function listDrives(): Promise<Drive[]> {
  if (process.platform !== "linux")
    throw new LightMambaError("unsupported", "drives are only known on Linux yet", {
      found: process.platform,
      hint: "bmaptool, Raspberry Pi Imager and balenaEtcher write the same image",
    });
  if (/microsoft/i.test(release()))
    throw new LightMambaError("unsupported", "WSL does not see the drives of its Windows");
  return parseDrives(await lsblk(), cardType);
}

/** Where there is no /sys, as in some containers, it fails. */
async function lsblk(): Promise<string> {
  try {
    return (await runProgram("lsblk", ["--json", "-b", "-O"])).stdout;
  } catch (error) {
    if (!isProgramFailure(error)) throw error;
    throw new LightMambaError("prerequisite", `drives cannot be listed: ${error.message}`);
  }
}

function cardType(name: string): string | undefined {
  try {
    return readFileSync(`/sys/block/${name}/device/type`, "utf8").trim();
  } catch {
    return undefined;
  }
}

/** Whole drives only: no loops, no optical ones, nothing that the kernel makes up. */
export function parseDrives(text: string, cardType: CardType): Drive[] {
  return parseNodes(text)
    .filter(({ type }) => type === "disk")
    .map((node) => driveOf(node, cardType));
}

function parseNodes(text: string): Node[] {
  let found: unknown;
  try {
    found = (JSON.parse(text) as { blockdevices: unknown }).blockdevices;
  } catch {
    // No JSON at all is as unknown as another JSON
  }
  if (Array.isArray(found) && found.every(isNode)) return found;
  throw new LightMambaError("prerequisite", "lsblk does not say what it should", {
    hint: "it is expected from util-linux 2.37 or newer",
  });
}

function isNode(value: unknown): value is Node {
  const node = value as Partial<Node> | null;
  return (
    typeof node === "object" &&
    node !== null &&
    [node.kname, node.path, node.type, node["maj:min"]].every((text) => typeof text === "string") &&
    Number.isSafeInteger(node.size) &&
    [node.rm, node.ro].every((flag) => typeof flag === "boolean") &&
    Array.isArray(node.mountpoints) &&
    (node.children === undefined || (Array.isArray(node.children) && node.children.every(isNode)))
  );
}

function driveOf(node: Node, cardType: CardType): Drive {
  const below = [...descendants(node)];
  const bus = busOf(node);
  return {
    path: node.path,
    number: node["maj:min"].trim(),
    model: [node.vendor, node.model]
      .map(plain)
      .filter((part) => part !== "")
      .join(" "),
    serial: plain(node.serial),
    bus,
    bytes: node.size,
    removable: bus === "mmc" ? cardType(node.kname) === "SD" : bus === "usb" || node.rm,
    readOnly: node.ro,
    partitions: (node.children ?? [])
      .filter(({ type }) => type === "part")
      .map(({ path, size, fstype, label }) => ({ path, bytes: size, fileSystem: plain(fstype), label: plain(label) })),
    mounts: [...new Set([node, ...below].flatMap(({ mountpoints }) => mountpoints.map(plain)))].filter(Boolean),
    holders: [...new Set(below.map(({ type }) => type))].filter((type) => type !== "part"),
  };
}

function* descendants(node: Node): Generator<Node> {
  for (const child of node.children ?? []) {
    yield child;
    yield* descendants(child);
  }
}

function busOf({ tran, subsystems }: Node): string {
  if (plain(tran) !== "") return plain(tran);
  const buses = plain(subsystems).split(":");
  return ["mmc", "usb", "nvme", "virtio"].find((bus) => buses.includes(bus)) ?? "";
}

/** Names come from the device: no control characters reach the terminal. */
function plain(text: string | null | undefined): string {
  return (text ?? "").replaceAll(/\p{C}/gu, "").trim();
}
