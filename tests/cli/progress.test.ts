import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createProgress, formatSeconds } from "../../host/cli/progress.ts";

function recorder(isTTY: boolean, columns = 200) {
  const pieces: string[] = [];
  let time = 0;
  return {
    pieces,
    sink: { isTTY, columns, write: (text: string) => void pieces.push(text) },
    now: () => time,
    wait(milliseconds: number) {
      time += milliseconds;
    },
  };
}

describe("progress in a pipe", () => {
  it("writes a line for each tenth, once", () => {
    const { pieces, sink, now, wait } = recorder(false);
    const progress = createProgress("layers", { sink, now });
    for (let done = 0; done <= 100; done++) progress.update(done, 100);
    wait(3000);
    progress.done();
    assert.equal(pieces.length, 11);
    assert.equal(pieces[0], "layers: 10 %\n");
    assert.equal(pieces[9], "layers: 100 %\n");
    assert.equal(pieces[10], "layers: done (3.0 s)\n");
  });

  it("skips tenths that a large step passes, and shows notes", () => {
    const { pieces, sink, now } = recorder(false);
    const progress = createProgress("x", { sink, now });
    progress.update(55, 100, "layer 3");
    progress.update(55, 100);
    progress.done("stopped");
    assert.deepEqual(pieces, ["x: 50 %  layer 3\n", "x: stopped (0.0 s)\n"]);
  });

  it("stands nonsense totals", () => {
    const { pieces, sink, now } = recorder(false);
    const progress = createProgress("x", { sink, now });
    progress.update(5, 0);
    progress.update(-5, 10);
    progress.update(50, 10);
    assert.deepEqual(pieces, ["x: 100 %\n"]);
  });
});

describe("progress on a terminal", () => {
  it("draws a bar with percentage and time left over itself, and clears it", () => {
    const { pieces, sink, now, wait } = recorder(true);
    const progress = createProgress("layers", { sink, now });
    wait(2000);
    progress.update(25, 100, "layer 6");
    assert.equal(pieces[0], `\rlayers ${"█".repeat(6)}${"░".repeat(18)} 25 %  6.0 s left  layer 6\u001b[K`);
    progress.done();
    assert.equal(pieces.at(-1), "\r\u001b[Klayers: done (2.0 s)\n");
  });

  it("does not redraw all the time, but always draws the end", () => {
    const { pieces, sink, now } = recorder(true);
    const progress = createProgress("x", { sink, now });
    for (let done = 1; done <= 1000; done++) progress.update(done, 1000);
    assert.equal(pieces.length, 2);
    assert.match(pieces[1] ?? "", /100 %/);
  });

  it("keeps to one line of a narrow terminal", () => {
    const { pieces, sink, now } = recorder(true, 20);
    createProgress("a long label", { sink, now }).update(1, 2, "and a long note");
    assert.equal(pieces[0]?.length, 1 + 19 + 3);
  });
});

describe("progress that is silent", () => {
  it("writes nothing", () => {
    const { pieces, sink } = recorder(true);
    const progress = createProgress("x", { sink, silent: true });
    progress.update(1, 2);
    progress.done();
    assert.deepEqual(pieces, []);
  });
});

describe("formatSeconds", () => {
  const CASES: [number, string][] = [
    [0, "0.0 s"],
    [9.94, "9.9 s"],
    [59, "59 s"],
    [150, "3 min"],
    [7500, "2 h 5 min"],
  ];
  for (const [seconds, text] of CASES) it(text, () => assert.equal(formatSeconds(seconds), text));
});
