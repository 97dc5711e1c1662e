/** The system in QEMU, from U-Boot on, with a script in the place of our program: as it should be, and with cards that are damaged. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { BOARDS } from "../../host/device/boards.generated.ts";
import { type Partition, readPartitions } from "../../host/image/layout.ts";
import { readCard, readCopy, readVariables } from "../card.ts";
import { run, scratchFolder, withoutProgram } from "../firmware.ts";
import { runnerFor } from "../runner/support.ts";
import { boot, changedCard, makeSystem, writeCard } from "./qemu.ts";
import { systemOf } from "./support.ts";

/** Says what it was given and where it is, saves a state, and fails. */
const PROGRAM = `
printf '<%s>' "$@"; echo
[ "$1" = run ] || exit 0
cd /sys/class/uio/uio0/maps; head -n 1 map*/name map*/addr map*/size | grep -v '^$' | paste -s; cd - >/dev/null
grep -E ' (/|/data) ' /proc/mounts
cat /sys/class/watchdog/watchdog0/identity
echo saved >story.state
exit 7
`;
const ASKED = "lightmamba.run=run+Hello%20w%C3%B6rld+-n+16 lightmamba.poweroff";
/** Of ext4's superblock: features without which it can only be read, and one that nobody has. */
const SUPERBLOCK = 1024;
const RO_COMPAT = SUPERBLOCK + 0x64;
const UNKNOWN_FEATURE = 0x4000_0000;
const DISK_SIGNATURE = 440;
/** Where a squashfs says that its table of extended attributes is, which only Linux reads. */
const XATTR_TABLE = 56;
const NEW = { BOOT_ORDER: "A B", BOOT_A_LEFT: "3", BOOT_B_LEFT: "3" };
const TRIAL = { BOOT_ORDER: "B A", BOOT_A_LEFT: "3", BOOT_B_LEFT: "3", lm_trial: "B" };

