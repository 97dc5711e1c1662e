/** The system in QEMU, from U-Boot on, with a script in the place of our program: as it should be, and with cards that are damaged. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { BOARDS } from "../../host/device/boards.generated.ts";
import { readPartitions } from "../../host/image/layout.ts";
import { scratchFolder, withoutProgram } from "../firmware.ts";
import { boot, changedCard, run, writeCard } from "./qemu.ts";
import { systemOf } from "./support.ts";

/** Says what it was given and where it is, saves a state, and fails. */
const PROGRAM = `
printf '<%s>' "$@"; echo
[ "$1" = run ] || exit 0
cd /sys/class/uio/uio0/maps; head -n 1 map*/name map*/addr map*/size | grep -v '^$' | paste -s; cd - >/dev/null
grep -E ' (/|/data) ' /proc/mounts
echo saved >story.state
exit 7
`;
const ASKED = "lightmamba.run=run+Hello%20w%C3%B6rld+-n+16 lightmamba.poweroff";
/** Of ext4's superblock: features without which it can only be read, and one that nobody has. */
const SUPERBLOCK = 1024;
const RO_COMPAT = SUPERBLOCK + 0x64;
const UNKNOWN_FEATURE = 0x4000_0000;
const DISK_SIGNATURE = 440;

const { folder: system, skip: unbuilt } = systemOf("qemu");
const skip = unbuilt || withoutProgram("qemu-system-aarch64") || withoutProgram("genimage");
describe("a card in QEMU", { skip }, () => {
  if (skip) return;
  const scratch = scratchFolder();
  const card = writeCard(system, scratch, PROGRAM);
  const [bootPart, , dataPart] = readPartitions(card);
  const data = (bytes: Buffer) => bytes.subarray(dataPart!.offset, dataPart!.offset + dataPart!.size);

  it("boots, runs what is asked for, says how it ended, and leaves its data clean", async () => {
    const used = changedCard(card, "used", () => {});
    const said = await boot(system, used, ASKED);
    assert.match(said, /\nFound \/extlinux\/extlinux\.conf\n/);
    assert.match(said, /\nLightMamba \d+\.\d+\.\d+, qemu\n {2}linux /);
    assert.match(said, /\n {2}QEMU xlnx-versal-virt with LightMamba's accelerator, 2 cores, \d+ MiB\n/);
    assert.match(said, /\n {2}accelerator: \/dev\/uio0 \(accelerator\)\n/);
    assert.match(said, /\n<selftest>\n<run><Hello wörld><-n><16>\n/);
    const { registers, memories } = BOARDS.qemu;
    const hex = (value: number) => `0x${value.toString(16).padStart(16, "0")}`;
    assert.ok(said.includes(`${hex(registers.address)}\t`) && said.includes(hex(memories[0].address)), said);
    assert.match(said, /\n\/dev\/mmcblk0p2 \/ squashfs ro,/);
    assert.match(said, /\n\/dev\/mmcblk0p3 \/data ext4 rw,/);
    assert.match(said, /\nlightmamba: exit 7\n(?:[^\n]*\n)*\[[ \d.]+\] reboot: Power down\n$/);

    const partition = join(scratch, "used.ext4");
    writeFileSync(partition, data(readFileSync(used)));
    assert.match(run("e2fsck", ["-fn", partition]), /lm-data: 1[0-9]\/\d+ files/);
    assert.equal(run("debugfs", ["-R", "cat /states/story.state", partition]), "saved\n");
  });

  it("boots by boot.scr too, and without data", async () => {
    const empty = changedCard(card, "empty", (bytes) => data(bytes).fill(0, 0, 8 << 20));
    run("mdel", ["-i", `${empty}@@${bootPart!.offset}`, "::/extlinux/extlinux.conf"]);
    const said = await boot(system, empty, ASKED);
    assert.match(said, /\nFound U-Boot script \/boot\.scr\n/);
    assert.match(said, /\nlightmamba: no partition lm-data on the card: no model\n/);
    assert.match(said, /\nlightmamba: exit 7\n/);
  });

  it("reads what it must not write", async () => {
    const damaged = changedCard(card, "damaged", (bytes) => {
      data(bytes).writeUInt32LE((data(bytes).readUInt32LE(RO_COMPAT) | UNKNOWN_FEATURE) >>> 0, RO_COMPAT);
    });
    const said = await boot(system, damaged, ASKED);
    assert.match(
      said,
      /\nlightmamba: \/dev\/mmcblk0p3 is damaged and can only be read: repair it in another machine \(e2fsck\)/,
    );
    assert.match(said, /\n\/dev\/mmcblk0p3 \/data ext4 ro,/);
  });

  it("says which root it does not find", async () => {
    const other = changedCard(card, "other", (bytes) => bytes.writeUInt32LE(0xdeadbeef, DISK_SIGNATURE));
    const said = await boot(system, other, ASKED);
    const names = "mmcblk0 mmcblk0p1 mmcblk0p2 mmcblk0p3";
    const line = new RegExp(
      `\nlightmamba: no partition [0-9a-f]{8}-02 after 10 s; there are: ${names}\nlightmamba: exit 1\n`,
    );
    assert.match(said, line);
  });
});
