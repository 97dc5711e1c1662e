import { type Command, InvalidArgumentError } from "commander";
import { modelDir, packageVersion } from "../../package.ts";
import type { BundleHead } from "../../update/header.ts";
import { generateKeys, readPublicKeys, readSigningKey } from "../../update/keys.ts";
import { BUNDLE_BOARDS, type BundleManifest, isTitle } from "../../update/manifest.ts";
import { openBundle, verifyBundle } from "../../update/read.ts";
import { createBundle } from "../../update/write.ts";
import { defineCommand } from "../command.ts";
import { abortable } from "../interrupt.ts";
import { oneOf } from "../options.ts";
import type { Output } from "../output.ts";
import { withProgress } from "../progress.ts";

interface CreateOptions {
  board?: BundleManifest["board"];
  system?: string;
  model?: string;
  title?: string;
  key: string;
  output: string;
}

export function define(output: Output): Command {
  return defineCommand("bundle", "Make and check update bundles: a model, a system, or both, signed.", [
    ["a key, whose public part goes into the image", "bundle keygen -o update.key"],
    ["a new model", "bundle create --board vck190 --model my-w4a4 --key update.key -o model.lmb"],
    ["and onto a board", "update model.lmb --to /dev/ttyUSB0"],
  ])
    .addCommand(defineKeygen(output))
    .addCommand(defineCreate(output))
    .addCommand(defineInspect(output))
    .addCommand(defineVerify(output));
}

function defineKeygen(output: Output): Command {
  return defineCommand("keygen", "Make a key to sign bundles with.", [
    ["update.key to keep, update.pub for `image build --update-key`", "bundle keygen -o update.key"],
  ])
    .requiredOption("-o, --output <file>", "private key to write; the public one lies beside it as .pub")
    .action(({ output: path }: { output: string }) => {
      const { publicPath, id } = generateKeys(path, `lightmamba ${packageVersion()}`);
      if (output.json) return output.record({ key: path, publicKey: publicPath, id });
      output.line(`${path}: keep it to yourself; whoever has it can update every board that knows ${publicPath}`);
      output.line(`${publicPath}: key ${id}, for lightmamba image build --update-key`);
    });
}

function defineCreate(output: Output): Command {
  return defineCommand("create", "Make a bundle of a model, a system, or both.", [
    ["a new model", "bundle create --board vck190 --model my-w4a4 --key update.key -o model.lmb"],
    [
      "a new system with the model for it",
      "bundle create --system sdcard.img --model my-w4a4 --key update.key -o all.lmb",
    ],
  ])
    .option(
      "--board <name>",
      `for which board: ${BUNDLE_BOARDS.join(" or ")}; default: the system's`,
      oneOf(BUNDLE_BOARDS),
    )
    .option("--system <image>", "image of `image build`, whose system is taken")
    .option("-m, --model <dir>", "model directory")
    .option("--title <text>", "what to say it is, in a line; default: its versions", title)
    .requiredOption("-k, --key <file>", "private key of `bundle keygen`")
    .requiredOption("-o, --output <file>", "bundle to write")
    .action((options: CreateOptions) => create(options, output));
}

function title(text: string): string {
  if (isTitle(text)) return text;
  throw new InvalidArgumentError("Expected a line of at most 200 characters.");
}

async function create({ key, model, output: path, ...options }: CreateOptions, output: Output): Promise<void> {
  const signing = readSigningKey(key);
  const progress = output.progress("bundle");
  const make = (signal: AbortSignal) =>
    createBundle(path, {
      ...options,
      ...(model === undefined ? {} : { model: modelDir(model) }),
      key: signing,
      signal,
      progress: progress.update,
    });
  const made = await withProgress(progress, () => abortable(make));
  if (output.json) return output.record({ ...made, key: signing.id.toString("hex") });
  output.line(
    `${made.bundle}: ${(made.bytes / 1e6).toFixed(1)} MB, ${made.manifest.title}, for ${made.manifest.board}`,
  );
}

function defineInspect(output: Output): Command {
  return defineCommand("inspect", "Show what a bundle says it is; checks no signature.", [
    ["its parts, its files, the key", "bundle inspect model.lmb"],
  ])
    .argument("<bundle>", "bundle file")
    .action((path: string) => {
      const bundle = openBundle(path);
      bundle.file.close();
      if (output.json) output.record({ bundle: path, key: keyOf(bundle.head), manifest: bundle.head.manifest });
      else show(bundle.head, output);
    });
}

const keyOf = ({ keyId }: BundleHead) => keyId.toString("hex");

function show(head: BundleHead, output: Output): void {
  const { board, title, system, model, files } = head.manifest;
  output.line(`${output.style("bold", title)}, for ${board}, key ${keyOf(head)}`);
  if (system !== undefined) output.line(`system ${system.version}, runtime ${system.runtime}`);
  if (model !== undefined) output.line(`model ${model.id}, for runtime ${model.runtime}`);
  for (const { path, bytes, sha256 } of files)
    output.line(`  ${String(bytes).padStart(10)}  ${path}  ${sha256.slice(0, 12)}`);
}

function defineVerify(output: Output): Command {
  return defineCommand("verify", "Check a bundle: its form, its signature, every byte.", [
    ["with the key that the board has", "bundle verify model.lmb --key update.pub"],
  ])
    .argument("<bundle>", "bundle file")
    .requiredOption("-k, --key <file>", "public keys, as `image build --update-key` takes them")
    .action((path: string, { key }: { key: string }) => verify(path, key, output));
}

async function verify(path: string, key: string, output: Output): Promise<void> {
  const keys = readPublicKeys(key);
  const progress = output.progress("check");
  const head = await withProgress(progress, () => verifyBundle(path, keys, progress.update));
  const { manifest } = head;
  const checks = [
    `signature: of key ${keyOf(head)}`,
    `files: ${manifest.files.length} as they were signed`,
    ...(manifest.system ? [`system: ${manifest.system.version}, runtime ${manifest.system.runtime}`] : []),
    ...(manifest.model ? [`model: ${manifest.model.id}, for runtime ${manifest.model.runtime}`] : []),
  ];
  if (output.json) output.record({ bundle: path, ok: true, checks });
  else for (const check of checks) output.line(`${output.style("green", "ok")}    ${check}`);
}