const { folder: system, skip: unbuilt } = systemOf("qemu");
const { runner, skip: noRunner } = runnerFor("aarch64");
const skip = unbuilt || noRunner || withoutProgram("qemu-system-aarch64") || withoutProgram("genimage");
describe("a card in QEMU", { skip, timeout: 1_800_000 }, () => {
  if (skip) return;
  const folder = scratchFolder();
  const parts = { system, folder, runner };
  const good = makeSystem(parts, "good", PROGRAM);
  const card = writeCard(parts, good);
  const [, , slotB, data] = readPartitions(card) as [Partition, Partition, Partition, Partition];

  it("boots, runs what is asked for, says how it ended, and leaves its data clean", async () => {
    const used = changedCard(card, "used", {});
    const said = await boot(system, used, ASKED);
    assert.match(said, /\nFound U-Boot script \/boot\.scr\n/);
    assert.match(said, /\nlightmamba: no variables of U-Boot on the card: slot A first\n/);
    assert.match(said, /\nLightMamba \d+\.\d+\.\d+, qemu\n {2}linux /);
    assert.match(said, /\n {2}QEMU xlnx-versal-virt with LightMamba's accelerator, 2 cores, \d+ MiB\n/);
    assert.match(said, /\n {2}accelerator: \/dev\/uio0 \(accelerator\)\n/);
    assert.match(said, /\n<selftest>\n<run><Hello wörld><-n><16>\n/);
    const { registers, memories } = BOARDS.qemu;
    const hex = (value: number) => `0x${value.toString(16).padStart(16, "0")}`;
    assert.ok(said.includes(`${hex(registers.address)}\t`) && said.includes(hex(memories[0].address)), said);
    assert.match(said, /\n\/dev\/mmcblk0p2 \/ squashfs ro,/);
    assert.match(said, /\n\/dev\/mmcblk0p4 \/data ext4 rw,/);
    assert.match(said, /\nSoftware Watchdog\n/);
    assert.match(said, /\nlightmamba: exit 7\n(?:[^\n]*\n)*\[[ \d.]+\] reboot: Power down\n$/);
    assert.deepEqual(readVariables(used), NEW);

    const partition = join(folder, "used.ext4");
    writeFileSync(partition, readCard(used, data.offset, data.size));
    assert.match(run("e2fsck", "-fn", partition), /lm-data: 1[0-9]\/\d+ files/);
    assert.equal(run("debugfs", "-R", "cat /states/story.state", partition), "saved\n");
  });

  it("boots without data, and with U-Boot's variables damaged", async () => {
    const empty = changedCard(card, "empty", { copies: [0xff, 0x5a], bytes: [[data.offset, Buffer.alloc(8 << 20)]] });
    const said = await boot(system, empty, ASKED);
    assert.match(said, /\nlightmamba: no variables of U-Boot on the card: slot A first\n/);
    assert.match(said, /\nlightmamba: no partition lm-data on the card: no model\n/);
    assert.match(said, /\nlightmamba: exit 7\n/);
    assert.deepEqual(readVariables(empty), NEW);
  });

  it("keeps a good system that was on trial, and reads what it must not write", async () => {
    const at = data.offset + RO_COMPAT;
    const features = Buffer.alloc(4);
    features.writeUInt32LE((readCard(card, at, 4).readUInt32LE(0) | UNKNOWN_FEATURE) >>> 0);
    // The count goes from 255 to 0
    const copies = [
      { count: 0, variables: TRIAL },
      { count: 255, variables: NEW },
    ];
    const tried = changedCard(card, "tried", { inB: good, copies, bytes: [[at, features]] });
    const said = await boot(system, tried, ASKED);
    assert.match(said, /\nlightmamba: slot B, boots left after this one: 2\n/);
    assert.match(said, /\nslot B is on trial\n(?:.*\n)*<selftest>\nslot B has passed its trial: it stays\n<run>/);
    assert.match(
      said,
      /\nlightmamba: \/dev\/mmcblk0p4 is damaged and can only be read: repair it in another machine \(e2fsck\)/,
    );
    assert.match(said, /\n\/dev\/mmcblk0p3 \/ squashfs ro,/);
    assert.match(said, /\n\/dev\/mmcblk0p4 \/data ext4 ro,/);
    assert.deepEqual(readCopy(tried, 0), { count: 2, variables: { ...NEW, BOOT_ORDER: "B A" } });
    assert.equal(readCopy(tried, 1)?.count, 1);
  });

  it("boots the other system when a kernel cannot be read, by the copy of variables that is whole", async () => {
    const broken = makeSystem(parts, "no-kernel", PROGRAM, (root) => run("rm", join(root, "boot", "Image.gz")));
    const copies = [0x5a, { count: 7, variables: { ...TRIAL, BOOT_B_LEFT: "2" } }];
    const path = changedCard(card, "no-kernel", { inB: broken, copies });
    const said = await boot(system, path, ASKED);
    assert.match(said, /\nlightmamba: slot B, boots left after this one: 1\n/);
    assert.match(
      said,
      /\nlightmamba: slot B cannot be loaded\n(?:.*\n)*lightmamba: slot A, boots left after this one: 2/,
    );
    assert.match(said, /\nslot B did not start, its trial is over: this is slot A\n/);
    assert.match(said, /\n\/dev\/mmcblk0p2 \/ squashfs ro,/);
    assert.deepEqual(readVariables(path), { ...NEW, BOOT_B_LEFT: "0" });
  });

  it("starts anew with the other system when a root cannot be mounted", async () => {
    const copies = [{ count: 1, variables: { ...TRIAL, BOOT_B_LEFT: "1" } }];
    const bytes = [[slotB.offset + XATTR_TABLE, Buffer.alloc(8, 0x11)]] as const;
    const path = changedCard(card, "no-root", { inB: good, copies, bytes });
    const said = await boot(system, path, ASKED, true);
    assert.match(said, /\nlightmamba: slot B, boots left after this one: 0\n/);
    assert.match(said, /\nlightmamba: \/dev\/mmcblk0p3 is no root file system: write the card anew\n/);
    assert.match(said, /\nlightmamba: \/dev\/mmcblk0p2 holds a system too: starting anew\n/);
    assert.match(
      said,
      /\nlightmamba: slot A, boots left after this one: 2(?:.*\n)*slot B did not start, its trial is over: this is slot A\n/,
    );
    assert.match(said, /\nlightmamba: exit 7\n/);
    assert.deepEqual(readVariables(path), { ...NEW, BOOT_B_LEFT: "0" });
  });

  it("starts anew with the other system when one fails its self-test on trial", async () => {
    const failing = makeSystem(parts, "failing", "echo broken; exit 5\n");
    const path = changedCard(card, "failing", { inB: failing, copies: [{ count: 1, variables: TRIAL }] });
    const said = await boot(system, path, ASKED, true);
    assert.match(said, /\nslot B is on trial\n(?:.*\n)*broken\nslot B has failed its trial: back to slot A\n/);
    assert.match(said, /\nlightmamba: slot A, boots left after this one: 2(?:.*\n)*\/dev\/mmcblk0p2 \/ squashfs ro,/);
    assert.match(said, /\nlightmamba: exit 7\n/);
    assert.deepEqual(readVariables(path), { ...NEW, BOOT_B_LEFT: "0" });
  });

  it("starts anew when an initramfs is damaged", async () => {
    const damaged = makeSystem(parts, "no-initramfs", PROGRAM, (root) =>
      writeFileSync(join(root, "boot", "initramfs.cpio.gz"), Buffer.alloc(1 << 20, 0x5a)),
    );
    const copies = [{ count: 1, variables: { ...TRIAL, BOOT_B_LEFT: "1" } }];
    const path = changedCard(card, "no-initramfs", { inB: damaged, copies });
    // QEMU ends when the guest starts anew
    const said = await boot(system, path, ASKED);
    assert.match(said, /Kernel panic - not syncing: VFS: Unable to mount root fs(?:.*\n)*.*Rebooting in 5 seconds/);
    assert.deepEqual(readVariables(path), { ...TRIAL, BOOT_B_LEFT: "0" });
  });

  it("says which root it does not find", async () => {
    const other = changedCard(card, "other", { bytes: [[DISK_SIGNATURE, Buffer.from("efbeadde", "hex")]] });
    const said = await boot(system, other, ASKED);
    const names = "mmcblk0 mmcblk0p1 mmcblk0p2 mmcblk0p3 mmcblk0p4";
    const line = new RegExp(
      `\nlightmamba: no partition [0-9a-f]{8}-02 after 10 s; there are: ${names}\nlightmamba: exit 1\n`,
    );
    assert.match(said, line);
  });
});
