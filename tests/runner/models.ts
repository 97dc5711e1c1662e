/** Models for a card: the embedded one, and some that are like it. */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "./bundle.ts";
import { boardModel } from "./support.ts";

interface Setup {
  generator: string;
  runtime: { sha256: string };
  files: Record<string, { bytes: number; sha256: string }>;
  selftest: { sha256: string };
}

export class Models {
  readonly #folder: string;
  readonly model: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.model = boardModel(folder);
  }

  /** Whose setup is not the same. */
  changed(name: string, change: (setup: Setup, dir: string) => void): string {
    const dir = join(this.#folder, name);
    cpSync(this.model, dir, { recursive: true });
    const setup = JSON.parse(readFileSync(join(dir, "setup.json"), "utf8"));
    change(setup, dir);
    writeFileSync(join(dir, "setup.json"), JSON.stringify(setup));
    return dir;
  }

  /** The same weights and words in other files: nothing of it is on a card with the first. */
  other(): string {
    return this.changed("other", (setup, dir) => {
      // In the head of the weights, which a board does not read; behind the words
      const changes = {
        "model.safetensors": (bytes: Buffer) => bytes.fill("x", 9, 10),
        "tokenizer.json": (bytes: Buffer) => Buffer.concat([bytes, Buffer.from("\n")]),
      };
      for (const [name, change] of Object.entries(changes)) {
        const bytes = change(readFileSync(join(dir, name)));
        writeFileSync(join(dir, name), bytes);
        setup.files[name] = { bytes: bytes.length, sha256: sha256(bytes) };
      }
    });
  }

  /** That gives other tokens than its setup says. */
  wrong(): string {
    return this.changed("wrong", (setup) => {
      setup.selftest.sha256 = "0".repeat(64);
    });
  }

  /** That has everything but its setup from the first. */
  again(): string {
    return this.changed("again", (setup) => {
      setup.generator = "another day";
    });
  }
}
