/** Writing and reading back, on cards that are files, and with faults between. */
import assert from "node:assert/strict";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, it } from "node:test";
import { type ExitName, LightMambaError } from "../../host/errors.ts";
import { type CheckedImage, checkImage } from "../../host/flash/check.ts";
import type { Target } from "../../host/flash/target.ts";
import { type CardState, type Phase, writeImage } from "../../host/flash/write.ts";
import { BLOCK } from "../../host/image/bmap.ts";
import { scratchFolder } from "../firmware.ts";
import { FILLED, FileCard, imageContent, MIB, writeImageFile } from "./support.ts";

const folder = scratchFolder();
const CONTENT = imageContent();
const ROOM = 8 * MIB;
const IMAGE = writeImageFile(folder, "sdcard.img", CONTENT);
const MAPPED = writeImageFile(folder, "mapped.img", CONTENT, true);
const MAPPED_BYTES = FILLED.reduce((sum, [first, last]) => sum + (last - first + 1) * BLOCK, 0);
const LEFT = 0xa5;

let card: FileCard;
beforeEach(() => {
  card = new FileCard(join(folder, "card"));
});

const check = (path = IMAGE) => checkImage(path, { room: ROOM });

/** The card with one of its parts replaced. */
function faulty(change: Partial<Target>): Target {
  return {
    path: card.path,
    bytes: card.bytes,
    write: (data, at) => card.write(data, at),
    read: (into, at) => card.read(into, at),
    sync: () => card.sync(),
    close: () => card.close(),
    ...change,
  };
}

interface Failed {
  error: LightMambaError;
  state: CardState | undefined;
}

async function failure(target: Target, image: CheckedImage, verify = true): Promise<Failed> {
  let state: CardState | undefined;
  try {
    await writeImage(target, image, {
      verify,
      onState: (now) => {
        state = now;
      },
    });
  } catch (error) {
    assert.ok(error instanceof LightMambaError, String((error as Error).stack));
    return { error, state };
  }
  throw new assert.AssertionError({ message: "did not fail" });
}

/** Whoever finds the card sees that it is none. */
function assertNoTable(): void {
  assert.ok(card.content().subarray(0, BLOCK).equals(Buffer.alloc(BLOCK)));
}

describe("writing", () => {
  it("puts every byte where it belongs, and leaves what is behind", async () => {
    const states: CardState[] = [];
    const written = await writeImage(card, await check(), { verify: true, onState: (state) => states.push(state) });
    assert.deepEqual(written, { bytesWritten: CONTENT.length, bytesVerified: CONTENT.length });
    assert.ok(card.content().equals(Buffer.concat([CONTENT, Buffer.alloc(MIB, LEFT)])));
    assert.deepEqual(states, ["incomplete", "unverified", "complete"]);
  });

  it("leaves the blocks that are not on the map", async () => {
    const written = await writeImage(card, await check(MAPPED), { verify: true });
    assert.deepEqual(written, { bytesWritten: MAPPED_BYTES, bytesVerified: MAPPED_BYTES });
    const expected = Buffer.alloc(card.bytes, LEFT);
    for (const [first, last] of FILLED) CONTENT.copy(expected, first * BLOCK, first * BLOCK, (last + 1) * BLOCK);
    assert.ok(card.content().equals(expected));
  });

  it("wipes the partition table first, writes it last, and waits for the card each time", async () => {
    let synced = 0;
    const order: string[] = [];
    const note = (what: string) => {
      if (order.at(-1) !== what) order.push(what);
    };
    await writeImage(
      faulty({
        write: (data, at) => {
          note(at === 0 ? "head" : "body");
          return card.write(data, at);
        },
        read: (into, at) => {
          note(at === 0 ? "read head" : "read body");
          return card.read(into, at);
        },
        sync: async () => {
          synced++;
          note("sync");
        },
      }),
      await check(),
      { verify: true },
    );
    assert.deepEqual(order, ["head", "sync", "body", "sync", "read body", "head", "sync", "read head"]);
    assert.equal(synced, 3);
  });

  it("goes on after a short write", async () => {
    const target = faulty({ write: (data, at) => card.write(data.subarray(0, Math.min(data.length, 70_001)), at) });
    await writeImage(target, await check(), { verify: true });
    assert.ok(card.content().subarray(0, CONTENT.length).equals(CONTENT));
  });

  it("goes on after a short read", async () => {
    const target = faulty({ read: (into, at) => card.read(into.subarray(0, Math.min(into.length, 4 * BLOCK)), at) });
    await writeImage(target, await check(), { verify: true });
  });

  it("tells how far it is, in bytes of what is written", async () => {
    const seen = new Map<Phase, [done: number, total: number]>();
    const progress = (phase: Phase, done: number, total: number) => void seen.set(phase, [done, total]);
    await writeImage(card, await check(MAPPED), { verify: true, progress });
    const body = MAPPED_BYTES - BLOCK;
    assert.deepEqual(
      [...seen],
      [
        ["write", [body, body]],
        ["verify", [body, body]],
      ],
    );
  });

  it("without reading back, reads nothing", async () => {
    const target = faulty({ read: () => assert.fail("was read") });
    const written = await writeImage(target, await check(), { verify: false });
    assert.deepEqual(written, { bytesWritten: CONTENT.length, bytesVerified: 0 });
    assert.ok(card.content().subarray(0, CONTENT.length).equals(CONTENT));
  });

  it("an image that is no whole number of blocks, on a card of the same size", async () => {
    const odd = CONTENT.subarray(0, CONTENT.length).subarray(0);
    const content = Buffer.concat([odd, Buffer.from("end".repeat(400))]);
    const small = new FileCard(join(folder, "small"), content.length);
    await writeImage(small, await checkImage(writeImageFile(folder, "odd.img", content), { room: content.length }), {
      verify: true,
    });
    assert.ok(small.content().equals(content));
  });
});

