/** `lightmamba flash --model`: a new model onto a card that keeps its system and its states. docs/flash.md. */
import { type BoardModel, prepareById, shortHash } from "../board/data.ts";
import { fileSha256 } from "../checkpoint/sha256.ts";
import { LightMambaError } from "../errors.ts";
import { type Card, readCard } from "../flash/card.ts";
import { chooseDrive } from "../flash/choose.ts";
import { type ModelPhase, type PutModel, putModel } from "../flash/model.ts";
import { assertMayMount, withData } from "../flash/mount.ts";
import { withScratch } from "../image/scratch.ts";
import { runtimePath } from "../runtime/engine.ts";
import { BUNDLE_BOARDS } from "../update/manifest.ts";
import type { FlashOptions, FlashSurroundings } from "./commands/flash.ts";
import { ask, showDriveIn, size } from "./drive.ts";
import type { Output } from "./output.ts";
import { withState } from "./state.ts";

/** Of the card, should the work end there. */
const STATES: Record<ModelPhase | "none", string> = {
  none: "the card is as it was",
  write: "the card has the model that it had",
  verify: "the card has the model that it had",
  switch: "the card has the model that it had, and may have the new one as a candidate",
};

export async function flashModel(
  dir: string,
  options: FlashOptions,
  output: Output,
  surroundings: FlashSurroundings,
): Promise<void> {
  const { list, open, confirm } = surroundings;
  const drive = chooseDrive(await list(), options.drive, dir);
  if (options.dryRun !== true) assertMayMount();
  const card = await readCard(drive);
  assertRuntime(card, dir);
  await withScratch(async (folder) => {
    output.note(`preparing ${dir} for ${card.board}`);
    const model = prepareById(dir, folder, { board: boardOf(card) });
    if (!output.json) showPlan(dir, model, card, output);
    if (options.dryRun === true) {
      if (output.json) output.record({ ...planOf(model, card), dryRun: true });
      else output.line("nothing was written: --dry-run");
      return;
    }
    const what = `The model ${dir} goes to ${drive.path}; its system and its states stay.`;
    if (options.yes !== true) await ask(what, drive, output, confirm);
    // Nobody uses it, and it is still the same
    await (await open(drive, list)).close();
    report(dir, model, card, await put(model, card, output, surroundings), output);
  });
}

/** The card's systems take models of their own runtime alone, and this program prepares them for its own. */
function assertRuntime({ drive, systems }: Card, dir: string): void {
  const own = shortHash(fileSha256(runtimePath("relaxed")));
  if (systems.some(({ runtime }) => runtime === own)) return;
  throw new LightMambaError("verification", "the card's system has another runtime than this program", {
    file: drive.path,
    expected: `runtime ${own}, for ${dir}`,
    found: systems.map(({ name, runtime }) => `${runtime} in ${name}`).join(", "),
    hint: "write the whole image, or bring system and model in a bundle: docs/update.md",
  });
}

function boardOf({ drive, board }: Card) {
  const known = BUNDLE_BOARDS.find((one) => one === board);
  if (known !== undefined) return known;
  const detail = { file: drive.path, expected: BUNDLE_BOARDS.join(" or "), found: board };
  throw new LightMambaError("unsupported", "a card for a board that is not known here", detail);
}

function showPlan(dir: string, model: BoardModel, card: Card, output: Output): void {
  const systems = card.systems.map(({ name, runtime }) => `${name} ${runtime}`).join(", ");
  output.line(`model  ${dir}: ${model.id}, ${size(model.bytes)}, for runtime ${model.runtime}`);
  showDriveIn(card.drive, output);
  output.line(`       a card for ${card.board}, with the runtimes: ${systems}`);
}

function planOf({ id, runtime, bytes }: BoardModel, { drive, board, systems }: Card) {
  return { model: { id, runtime, bytes }, drive, board, systems };
}

function put(model: BoardModel, card: Card, output: Output, { pause }: FlashSurroundings): Promise<PutModel> {
  return withState(card.drive.path, STATES, "none", output, ({ reached, progress }) => {
    const paused = async (phase: ModelPhase, done: number, total: number) => {
      reached(phase);
      if (phase !== "switch") progress(phase, done, total);
      await pause(phase, done, total);
    };
    return withData(card, (data) => putModel(data, model, { pause: paused }));
  });
}

function report(dir: string, model: BoardModel, card: Card, done: PutModel, output: Output): void {
  if (output.json) {
    output.record({ ...planOf(model, card), ...done });
    return;
  }
  const where = `${dir} is on ${card.drive.path}: ${size(done.bytesWritten)} written, read back, and the same`;
  output.line(where);
  output.line(
    done.already
      ? "it was the card's model already"
      : "the board tests it at its next start, and keeps the model that it has where that fails",
  );
}
