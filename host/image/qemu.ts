/** QEMU's xlnx-versal-virt with a card in it: the machine of firmware/system/README.md. */
import { type ChildProcess, spawn } from "node:child_process";
import { createConnection, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { LightMambaError } from "../errors.ts";

/** Guest memory; U-Boot has its device tree at 1 GiB. */
export const GUEST_MEMORY = 2 ** 31;
/** PL_PS_GRP0_IRQ_0 as the GIC counts its shared interrupts. */
const INTERRUPT = 84;
const BOOT_SCRIPT = "0x20000000";
const VARIABLES = "0x20010000";

export interface Machine {
  /** Of firmware/system/build.mjs --board qemu. */
  system: string;
  /** A file of GUEST_MEMORY bytes, which others may map. */
  memory: string;
  /** Its size is a power of two. */
  card: string;
  /** Lines NAME=VALUE for U-Boot. */
  variables: string;
  /** Folder for sockets. */
  folder: string;
}

export function startMachine({ system, memory, card, variables, folder }: Machine): ChildProcess {
  const loader = (file: string, address: string) => ["-device", `loader,file=${file},addr=${address},force-raw=on`];
  const args = [
    ...["-M", "xlnx-versal-virt,memory-backend=ddr", "-m", String(GUEST_MEMORY / 2 ** 20)],
    ...["-object", `memory-backend-file,id=ddr,size=${GUEST_MEMORY},mem-path=${memory},share=on`],
    ...[
      "-accel",
      "tcg,thread=multi",
      "-display",
      "none",
      "-serial",
      "stdio",
      "-monitor",
      "none",
      "-no-reboot",
      "-nic",
      "none",
    ],
    ...["-kernel", join(system, "u-boot.bin"), ...loader(join(system, "system.dtb"), "0x1000")],
    ...loader(join(system, "jtag.scr"), BOOT_SCRIPT),
    ...loader(variables, VARIABLES),
    ...["-drive", `if=sd,index=1,format=raw,file=${card}`],
    ...["-qmp", `unix:${join(folder, "qmp")},server=on,wait=off`],
    ...["-qtest", `unix:${join(folder, "qtest")},server=on,wait=off`, "-qtest-log", "none"],
  ];
  return spawn("qemu-system-aarch64", args, { stdio: ["ignore", "pipe", "pipe"] });
}

/** Raises the accelerator's interrupt in the guest, one edge a call. */
export class InterruptLine {
  readonly #socket: Socket;
  readonly #line: string;

  private constructor(socket: Socket, line: string) {
    this.#socket = socket;
    this.#line = line;
    // Its answers say OK
    socket.resume();
  }

  static async open(folder: string): Promise<InterruptLine> {
    const path = await interruptController(join(folder, "qmp"));
    const socket = await connect(join(folder, "qtest"));
    return new InterruptLine(socket, `set_irq_in ${path} unnamed-gpio-in ${INTERRUPT}`);
  }

  raise(): void {
    this.#socket.write(`${this.#line} 1\n${this.#line} 0\n`);
  }

  close(): void {
    this.#socket.destroy();
  }
}

interface QomEntry {
  name: string;
  type: string;
}

/** Where the GIC is among QEMU's objects, which versions of QEMU may place elsewhere. */
async function interruptController(qmp: string): Promise<string> {
  const socket = await connect(qmp);
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  const ask = async (execute: string, args?: object): Promise<QomEntry[]> => {
    socket.write(`${JSON.stringify({ execute, ...(args ? { arguments: args } : {}) })}\n`);
    for (;;) {
      const { value, done } = await lines.next();
      if (done) throw new LightMambaError("bug", "QEMU ended its monitor");
      const answer = JSON.parse(value) as { return?: QomEntry[]; error?: { desc: string } };
      if (answer.error) throw new LightMambaError("bug", `QEMU: ${answer.error.desc}`);
      if (answer.return !== undefined) return answer.return;
    }
  };
  try {
    await ask("qmp_capabilities");
    for (const folder of (await ask("qom-list", { path: "/machine" })).filter(({ type }) =>
      type.startsWith("child<"),
    )) {
      const path = `/machine/${folder.name}`;
      const found = (await ask("qom-list", { path })).find(({ type }) => type === "child<arm-gicv3>");
      if (found) return `${path}/${found.name}`;
    }
    throw new LightMambaError("unsupported", "this QEMU's machine has no interrupt controller where it is looked for");
  } finally {
    socket.destroy();
  }
}

const PATIENCE_MS = 10_000;

/** QEMU makes its sockets a moment after it has started. */
async function connect(path: string): Promise<Socket> {
  for (const start = Date.now(); ; await new Promise((resolve) => setTimeout(resolve, 20))) {
    const socket = createConnection(path);
    const error = await new Promise<Error | undefined>((resolve) => {
      socket.once("connect", () => resolve(undefined)).once("error", resolve);
    });
    if (error === undefined) return socket.on("error", () => {});
    if (Date.now() - start > PATIENCE_MS) throw new LightMambaError("bug", `QEMU does not answer: ${error.message}`);
  }
}
