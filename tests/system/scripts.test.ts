/** What the build checks by itself: U-Boot's addresses, the card's name, modules and what they depend on. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { scratchFolder } from "../firmware.ts";
import { type DeviceTree, type Kernel, load, type Scripts } from "./support.ts";

const { checkAddresses, diskSignature, uBootAddresses } = await load<Scripts>("scripts");
const { rangesOf } = await load<DeviceTree>("devicetree");
const { dependenciesOf, withDependencies } = await load<Kernel>("kernel");

/** U-Boot 2023.01's defaults for Versal, as they are in its binary. */
const DEFAULTS = [
  ...[
    "fdt_addr_r=0x40000000",
    "pxefile_addr_r=0x10000000",
    "kernel_addr_r=0x18000000",
    "kernel_comp_addr_r=0x30000000",
  ],
  ...["scriptaddr=0x20000000", "ramdisk_addr_r=0x02100000"],
];
const binary = (lines: readonly string[]) => Buffer.from(`\0${lines.join("\0")}\0`, "latin1");
const SIZES = { kernel_addr_r: 33 << 20, kernel_comp_addr_r: 11 << 20, ramdisk_addr_r: 2 << 20, fdt_addr_r: 4096 };

describe("U-Boot's addresses", () => {
  const addresses = uBootAddresses(binary(DEFAULTS));

  it("are found in its binary", () => {
    assert.equal(addresses.scriptaddr, 0x20000000);
    assert.throws(() => uBootAddresses(binary(DEFAULTS.slice(1))), /U-Boot does not say fdt_addr_r/);
  });

  for (const board of ["qemu", "vck190"]) {
    it(`are clear of what is reserved on ${board}`, () => checkAddresses(addresses, SIZES, rangesOf(board)));
  }

  const range = (address: number, bytes: number) => [{ name: "ddr4", address, bytes, reserved: true }];

  it("are not in reserved memory", () => {
    const said = /U-Boot loads to 0x20000000\.\.0x20100000 \(scriptaddr\).* in the accelerator's ddr4 at 0x20000000/;
    assert.throws(() => checkAddresses(addresses, SIZES, range(0x20000000, 0x10000000)), said);
  });

  it("do not reach into it with what is loaded", () => {
    const behind = 0x18000000 + SIZES.kernel_addr_r;
    checkAddresses(addresses, SIZES, range(behind, 4096));
    assert.throws(() => checkAddresses(addresses, SIZES, range(behind - 1, 4096)), /kernel_addr_r/);
  });

  it("may be where memory is not Linux's", () => {
    checkAddresses(addresses, SIZES, [{ name: "ddr4", address: 0x18000000, bytes: 4096, reserved: false }]);
  });
});

describe("the card", () => {
  it("is named by its signature", () => {
    assert.match(diskSignature(), /^[0-9a-f]{8}$/);
    assert.equal(diskSignature("\tdisk-signature = 0x0badcafe\n"), "0badcafe");
  });

  for (const layout of ["", "disk-signature = random", "disk-signature = 0x123", "disk-signature = 0x123456789"]) {
    it(`wants a signature: ${layout || "none"}`, () => {
      assert.throws(() => diskSignature(layout), /genimage\.cfg: expected `disk-signature = 0x`/);
    });
  }
});

describe("the order of modules", () => {
  const folder = scratchFolder();
  const module = (name: string, depends: string) => {
    const path = join(folder, `${name}.ko`);
    writeFileSync(path, `ELF\0license=GPL\0depends=${depends}\0name=${name}\0`);
    return [name, path] as const;
  };
  const byName = new Map([
    module("top", "left,right-hand"),
    module("left", "base"),
    module("right_hand", "base"),
    module("base", ""),
    module("lost", "nowhere"),
  ]);

  it("has each once, behind what it depends on, with its options", () => {
    assert.deepEqual(withDependencies(["top of_id=x", "left"], byName), ["base", "left", "right_hand", "top of_id=x"]);
  });

  it("needs them all", () => {
    assert.throws(() => withDependencies(["lost"], byName), /Debian's kernel has no module nowhere/);
    assert.throws(() => dependenciesOf(Buffer.from("no module")), /does not say what it depends on/);
  });
});
