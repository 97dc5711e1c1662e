/** Images are looked through; of one that is not as it was built, what is wrong is named. */
import assert from "node:assert/strict";
import { readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { EXIT } from "../../host/errors.ts";
import { type Partition, readPartitions } from "../../host/image/layout.ts";
import { parseManifest } from "../../host/image/manifest.ts";
import { runProgram } from "../../host/image/programs.ts";
import { writeAt } from "../card.ts";
import { lightmamba } from "../cli/lightmamba.ts";
import { scratchFolder } from "../firmware.ts";
import { buildQemu, copyImage, removeImage, skipImages } from "./support.ts";

const folder = scratchFolder();
const skip = skipImages();
const IMAGE = join(folder, "sdcard.img");

const overwrite = (path: string, offset: number, text: string) => writeAt(path, offset, Buffer.from(text));

/** mtools and debugfs write into a partition where it lies. */
async function inBoot(path: string, { offset }: Partition, program: string, ...args: string[]): Promise<void> {
  await runProgram(program, ["-i", `${path}@@${offset}`, ...args]);
}
async function inData(path: string, { offset }: Partition, request: string): Promise<void> {
  await runProgram("debugfs", ["-w", "-R", request, `${path}?offset=${offset}`]);
}

/** Requests one after the other; SCRATCH is a file of a few words. */
async function changeData(path: string, { offset }: Partition, ...requests: string[]): Promise<void> {
  const [script, scratch] = [join(folder, "script"), join(folder, "scratch")];
  writeFileSync(scratch, "a few words");
  writeFileSync(script, requests.map((line) => `${line.replace("SCRATCH", scratch)}\n`).join(""));
  await runProgram("debugfs", ["-w", "-f", script, `${path}?offset=${offset}`]);
}

/** The id and the runtime of the model that was put into an image. */
const modelIn = (path: string) => pointerIn(path)[1]!;
const runtimeIn = (path: string) => pointerIn(path)[0]!;
function pointerIn(path: string): string[] {
  const { files } = parseManifest(readFileSync(`${path}.manifest.json`, "utf8"), { file: path });
  const { path: name, link } = files.find((file) => file.path.startsWith("data:current/"))!;
  return [name.split("/").at(-1)!, link!.split("/").at(-1)!];
}

describe("image verify and inspect", { skip }, () => {
  before(() => buildQemu(IMAGE));

  it("find all as it was written, with and without what lies beside the image", async () => {
    const alone = join(folder, "alone.img");
    copyImage(IMAGE, alone);
    for (const suffix of [".sha256", ".manifest.json", ".bmap"]) rmSync(`${alone}${suffix}`);
    for (const [path, parts] of [
      [IMAGE, ["partitions", "sha256", "manifest beside it", "files", "model"]],
      [alone, ["partitions", "files", "model"]],
    ] as const) {
      const { code, stdout, stderr } = await lightmamba(["image", "verify", path, "--board", "qemu"]);
      assert.equal(code, 0, stderr);
      assert.deepEqual(
        stdout
          .trim()
          .split("\n")
          .map((line) => line.slice(6).split(":")[0]),
        parts,
      );
    }
    rmSync(alone);
  });

  it("show partitions with labels, files, components, the model", async () => {
    const { code, stdout } = await lightmamba(["image", "inspect", IMAGE]);
    assert.equal(code, 0);
    for (const line of [
      /^boot: FAT32 LM-BOOT, 34\.0 MiB from 1 MiB on$/m,
      /^system-a: squashfs, 64\.0 MiB from 35 MiB on$/m,
      /^system-b: empty, 64\.0 MiB from 99 MiB on$/m,
      /^data: ext4 lm-data, \d/m,
      /^ +\d+ {2}system-a:usr\/bin\/lightmamba$/m,
      /^made by lightmamba \d+\.\d+\.\d+ for qemu, of$/m,
      /^ {2}u-boot 2\S+ +GPL-2\.0-or-later$/m,
      /^model: [0-9a-f]{16}, lightmamba \d+\.\d+\.\d+, for qemu, relaxed [0-9a-f]{12}$/m,
    ])
      assert.match(stdout, line);
    const found = JSON.parse((await lightmamba(["image", "inspect", IMAGE, "--json"])).stdout);
    assert.deepEqual(
      found.partitions.map(({ name, kind, label }: { name: string; kind: string; label?: string }) => [
        name,
        kind,
        label,
      ]),
      [
        ["boot", "FAT32", "LM-BOOT"],
        ["system-a", "squashfs", undefined],
        ["system-b", undefined, undefined],
        ["data", "ext4", "lm-data"],
      ],
    );
    assert.equal(found.manifest.board, "qemu");
  });

  it("let be what the board writes: states, what it counts, models on trial", async () => {
    const path = join(folder, "used.img");
    copyImage(IMAGE, path);
    rmSync(`${path}.sha256`);
    const [runtime, id] = pointerIn(path);
    const candidate = ["cd /current", `symlink ${runtime}.next ../models/${id}`];
    const states = ["cd /states", "write SCRATCH story.state", "cd /", "write SCRATCH crashes.json"];
    await changeData(path, readPartitions(path)[3]!, ...states, ...candidate);
    const { code, stdout, stderr } = await lightmamba(["image", "verify", path]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, new RegExp(`model: ${id}, .*[0-9a-f]{12}\n.* model: ${id}, .*, not yet confirmed\n`));
    removeImage(path);
  });
});

type Change = (path: string, partitions: Partition[]) => unknown;

describe("image verify", { skip }, () => {
  const unhashed = (path: string) => rmSync(`${path}.sha256`);
  const label = (path: string, at: number, text: string) => {
    unhashed(path);
    overwrite(path, at, text);
  };
  const cases: [name: string, change: Change, exit: keyof typeof EXIT, message: RegExp][] = [
    [
      "cut",
      (path) => truncateSync(path, statSync(path).size - 4096),
      "badInput",
      /partition 4 \(data\): reaches beyond the end of the image \(expected \d+, found \d+\)/,
    ],
    ["text", (path) => writeFileSync(path, "x".repeat(1000)), "badInput", /not an image: no partition table/],
    ["gone", (path) => rmSync(path), "badInput", /gone\.img: .*no such file/i],
    [
      "changed",
      (path, [boot]) => overwrite(path, boot!.offset + 2 ** 20, "x"),
      "verification",
      /the image has changed \(expected [0-9a-f]{64}, found [0-9a-f]{64}\)/,
    ],
    [
      "no-fat",
      (path, [boot]) => label(path, boot!.offset + 82, "FAT16"),
      "verification",
      /boot: holds no file system that belongs there/,
    ],
    [
      "other-label",
      (path, [boot]) => label(path, boot!.offset + 71, "BOOT   "),
      "verification",
      /boot: wrong label \(expected LM-BOOT, found BOOT\)/,
    ],
    [
      "no-label",
      (path, [, , , data]) => label(path, data!.offset + 0x478, "\0".repeat(16)),
      "verification",
      /data: wrong label \(expected lm-data, found none\)/,
    ],
    [
      "no-root",
      (path, [, root]) => label(path, root!.offset, "xxxx"),
      "verification",
      /system-a: holds no file system that belongs there/,
    ],
    [
      "damaged-root",
      (path, [, root]) => label(path, root!.offset + 96, "x".repeat(4096)),
      "verification",
      /system-a: cannot be read: unsquashfs/,
    ],
    [
      "damaged-data",
      (path, [, , , data]) => label(path, data!.offset + 4096, "\0".repeat(4096)),
      "verification",
      /data: cannot be read: e2fsck/,
    ],
    [
      "no-manifest",
      async (path, [boot]) => {
        unhashed(path);
        await inBoot(path, boot!, "mdel", "::manifest.json");
      },
      "verification",
      /boot:manifest\.json: the image has no manifest/,
    ],
    [
      "no-script",
      async (path, [boot]) => {
        unhashed(path);
        await inBoot(path, boot!, "mdel", "::boot.scr");
      },
      "verification",
      /boot:boot\.scr: is missing in the image/,
    ],
    [
      "other-script",
      async (path, [boot]) => {
        unhashed(path);
        writeFileSync(join(folder, "boot.scr"), "another");
        await inBoot(path, boot!, "mcopy", "-o", join(folder, "boot.scr"), "::boot.scr");
      },
      "verification",
      /boot:boot\.scr: has changed \(expected [0-9a-f]{64}, found [0-9a-f]{64}\)/,
    ],
    [
      "more",
      async (path, [boot]) => {
        unhashed(path);
        writeFileSync(join(folder, "more"), "more");
        await inBoot(path, boot!, "mcopy", join(folder, "more"), "::more");
      },
      "verification",
      /boot:more: is not in the manifest/,
    ],
    [
      "no-weights",
      async (path, [, , , data]) => {
        unhashed(path);
        await inData(path, data!, `rm /models/${modelIn(path)}/model.safetensors`);
      },
      "verification",
      /data:models\/[0-9a-f]{16}\/model\.safetensors: the model is not whole: is missing/,
    ],
    [
      "other-tokenizer",
      async (path, [, , , data]) => {
        unhashed(path);
        await changeData(
          path,
          data!,
          `cd /models/${modelIn(path)}`,
          "rm tokenizer.json",
          "write SCRATCH tokenizer.json",
        );
      },
      "verification",
      /data:models\/([0-9a-f]{16}): the model is not whole \(expected \1, found [0-9a-f]{16}\)/,
    ],
    [
      "no-setup",
      async (path, [, , , data]) => {
        unhashed(path);
        await inData(path, data!, `rm /models/${modelIn(path)}/setup.json`);
      },
      "badInput",
      /setup\.json: is missing: a pointer leads there/,
    ],
    [
      "no-json",
      async (path, [, , , data]) => {
        unhashed(path);
        await changeData(path, data!, `cd /models/${modelIn(path)}`, "rm setup.json", "write SCRATCH setup.json");
      },
      "badInput",
      /setup\.json: is no description of a model/,
    ],
    [
      "link-out",
      async (path, [, , , data]) => {
        unhashed(path);
        const script = [
          `cd /models/${modelIn(path)}`,
          "rm setup.json",
          `symlink setup.json ${join(folder, "scratch")}`,
        ];
        await changeData(path, data!, ...script);
      },
      "badInput",
      /setup\.json: is missing: a pointer leads there/,
    ],
    [
      "no-pointer",
      async (path, [, , , data]) => {
        unhashed(path);
        await inData(path, data!, `rm /current/${runtimeIn(path)}`);
      },
      "verification",
      /data:current: the image was built with a model, and has none/,
    ],
    [
      "strange-pointer",
      async (path, [, , , data]) => {
        unhashed(path);
        await changeData(path, data!, "cd /current", `rm ${runtimeIn(path)}`, `symlink ${runtimeIn(path)} /etc`);
      },
      "badInput",
      /data:current\/[0-9a-f]{16}: is no pointer to a model \(expected \.\.\/models\/<id>, found \/etc\)/,
    ],
    [
      "other-runtime",
      async (path, [, , , data]) => {
        unhashed(path);
        await changeData(path, data!, "cd /current", `symlink ${"0".repeat(16)} ../models/${modelIn(path)}`);
      },
      "badInput",
      /data:current\/0{16}: a model for another runtime \(expected 0{16}, found [0-9a-f]{16}\)/,
    ],
    [
      "beside",
      (path) => writeFileSync(`${path}.manifest.json`, "{}\n"),
      "verification",
      /beside\.img\.manifest\.json: the manifest of another image/,
    ],
    ["no-hash", (path) => writeFileSync(`${path}.sha256`, "none\n"), "badInput", /no-hash\.img\.sha256: not a SHA-256/],
  ];
  for (const [name, change, exit, message] of cases) {
    it(`names what is wrong: ${name}`, async () => {
      const path = join(folder, `${name}.img`);
      copyImage(IMAGE, path);
      await change(path, readPartitions(path));
      const { code, stderr } = await lightmamba(["image", "verify", path]);
      assert.match(stderr, message);
      assert.deepEqual([code, stderr.trim().split("\n").length], [EXIT[exit], 1], stderr);
      removeImage(path);
    });
  }
});
