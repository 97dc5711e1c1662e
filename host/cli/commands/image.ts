import { existsSync } from "node:fs";
import type { Command } from "commander";
import { EXIT, type ExitName, LightMambaError } from "../../errors.ts";
import { bootImage, type Milestone } from "../../image/boot.ts";
import { type BuiltImage, buildImage, IMAGE_BOARDS, type ImageBoard } from "../../image/build.ts";
import type { StepOptions } from "../../image/components.ts";
import { type InspectedImage, inspectImage } from "../../image/inspect.ts";
import { verifyImage } from "../../image/verify.ts";
import { EMBEDDED_MODEL, modelDir } from "../../package.ts";
import { defineCommand } from "../command.ts";
import { abortable } from "../interrupt.ts";
import { integer, oneOf } from "../options.ts";
import type { Output } from "../output.ts";

interface BuildOptions {
  board: ImageBoard;
  /** False: --no-model. */
  model: string | false;
  bootBin?: string;
  basePdi?: string;
  updateKey?: string;
  output: string;
}

interface BootOptions {
  device: "rtl" | "wasm";
  prompt: string;
  tokens: number;
  seed: number;
  timeout: number;
}

export function define(output: Output): Command {
  return defineCommand("image", "Build, examine and boot SD card images for a board.", [
    ["a card for QEMU", "image build --board qemu -o sdcard.img"],
    ["and what it writes there", "image boot sdcard.img --device wasm"],
  ])
    .addCommand(defineBuild(output))
    .addCommand(defineInspect(output))
    .addCommand(defineVerify(output))
    .addCommand(defineBoot(output));
}

function defineBuild(output: Output): Command {
  return defineCommand("build", "Build an SD card image.", [
    ["a card for QEMU, with the embedded model", "image build --board qemu -o sdcard.img"],
    ["one that takes updates of this key", "image build --board qemu --update-key update.pub -o sdcard.img"],
    [
      "for the board, with what Vivado made",
      "image build --board vck190 --model my-w4a4 --base-pdi base.pdi -o sdcard.img",
    ],
  ])
    .requiredOption("--board <name>", `for which board: ${IMAGE_BOARDS.join(" or ")}`, oneOf(IMAGE_BOARDS))
    .option("-m, --model <dir>", "model directory to put on it", EMBEDDED_MODEL)
    .option("--no-model", "leave the data partition empty")
    .option("--boot-bin <file>", "a BOOT.BIN to put on it as it is")
    .option("--base-pdi <file>", "the PDI that Vivado made: BOOT.BIN is packed from it")
    .option("--update-key <file>", "public keys of `bundle keygen`, whose updates it takes; default: it takes none")
    .requiredOption("-o, --output <file>", "image to write; beside it .bmap, .sha256 and .manifest.json")
    .action((options: BuildOptions) => build(options, output));
}

async function build(options: BuildOptions, output: Output): Promise<void> {
  const { board, model, bootBin, basePdi, updateKey } = options;
  if (bootBin !== undefined && basePdi !== undefined)
    throw usage("--base-pdi", "not beside --boot-bin, which is complete");
  for (const [field, file] of [
    ["--boot-bin", bootBin],
    ["--base-pdi", basePdi],
    ["--update-key", updateKey],
  ] as const)
    if (file !== undefined && !existsSync(file)) throw usage(field, "no such file", file);
  const built = await interruptible(output, (step) =>
    buildImage(options.output, {
      ...step,
      board,
      ...(model === false ? {} : { model: modelDir(model) }),
      ...(bootBin === undefined ? {} : { bootBin }),
      ...(basePdi === undefined ? {} : { basePdi }),
      ...(updateKey === undefined ? {} : { updateKey }),
    }),
  );
  showBuilt(built, output);
}

