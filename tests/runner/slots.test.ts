/** The two slots of a card, in a file: what the board's program makes of U-Boot's variables, which mkenvimage wrote. */
import assert from "node:assert/strict";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { EXIT } from "../../host/errors.ts";
import { COPIES, COPY_BYTES, makeCopy, makeDisk, readCopy, type Variables, writeAt } from "../card.ts";
import { scratchFolder, withoutProgram } from "../firmware.ts";
import { type Ended, run, runnerFor } from "./support.ts";

const { skip: unbuilt } = runnerFor("native");
const skip = unbuilt || withoutProgram("mkenvimage", "-V");
const folder = scratchFolder();
const CARD = join(folder, "card");
const MIB = 2 ** 20;
const PARTITIONS = [MIB, 2 * MIB, 3 * MIB, 4 * MIB] as const;

const write = (offset: number, bytes: Uint8Array) => writeAt(CARD, offset, bytes);
const copyOf = (variables: Variables, count = 1) => makeCopy({ count, variables });
const copy = (i: number) => readCopy(CARD, i);

/** A card of four partitions with a system in either slot, unless said otherwise. */
function makeCard(copies: readonly (Buffer | undefined)[], systems = "AB"): void {
  makeDisk(CARD, MIB);
  for (const [i, copy] of copies.entries()) if (copy !== undefined) write(COPIES[i]!, copy);
  for (const slot of systems) write(PARTITIONS[slot === "A" ? 1 : 2], Buffer.from("hsqs"));
}

function slot(running: string, ...args: string[]): Ended {
  return run(["slot", ...args, "--disk", CARD, "--running", running]);
}

/** "A:3 B:2 trial B": the order, the tries that are left, and what is on trial. */
function stateOf(running = "A"): string {
  const { code, stdout, stderr } = slot(running, "show", "--json");
  assert.equal(code, 0, stderr);
  const { slots, trial } = JSON.parse(stdout) as { slots: { slot: string; left: number }[]; trial: string | null };
  return [...slots.map(({ slot, left }) => `${slot}:${left}`), ...(trial === null ? [] : [`trial ${trial}`])].join(" ");
}

const AB = { BOOT_ORDER: "A B", BOOT_A_LEFT: "3", BOOT_B_LEFT: "3" };

