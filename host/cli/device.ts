/** Devices as the command line names them. */
import type { Command } from "commander";
import {
  buildAddon,
  buildName,
  buildSimulation,
  type Device,
  type MemoryPlace,
  openBoard,
  Simulator,
} from "../device/index.ts";
import { abortable } from "./interrupt.ts";
import { memoryPlaces } from "./options.ts";
import type { Output } from "./output.ts";

export interface BoardOptions {
  uio?: string;
  memory?: MemoryPlace[];
}

const DEFAULT_UIO = "/dev/uio0";
/** A command takes milliseconds on a board, but a simulator may play it. */
const TIMEOUT_MS = 60_000;

export function addBoardOptions(command: Command): Command {
  return command
    .option("--uio <node>", `with --device board: its UIO node (default: ${DEFAULT_UIO})`)
    .option(
      "--memory <place>",
      "with --device board: its memory, as file,address,bytes[,offset]; again for each further one (default: maps of the node)",
      memoryPlaces,
    );
}

/** Builds what a device needs, if anything; Ctrl-C ends it. */
export function buildFor(device: "rtl" | "board", ports: number, output: Output): Promise<void> {
  const say = (text: string) => output.note(text);
  return abortable((signal) =>
    device === "rtl" ? buildSimulation(buildName(ports), { say, signal }) : buildAddon({ say, signal }),
  );
}

/** Whoever opens it closes its memory. */
export function openNamedBoard({ uio = DEFAULT_UIO, memory }: BoardOptions): Device {
  return openBoard({ uio, ...(memory ? { memories: memory } : {}) }, { timeoutMs: TIMEOUT_MS });
}

/** For what needs little memory. */
export async function openAny(
  name: "rtl" | "board",
  options: BoardOptions,
  output: Output,
): Promise<{ device: Device; close: () => void }> {
  await buildFor(name, 1, output);
  if (name === "board") {
    const device = openNamedBoard(options);
    return { device, close: () => device.memory.close() };
  }
  const simulator = Simulator.start({ memoryBytes: 2 ** 24, timeoutMs: TIMEOUT_MS });
  return { device: simulator.device, close: () => simulator.close() };
}
