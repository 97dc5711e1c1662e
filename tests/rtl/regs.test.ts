/** lm_regs: every mailbox word, read and written over AXI-lite. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as lm from "../../assembly/device.generated.ts";
import { Request, STALLS, simulate, skipReason } from "./support.ts";

const DEVICE_WORDS = lm.REG_BUILD_STATE_PORTS / 4 + 1;
const HOST_WORDS = (lm.REG_WINDOW - lm.REG_HEAD + lm.WINDOWS * lm.WINDOW_STRIDE) / 4;
const PAGE_WORDS = lm.REGISTER_PAGE / 4;

const deviceWords = Array.from({ length: DEVICE_WORDS }, (_, i) => (Math.imul(i + 1, 0x9e3779b1) ^ 0x1234) >>> 0);
const written = (word: number) => Math.imul(word + 77, 0x85ebca6b) >>> 0;

interface Access {
  write: boolean;
  word: number;
  data: number;
}

/** What each read gave, and the words of the host at the end. */
function access(accesses: readonly Access[], stall: number) {
  const request = new Request(11 + stall, stall).words(...deviceWords, accesses.length);
  for (const { write, word, data } of accesses) request.words(write ? 1 : 0, 4 * word, data);
  const result = simulate("regs", request);
  const reads = accesses.flatMap(({ write }) => (write ? [] : [result.u32()]));
  const host = Array.from({ length: HOST_WORDS }, () => result.u32());
  const cycles = result.cycles();
  assert.ok(result.done);
  return { reads, host, cycles };
}

const pages = Array.from({ length: PAGE_WORDS }, (_, word) => word);
const write = (word: number) => ({ write: true, word, data: written(word) });
const read = (word: number) => ({ write: false, word, data: 0 });

/** What a word of the page holds when all words were written. */
function expected(word: number): number {
  const ofHost = word - lm.REG_HEAD / 4;
  if (word < DEVICE_WORDS) return deviceWords[word]!;
  return ofHost >= 0 && ofHost < HOST_WORDS ? written(word) : 0;
}

describe("lm_regs", { skip: skipReason("regs") }, () => {
  for (const stall of STALLS) {
    test(`every word of the page, written, then read, stalls ${stall}/256`, () => {
      const { reads, host } = access([...pages.map(write), ...pages.map(read)], stall);
      assert.deepEqual(reads, pages.map(expected));
      assert.deepEqual(
        host,
        host.map((_, i) => written(lm.REG_HEAD / 4 + i)),
      );
    });

    test(`a write is there when it is answered, stalls ${stall}/256`, () => {
      const { reads } = access(
        pages.toReversed().flatMap((word) => [write(word), read(word)]),
        stall,
      );
      assert.deepEqual(reads, pages.toReversed().map(expected));
    });
  }

  test("words of the host are 0 after a reset", () => {
    const { reads, host } = access(pages.map(read), 64);
    assert.deepEqual(
      reads,
      pages.map((word) => deviceWords[word] ?? 0),
    );
    assert.deepEqual(new Set(host), new Set([0]));
  });

  test("two cycles an access", () => {
    const { cycles } = access([...pages.map(write), ...pages.map(read)], 0);
    assert.equal(cycles, 4 * PAGE_WORDS);
  });
});
