/** Which drive may be written to. All are refused but removable ones that nobody uses; those of the system are not even shown. */
import { existsSync, realpathSync } from "node:fs";
import { LightMambaError } from "../errors.ts";
import type { Drive } from "./drives.ts";

/** Where desktops and users mount what they plug in. A drive that is mounted anywhere else is part of the system. */
const GUEST_MOUNTS = /^(\/media|\/run\/media|\/mnt)(\/|$)/;

/** Why a drive is not for this command at all. */
export function foreign({ removable, mounts, holders }: Drive): string | undefined {
  if (!removable) return "is not removable";
  const [holder] = holders;
  if (holder !== undefined) return `is part of this system (${holder})`;
  const mount = mounts.find((path) => !GUEST_MOUNTS.test(path));
  return mount === undefined ? undefined : `is part of this system (${mount})`;
}

/** Why a drive cannot be written to as it is now. */
export function obstacle({ bytes, readOnly, mounts }: Drive): string | undefined {
  if (bytes === 0) return "has no card in it";
  if (readOnly) return "is write-protected";
  return mounts.length > 0 ? `is mounted at ${mounts.join(", ")}` : undefined;
}

/** The drives that are shown to anybody. */
export function shownDrives(drives: readonly Drive[]): Drive[] {
  return drives.filter((drive) => foreign(drive) === undefined);
}

/** The named drive, or the only one that there is; `device` where it may not get the image. */
export function chooseDrive(drives: readonly Drive[], name: string | undefined, image: string): Drive {
  const drive = name === undefined ? onlyDrive(drives) : namedDrive(drives, name);
  assertWritable(drive, image);
  return drive;
}

/** `device` where the drive is not for this command, is not ready, or the image lies on it. */
export function assertWritable(drive: Drive, image?: string): void {
  const strange = foreign(drive);
  if (strange !== undefined) throw refusal(`${strange}: it is never written to`, drive.path, LIST_HINT);
  if (image !== undefined && liesOn(drive, image))
    throw refusal(`lies on ${drive.path}, which it would overwrite`, image, "copy it to another drive");
  const why = obstacle(drive);
  if (why === undefined) return;
  throw refusal(why, drive.path, drive.mounts.length > 0 ? `sudo umount ${drive.mounts.join(" ")}` : undefined);
}

/** Links are followed: what counts is where the bytes are. */
export function liesOn({ mounts }: Drive, file: string): boolean {
  const path = realpathSync(file);
  return mounts.some((mount) => path.startsWith(`${mount}/`));
}

const LIST_HINT = "lightmamba flash list";

function onlyDrive(drives: readonly Drive[]): Drive {
  const shown = shownDrives(drives);
  const ready = shown.filter((drive) => obstacle(drive) === undefined);
  const [only] = ready.length > 0 ? ready : shown;
  if (only === undefined)
    throw new LightMambaError("device", "no removable drive here", {
      hint: "put a card in; then: lightmamba flash list",
    });
  if (ready.length < 2) return only;
  const found = ready.map(({ path }) => path).join(", ");
  throw new LightMambaError("device", "more than one drive", { expected: "--drive <path>", found, hint: LIST_HINT });
}

function namedDrive(drives: readonly Drive[], name: string): Drive {
  // Names in /dev/disk/by-id are links
  const path = existsSync(name) ? realpathSync(name) : name;
  const drive = drives.find((one) => one.path === path);
  if (drive !== undefined) return drive;
  const whole = drives.find(({ partitions }) => partitions.some((partition) => partition.path === path));
  if (whole !== undefined) throw refusal("is a partition", name, `the whole drive is ${whole.path}`);
  throw refusal(existsSync(path) ? "is no drive" : "no such drive", name, LIST_HINT);
}

function refusal(what: string, file: string, hint?: string): LightMambaError {
  return new LightMambaError("device", what, { file, ...(hint === undefined ? {} : { hint }) });
}
