/** `lightmamba flash --model`: on cards that are files, where it must refuse; on loop devices, where it mounts, writes, and may be ended. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { type BoardModel, prepareById } from "../../host/board/data.ts";
import { fileSha256 } from "../../host/checkpoint/sha256.ts";
import { EXIT, type ExitName } from "../../host/errors.ts";
import { type Card, readCard } from "../../host/flash/card.ts";
import type { Drive } from "../../host/flash/drives.ts";
import { putModel } from "../../host/flash/model.ts";
import { withData } from "../../host/flash/mount.ts";
import { readPartitions, SECTOR } from "../../host/image/layout.ts";
import { lightmamba, type RunOptions } from "../cli/lightmamba.ts";
import { rejectionOf } from "../device/support.ts";
import { run, scratchFolder, withoutProgram } from "../firmware.ts";
import { DATA_OFFSET, makeCard, OWN, skipCards } from "./cards.ts";
import { addPartition, attachLoop, mounted, numberOf, skipLoops } from "./loops.ts";
import { fakeDrive, imageContent, MIB } from "./support.ts";

const folder = scratchFolder();
const at = (name: string) => join(folder, name);
const CHILD = join(import.meta.dirname, "child.ts");
const TINY = join(import.meta.dirname, "../../models/tiny-w4a4");
/** A card with a model, and one without; tests work on copies. */
const [FULL, BARE] = [at("full"), at("bare")];
const skip = skipCards();

function flash(args: string[], drives: Drive[], options: RunOptions = {}) {
  writeFileSync(at("drives.json"), JSON.stringify(drives));
  return lightmamba([at("drives.json"), ...args], { main: CHILD, ...options });
}

before(async () => {
  if (skip) return;
  await makeCard(FULL, { model: TINY });
  await makeCard(BARE);
});

