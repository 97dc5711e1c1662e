/** What U-Boot reads, and where it loads to. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BuildError, run, SYSTEM } from "./shell.mjs";

/** Where U-Boot puts what it loads: name → address, of its own defaults. */
export function uBootAddresses(binary) {
  const text = binary.toString("latin1");
  const names = ["kernel_addr_r", "kernel_comp_addr_r", "ramdisk_addr_r", "fdt_addr_r", "scriptaddr", "pxefile_addr_r"];
  return Object.fromEntries(
    names.map((name) => {
      const found = new RegExp(`\\0${name}=(0x[0-9a-fA-F]+)\\0`).exec(text);
      if (found === null) throw new BuildError(`U-Boot does not say ${name}`);
      return [name, Number(found[1])];
    }),
  );
}

/**
 * U-Boot refuses to load anything into reserved memory. ranges: { name, address, bytes, reserved }; sizes: name of an address → bytes that
 * are loaded there, where they are known.
 */
export function checkAddresses(addresses, sizes, ranges) {
  for (const [name, address] of Object.entries(addresses)) {
    const end = address + (sizes[name] ?? 0x100000);
    const hit = ranges.find((range) => range.reserved && address < range.address + range.bytes && range.address < end);
    if (hit === undefined) continue;
    const [from, to] = [address, end].map((value) => `0x${value.toString(16)}`);
    throw new BuildError(
      `U-Boot loads to ${from}..${to} (${name}), which is in the accelerator's ${hit.name} at 0x${hit.address.toString(16)}`,
    );
  }
}

function packScript(commands, title, file) {
  const text = `${file}.cmd`;
  writeFileSync(text, commands);
  run("mkimage", ["-A", "arm64", "-T", "script", "-C", "none", "-n", title, "-d", text, file]);
  rmSync(text);
}

/** The card, as Linux names it before the number of a partition. The one source of the disk's signature is the image's layout. */
export function diskSignature(layout = readFileSync(join(SYSTEM, "genimage.cfg"), "utf8")) {
  const found = /disk-signature = 0x([0-9a-f]{8})\b/.exec(layout);
  if (found === null) throw new BuildError("genimage.cfg: expected `disk-signature = 0x` and eight digits");
  return found[1];
}

/** Writes boot.scr, which boots the card, into a folder, and for QEMU jtag.scr. */
export function writeScripts(board, folder) {
  const read = (name) => readFileSync(join(SYSTEM, name), "utf8").replaceAll("@ROOT@", `PARTUUID=${diskSignature()}`);
  packScript(read("boot.cmd"), "LightMamba", join(folder, "boot.scr"));
  if (board === "qemu") packScript(read("jtag.cmd"), "LightMamba: QEMU", join(folder, "jtag.scr"));
}
