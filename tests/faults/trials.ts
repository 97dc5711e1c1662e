/** All that is tried on a board, each on a card of its own. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { buildSimulation } from "../../host/device/index.ts";
import { succeed } from "../cli/lightmamba.ts";
import { build } from "../firmware.ts";
import { Random } from "../oracle/random.ts";
import { Board } from "./board.ts";
import { Card } from "./card.ts";
import { type Activity, cutPower, type Found, generating, saving, updatingModel, updatingSystem } from "./cuts.ts";
import { FAULTS, type Fault } from "./damage.ts";
import { soak } from "./soak.ts";
import { storyOf } from "./story.ts";

const CARD_BYTES = 2 ** 28;
const MODEL = "models/tiny-w4a4";

/** What trials share. */
export interface Workshop {
  folder: string;
  /** Of firmware/system/build.mjs --board qemu. */
  system: string;
  /** As image build makes it, with bundles on its data partition: a.lmb and b.lmb with models, system.lmb. */
  card: Card;
  /** Of the models a, which the card has, and b. */
  stories: { a: string[]; b: string[] };
}

export interface Options {
  tries: number;
  tokens: number;
  seed: number;
  say: (text: string) => void;
}

export interface Result {
  name: string;
  tried: number;
  /** In a few words → how often. */
  found: Found;
  /** Saved states, models, systems that are gone; undefined: it failed, and nobody knows. */
  lost?: number;
  /** Why it ended. */
  failure?: string;
}

export interface Trial {
  name: string;
  /** Whether it needs the accelerator's simulation. */
  simulation: boolean;
  run(workshop: Workshop, options: Options): Promise<Result>;
}

const cut = (name: string, activity: (workshop: Workshop) => Activity): Trial => ({
  name: `power cut: ${name}`,
  simulation: false,
  run: (workshop, options) =>
    onCard(`power cut: ${name}`, workshop, async (card) => {
      const place = { system: workshop.system, card: card.path };
      const found = await cutPower(activity(workshop), place, { ...options, random: new Random(options.seed) });
      return { tried: options.tries, found };
    }),
});

const fault = ({ name, cmdline, accelerator, restarts, damage, prove }: Fault): Trial => ({
  name,
  simulation: accelerator !== undefined,
  run: (workshop) =>
    onCard(name, workshop, async (card) => {
      damage?.(card);
      const { system, stories } = workshop;
      const more = { ...(accelerator ? { accelerator } : {}), ...(restarts ? { restarts } : {}) };
      const board = new Board({ system, card: card.path, cmdline, ...more });
      try {
        return { tried: 1, found: { [await prove(board, stories.a)]: 1 } };
      } finally {
        await board.cut();
      }
    }),
});

export const TRIALS: readonly Trial[] = [
  cut("generating", ({ stories }) => generating(stories.a)),
  cut("saving a state", ({ stories }) => saving(stories.a)),
  cut("model update", ({ stories }) => updatingModel(stories)),
  cut("system update", ({ stories }) => updatingSystem(stories.a)),
  ...FAULTS.map(fault),
  {
    name: "soak",
    simulation: false,
    run: (workshop, { tokens }) =>
      onCard("soak", workshop, async (card) => {
        const found = await soak(workshop.system, card, tokens);
        return { tried: 1, found: { [found]: 1 } };
      }),
  },
];

async function onCard(
  name: string,
  { card, folder }: Workshop,
  action: (card: Card) => Promise<Pick<Result, "tried" | "found">>,
): Promise<Result> {
  const copy = card.copy(join(folder, `${name.replaceAll(/\W+/g, "-")}.card`));
  try {
    return { name, ...(await action(copy)), lost: 0 };
  } catch (error) {
    return { name, tried: 1, found: {}, failure: (error as Error).message };
  } finally {
    rmSync(copy.path);
  }
}

/** Builds what trials need, in a folder of the caller's. */
export async function openWorkshop(folder: string, simulation: boolean): Promise<Workshop> {
  const at = (name: string) => join(folder, name);
  const system = (JSON.parse(build("firmware/system/build.mjs", "--board", "qemu").stdout) as { folder: string })
    .folder;
  if (simulation) await buildSimulation("top");
  await succeed("bundle", "keygen", "-o", at("update.key"));
  await succeed("image", "build", "--board", "qemu", "--update-key", at("update.pub"), "-o", at("sdcard.img"));
  await succeed("quantize", "models/tiny", "-o", at("b"), "--weights", "rtn", "--activation-bits", "8");
  const bundle = (name: string, ...what: string[]) =>
    succeed("bundle", "create", "--board", "qemu", ...what, "--key", at("update.key"), "-o", at(`${name}.lmb`));
  await bundle("a", "--model", MODEL);
  await bundle("b", "--model", at("b"));
  await bundle("system", "--system", at("sdcard.img"));
  await succeed("run", "Before", "-n", "8", "--save-state", at("before.state"));
  const card = Card.from(at("sdcard.img"), at("card"), CARD_BYTES);
  for (const name of ["a.lmb", "b.lmb", "system.lmb"]) card.put(at(name), `/${name}`);
  card.put(at("before.state"), "/states/before.state");
  return { folder, system, card, stories: { a: storyOf(MODEL, 300), b: storyOf(at("b"), 1) } };
}
