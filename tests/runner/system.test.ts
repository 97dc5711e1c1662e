/** Updates of a card's system, in a file that stands for the card: what is written into the other slot, and when it may boot. */
import assert from "node:assert/strict";
import { mkdtempSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { EXIT } from "../../host/errors.ts";
import { makeDisk, readCard, readVariables } from "../card.ts";
import { scratchFolder } from "../firmware.ts";
import { randomOf } from "../fuzz/random.ts";
import { bundleOf, Card, headOf, modelId, modelParts, newKey, type Parts, runtimeOf, withSystem } from "./bundle.ts";
import { Models } from "./models.ts";
import { fileLines, headLines, Talk } from "./sender.ts";
import { run, runnerFor, start } from "./support.ts";

const { skip } = runnerFor("native");
const folder = scratchFolder();
const models = skip ? undefined : new Models(folder);
const model = models?.model ?? "";
const [runtime, oldId] = skip ? ["", ""] : [runtimeOf(model), modelId(model)];
const key = newKey();
const SLOT = 4 * 2 ** 20;
const KILLS = 15;
const NEW_RUNTIME = "00112233445566ff";

/** Something that begins as a system does. */
function systemOf(seed: number, bytes = SLOT - 12_345): Buffer {
  const pick = randomOf(seed);
  const image = Buffer.alloc(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4) image.writeUInt32LE(pick(2 ** 32), at);
  image.write("hsqs");
  return image;
}

/** A bundle with a system alone. */
function systemParts(image: Buffer, own = runtime): Parts {
  const { manifest } = modelParts(model);
  const { model: _, ...rest } = manifest;
  return withSystem({ manifest: { ...rest, files: [] }, files: [] }, own, image);
}

class SystemCard extends Card {
  readonly disk: string;
  readonly slots: { A: number; B: number };

  constructor() {
    super(mkdtempSync(join(folder, "card-")), model, key);
    this.disk = join(this.etc, "../disk");
    const [, A, B] = makeDisk(this.disk, SLOT);
    this.slots = { A: A!, B: B! };
  }

  override get options(): string[] {
    return [...super.options, "--disk", this.disk, "--running", "A"];
  }

  holds(slot: "A" | "B", image: Buffer): boolean {
    return readCard(this.disk, this.slots[slot], image.length).equals(image);
  }

  get variables() {
    return readVariables(this.disk);
  }

  install(parts: Parts) {
    const path = join(folder, "system.lmb");
    writeFileSync(path, bundleOf(parts, key));
    return run(["update", "install", path, ...this.options]);
  }
}

const TRIAL = { BOOT_ORDER: "B A", BOOT_A_LEFT: "3", BOOT_B_LEFT: "3", lm_trial: "B" };

describe("a system from a bundle", { skip }, () => {
  it("goes into the other slot, which is on trial then; the running one stays as it is", () => {
    const [card, image] = [new SystemCard(), systemOf(1)];
    const before = readCard(card.disk, card.slots.A, SLOT);
    const { code, stdout, stderr } = card.install(systemParts(image));
    assert.deepEqual([code, stdout], [0, "a system is in slot B: reboot to try it\n"], stderr);
    assert.ok(card.holds("B", image) && card.holds("A", before));
    assert.ok(
      readCard(card.disk, card.slots.B + SLOT, SLOT).every((byte) => byte === 0),
      "not a byte behind it",
    );
    const variables = card.variables!;
    assert.deepEqual({ ...variables, BOOT_A_LEFT: variables.BOOT_A_LEFT ?? "3" }, TRIAL);
    assert.equal(card.current(runtime), oldId);
  });

  it("that is there already does not come again", async () => {
    const [card, image] = [new SystemCard(), systemOf(1)];
    card.install(systemParts(image));
    const child = start(["update", "receive", ...card.options]);
    const talk = new Talk(child.stdin!, child.stdout!);
    assert.match((await talk.line()) ?? "", new RegExp(`ready ${runtime} qemu A$`));
    const head = headLines(headOf(JSON.stringify(systemParts(image).manifest), key));
    assert.equal(await talk.ask(head[0]!), "want");
    assert.equal(await talk.ask("install"), "done system B, reboot to try it");
    talk.send("quit");
    assert.equal(await talk.line(), undefined);
  });

  it("brings a model for its own runtime, which waits for it", () => {
    const card = new SystemCard();
    const parts = modelParts(
      models!.changed("for-new", (setup) => {
        setup.runtime.sha256 = NEW_RUNTIME.padEnd(64, "0");
      }),
    );
    const third = join(card.data, "current", "0123456789abcdef");
    symlinkSync(`../models/${oldId}`, third);
    const { code, stderr } = card.install(withSystem(parts, NEW_RUNTIME, systemOf(2)));
    assert.equal(code, 0, stderr);
    assert.deepEqual(card.names("current"), [`${NEW_RUNTIME}.next`, runtime].sort(), "the third runtime is nobody's");
    assert.equal(
      readlinkSync(join(card.data, "current", `${NEW_RUNTIME}.next`)),
      `../models/${parts.manifest.model!.id}`,
    );
    assert.equal(card.current(runtime), oldId);
    // Not for this program to test
    assert.equal(run(["update", "finish", ...card.options]).code, 0);
    assert.deepEqual(card.names("models"), [oldId, parts.manifest.model!.id].sort());
  });

  const refused: [name: string, make: () => Parts, exit: keyof typeof EXIT, message: RegExp][] = [
    [
      "for a runtime without a model",
      () => systemParts(systemOf(1), NEW_RUNTIME),
      "unsupported",
      /system\.runtime: a system for whose runtime this card has no model \(found 00112233445566ff\)\nhint: bring a model/,
    ],
    [
      "that is larger than the slot",
      () => systemParts(systemOf(1, SLOT + 4096)),
      "unsupported",
      /larger than the slot \(expected at most 4194304, found 4198400\)/,
    ],
    [
      "and a model for another runtime",
      () => withSystem(modelParts(model), NEW_RUNTIME, systemOf(1)),
      "badInput",
      /model\.runtime: not as it must be/,
    ],
  ];
  for (const [name, make, exit, message] of refused) {
    it(`${name}: refused before anything is written`, () => {
      const card = new SystemCard();
      const before = readCard(card.disk, 0, 2 ** 20 + 4 * SLOT);
      const { code, stderr } = card.install(make());
      assert.match(stderr, message);
      assert.equal(code, EXIT[exit]);
      assert.ok(readCard(card.disk, 0, before.length).equals(before));
    });
  }

  it("that is not one, or was changed: written, and never booted", () => {
    const none = systemOf(1);
    none.write("none");
    const changed = systemParts(systemOf(1));
    changed.files[0] = Buffer.from(changed.files[0]!);
    changed.files[0][99]! ^= 1;
    for (const [parts, exit, message] of [
      [systemParts(none), EXIT.prerequisite, /slot B holds no system/],
      [changed, EXIT.verification, /system\.squashfs: the file was changed/],
    ] as const) {
      const card = new SystemCard();
      const { code, stderr } = card.install(parts);
      assert.match(stderr, message);
      assert.equal(code, exit);
      const { BOOT_ORDER, BOOT_B_LEFT, lm_trial } = card.variables!;
      assert.deepEqual([BOOT_ORDER, BOOT_B_LEFT, lm_trial], ["A B", "0", undefined]);
    }
  });

  it("where there are no slots: told", () => {
    const card = new Card(mkdtempSync(join(folder, "card-")), model, key);
    const path = join(folder, "system.lmb");
    writeFileSync(path, bundleOf(systemParts(systemOf(1)), key));
    const none = join(folder, "none");
    writeFileSync(none, Buffer.alloc(4096));
    const { code, stderr } = run(["update", "install", path, ...card.options, "--disk", none, "--running", "A"]);
    assert.match(stderr, /none: disk signature: not one of our cards/);
    assert.equal(code, EXIT.badInput);
  });

  it("half of it, when the connection ends or the program is killed: the other slot does not boot", async () => {
    for (const kill of [false, true]) {
      const [card, image] = [new SystemCard(), systemOf(3)];
      card.install(systemParts(systemOf(4)));
      const parts = systemParts(image);
      const lines = [...headLines(headOf(JSON.stringify(parts.manifest), key)), ...fileLines("system.squashfs", image)];
      const child = start(["update", "receive", ...card.options]);
      const talk = new Talk(child.stdin!, child.stdout!);
      assert.match((await talk.line()) ?? "", /ready/);
      for (const line of lines.slice(0, 50)) assert.match((await talk.ask(line)) ?? "", /^(want|ok)/);
      if (kill) child.kill("SIGKILL");
      talk.end();
      while ((await talk.line()) !== undefined);
      const { BOOT_ORDER, BOOT_B_LEFT, lm_trial } = card.variables!;
      assert.deepEqual([BOOT_ORDER, BOOT_B_LEFT, lm_trial], ["A B", "0", undefined]);
      // What has come since then is enough to begin anew
      assert.equal(card.install(parts).code, 0);
      assert.ok(card.holds("B", image));
      assert.equal(card.variables!.lm_trial, "B");
    }
  });

  it(`killed at any moment, ${KILLS} times: the other slot boots only with a whole system`, async () => {
    const card = new SystemCard();
    const images = [systemOf(5), systemOf(6)];
    const paths = images.map((image, i) => {
      const path = join(folder, `system-${i}.lmb`);
      writeFileSync(path, bundleOf(systemParts(image), key));
      return path;
    });
    const install = (i: number) => ["update", "install", paths[i]!, ...card.options];
    const begin = performance.now();
    assert.equal(run(install(0)).code, 0);
    const whole = performance.now() - begin;
    const seen = { boots: 0, retired: 0 };
    for (let i = 0; i < KILLS; i++) {
      const child = start(install((i + 1) % 2));
      const closed = new Promise((resolve) => child.once("close", resolve));
      const timer = i < KILLS - 1 && setTimeout(() => child.kill("SIGKILL"), ((i + 0.5) / KILLS) * 1.2 * whole);
      await closed;
      if (timer) clearTimeout(timer);
      const boots = card.variables!.BOOT_B_LEFT !== "0";
      if (boots)
        assert.ok(
          images.some((image) => card.holds("B", image)),
          `kill ${i}`,
        );
      seen[boots ? "boots" : "retired"]++;
    }
    assert.ok(seen.boots > 0 && seen.retired > 0, JSON.stringify(seen));
  });
});
