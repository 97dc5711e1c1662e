/** Images booted in QEMU: the tokens of this machine from the emulated board, its failures told, and nothing left behind. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import { EXIT } from "../../host/errors.ts";
import type { Milestone } from "../../host/image/boot.ts";
import { lightmamba } from "../cli/lightmamba.ts";
import { skipModels } from "../device/support.ts";
import { scratchFolder, withoutProgram } from "../firmware.ts";
import { buildQemu, skipImages } from "./support.ts";

const folder = scratchFolder();
const IMAGE = join(folder, "sdcard.img");
const BARE = join(folder, "bare.img");
const TEXT = ["--seed", "3", "-n", "16"];
/** Of wall time. */
const FIRST_TOKEN_SECONDS = 40;
const LIMIT_SECONDS = 400;

const skip = skipImages() || withoutProgram("qemu-system-aarch64") || skipModels();
const boot = (image: string, ...args: string[]) => ["image", "boot", image, ...args];

interface Records {
  ids: number[];
  exit: number;
  timeline: Milestone[];
}

function recordsIn(stdout: string): Records {
  const records = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const ids = records.filter(({ id }) => id !== undefined).map(({ id }) => id as number);
  return { ids, ...records.at(-1) };
}

const MARK = "LIGHTMAMBA_TEST_MARK";

/** Processes that have this mark in their environment, as all have that such a one has started. */
function startedWith(mark: string): { pid: number; name: string }[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        if (!readFileSync(`/proc/${name}/environ`, "latin1").includes(`${MARK}=${mark}\0`)) return [];
        return [{ pid: Number(name), name: readFileSync(`/proc/${name}/comm`, "latin1").trim() }];
      } catch {
        return [];
      }
    });
}

const leftOvers = () =>
  ["/dev/shm", tmpdir()].flatMap((place) => readdirSync(place).filter((name) => name.startsWith("lightmamba-device-")));

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const start = Date.now(); !condition(); await setTimeout(50))
    assert.ok(Date.now() - start < 1000 * LIMIT_SECONDS, `${what}: not within ${LIMIT_SECONDS} s`);
}

describe("image boot", { skip, timeout: 1_800_000 }, () => {
  let expected: number[];
  before(async () => {
    await buildQemu(IMAGE);
    await buildQemu(BARE, "--no-model");
    expected = recordsIn((await lightmamba(["run", "Once upon a time", ...TEXT, "--json"])).stdout).ids;
    assert.equal(expected.length, 16);
  });

  for (const device of ["wasm", "rtl"]) {
    it(`--device ${device}: U-Boot, Linux, init, and the tokens of this machine`, async () => {
      const bytes = readFileSync(IMAGE);
      const args = ["--device", device, ...TEXT, "--json", "--timeout", String(LIMIT_SECONDS)];
      const { code, stdout, stderr } = await lightmamba(boot(IMAGE, ...args));
      assert.equal(code, 0, stdout + stderr);
      const { ids, exit, timeline } = recordsIn(stdout);
      assert.deepEqual(ids, expected);
      assert.equal(exit, 0);
      const names = timeline.map(({ name }) => name);
      assert.deepEqual(names, ["U-Boot", "kernel", "init", "first token", "power off"]);
      const { seconds } = timeline[3]!;
      assert.ok(seconds <= FIRST_TOKEN_SECONDS, `first token after ${seconds} s`);
      assert.ok(readFileSync(IMAGE).equals(bytes), "the image has changed");
    });
  }

  it("ends as the board's program does, in its words", async () => {
    const { code, stdout, stderr } = await lightmamba(boot(BARE, "--device", "wasm"));
    assert.match(stderr, /\nlightmamba: .*bare\.img: .*model.* \(expected exit code 0, found exit code 7\)\n/);
    assert.deepEqual([code, stdout], [EXIT.badInput, ""]);
    // The console, and the timeline
    assert.match(
      stderr,
      /^U-Boot 20[\s\S]*\nStarting kernel[\s\S]*\[U-Boot \d+\.\d s, kernel .*power off \d+\.\d s\]\n/m,
    );
  });

  it("gives a board up that does not come to its end", async () => {
    const { code, stderr } = await lightmamba(boot(BARE, "--device", "wasm", "--timeout", "3"));
    assert.match(stderr, /did not come to its end \(expected an end within 3 s, found .+ was the last that was seen\)/);
    assert.equal(code, EXIT.device);
  });

  it("refuses what is no image", async () => {
    const { code, stderr } = await lightmamba(boot(join(import.meta.dirname, "boot.test.ts")));
    assert.match(stderr, /not an image: no partition table/);
    assert.equal(code, EXIT.badInput);
  });

  it("names QEMU where it is missing", async () => {
    const PATH = join(folder, "bin");
    mkdirSync(PATH);
    for (const program of ["setpriv", "mtype", "cp"]) symlinkSync(join("/usr/bin", program), join(PATH, program));
    const { code, stderr } = await lightmamba(boot(BARE, "--device", "wasm", "-q"), { env: { PATH } });
    assert.equal(stderr, "lightmamba: no qemu-system-aarch64\nhint: firmware/tools/install.sh installs it\n");
    assert.equal(code, EXIT.prerequisite);
  });

  it("says that the accelerator has ended", async () => {
    const mark = `${process.pid}-simulator`;
    const ended = lightmamba(boot(BARE), { env: { [MARK]: mark } });
    const simulator = () => startedWith(mark).find(({ name }) => name === "sim")?.pid;
    await until("the simulator", () => simulator() !== undefined);
    process.kill(simulator()!, "SIGTERM");
    const { code, stderr } = await ended;
    assert.match(stderr, /the simulated accelerator has ended/);
    assert.equal(code, EXIT.device);
  });

  for (const signal of ["SIGINT", "SIGKILL"] as const) {
    it(`leaves nothing behind after ${signal}`, async () => {
      const mark = `${process.pid}-${signal}`;
      let before: string[] = [];
      const { code } = await lightmamba(boot(BARE), {
        env: { [MARK]: mark },
        onStderr: (all, child) => {
          if (!all.includes("U-Boot 20") || before.length > 0) return;
          before = startedWith(mark).map(({ name }) => name);
          child.kill(signal);
        },
      });
      assert.equal(code, signal === "SIGINT" ? EXIT.interrupted : null);
      for (const name of ["qemu-system-aar", "sim"]) assert.ok(before.includes(name), before.join());
      await until("the end of all processes", () => startedWith(mark).length === 0);
      assert.deepEqual(leftOvers(), []);
    });
  }
});
