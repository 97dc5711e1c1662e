/** What is in the image of others' work, and under which licences: components.json. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hashOf, ownFiles, ROOT } from "./shell.mjs";

/** Files by their names in the folder; of archives, everyone who is in it. */
function components({ packages, kernel }, folder) {
  const modules = readdirSync(join(folder, "modules")).filter((name) => name.endsWith(".ko"));
  const of = (own) =>
    modules.filter((name) => (name === "uio_pdrv_genirq.ko") === own).map((name) => `modules/${name}`);
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  return [
    {
      name: "linux",
      licence: "GPL-2.0-only WITH Linux-syscall-note",
      origin: packages.kernel,
      files: ["Image.gz", "initramfs.cpio.gz", ...of(false)],
      release: `${kernel}-arm64`,
    },
    { name: "uio_pdrv_genirq", licence: "GPL-2.0-only", origin: packages.source, files: of(true) },
    // Statically linked, so glibc is in it
    {
      name: "busybox",
      licence: "GPL-2.0-only AND LGPL-2.1-or-later",
      origin: packages.busybox,
      files: ["busybox", "initramfs.cpio.gz"],
    },
    { name: "u-boot", licence: "GPL-2.0-or-later", origin: packages["u-boot"], files: ["u-boot.bin", "u-boot.elf"] },
    { name: "tf-a", licence: "BSD-3-Clause", origin: packages["arm-trusted-firmware"], files: ["bl31.elf"] },
    {
      name: "lightmamba-system",
      licence: "Apache-2.0",
      origin: { name: "firmware/system", version, sha256: hashOf([], ownFiles()) },
      files: ["system.dtb", "accelerator.dtsi", "boot.scr", "initramfs.cpio.gz", "overlay"],
    },
  ];
}

/** Writes components.json. sha256 is that of the package of Debian which `source` names. */
export function writeComponents(packages, folder) {
  const list = components(packages, folder).map(({ origin, files, ...rest }) => ({
    ...rest,
    version: origin.version,
    source:
      origin.architecture === undefined
        ? origin.name
        : `Debian ${origin.name} ${origin.version} (${origin.architecture})`,
    files: [...files].sort(),
    sha256: origin.sha256,
  }));
  writeFileSync(join(folder, "components.json"), `${JSON.stringify(list, undefined, 2)}\n`);
  return list;
}
