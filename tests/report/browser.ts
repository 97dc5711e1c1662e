/** A headless Chromium, by its DevTools protocol over pipes: messages of JSON, each ended by a zero byte. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { setTimeout as wait } from "node:timers/promises";

/** Debian's packages chromium-headless-shell and chromium; what others call it. */
const PROGRAMS = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];

const program = PROGRAMS.find((name) => spawnSync(name, ["--version"]).status === 0);

/** Why there is none. */
export const noBrowser = program === undefined && "no chromium-headless-shell (firmware/tools/install.sh installs it)";

/** For an answer, on a busy machine. */
const PATIENCE_MS = 120_000;

const FLAGS = [
  ...["--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage"],
  // As root there is none; it opens a file that we made, and the network is off
  "--no-sandbox",
  ...["--disable-extensions", "--disable-background-networking", "--hide-scrollbars", "--force-device-scale-factor=1"],
];

interface Message {
  id?: number;
  method?: string;
  params?: { [name: string]: unknown };
  result?: { [name: string]: unknown };
  error?: { message: string };
  sessionId?: string;
}

export interface Event {
  method: string;
  params: { [name: string]: unknown };
}

export class Browser {
  readonly #process: ChildProcess;
  readonly #folder: string;
  readonly #waiting = new Map<number, { resolve(result: object): void; reject(error: Error): void }>();
  /** Everything that was reported, in order. */
  readonly events: Event[] = [];
  #next = 1;
  #rest = "";
  #session: string | undefined;

  private constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), "lightmamba-browser-"));
    const flags = [...FLAGS, `--user-data-dir=${this.#folder}`, "about:blank"];
    // A group of its own: what is called chromium may be a shell script that starts it
    const stdio = ["ignore", "ignore", "ignore", "pipe", "pipe"] as const;
    this.#process = spawn(program!, flags, { stdio: [...stdio], detached: true });
    process.once("exit", () => this.#kill());
    const input = this.#process.stdio[4] as Readable;
    input.setEncoding("utf8").on("data", (text: string) => this.#take(text));
    (this.#process.stdio[3] as Writable).on("error", () => this.#end());
    this.#process.on("exit", () => this.#end());
  }

  static async start(): Promise<Browser> {
    const browser = new Browser();
    const { targetId } = (await browser.send("Target.createTarget", { url: "about:blank" })) as { targetId: string };
    const attached = await browser.send("Target.attachToTarget", { targetId, flatten: true });
    browser.#session = (attached as { sessionId: string }).sessionId;
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await browser.send(`${domain}.enable`);
    return browser;
  }

  #take(text: string): void {
    const [last, ...whole] = (this.#rest + text).split("\0").reverse() as [string, ...string[]];
    this.#rest = last;
    for (const one of whole.reverse()) this.#receive(JSON.parse(one) as Message);
  }

  #receive({ id, method, params = {}, result = {}, error }: Message): void {
    if (method !== undefined) this.events.push({ method, params });
    const waiting = id === undefined ? undefined : this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id!);
    if (error === undefined) waiting.resolve(result);
    else waiting.reject(new Error(error.message));
  }

  send(method: string, params: object = {}): Promise<object> {
    const id = this.#next++;
    const message = { id, method, params, ...(this.#session !== undefined && { sessionId: this.#session }) };
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${method}: no answer in ${PATIENCE_MS} ms`)), PATIENCE_MS);
      const settle =
        <T>(how: (value: T) => void) =>
        (value: T) => {
          clearTimeout(late);
          how(value);
        };
      this.#waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
      (this.#process.stdio[3] as Writable).write(`${JSON.stringify(message)}\0`);
    });
  }

  /** Until the page has loaded. */
  async open(url: string): Promise<void> {
    const before = this.events.length;
    const until = performance.now() + PATIENCE_MS;
    await this.send("Page.navigate", { url });
    while (!this.events.slice(before).some(({ method }) => method === "Page.loadEventFired")) {
      if (performance.now() > until) throw new Error(`${url}: not loaded in ${PATIENCE_MS} ms`);
      await wait(20);
    }
  }

  /** The value of an expression in the page, as JSON has it. */
  async evaluate<T>(expression: string): Promise<T> {
    const answer = (await this.send("Runtime.evaluate", { expression, returnByValue: true })) as {
      result: { value: T };
      exceptionDetails?: { text: string; exception?: { description: string } };
    };
    const { exceptionDetails: wrong, result } = answer;
    if (wrong !== undefined) throw new Error(wrong.exception?.description ?? wrong.text);
    return result.value;
  }

  async show(width: number, scheme: "light" | "dark", media: "screen" | "print" = "screen"): Promise<void> {
    const size = { width, height: 900, deviceScaleFactor: 1, mobile: false };
    await this.send("Emulation.setDeviceMetricsOverride", size);
    const features = [{ name: "prefers-color-scheme", value: scheme }];
    await this.send("Emulation.setEmulatedMedia", { media, features });
  }

  /** Of the whole page. */
  async screenshot(): Promise<Buffer> {
    const options = { format: "png", captureBeyondViewport: true };
    const { data } = (await this.send("Page.captureScreenshot", options)) as { data: string };
    return Buffer.from(data, "base64");
  }

  async pdf(): Promise<Buffer> {
    const options = { printBackground: true, preferCSSPageSize: true };
    const { data } = (await this.send("Page.printToPDF", options)) as { data: string };
    return Buffer.from(data, "base64");
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#kill();
    await ended;
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  #end(): void {
    for (const { reject } of this.#waiting.values()) reject(new Error("the browser has ended"));
    this.#waiting.clear();
  }

  #kill(): void {
    try {
      process.kill(-this.#process.pid!, "SIGKILL");
    } catch {
      // gone already
    }
  }
}
