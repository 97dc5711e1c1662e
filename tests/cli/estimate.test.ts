/** `lightmamba estimate`: its forms and its faults. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { EXIT } from "../../host/errors.ts";
import { lightmamba } from "./lightmamba.ts";

describe("estimate", { concurrency: 2 }, () => {
  it("tells speed, bytes, units, and what is assumed", async () => {
    const { code, stdout, stderr } = await lightmamba(["estimate"]);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^model +models\/tiny-w4a4, W4A4, lm_head of 4 bits$/m);
    assert.match(stdout, /^speed +\d+\.\d\d tok\/s \(\d+\.\d to \d+\.\d\)$/m);
    for (const unit of ["MMU", "SSMU", "HTU", "NQU", "EMBED"]) assert.match(stdout, new RegExp(`^${unit} `, "m"));
    assert.match(stdout, /^power +\d+\.\d W \(\d+\.\d to \d+\.\d\), part and memories$/m);
    assert.match(stdout, /^energy +0\.\d+ \(0\.\d+ to 0\.\d+\) J\/token$/m);
    assert.match(stdout, /^all, of the board's +\d+,\d+, \d+\.\d % /m);
    assert.match(stdout, /nothing has run on silicon/);
    assert.match(stdout, /memories\.0\.efficiency +0\.9 +0\.8 to 0\.95 +assumed/);
  });

  it("with --json, is one document whose parts fit together", async () => {
    const { stdout } = await lightmamba(["estimate", "--ports", "2", "--clock", "200", "--prompt", "6", "--json"]);
    const found = JSON.parse(stdout);
    assert.deepEqual([found.ports, found.clockMhz, found.partition, found.serial], [2, 200, "fused", []]);
    const { decode, tokensPerSecond, band, prompt } = found;
    assert.ok(Math.abs(1 / tokensPerSecond - decode.cycles / 200e6 - decode.processorSeconds) < 1e-8);
    assert.ok(band[0] < tokensPerSecond && tokensPerSecond < band[1]);
    assert.deepEqual([prompt.tokens, prompt.tokensAPass, prompt.passes], [6, 4, 2]);
    const { resources, energy } = found;
    const luts = Object.values(resources.units as { [unit: string]: { luts: number } }).map((unit) => unit.luts);
    assert.equal(luts.reduce((sum, one) => sum + one) + resources.shell.luts, resources.all.luts);
    assert.ok(resources.share.luts > 0.1 && resources.share.luts < 0.5);
    assert.ok(energy.joulesBand[0] < energy.joulesPerToken && energy.joulesPerToken < energy.joulesBand[1]);
    assert.ok(found.assumptions.every((one: { source: string }) => one.source.length > 3));
  });

  it("with --paper, has the published speeds beside the model's", async () => {
    const { code, stdout } = await lightmamba(["estimate", "--paper", "--json"]);
    const rows = JSON.parse(stdout) as { published: number; modelled: number }[];
    assert.equal(code, 0);
    assert.deepEqual(
      rows.map(({ published }) => published),
      [2.23, 5.32, 7.21, 3.61, 93],
    );
  });

  it("tells of a board without figures of power and logic what it can", async () => {
    const { code, stdout } = await lightmamba(["estimate", "--board", "sim"]);
    assert.equal(code, 0);
    assert.match(stdout, /^power +nothing is known of this board's$/m);
    assert.match(stdout, /^all, of the board's +[\d,]+ +[\d,]+ +[\d,]+ /m);
  });

  const faults: [args: string[], code: number, message: RegExp][] = [
    [["--board", "none"], EXIT.usage, /vck190/],
    [["--ports", "0"], EXIT.usage, /from 1 to 32/],
    [["--clock", "fast"], EXIT.usage, /number from 10 to 1000/],
    [["--serial", "ssm,none"], EXIT.usage, /ssm, weights or htu/],
    [["--shape", "3b"], EXIT.usage, /mamba2-130m/],
    [["--activation-bits", "8"], EXIT.usage, /widths already/],
    [["--shape", "130m", "--activation-bits", "8"], EXIT.unsupported, /activation_bits.*at most 5, found 8/],
    [["--shape", "2.7b", "--board", "sim"], EXIT.unsupported, /memory ddr4.*does not fit/],
    [["--tokens", "5"], EXIT.unsupported, /tokens.*at most 4, found 5/],
    [
      ["--ports", "32"],
      EXIT.unsupported,
      /LUT: the build does not fit the logic \(expected at most 899840, found \d+\)/,
    ],
    [["--model", "docs"], EXIT.badInput, /not a model directory/],
  ];
  for (const [args, code, message] of faults) {
    it(`refuses ${args.join(" ")}`, async () => {
      const ended = await lightmamba(["estimate", ...args]);
      assert.equal(ended.code, code, ended.stderr);
      assert.match(ended.stderr, message);
      assert.equal(ended.stdout, "");
    });
  }
});
