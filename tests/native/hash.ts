/** What a model computes, as one number; also run by processes that see fewer instructions. */
import { createHash } from "node:crypto";
import type { Variant } from "../../host/runtime/engine.ts";
import { Model } from "../../host/runtime/model.ts";

/** Logits after every token, a prompt of several passes among them. */
export function logitsHash(dir: string, variant: Variant): string {
  const model = Model.load(dir, { variant, threads: 1 });
  const session = model.session();
  const hash = createHash("sha256");
  const token = (i: number) => (i * 7919 + 3) % model.config.vocabUsed;
  const feed = (count: number, from: number) => {
    session.prefill(Array.from({ length: count }, (_, i) => token(from + i)));
    hash.update(new Uint8Array(model.rawLogits().slice().buffer));
  };
  for (const [from, count] of [1, 37, 1, 5, 16, 2, 1, 3].entries()) feed(count, 100 * from);
  return hash.digest("hex");
}