describe("U-Boot's variables on a card", { skip }, () => {
  it("are those of the newer copy, by U-Boot's rule, and the older copy is written", () => {
    for (const [counts, newer] of [
      [[1, 2], 1],
      [[2, 1], 0],
      [[255, 0], 1],
      [[0, 255], 0],
      [[7, 7], 0],
    ] as const) {
      makeCard(counts.map((count, i) => copyOf({ ...AB, BOOT_A_LEFT: String(i + 1) }, count)));
      assert.equal(stateOf(), `A:${newer + 1} B:3`, String(counts));
      assert.equal(slot("A", "confirm").code, 0);
      assert.deepEqual(copy(1 - newer), { count: (counts[newer] + 1) % 256, variables: AB });
      assert.equal(copy(newer)!.variables.BOOT_A_LEFT, String(newer + 1));
    }
  });

  it("are those of the other copy where one is damaged", () => {
    for (const damaged of [0, 1]) {
      for (const at of [0, 3, 5, 20, COPY_BYTES - 1]) {
        // The damaged one would be the newer
        makeCard([0, 1].map((i) => copyOf({ ...AB, BOOT_A_LEFT: String(i + 1) }, i === damaged ? 9 : 8)));
        const byte = readFileSync(CARD)[COPIES[damaged]! + at]!;
        write(COPIES[damaged]! + at, Buffer.from([byte ^ 0x10]));
        assert.equal(stateOf(), `A:${2 - damaged} B:3`, `copy ${damaged}, byte ${at}`);
      }
    }
  });

  it("are as on a new card where both are damaged, and can be written", () => {
    for (const rest of [0, 0xff]) {
      makeCard([Buffer.alloc(COPY_BYTES, rest), Buffer.alloc(COPY_BYTES, rest)]);
      assert.equal(stateOf(), "A:3 B:3");
      assert.equal(slot("A", "use", "B").code, 0);
      assert.equal(stateOf(), "B:3 A:3 trial B");
      assert.deepEqual([copy(0)?.count, copy(1)], [1, undefined]);
    }
  });

  it("are what boot.cmd makes of them where they make no sense", () => {
    for (const [variables, state] of [
      [{ BOOT_ORDER: "", BOOT_A_LEFT: "-1", BOOT_B_LEFT: "10" }, "A:0 B:16"],
      [{ BOOT_ORDER: "A A", BOOT_A_LEFT: "", BOOT_B_LEFT: "x" }, "A:0 B:0"],
      [{ BOOT_ORDER: "C", lm_trial: "C" }, "A:3 B:3"],
    ] as const) {
      makeCard([copyOf(variables)]);
      assert.equal(stateOf(), state);
    }
  });

  it("keep what others wrote there", () => {
    makeCard([copyOf({ ...AB, more: "of U-Boot = all" })]);
    assert.equal(slot("A", "use", "B").code, 0);
    assert.deepEqual(copy(1)!.variables, { ...AB, BOOT_ORDER: "B A", lm_trial: "B", more: "of U-Boot = all" });
  });

  it("are not written where they do not fit", () => {
    makeCard([copyOf({ ...AB, more: "x".repeat(COPY_BYTES - 60) })]);
    const { code, stderr } = slot("A", "use", "B");
    assert.match(stderr, /^lightmamba: U-Boot's environment is full \(expected less than 16379 bytes, found 16\d+\)$/m);
    assert.equal(code, EXIT.badInput);
    assert.equal(stateOf(), "A:3 B:3");
  });
});

describe("lightmamba slot", { skip }, () => {
  const steps: [name: string, before: Variables, running: string, args: string[], after: string, said: string][] = [
    ["a usual start", { ...AB, BOOT_A_LEFT: "2" }, "A", ["started"], "A:3 B:3", ""],
    ["a start where all is well", AB, "A", ["started"], "A:3 B:3", ""],
    [
      "a start on trial",
      { ...AB, BOOT_ORDER: "B A", BOOT_B_LEFT: "2", lm_trial: "B" },
      "B",
      ["started"],
      "B:2 A:3 trial B",
      "slot B is on trial\n",
    ],
    [
      "a trial that has passed",
      { ...AB, BOOT_ORDER: "B A", BOOT_B_LEFT: "2", lm_trial: "B" },
      "B",
      ["confirm"],
      "B:3 A:3",
      "slot B has passed its trial: it stays\n",
    ],
    [
      "a trial that has failed",
      { ...AB, BOOT_ORDER: "B A", BOOT_B_LEFT: "2", lm_trial: "B" },
      "B",
      ["fail"],
      "A:3 B:0",
      "slot B has failed its trial: back to slot A\n",
    ],
    [
      "a trial that did not start",
      { BOOT_ORDER: "B A", BOOT_A_LEFT: "2", BOOT_B_LEFT: "2", lm_trial: "B" },
      "A",
      ["started"],
      "A:3 B:0",
      "slot B did not start, its trial is over: this is slot A\n",
    ],
    [
      "a fall-back",
      { ...AB, BOOT_A_LEFT: "0", BOOT_B_LEFT: "2" },
      "B",
      ["started"],
      "A:0 B:3",
      "slot A comes first, but did not start: this is slot B\n",
    ],
    ["a confirmation without a trial", { ...AB, BOOT_A_LEFT: "1" }, "A", ["confirm"], "A:3 B:3", ""],
    ["the other one", AB, "A", ["use", "B"], "B:3 A:3 trial B", "slot B boots next, on trial\n"],
    [
      "the running one, where the other one was to come",
      { ...AB, BOOT_ORDER: "B A", lm_trial: "B" },
      "A",
      ["use", "A"],
      "A:3 B:3",
      "slot A boots next\n",
    ],
  ];
  for (const [name, before, running, args, after, said] of steps) {
    it(`knows ${name}`, () => {
      makeCard([copyOf(before)]);
      const { code, stdout, stderr } = slot(running, ...args);
      assert.deepEqual([code, stdout, stderr], [0, "", said]);
      assert.equal(stateOf(running), after);
      // Again, it changes nothing
      if (args[0] !== "started" && args[0] !== "confirm") return;
      const count = [0, 1].map((i) => copy(i)?.count);
      slot(running, ...args);
      assert.deepEqual(
        [0, 1].map((i) => copy(i)?.count),
        count,
      );
    });
  }

  it("shows both", () => {
    makeCard([copyOf({ ...AB, BOOT_ORDER: "B A", BOOT_B_LEFT: "2", lm_trial: "B" })], "B");
    const { code, stdout } = slot("B", "show");
    assert.equal(code, 0);
    assert.equal(
      stdout,
      "slot B: a system in 1 MiB, 2 boots left, runs, on trial\nslot A: no system in 1 MiB, 3 boots left\n",
    );
  });

  const faults: [name: string, make: () => void, args: string[], exit: keyof typeof EXIT, message: RegExp][] = [
    ["a slot without a system", () => makeCard([], "A"), ["use", "B"], "prerequisite", /slot B holds no system/],
    ["a failure without a trial", () => makeCard([]), ["fail"], "prerequisite", /slot A is not on trial: it stays/],
    ["a slot that there is not", () => makeCard([]), ["use", "C"], "usage", /invalid value 'C'/],
    ["no card", () => writeFileSync(CARD, ""), ["show"], "prerequisite", /card: failed to fill whole buffer/],
    [
      "somebody else's card",
      () => {
        makeCard([]);
        write(440, Buffer.from([1, 2, 3, 4]));
      },
      ["show"],
      "badInput",
      /card: disk signature: not one of our cards \(expected 0x4c4d4d42, found 0x4030201\)/,
    ],
    [
      "a card with one system",
      () => {
        makeCard([]);
        write(446 + 32, Buffer.alloc(16));
      },
      ["show"],
      "badInput",
      /card: partition 3 \(slot B\): not there: a card with one system/,
    ],
    [
      "a card that was cut",
      () => {
        makeCard([]);
        truncateSync(CARD, 3 * MIB);
      },
      ["show"],
      "badInput",
      /partition 3 \(slot B\): reaches beyond the end of the card \(expected 4194304, found 3145728\)/,
    ],
  ];
  for (const [name, make, args, exit, message] of faults) {
    it(`refuses ${name}`, () => {
      make();
      const { code, stderr } = slot("A", ...args);
      assert.match(stderr, message);
      assert.equal(code, EXIT[exit], stderr);
    });
  }

  it("knows by itself that this machine runs from no card of ours", () => {
    const { code, stderr } = run(["slot", "show"]);
    assert.match(stderr, /this system does not run from one of our cards/);
    assert.equal(code, EXIT.prerequisite);
    assert.equal(run(["slot", "show", "--disk", CARD]).code, EXIT.usage);
  });
});
