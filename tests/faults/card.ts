/** Cards that boards are started with, and what tests change on them while they are off. */
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { type PartitionName, readPartitions, SECTOR } from "../../host/image/layout.ts";
import { writeAt } from "../card.ts";
import { run } from "../firmware.ts";

/** Of the partition table: where the entry of the last partition, the data's, has its number of sectors. */
const LAST_SECTORS = 446 + 3 * 16 + 12;
const MIB = 2 ** 20;

export class Card {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  copy(path: string): Card {
    run("cp", "--sparse=always", "--reflink=auto", this.path, path);
    return new Card(path);
  }

  /** A card that an image was written to. QEMU wants a power of two; the data partition gets all that the image leaves. */
  static from(image: string, path: string, bytes: number): Card {
    const card = new Card(image).copy(path);
    truncateSync(path, bytes);
    const { offset } = card.#partition("data");
    const sectors = Buffer.alloc(4);
    sectors.writeUInt32LE((bytes - offset) / SECTOR);
    writeAt(path, LAST_SECTORS, sectors);
    const file = `${path}.data`;
    card.#copyData(file, offset, bytes - offset);
    return card;
  }

  #copyData(file: string, offset: number, bytes: number): void {
    run("dd", `if=${this.path}`, `of=${file}`, `skip=${offset / MIB}`, "bs=1M", "conv=sparse", "status=none");
    truncateSync(file, bytes);
    run("e2fsck", "-f", "-p", file);
    run("resize2fs", file);
    run("dd", `if=${file}`, `of=${this.path}`, `seek=${offset / MIB}`, "bs=1M", "conv=sparse,notrunc", "status=none");
    run("rm", file);
  }

  #partition(name: PartitionName): { offset: number; size: number } {
    return readPartitions(this.path).find((partition) => partition.name === name)!;
  }

  /** The first megabyte of a partition becomes zeros. */
  wipe(name: PartitionName): void {
    writeAt(this.path, this.#partition(name).offset, Buffer.alloc(MIB));
  }

  /** Changes files of the system in slot A, in a folder. */
  changeSystem(change: (root: string) => void): void {
    const { offset, size } = this.#partition("system-a");
    const [root, packed] = [`${this.path}.root`, `${this.path}.squashfs`];
    run("unsquashfs", "-quiet", "-no-progress", "-offset", String(offset), "-dest", root, this.path);
    change(root);
    run("mksquashfs", root, packed, "-all-root", "-quiet", "-no-progress", "-comp", "zstd");
    const bytes = readFileSync(packed);
    if (bytes.length > size) throw new Error(`${packed} is larger than its slot`);
    writeAt(this.path, offset, bytes);
    run("rm", "-r", root, packed);
  }

  /** Commands of debugfs on the data partition. */
  debugfs(...commands: string[]): string {
    const device = `${this.path}?offset=${this.#partition("data").offset}`;
    return commands.map((command) => run("debugfs", "-w", "-R", command, device)).join("");
  }

  put(file: string, path: string): void {
    this.debugfs(`write ${file} ${path}`);
  }

  /** The folder of the only model on the data partition. */
  model(): string {
    const [id] = /\b[0-9a-f]{16}\b/.exec(this.debugfs("ls -p /models")) ?? [];
    if (id === undefined) throw new Error("no model on the data partition");
    return `/models/${id}`;
  }

  /** Gives a file of the data partition another content. */
  change(path: string, change: (bytes: Buffer) => Buffer): void {
    const file = `${this.path}.file`;
    this.debugfs(`dump ${path} ${file}`);
    const bytes = readFileSync(file);
    writeFileSync(file, change(bytes));
    this.debugfs(`rm ${path}`, `write ${file} ${path}`);
  }
}
