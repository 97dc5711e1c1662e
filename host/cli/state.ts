/** Work on a card or a board, which is in one state or another should it end there. */
import { withHint } from "../errors.ts";
import { tellInterrupted } from "./failure.ts";
import { onInterrupt } from "./interrupt.ts";
import type { Output } from "./output.ts";
import { phaseProgress, withProgress } from "./progress.ts";

/** What `task` tells of itself. */
export interface StatefulWork<State> {
  reached(state: State): void;
  progress(phase: string, done: number, total: number): void;
}

/** However the work ends, the user learns what `what` is then, in the words of `states`. */
export async function withState<State extends string, T>(
  what: string,
  states: Record<State, string>,
  first: NoInfer<State>,
  output: Output,
  task: (work: StatefulWork<State>) => Promise<T>,
): Promise<T> {
  let state: State = first;
  const heard = onInterrupt(() => tellInterrupted(output, what, states[state], state));
  const phases = phaseProgress(output);
  const reached = (now: State) => {
    state = now;
  };
  try {
    return await withProgress(phases, () => task({ reached, progress: phases.update }));
  } catch (error) {
    throw withHint(error, states[state]);
  } finally {
    heard();
  }
}