function errno(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: something`), { code });
}

describe("a card that fails", () => {
  const AT = 3 * MIB;
  const here = (at: number, data: Uint8Array) => at <= AT && at + data.length > AT;
  const cases: [name: string, change: () => Partial<Target>, exit: ExitName, message: RegExp][] = [
    [
      "holds a flipped bit",
      () => ({
        write: (data, at) => {
          const copy = Buffer.from(data);
          if (here(at, data)) copy[AT - at]! ^= 0x10;
          return card.write(copy, at);
        },
      }),
      "verification",
      /bytes 3145728-4194303: does not hold what was written to it/,
    ],
    [
      "forgets a piece",
      () => ({ write: async (data, at) => (here(at, data) ? data.length : card.write(data, at)) }),
      "verification",
      /bytes 3145728-4194303: does not hold/,
    ],
    [
      "is smaller than it says: all beyond is read as nothing",
      () => ({ read: async (into, at) => (at >= AT ? 0 : card.read(into, at)) }),
      "verification",
      /bytes 3145728-4194303: does not hold/,
    ],
    [
      "ends early",
      () => ({ write: async (data, at) => (at >= AT ? Promise.reject(errno("ENOSPC")) : card.write(data, at)) }),
      "device",
      /byte 3145728 of 8388608: ends here/,
    ],
    [
      "takes nothing",
      () => ({ write: async (data, at) => (at >= AT ? 0 : card.write(data, at)) }),
      "device",
      /byte 3145728 of 8388608: takes no more/,
    ],
    [
      "cannot be written",
      () => ({ write: async (data, at) => (at >= AT ? Promise.reject(errno("EIO")) : card.write(data, at)) }),
      "device",
      /byte 3145728 of 8388608: cannot be written: EIO/,
    ],
    [
      "cannot be read",
      () => ({ read: async (into, at) => (at >= AT ? Promise.reject(errno("EIO")) : card.read(into, at)) }),
      "device",
      /byte 3145728 of 8388608: cannot be read: EIO/,
    ],
    ["is pulled out", () => ({ sync: syncs(2, errno("EIO")) }), "device", /card: cannot be written: EIO/],
  ];
  for (const [name, change, exit, message] of cases)
    it(`because it ${name}: is left without a partition table`, async () => {
      const { error, state } = await failure(faulty(change()), await check());
      assert.match(error.message, message);
      assert.deepEqual([error.exit, state], [exit, "incomplete"]);
      assertNoTable();
    });

  it("because the table itself does not stay: is not called complete", async () => {
    const target = faulty({ write: async (data, at) => (at === 0 ? data.length : card.write(data, at)) });
    const { error, state } = await failure(target, await check());
    assert.match(error.message, /bytes 0-4095: does not hold/);
    assert.equal(state, "unverified");
  });

  it("a fault of this program is not called the card's", async () => {
    const target = faulty({ write: () => Promise.reject(new TypeError("ours")) });
    await assert.rejects(writeImage(target, await check(), { verify: true }), TypeError);
  });
});

function syncs(good: number, error: Error): () => Promise<void> {
  let count = 0;
  return async () => {
    if (++count >= good) throw error;
  };
}

describe("an image that changes after the check", () => {
  it("in a byte, or in length: the card is left without a table", async () => {
    const path = writeImageFile(folder, "changing.img");
    const changes = [
      () => writeFileSync(path, Buffer.from(CONTENT).fill(1, 2 * MIB)),
      () => truncateSync(path, 5 * MIB),
    ];
    for (const change of changes) {
      writeFileSync(path, CONTENT);
      const checked = await check(path);
      change();
      const { error } = await failure(card, checked, false);
      assert.match(error.message, /the image changed while it was written/);
      assert.equal(error.exit, "verification");
      assertNoTable();
    }
  });
});
