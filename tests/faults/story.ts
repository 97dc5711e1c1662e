/** What a conversation says, computed by this machine: pieces of so many tokens, as `serve` writes them. */
import { generate, promptIds } from "../../host/generate.ts";
import { Model } from "../../host/runtime/model.ts";

export const PROMPT = "Once upon a time";
export const SEED = 3;
/** Tokens a piece. */
export const PIECE = 8;

/** The first piece follows the prompt, each further one an empty line. */
export function storyOf(modelDir: string, pieces: number): string[] {
  const model = Model.load(modelDir, { threads: 1 });
  const session = model.session({ seed: SEED });
  let ids = promptIds(model, PROMPT);
  const story = Array.from({ length: pieces }, () => {
    const tokens = generate(model, session, ids, { tokens: PIECE });
    let text = "";
    for (let step = tokens.next(); ; step = tokens.next()) {
      if (step.done) {
        ids = step.value.pending === undefined ? [] : [step.value.pending];
        return text;
      }
      text += step.value.text;
    }
  });
  session.close();
  return story;
}
