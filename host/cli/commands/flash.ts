import { existsSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { type Command, InvalidArgumentError } from "commander";
import { LightMambaError } from "../../errors.ts";
import { type CheckedImage, checkImage } from "../../flash/check.ts";
import { chooseDrive, obstacle, shownDrives } from "../../flash/choose.ts";
import { type Drive, type ListDrives, listDrives } from "../../flash/drives.ts";
import type { PutOptions } from "../../flash/model.ts";
import { openDrive, type Target } from "../../flash/target.ts";
import { type CardState, type Written, writeImage } from "../../flash/write.ts";
import { modelDir } from "../../package.ts";
import { defineCommand } from "../command.ts";
import { ask, describeDrive, partitionLines, showDriveIn, size } from "../drive.ts";
import { flashModel } from "../flash-model.ts";
import type { Output } from "../output.ts";
import { withProgress } from "../progress.ts";
import { type Confirm, confirmOnTerminal } from "../prompt.ts";
import { withState } from "../state.ts";

export interface FlashOptions {
  model?: string;
  drive?: string;
  yes?: boolean;
  dryRun?: boolean;
  verify: boolean;
  bmap: boolean;
  sha256?: string;
}

/** What a test replaces: with it, no real drive is ever seen. */
export interface FlashSurroundings {
  list: ListDrives;
  open: (drive: Drive, list: ListDrives) => Promise<Target>;
  confirm: Confirm;
  /** Of a model: whenever nothing is open, so that signals come through. */
  pause: PutOptions["pause"];
}

const REAL: FlashSurroundings = {
  list: listDrives,
  open: openDrive,
  confirm: confirmOnTerminal,
  pause: () => setImmediate(),
};
/** Cards are smaller; a drive of this size is more likely somebody's backup. */
const LARGE_BYTES = 128e9;

export function define(output: Output, surroundings: FlashSurroundings = REAL): Command {
  return defineCommand(
    "flash",
    "Write an image or a model to a card: removable drives only, checked before and after.",
    [
      ["which drives could be meant", "flash list"],
      ["to the only card that is there, after a question", "flash sdcard.img"],
      ["what would be done", "flash sdcard.img.gz --drive /dev/sdb --dry-run"],
      ["a new model for a card of ours; system and states stay", "flash --model my-w4a4"],
      ["in a script", "flash sdcard.img --drive /dev/disk/by-id/usb-Generic_Reader_0001 --yes"],
    ],
  )
    .argument("[image]", "image of `image build`, as it is or packed with gzip or zstd")
    .option("-m, --model <dir>", "instead of an image: model directory for the card's data partition")
    .option("-d, --drive <path>", "whole drive to write to; needed where there are several, and with --yes")
    .option("-y, --yes", "do not ask")
    .option("--dry-run", "check everything, and write nothing")
    .option("--no-verify", "do not read back what was written")
    .option("--no-bmap", "write every block, not only those that the .bmap beside the image names")
    .option("--sha256 <hex>", "what the unpacked image must have; default: the .sha256 beside it", sha256)
    .action((image: string | undefined, options: FlashOptions) => start(image, options, output, surroundings))
    .addCommand(defineList(output, surroundings));
}

function sha256(text: string): string {
  if (/^[0-9a-f]{64}$/i.test(text)) return text.toLowerCase();
  throw new InvalidArgumentError("Expected 64 hexadecimal digits.");
}

// ------------------------------------------------------------------------------------------------ list

function defineList(output: Output, { list }: FlashSurroundings): Command {
  return defineCommand("list", "Show the drives that an image could be written to.", [
    ["drives of this system are not among them", "flash list"],
  ]).action(async () => {
    const all = await list();
    const drives = shownDrives(all);
    if (output.json) {
      output.record({ drives: drives.map((drive) => ({ ...drive, obstacle: obstacle(drive) ?? null })) });
      return;
    }
    for (const drive of drives) showDrive(drive, output);
    const hidden = all.length - drives.length;
    if (drives.length === 0) output.note("no removable drive here");
    if (hidden > 0) output.note(`(${hidden} not shown: not removable, or part of this system)`);
  });
}

function showDrive(drive: Drive, output: Output): void {
  const why = obstacle(drive);
  output.line(`${output.style("bold", drive.path)}  ${describeDrive(drive)}${why === undefined ? "" : `; ${why}`}`);
  for (const line of partitionLines(drive)) output.line(`  ${line}`);
}

// ------------------------------------------------------------------------------------------------ flash

async function start(
  image: string | undefined,
  options: FlashOptions,
  output: Output,
  surroundings: FlashSurroundings,
): Promise<void> {
  const { model, drive, yes } = options;
  if ((image === undefined) === (model === undefined))
    throw new LightMambaError("usage", "either an image or --model", { hint: "add --help for help" });
  if (yes === true && drive === undefined)
    throw new LightMambaError("usage", "with --yes, a drive must be named", { field: "--drive" });
  if (image !== undefined) return flash(image, options, output, surroundings);
  if (options.sha256 !== undefined || !options.bmap || !options.verify)
    throw new LightMambaError("usage", "--sha256, --no-bmap and --no-verify are about images", { field: "--model" });
  await flashModel(modelDir(model!), options, output, surroundings);
}

async function flash(
  image: string,
  options: FlashOptions,
  output: Output,
  { list, open, confirm }: FlashSurroundings,
): Promise<void> {
  if (!existsSync(image)) throw new LightMambaError("usage", "no such file", { file: image });
  const drives = await list();
  const drive = chooseDrive(drives, options.drive, image);
  const checked = await checkWithProgress(image, drive, options, output);
  if (!output.json) showPlan(checked, drive, output);
  if (options.dryRun === true) {
    if (output.json) output.record({ ...planOf(checked, drive), dryRun: true });
    else output.line("nothing was written: --dry-run");
    return;
  }
  if (options.yes !== true) await ask(`All that is on ${drive.path} will be lost.`, drive, output, confirm);
  const target = await open(drive, list);
  try {
    const { verify } = options;
    const written = await withState(target.path, STATES, "incomplete", output, ({ reached, progress }) =>
      writeImage(target, checked, { verify, progress, onState: reached }),
    );
    report(checked, drive, written, output);
  } finally {
    await target.close();
  }
}

async function checkWithProgress(
  image: string,
  { bytes: room }: Drive,
  { bmap, sha256 }: FlashOptions,
  output: Output,
): Promise<CheckedImage> {
  const progress = output.progress("check");
  const check = () =>
    checkImage(image, {
      room,
      bmap,
      ...(sha256 === undefined ? {} : { sha256 }),
      progress: progress.update,
    });
  return withProgress(progress, check);
}

function showPlan(image: CheckedImage, drive: Drive, output: Output): void {
  const { path, bytes, extents, sha256, checkedAgainst } = image;
  const mapped = extents.reduce((sum, extent) => sum + extent.bytes, 0);
  output.line(
    `image  ${path}: ${size(bytes)}, ${mapped < bytes ? `${size(mapped)} of it to write` : "all of it to write"}`,
  );
  output.line(`       sha256 ${sha256}`);
  if (checkedAgainst.length > 0) output.line(`       as in ${checkedAgainst.join(", ")}`);
  showDriveIn(drive, output);
  if (drive.bytes > LARGE_BYTES) output.warn(`${drive.path} is large for a card: is it the right one?`);
}

function planOf({ path, packing, bytes, sha256, extents, partitions }: CheckedImage, drive: Drive) {
  return { image: { path, packing, bytes, sha256, extents: extents.length, partitions }, drive };
}

const STATES: Record<CardState, string> = {
  incomplete: "it is incomplete and does not boot: write it again",
  unverified: "whether it has its partition table is not known, and it may boot: write it again",
  complete: "it is complete",
};

function report(image: CheckedImage, drive: Drive, written: Written, output: Output): void {
  if (output.json) {
    output.record({ ...planOf(image, drive), ...written });
    return;
  }
  const verified = written.bytesVerified > 0 ? "read back, and the same" : "not read back";
  output.line(`${image.path} is on ${drive.path}: ${size(written.bytesWritten)} written, ${verified}`);
}