function showBuilt({ image, bytes, sha256, boots, manifest }: BuiltImage, output: Output): void {
  if (output.json) output.record({ image, bytes, sha256, boots, components: manifest.components.length });
  else {
    output.line(`${image}: ${(bytes / 1e6).toFixed(1)} MB, sha256 ${sha256}`);
    output.line(`${image}.bmap, .sha256, .manifest.json: ${manifest.components.length} components with their licences`);
  }
  if (boots) return;
  output.warn(
    "no BOOT.BIN on it: a VCK190 does not start from this card yet. What only Vivado can make is the base PDI, with",
  );
  output.warn(
    "platform management, memory controllers and the accelerator's logic: docs/board.md; then add --base-pdi.",
  );
}

function defineInspect(output: Output): Command {
  return defineCommand("inspect", "Show what is in an image.", [
    ["partitions, files, model", "image inspect sdcard.img"],
  ])
    .argument("<image>", "image file")
    .action(async (image: string) => {
      const found = await abortable((signal) => inspectImage(image, signal));
      if (output.json) output.record(found);
      else showInspected(found, output);
    });
}

function showInspected({ partitions, manifest, models }: InspectedImage, output: Output): void {
  for (const { name, offset, size, kind, label, files } of partitions) {
    const place = `${(size / 2 ** 20).toFixed(1)} MiB from ${offset / 2 ** 20} MiB on`;
    output.line(
      output.style(
        "bold",
        `${name}: ${kind ?? (name === "system-b" ? "empty" : "unknown")}${label ? ` ${label}` : ""}, ${place}`,
      ),
    );
    const plain = files.filter(({ link }) => link === undefined);
    for (const { path, bytes } of plain) output.line(`  ${String(bytes).padStart(10)}  ${path}`);
    if (plain.length < files.length) output.line(`              and ${files.length - plain.length} symbolic links`);
  }
  output.line(
    output.style("bold", manifest ? `made by ${manifest.generator} for ${manifest.board}, of` : "no manifest"),
  );
  for (const { name, version, licence } of manifest?.components ?? [])
    output.line(`  ${`${name} ${version}`.padEnd(40)} ${licence}`);
  if (models.length === 0) output.line("model: none");
  for (const { id, generator, board, runtime, candidate } of models)
    output.line(`model: ${id}, ${generator}, for ${board}, ${runtime}${candidate ? ", not yet confirmed" : ""}`);
}

function defineVerify(output: Output): Command {
  return defineCommand("verify", "Check an image: partitions, file systems, every file, the model.", [
    ["against its manifest", "image verify sdcard.img"],
  ])
    .argument("<image>", "image file; .manifest.json and .sha256 beside it are used where they are")
    .option("--board <name>", "fail where the image is for another board", oneOf(IMAGE_BOARDS))
    .action(async (image: string, { board }: { board?: ImageBoard }) => {
      const checks = await interruptible(output, (step) =>
        verifyImage(image, { ...step, ...(board ? { board } : {}) }),
      );
      if (output.json) output.record({ image, ok: true, checks });
      else for (const check of checks) output.line(`${output.style("green", "ok")}    ${check}`);
    });
}

function defineBoot(output: Output): Command {
  return defineCommand("boot", "Boot an image in QEMU and generate text there.", [
    ["on the accelerator's RTL", 'image boot sdcard.img --device rtl --prompt "Once upon a time" -n 16'],
    ["on the emulated processor alone", "image boot sdcard.img --device wasm -n 32"],
  ])
    .argument("<image>", "image file; it is not changed")
    .option("--board <name>", "which machine: qemu", oneOf(["qemu"]), "qemu")
    .option(
      "--device <name>",
      "where the board computes: rtl, the accelerator in simulation, or wasm",
      oneOf(["rtl", "wasm"]),
      "rtl",
    )
    .option("--prompt <text>", "text to continue", "Once upon a time")
    .option("-n, --tokens <count>", "how many tokens to generate at most", integer({ min: 1, max: 1 << 20 }), 16)
    .option("--seed <number>", "seed of the sampler", integer({ min: 0, max: 0xffff_ffff }), 0)
    .option("--timeout <seconds>", "give up then", integer({ min: 1, max: 86_400 }), 300)
    .action((image: string, options: BootOptions) => boot(image, options, output));
}

