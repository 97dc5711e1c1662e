/**
 * QEMU's xlnx-versal-virt with a card in it: the machine of firmware/system/README.md. All that it shares with this process are descriptors, and
 * it ends with this process: nothing is left behind, whatever happens.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Duplex, Readable } from "node:stream";
import { BOARDS } from "../device/boards.generated.ts";
import { DeviceMemory, startOn, unnamedFile } from "../device/index.ts";
import { LightMambaError } from "../errors.ts";

/** Bytes of the guest's memory; U-Boot has its device tree at 1 GiB. */
const GUEST_MEMORY = 2 ** 31;
const DEVICE_TREE = "0x1000";
const BOOT_SCRIPT = "0x20000000";
const VARIABLES = "0x20010000";
/** Descriptors in QEMU. */
const FD = { memory: 3, card: 4, variables: 5, monitor: 6, qtest: 7 };

export interface MachineParts {
  /** Of firmware/system/build.mjs --board qemu. */
  system: string;
  /** Descriptors of files: GUEST_MEMORY bytes, which others may map; a card, whose size is a power of two; lines NAME=VALUE for U-Boot. */
  memory: number;
  card: number;
  variables: number;
  /** Whether a guest that starts anew does so in this machine; otherwise QEMU ends then. */
  restarts?: boolean;
}

export interface Machine {
  process: ChildProcess;
  console: Readable;
  messages: Readable;
  monitor: Duplex;
  qtest: Duplex;
}

const pathOf = (fd: number) => `/proc/self/fd/${fd}`;

export function startMachine({ system, memory, card, variables, restarts = false }: MachineParts): Machine {
  const load = (file: string, address: string) => ["-device", `loader,file=${file},addr=${address},force-raw=on`];
  const args = [
    ...["-M", "xlnx-versal-virt,memory-backend=ddr", "-m", String(GUEST_MEMORY / 2 ** 20)],
    ...["-object", `memory-backend-file,id=ddr,size=${GUEST_MEMORY},mem-path=${pathOf(FD.memory)},share=on`],
    ...["-accel", "tcg,thread=multi", "-display", "none", "-serial", "stdio", "-monitor", "none"],
    ...(restarts ? [] : ["-no-reboot"]),
    ...["-kernel", join(system, "u-boot.bin"), ...load(join(system, "system.dtb"), DEVICE_TREE)],
    ...load(join(system, "jtag.scr"), BOOT_SCRIPT),
    ...load(pathOf(FD.variables), VARIABLES),
    ...["-drive", `if=sd,index=1,format=raw,file=${pathOf(FD.card)}`],
    ...["-chardev", `socket,id=monitor,fd=${FD.monitor}`, "-mon", "chardev=monitor,mode=control"],
    ...["-chardev", `socket,id=qtest,fd=${FD.qtest}`, "-qtest", "chardev:qtest", "-qtest-log", "none"],
  ];
  const stdio = ["pipe", "pipe", "pipe", memory, card, variables, "pipe", "pipe"] as const;
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "qemu-system-aarch64", ...args], { stdio: [...stdio] });
  const [, console, messages, , , , monitor, qtest] = child.stdio as unknown[];
  for (const socket of [monitor, qtest]) (socket as Duplex).on("error", () => {});
  return { process: child, console, messages, monitor, qtest } as Machine;
}

/** A guest's memory, with the registers of the board's accelerator in it. */
export function guestMemory(): DeviceMemory {
  return DeviceMemory.create(BOARDS.qemu.registers.address, [{ address: 0, bytes: GUEST_MEMORY, offset: 0 }]);
}

/** A file of U-Boot's variables, with this at the end of the kernel's command line: docs/boot.md. */
export function variablesFile(cmdline: string): number {
  const fd = unnamedFile(tmpdir());
  writeSync(fd, `lightmamba=${cmdline}\n`);
  return fd;
}

/** The board's accelerator, simulated, on a guest's memory. Below 2 GiB the guest's addresses are offsets in the file. */
export function startAccelerator({ fd, registers }: DeviceMemory): ChildProcess {
  const regions = BOARDS.qemu.memories.map(({ address, bytes }) => ({ address, bytes, offset: address }));
  return startOn({ fd, registers, regions }, "top", BOARDS.qemu);
}

/** Interrupts of the accelerator reach the guest. */
export async function connectInterrupts(accelerator: ChildProcess, machine: Machine): Promise<void> {
  const raise = await interruptLine(machine);
  (accelerator.stdio[4] as Readable).on("data", raise);
}

/** The accelerator's interrupt in the guest, one edge a call. */
async function interruptLine({ monitor, qtest }: Machine): Promise<() => void> {
  const line = `set_irq_in ${await interruptController(monitor)} unnamed-gpio-in ${BOARDS.qemu.interrupt}`;
  // Its answers say OK
  qtest.resume();
  return () => void qtest.write(`${line} 1\n${line} 0\n`);
}

interface QomEntry {
  name: string;
  type: string;
}

/** Where the GIC is among QEMU's objects, which versions of QEMU may place elsewhere. */
async function interruptController(monitor: Duplex): Promise<string> {
  const lines = createInterface({ input: monitor })[Symbol.asyncIterator]();
  const ask = async (execute: string, args?: object): Promise<QomEntry[]> => {
    monitor.write(`${JSON.stringify({ execute, ...(args ? { arguments: args } : {}) })}\n`);
    for (;;) {
      const { value, done } = await lines.next();
      // QEMU has ended, and whoever watches it knows why
      if (done) return [];
      const answer = JSON.parse(value) as { return?: QomEntry[]; error?: { desc: string } };
      if (answer.error) throw new LightMambaError("bug", `QEMU: ${answer.error.desc}`);
      if (answer.return !== undefined) return answer.return;
    }
  };
  await ask("qmp_capabilities");
  const folders = (await ask("qom-list", { path: "/machine" })).filter(({ type }) => type.startsWith("child<"));
  for (const { name } of folders) {
    const found = (await ask("qom-list", { path: `/machine/${name}` })).find(({ type }) => type === "child<arm-gicv3>");
    if (found) return `/machine/${name}/${found.name}`;
  }
  if (folders.length === 0) return "nowhere";
  throw new LightMambaError("unsupported", "this QEMU's machine has no interrupt controller where it is looked for");
}
