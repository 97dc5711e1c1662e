/** quantizeCheckpoint in a worker thread, for callers that must stay responsive. */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { type ErrorDetail, type ExitName, LightMambaError } from "../errors.ts";
import { type QuantizeOptions, type QuantizeResult, quantizeCheckpoint } from "./index.ts";

export interface QuantizeJob {
  checkpoint: string;
  output: string;
  options: Omit<QuantizeOptions, "progress">;
}

/** Structured cloning keeps an Error's message but not its class. */
type Reply =
  | { progress: Parameters<QuantizeProgress> }
  | { result: QuantizeResult }
  | { known: { exit: ExitName; message: string; detail: ErrorDetail } }
  | { unknown: unknown };

type QuantizeProgress = NonNullable<QuantizeOptions["progress"]>;

export function quantizeInThread(job: QuantizeJob, progress: QuantizeProgress): Promise<QuantizeResult> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: job });
    worker.on("error", reject);
    worker.on("message", (reply: Reply) => {
      if ("progress" in reply) progress(...reply.progress);
      else if ("result" in reply) resolve(reply.result);
      else reject("known" in reply ? LightMambaError.revive(reply.known) : reply.unknown);
    });
  });
}

function work({ checkpoint, output, options }: QuantizeJob): Reply {
  try {
    const progress: QuantizeProgress = (...step) => parentPort!.postMessage({ progress: step } satisfies Reply);
    return { result: quantizeCheckpoint(checkpoint, output, { ...options, progress }) };
  } catch (error) {
    if (!(error instanceof LightMambaError)) return { unknown: error };
    return { known: { exit: error.exit, message: error.message, detail: error.detail } };
  }
}

if (!isMainThread) parentPort!.postMessage(work(workerData as QuantizeJob));