describe("flash --model refuses", { skip }, () => {
  const fileDrive = (path: string) => fakeDrive({ path, bytes: statSync(path).size });
  const refused: [name: string, make: (path: string) => unknown, exit: ExitName, message: RegExp][] = [
    [
      "what is none of our cards",
      (path) => writeFileSync(path, Buffer.alloc(MIB, 7)),
      "badInput",
      /not an image: no partition table/,
    ],
    [
      "one of ours that is damaged",
      (path) => writeFileSync(path, imageContent()),
      "badInput",
      /boot: one of our cards, but damaged: .*found no file system|boot: one of our cards, but damaged \(expected LM-BOOT, found no file system\)/,
    ],
    [
      "one whose system has another runtime",
      (path) => makeCard(path, { runtimes: ["0".repeat(64), "1".repeat(64)] }),
      "verification",
      new RegExp(
        `the card's system has another runtime than this program \\(expected runtime ${OWN}, for .*, found 0{16} in system-a, 1{16} in system-b\\)`,
      ),
    ],
    [
      "one without a system",
      (path) => makeCard(path, { runtimes: ["", ""] }),
      "badInput",
      /one of our cards, but there is no system on it/,
    ],
    [
      "one for a board that nobody knows",
      (path) => makeCard(path, { board: "zcu102" }),
      "unsupported",
      /a card for a board that is not known here \(expected qemu or vck190, found zcu102\)/,
    ],
  ];
  for (const [name, make, exit, message] of refused)
    it(name, async () => {
      const path = at("card");
      rmSync(path, { force: true });
      await make(path);
      const hash = fileSha256(path);
      const { code, stderr } = await flash(["--model", TINY, "--drive", path, "--yes"], [fileDrive(path)]);
      assert.match(stderr, message);
      assert.deepEqual([code, fileSha256(path)], [EXIT[exit], hash], stderr);
    });

  const usage: [name: string, args: string[], exit: ExitName | "ok", message: RegExp][] = [
    ["an image beside it", ["x.img", "--model", TINY], "usage", /either an image or --model/],
    ["--yes without a drive", ["--model", TINY, "--yes"], "usage", /--drive: with --yes, a drive must be named/],
    [
      "what is about images",
      ["--model", TINY, "--no-verify"],
      "usage",
      /--model: --sha256, --no-bmap and --no-verify are about images/,
    ],
    ["a model that is none", ["--model", folder, "--dry-run"], "badInput", /./],
    ["nobody there to say yes", ["--model", TINY], "cancelled", /nobody is here to say yes/],
    ["a no", ["--model", TINY], "cancelled", /nothing was written/],
    ["--dry-run, after all checks", ["--model", TINY, "--dry-run"], "ok", /nothing was written: --dry-run/],
  ];
  for (const [name, args, exit, message] of usage)
    it(name, async () => {
      const env = name === "a no" ? { FLASH_TEST_ANSWER: "no" } : {};
      const { code, stdout, stderr } = await flash(args, [fileDrive(BARE)], { env });
      assert.match(stdout + stderr, message);
      assert.equal(code, EXIT[exit]);
    });

  it("shows the card, its runtimes and the model before", async () => {
    const { stdout } = await flash(["--model", TINY, "--dry-run", "-q"], [fileDrive(FULL)]);
    assert.match(
      stdout,
      new RegExp(`^model  .*tiny-w4a4: [0-9a-f]{16}, 5\\.5 MB, for runtime ${OWN}\\ndrive  .*full: Generic Card`),
    );
    assert.match(stdout, new RegExp(`a card for qemu, with the runtimes: system-a ${OWN}\\n`));
  });

  it("to mount, where nobody is root", { skip: process.getuid?.() !== 0 && "this is about root" }, () => {
    const script = `const { assertMayMount } = await import(${JSON.stringify(join(import.meta.dirname, "../../host/flash/mount.ts"))});
      process.setuid(65534);
      try { assertMayMount(); } catch (error) { console.log(error.exit, error.message); }`;
    const { stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
    assert.equal(stdout, "prerequisite only root may mount the card's data partition\n");
  });
});

// ------------------------------------------------------------------------------------------------ on loops

const skipMounts = skip || skipLoops(folder) || withoutProgram("mount") || withoutProgram("e2fsck", "-V");
let cards = 0;

interface LoopCard {
  file: string;
  drive: Drive;
  node: string;
}

/** A copy of a card as a device with a data partition. */
function plug(from: string): LoopCard {
  const file = at(`card${cards++}`);
  copyFileSync(from, file);
  const path = attachLoop(file, ["--partscan"]);
  const node = `${file}.data`;
  const { offset, size } = readPartitions(file).find(({ name }) => name === "data")!;
  addPartition(path, 4, offset / SECTOR, size / SECTOR, node);
  const partitions = [{ path: node, bytes: size, fileSystem: "ext4", label: "lm-data" }];
  return { file, node, drive: fakeDrive({ path, number: numberOf(path), bytes: statSync(file).size, partitions }) };
}

function put({ drive }: LoopCard, options: RunOptions = {}, ...args: string[]) {
  const env = { FLASH_TEST_DEVICES: "1", ...options.env };
  return flash(["--model", TINY, "--drive", drive.path, "--yes", ...args], [drive], { ...options, env });
}

/** What is in the data partition, with it mounted. */
const inside = <T>({ node }: { node: string }, action: (data: string) => T | Promise<T>) =>
  mounted(node, at("mount"), action);

const listed = (data: string) => ({
  models: readdirSync(join(data, "models")).sort(),
  current: readdirSync(join(data, "current")).sort(),
  states: readdirSync(join(data, "states")),
});

function assertNothingMounted({ node }: LoopCard): void {
  assert.ok(!readFileSync("/proc/self/mounts", "utf8").includes("lightmamba-card-"));
  run("e2fsck", "-f", "-n", node);
}

describe("flash --model on a device", { skip: skipMounts }, () => {
  let model: BoardModel;
  before(() => {
    mkdirSync(at("prepared"), { recursive: true });
    model = prepareById(TINY, at("prepared"), { board: "qemu" });
  });

  it("puts the model beside what is there, and a pointer for its self-test; everything else stays", async () => {
    const card = plug(BARE);
    const { code, stdout, stderr } = await put(card);
    assert.equal(code, 0, stderr);
    assert.match(
      stdout,
      /tiny-w4a4 is on \/dev\/loop\d+: 5\.5 MB written, read back, and the same\nthe board tests it at its next start/,
    );
    for (const phase of ["write", "verify"]) assert.match(stderr, new RegExp(`^${phase}: done \\(`, "m"));
    await inside(card, (data) => {
      assert.deepEqual(listed(data), { models: [model.id], current: [`${OWN}.next`], states: ["a.state"] });
      const found = readdirSync(join(data, "current", `${OWN}.next`)).map((name) => [
        name,
        fileSha256(join(data, "current", `${OWN}.next`, name)),
      ]);
      assert.deepEqual(
        found,
        readdirSync(model.folder).map((name) => [name, fileSha256(join(model.folder, name))]),
      );
      assert.equal(statSync(join(data, "models", model.id)).mode & 0o777, 0o755);
    });
    assertNothingMounted(card);
    assert.ok(readFileSync(card.file).subarray(0, DATA_OFFSET).equals(readFileSync(BARE).subarray(0, DATA_OFFSET)));
  });

  it("writes nothing twice, and knows the model that the card has", async () => {
    const card = plug(BARE);
    await put(card);
    const again = JSON.parse((await put(card, {}, "--json")).stdout);
    assert.deepEqual([again.bytesWritten, again.already, again.model.id], [0, false, model.id]);
    const full = plug(FULL);
    const same = JSON.parse((await put(full, {}, "--json")).stdout);
    assert.deepEqual([same.bytesWritten, same.already, same.before], [0, true, model.id]);
    await inside(full, (data) => assert.deepEqual(listed(data).current, [OWN]));
  });

  it("takes away what nobody uses: halves, and models without a pointer", async () => {
    const card = plug(FULL);
    await inside(card, (data) => {
      for (const name of ["0123456789abcdef", "0123456789abcdef.part"]) mkdirSync(join(data, "models", name));
    });
    assert.equal((await put(card)).code, 0);
    await inside(card, (data) => assert.deepEqual(listed(data).models, [model.id]));
  });

  it("writes a model anew that is not as its name says", async () => {
    const card = plug(FULL);
    await inside(card, (data) => writeFileSync(join(data, "models", model.id, "tokenizer.json"), "{}"));
    const { stdout } = await put(card, {}, "--json");
    assert.equal(JSON.parse(stdout).bytesWritten, model.bytes);
    await inside(card, (data) =>
      assert.equal(statSync(join(data, "models", model.id, "tokenizer.json")).size > 2, true),
    );
  });

  const faults: [name: string, change: (data: string) => unknown, exit: ExitName, message: RegExp][] = [
    [
      "without room",
      (data) => spawnSync("dd", ["if=/dev/zero", `of=${join(data, "states/full")}`, "bs=1M", "status=none"]),
      "device",
      /data partition: no room for the model on the card \(expected \d+ bytes, found \d+\)\nhint: the card is as it was; the model that is there/,
    ],
    [
      "of another layout",
      (data) => rmSync(join(data, "models"), { recursive: true }),
      "badInput",
      /models: not the data partition of this version's cards \(expected a folder, found nothing\)/,
    ],
    [
      "whose folders lead out of it",
      (data) => {
        rmSync(join(data, "models"), { recursive: true });
        symlinkSync(at("outside"), join(data, "models"));
      },
      "badInput",
      /models: not the data partition of this version's cards \(expected a folder, found something else\)/,
    ],
  ];
  for (const [name, change, exit, message] of faults)
    it(`changes nothing on a card ${name}`, async () => {
      mkdirSync(at("outside/0123456789abcdef"), { recursive: true });
      const card = plug(BARE);
      await inside(card, change);
      const { code, stdout, stderr } = await put(card);
      assert.match(stderr, message);
      assert.deepEqual([code, stdout.includes("is on")], [EXIT[exit], false]);
      await inside(card, (data) => assert.deepEqual(readdirSync(join(data, "current")), []));
      assert.ok(existsSync(at("outside/0123456789abcdef")));
      assertNothingMounted(card);
    });

  it("does not touch a file system that is damaged, or that is none that can be mounted", async () => {
    const damage: [change: (node: string) => unknown, exit: ExitName, message: RegExp][] = [
      [
        (node) => run("debugfs", "-w", "-R", "set_inode_field /states links_count 9", node),
        "verification",
        /the data partition is damaged: e2fsck finds errors in it\nhint: the card is as it was; sudo e2fsck -f/,
      ],
      [
        (node) => run("dd", "if=/dev/urandom", `of=${node}`, "bs=4k", "seek=8", "count=40", "conv=fsync"),
        "device",
        /cannot be mounted: .*\nhint: the card is as it was; dmesg may know more; where it is damaged: sudo e2fsck -f/,
      ],
    ];
    for (const [change, exit, message] of damage) {
      const card = plug(BARE);
      change(card.node);
      const { code, stderr } = await put(card);
      assert.match(stderr, message);
      assert.equal(code, EXIT[exit]);
      assert.ok(!readFileSync("/proc/self/mounts", "utf8").includes("lightmamba-card-"));
    }
  });

  it("is refused while the card is mounted, whether the list knows or not", async () => {
    const card = plug(BARE);
    await inside(card, async () => {
      assert.match((await put(card)).stderr, /is in use by another program/);
      const known = { ...card, drive: { ...card.drive, mounts: ["/media/x"] } };
      assert.match((await put(known)).stderr, /is mounted at \/media\/x/);
    });
  });

  it("is refused where the kernel has no such partition", async () => {
    const card = plug(BARE);
    const { code, stderr } = await put({ ...card, drive: { ...card.drive, partitions: [] } });
    assert.match(stderr, /the kernel has no partition where the card's table has its data\nhint: .*partprobe/);
    assert.equal(code, EXIT.device);
  });

  for (const [phase, state] of [
    ["write", "the card has the model that it had"],
    ["verify", "the card has the model that it had"],
    ["switch", "the card has the model that it had, and may have the new one as a candidate"],
  ] as const)
    it(`interrupted at ${phase}: leaves no half, no pointer and nothing mounted`, async () => {
      const card = plug(BARE);
      const reached = { write: /^write: [5-9]0 %/m, verify: /^verify: [5-9]0 %/m, switch: /^verify: 100 %/m }[phase];
      let sent = false;
      const { code, stderr } = await put(card, {
        env: { FLASH_TEST_PAUSE: phase },
        onStderr: (all, child) => {
          // There it waits
          if (!sent && reached.test(all)) setTimeout(() => child.kill("SIGINT"), 500);
          sent ||= reached.test(all);
        },
      });
      assert.equal(code, EXIT.interrupted, stderr);
      assert.match(stderr, new RegExp(`lightmamba: ${card.drive.path}: interrupted: ${state}\\n`));
      assertNothingMounted(card);
      const models = phase === "switch" ? [model.id] : [];
      await inside(card, (data) => assert.deepEqual(listed(data), { models, current: [], states: ["a.state"] }));
    });

  it("ended by a signal: leaves nothing mounted", async () => {
    const card = plug(BARE);
    let sent = false;
    const { code } = await put(card, {
      env: { FLASH_TEST_PAUSE: "write" },
      onStderr: (all, child) => {
        if (!sent && /^write: /m.test(all)) child.kill("SIGTERM");
        sent ||= /^write: /m.test(all);
      },
    });
    assert.equal(code, 128 + 15);
    assertNothingMounted(card);
  });

  it("without power, at any moment: the card has no model half there, and no pointer to one", async () => {
    const card = plug(BARE);
    const found = await readCard(card.drive);
    const copies: string[] = [];
    const snapshot = () => {
      const copy = at(`cut${copies.length}`);
      run("cp", "--sparse=always", "--reflink=auto", card.file, copy);
      copies.push(copy);
    };
    snapshot();
    await powerless(found, model, snapshot);
    snapshot();
    const seen = new Set<string>();
    for (const copy of copies) seen.add(await stateOf(copy, model));
    assert.deepEqual([...seen], ["nothing", "half, without a pointer", "whole, without a pointer", "a candidate"]);
  });

  it("a drive that is lost meanwhile is told as one", async () => {
    const card = plug(BARE);
    const found = await readCard(card.drive);
    const gone = withData(found, async () => {
      throw Object.assign(new Error("EIO: i/o error, write"), { code: "EIO", syscall: "write" });
    });
    const error = await rejectionOf(gone);
    assert.deepEqual([error.exit, /EIO/.test(error.message)], ["device", true]);
    assertNothingMounted(card);
  });
});

/** Puts a model, with a look at the card at every pause. */
async function powerless(card: Card, model: BoardModel, look: () => void): Promise<void> {
  const pause = async () => {
    look();
    await setImmediate();
  };
  await withData(card, (data) => putModel(data, model, { pause }));
}

/** What a board would find on a copy of the card that was taken in the middle: its journal is played back. */
async function stateOf(copy: string, model: BoardModel): Promise<string> {
  const path = attachLoop(copy, ["--offset", String(DATA_OFFSET)]);
  return inside({ node: path }, (data) => {
    const { models, current } = listed(data);
    if (current.includes(`${OWN}.next`)) {
      for (const name of readdirSync(model.folder))
        assert.equal(fileSha256(join(data, "current", `${OWN}.next`, name)), fileSha256(join(model.folder, name)));
      return "a candidate";
    }
    if (models.includes(model.id)) return "whole, without a pointer";
    return models.length > 0 ? "half, without a pointer" : "nothing";
  });
}
