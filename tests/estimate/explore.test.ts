/** `lightmamba explore`: shards and threads change nothing, what is known is not made again, damaged files are told, and the front is one. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { appendFileSync, chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { parse } from "yaml";
import { EXIT, LightMambaError } from "../../host/errors.ts";
import { NOTHING } from "../../host/estimate/counts.ts";
import { explore, front, pointsOf, readResults, type Space, shardOf } from "../../host/estimate/explore.ts";
import { type Evaluated, evaluate, limited } from "../../host/estimate/point.ts";
import { lightmamba } from "../cli/lightmamba.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const scratch = mkdtempSync(join(tmpdir(), "lightmamba-explore-"));
after(() => rmSync(scratch, { recursive: true }));

const SPACE: Space = {
  shape: ["mamba2-130m"],
  activationBits: [4, 8],
  headBits: [4],
  board: ["vck190"],
  partition: ["fused"],
  clockMhz: [300],
  ports: [4, 6],
  stateLanes: [1, 2],
  statePorts: [0],
  prefetch: [512],
};
const SMALL = ["--shape", "130m", "--activation-bits", "4,8", "--clock", "300", "--ports", "4,6"];
const ARGS = ["explore", ...SMALL, "--state-lanes", "1,2", "--prefetch", "512", "--quiet"];

describe("explore", () => {
  it("finds the same in shards and merged as at once", async () => {
    const files = [1, 2, 3].map((i) => join(scratch, `shard-${i}.jsonl`));
    for (const [i, file] of files.entries()) {
      const { code, stderr } = await lightmamba([...ARGS, "--shard", `${i + 1}/3`, "--out", file, "--jobs", "2"]);
      assert.deepEqual([code, stderr], [0, ""]);
    }
    const [whole, together] = await Promise.all([
      lightmamba([...ARGS, "--json"]),
      lightmamba(["explore", "--merge", ...files, "--out", join(scratch, "all.jsonl"), "--json"]),
    ]);
    assert.equal(whole.stdout, together.stdout);
    const { configurations, refused, front } = JSON.parse(whole.stdout);
    assert.deepEqual([configurations, refused.length], [8, 4]); // the board has no multipliers for A8
    assert.ok(front.length > 0 && front[0].tokensPerSecond > 500);
    assert.equal(readResults(join(scratch, "all.jsonl")).length, 8);
    const shown = await lightmamba(["explore", "--merge", ...files]);
    assert.match(shown.stdout, /of 8 configurations are beaten by no other/);
    assert.match(shown.stderr, /not possible: activation_bits.*at most 5, found 8/);
  });

  it("goes on where it was, also behind a torn line, and makes again what another version said", async () => {
    const points = pointsOf({ ...SPACE, activationBits: [4] });
    const file = join(scratch, "resumed.jsonl");
    const first = await explore({ points, version: "1", file, jobs: 1 });
    const lines = readFileSync(file, "utf8").trimEnd().split("\n");
    // A figure that no model would say shows that it was taken from the file
    writeFileSync(file, `${lines[0]!.replace(/"tokensPerSecond":[\d.]+/, '"tokensPerSecond":1.5')}\n${lines[1]}\n`);
    appendFileSync(file, lines[2]!.slice(0, 30));
    const again = await explore({ points, version: "1", file, jobs: 2 });
    assert.equal(again.filter(({ tokensPerSecond }) => tokensPerSecond === 1.5).length, 1);
    assert.equal(readResults(file).length, points.length);
    assert.deepEqual(
      await explore({ points, version: "2", file, jobs: 1 }),
      first.map((one) => ({ ...one, version: "2" })),
    );
  });

  it("tells where a file is no file of results", () => {
    const file = join(scratch, "bad.jsonl");
    const refusal = (text: string) => {
      writeFileSync(file, text);
      try {
        readResults(file);
      } catch (error) {
        assert.ok(error instanceof LightMambaError);
        return error.message;
      }
      return "was accepted";
    };
    const good = `{"point":{},"version":"1","refused":"x"}\n`;
    assert.equal(refusal(good), "was accepted");
    assert.match(refusal(`${good}{"point":1}\n`), /bad\.jsonl:2: is no result/);
    assert.match(refusal('{"point":{},"version":"1","tokensPerSecond":5}\n'), /is no result.*resources/);
    assert.match(refusal("nonsense\n"), /bad\.jsonl:1: is no result/);
    assert.match(refusal(`${good}{"poi`), /last line is torn/);
  });

  it("leaves out what takes more than is allowed, or than the board has", async () => {
    const [point] = pointsOf({ ...SPACE, activationBits: [4] });
    const found = evaluate(point!, "1");
    const { luts, memoryLuts, ultraRams } = found.resources!;
    assert.ok(found.joulesBand![0] < found.joulesPerToken! && found.joulesPerToken! < found.joulesBand![1]);
    const refusals = (limits: Parameters<typeof limited>[1]) => limited([found], limits)[0]!.refused;
    assert.equal(refusals({}), undefined);
    assert.equal(refusals({ luts: luts + memoryLuts, ultraRams }), undefined);
    assert.match(refusals({ luts: luts + memoryLuts - 1 })!, /LUT: the build does not fit the logic/);
    assert.match(refusals({ ultraRams: ultraRams - 1 })!, /^URAM: /);
    const huge = { ...found, resources: { ...found.resources!, dsps: 1969 } };
    assert.match(limited([huge], {})[0]!.refused!, /^DSP: .*at most 1968, found 1969/);
    const { code, stdout, stderr } = await lightmamba([...ARGS.slice(0, -1), "--max-lut", "270000", "--json"]);
    const shown = JSON.parse(stdout);
    assert.equal(code, 0, stderr);
    assert.ok(shown.front.length > 0 && shown.front.every((one: Evaluated) => one.point.ports === 4));
    assert.equal(shown.refused.filter(({ refused }: Evaluated) => /^LUT: /.test(refused!)).length, 2);
  });

  it("has each point in one shard", () => {
    const points = pointsOf(SPACE);
    const shards = [0, 1, 2].map((i) => shardOf(points, [i, 3]));
    assert.deepEqual(new Set(shards.flat()), new Set(points));
    assert.equal(shards.flat().length, points.length);
  });

  it("calls the front what no other beats", () => {
    const one = (tokensPerSecond: number, luts: number, joulesPerToken: number, memoryLuts = 0): Evaluated => ({
      point: { ...pointsOf(SPACE)[0]!, ports: luts },
      ...{ version: "1", tokensPerSecond, joulesPerToken, joulesBand: [0, 9] },
      resources: { ...NOTHING, luts, memoryLuts },
    });
    const [fast, small, frugal] = [one(10, 4, 2), one(5, 1, 2), one(9, 9, 1)];
    const [beaten, equal, larger] = [one(9, 4, 2), one(10, 4, 3), one(10, 3, 2, 2)];
    assert.deepEqual(front([beaten, small, equal, frugal, fast, larger]), [fast, frugal, small]);
    assert.deepEqual(front([{ point: fast.point, version: "1", refused: "no" }]), []);
  });

  const faults: [args: string[], code: number, message: RegExp][] = [
    [["--shard", "5/4"], EXIT.usage, /i\/n as in 1\/4/],
    [["--prefetch", "1000"], EXIT.usage, /powers of two/],
    [["--max-lut", "many"], EXIT.usage, /--max-lut/],
    [["--max-uram", "-1"], EXIT.usage, /--max-uram/],
    [["--merge", "nowhere.jsonl"], EXIT.badInput, /nowhere\.jsonl/],
    [["--merge", "x.jsonl", "--shard", "1/2"], EXIT.usage, /leave --shard out|could be a shard/],
  ];
  for (const [args, code, message] of faults) {
    it(`refuses ${args.join(" ")}`, async () => {
      const ended = await lightmamba(["explore", ...args]);
      assert.equal(ended.code, code, ended.stderr);
      assert.match(ended.stderr, message);
    });
  }
});

describe("files for clusters", () => {
  const bin = mkdtempSync(join(scratch, "bin-"));
  writeFileSync(join(bin, "lightmamba"), '#!/bin/sh\necho "$@"\n');
  chmodSync(join(bin, "lightmamba"), 0o755);
  const run = (command: string[], env: NodeJS.ProcessEnv) => {
    const { stdout, stderr } = spawnSync(command[0]!, command.slice(1), {
      env: { PATH: `${bin}:${process.env.PATH}`, ...env },
      encoding: "utf8",
    });
    assert.equal(stderr, "");
    return stdout.trim();
  };

  it("Slurm: each task has its shard and file", () => {
    const env = { SLURM_ARRAY_TASK_ID: "3", SLURM_ARRAY_TASK_COUNT: "16", SLURM_CPUS_PER_TASK: "4" };
    assert.equal(
      run(["sh", join(ROOT, "bench/cluster/explore.slurm"), "--shape", "2.7b"], env),
      "explore --shape 2.7b --quiet --jobs 4 --shard 3/16 --out explore-3.jsonl",
    );
  });

  it("Kubernetes: likewise, and there are as many pods as shards", () => {
    const { kind, spec } = parse(readFileSync(join(ROOT, "bench/cluster/explore.kubernetes.yaml"), "utf8"));
    const [{ command, env }] = spec.template.spec.containers;
    const given = Object.fromEntries(env.map(({ name, value }: { name: string; value: string }) => [name, value]));
    assert.deepEqual([kind, spec.completionMode, String(spec.completions)], ["Job", "Indexed", given.SHARDS]);
    assert.equal(
      run(command, { ...given, JOB_COMPLETION_INDEX: "15" }),
      "explore --shape 2.7b --ports 2,4,6,8 --quiet --jobs 4 --shard 16/16 --out explore-16.jsonl",
    );
  });
});