/** What the board's `run --json` writes, a line each. */
interface Said {
  id?: number;
  text?: string;
  summary?: { tokens: number; tokensPerSecond: number; cyclesPerToken?: number };
  error?: { message: string };
}

async function boot(image: string, options: BootOptions, output: Output): Promise<void> {
  const { device, prompt, tokens, seed, timeout } = options;
  const words = ["--json", "--device", device === "rtl" ? "board" : "wasm", "--seed", `${seed}`, "-n", `${tokens}`];
  const command = ["run", ...words, "--", prompt];
  const screen = new Screen(prompt, output);
  const { exit, timeline } = await interruptible(output, (step) =>
    bootImage(image, { ...step, device, command, timeoutSeconds: timeout, onLine: (line) => screen.show(line) }),
  );
  if (output.json) output.record({ exit, timeline });
  else output.note(output.style("dim", formatTimeline(timeline)));
  if (exit === 0) return;
  const found = exit === undefined ? "it switched off without a word" : `exit code ${exit}`;
  const what = screen.error ?? "the board's program failed";
  throw new LightMambaError(exitNameOf(exit), what, { file: image, expected: "exit code 0", found });
}

/** The board's program has the exit codes of this one. */
function exitNameOf(code: number | undefined): ExitName {
  const names = Object.keys(EXIT) as ExitName[];
  return names.find((name) => name !== "ok" && EXIT[name] === code) ?? "device";
}

/** Generated text goes to standard output, the rest of the console to standard error. */
class Screen {
  /** The board's own. */
  error: string | undefined;
  readonly #prompt: string;
  readonly #output: Output;
  #writing = false;

  constructor(prompt: string, output: Output) {
    this.#prompt = prompt;
    this.#output = output;
  }

  show(line: string): void {
    const said = saidIn(line);
    this.error ??= said?.error?.message;
    if (this.#output.json) {
      if (said !== undefined && said.error === undefined) this.#output.record(said);
    } else if (said?.text !== undefined) this.#write(said.text);
    else this.#remark(said?.summary === undefined ? line : formatSummary(said.summary));
  }

  #write(text: string): void {
    if (!this.#writing) this.#output.data(this.#prompt);
    this.#writing = true;
    this.#output.data(text);
  }

  #remark(line: string): void {
    if (this.#writing) this.#output.line();
    this.#writing = false;
    this.#output.note(line);
  }
}

function formatSummary({ tokens, tokensPerSecond, cyclesPerToken }: NonNullable<Said["summary"]>): string {
  const cycles = cyclesPerToken === undefined ? "" : `, ${cyclesPerToken} cycles a token`;
  return `[${tokens} tokens, ${tokensPerSecond.toFixed(1)} tok/s in the emulator${cycles}]`;
}

/** Anything may be on the console. */
function saidIn(line: string): Said | undefined {
  if (!/^\{"(id|summary|error)":/.test(line)) return undefined;
  try {
    return JSON.parse(line) as Said;
  } catch {
    return undefined;
  }
}

function formatTimeline(timeline: readonly Milestone[]): string {
  return `[${timeline.map(({ name, seconds }) => `${name} ${seconds.toFixed(1)} s`).join(", ")}]`;
}

/** Ctrl-C ends what is under way, and its parts are removed. */
function interruptible<T>(output: Output, action: (step: StepOptions) => Promise<T>): Promise<T> {
  return abortable((signal) => action({ say: (text) => output.note(text), signal }));
}

function usage(field: string, what: string, found?: string): LightMambaError {
  return new LightMambaError("usage", what, { field, ...(found === undefined ? {} : { found }) });
}
