/** Ways to a board: a socket of `lightmamba serve --listen`, or its console on a serial line. */
import { spawnSync } from "node:child_process";
import { closeSync, constants, openSync, statSync, writeSync } from "node:fs";
import { connect as connectSocket, type Socket } from "node:net";
import { ReadStream, WriteStream } from "node:tty";
import { LightMambaError } from "../errors.ts";
import { isProgramFailure, runProgram } from "../image/programs.ts";
import { BoardLines, type Pace } from "./lines.ts";

export interface Connection {
  lines: BoardLines;
  /** Lines that begin an update, in the order in which they are tried. */
  openings: readonly string[];
  /** From a signal handler: ends the update on the other side, as far as that is possible at once. */
  hangUp(): void;
  close(): Promise<void>;
}

export interface ConnectOptions {
  baud: number;
}

const CONNECT_MS = 10_000;
const SOCKET: Pace = { window: 8, pieceBytes: 24_576, answerMs: 120_000 };
/** Small pieces, that a damaged one is soon there again. */
const SERIAL_PIECE = 6144;
/** For the board to write it. */
const SERIAL_ANSWER_MS = 5000;
const SERIAL_QUIET_MS = 300;
const FLUSH_MS = 1000;
/** Whatever stands in the console's line before is erased: Ctrl-U. */
const ERASE = "\x15";

/** `unix:PATH`, `ADDRESS:PORT`, or the path of a serial line. */
export function connect(to: string, options: ConnectOptions): Promise<Connection> {
  if (to.startsWith("unix:")) return connectTo(to, { path: to.slice("unix:".length) });
  if (to.startsWith("/")) return openSerial(to, options);
  const [, host, port] = /^(.+):(\d{1,5})$/.exec(to) ?? [];
  if (host !== undefined && Number(port) <= 65_535)
    return connectTo(to, { host: host.replace(/^\[(.*)\]$/, "$1"), port: Number(port) });
  const expected = "unix:PATH, ADDRESS:PORT or a serial line such as /dev/ttyUSB0";
  throw new LightMambaError("usage", "not a way to a board", { field: "--to", expected, found: to });
}

// ------------------------------------------------------------------------------------------------ sockets

async function connectTo(to: string, where: { path: string } | { host: string; port: number }): Promise<Connection> {
  const socket = await opened(to, "path" in where ? connectSocket(where) : connectSocket({ ...where, noDelay: true }));
  return {
    lines: new BoardLines(to, SOCKET, socket, socket),
    openings: ["/update"],
    hangUp: () => {},
    close: async () => socket.destroySoon(),
  };
}

function opened(to: string, socket: Socket): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const fail = (why: string) => {
      socket.destroy();
      const hint = "is `lightmamba serve --listen` running there?";
      reject(new LightMambaError("device", `no board answers: ${why}`, { file: to, hint }));
    };
    const timer = setTimeout(() => fail(`no connection after ${CONNECT_MS / 1000} s`), CONNECT_MS);
    socket.once("error", (error) => {
      clearTimeout(timer);
      fail(error.message);
    });
    socket.once("connect", () => {
      clearTimeout(timer);
      resolve(socket);
    });
  });
}

// ------------------------------------------------------------------------------------------------ serial lines

async function openSerial(path: string, { baud }: ConnectOptions): Promise<Connection> {
  const before = await prepare(path, baud);
  const fd = openTerminal(path);
  const [input, output] = [new ReadStream(fd), new WriteStream(openTerminal(path))];
  const lineMs = (1000 * 10 * SERIAL_PIECE * 1.5) / baud;
  const pace: Pace = {
    window: 1,
    pieceBytes: SERIAL_PIECE,
    quietMs: SERIAL_QUIET_MS,
    answerMs: lineMs + SERIAL_ANSWER_MS,
  };
  return {
    lines: new BoardLines(path, pace, input, output),
    // In `serve`, or at the prompt
    openings: [`${ERASE}/update`, `${ERASE}update receive`],
    hangUp: () => hangUp(path, before),
    close: async () => {
      await flushed(output);
      input.destroy();
      output.destroy();
      await stty(path, before).catch(() => {});
    },
  };
}

/** Or so long that nobody seems to take it. */
function flushed(output: WriteStream): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, FLUSH_MS);
    output.write("", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Eight bits, no echo, no handshake, at this speed. Returns the settings that were there. */
async function prepare(path: string, baud: number): Promise<string[]> {
  const stats = statSync(path, { throwIfNoEntry: false });
  const hint = "ls /dev/serial/by-id";
  if (stats === undefined) throw new LightMambaError("device", "no such serial line", { file: path, hint });
  if (!stats.isCharacterDevice()) throw new LightMambaError("usage", "is no serial line", { file: path, hint });
  const before = (await stty(path, ["-g"])).trim();
  await stty(path, [...`${baud} raw -echo cs8 -cstopb -parenb -crtscts -ixon -hupcl clocal`.split(" ")]);
  return [before];
}

const STTY_FILE = process.platform === "darwin" ? "-f" : "-F";

async function stty(path: string, settings: string[]): Promise<string> {
  try {
    return (await runProgram("stty", [STTY_FILE, path, ...settings])).stdout;
  } catch (error) {
    if (!isProgramFailure(error)) throw error;
    throw serialFault(path, error.message);
  }
}

function openTerminal(path: string): number {
  try {
    return openSync(path, constants.O_RDWR | constants.O_NOCTTY);
  } catch (error) {
    throw serialFault(path, (error as Error).message);
  }
}

function serialFault(file: string, why: string): LightMambaError {
  const hint = "sudo, or as a member of the group dialout; and no terminal program on it";
  return new LightMambaError("device", `the serial line cannot be used: ${why}`, { file, hint });
}

/** Whatever line is under way ends. */
function hangUp(path: string, before: readonly string[]): void {
  try {
    const fd = openSync(path, constants.O_WRONLY | constants.O_NOCTTY | constants.O_NONBLOCK);
    writeSync(fd, "\nquit\n");
    closeSync(fd);
    spawnSync("stty", [STTY_FILE, path, ...before]);
  } catch {
    // The board finds out by itself
  }
}
