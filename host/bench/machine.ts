/** What a result must name: the machine, and how busy it is. */
import { cpus, loadavg, release, totalmem, type } from "node:os";

export interface Machine {
  processor: string;
  cores: number;
  memoryGb: number;
  system: string;
  node: string;
}

export function describeMachine(): Machine {
  const list = cpus();
  return {
    processor: list[0]?.model.trim() ?? "unknown",
    cores: list.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release().split(".").slice(0, 2).join(".")}`,
    node: process.version,
  };
}

/** What else ran: programs wanting a core, on average over the last minute. Beyond a small share of the cores, speeds mean little. */
export function busyRemark(): string | undefined {
  const [load = 0] = loadavg();
  const cores = cpus().length;
  if (load < cores / 4) return undefined;
  return `remark: other programs are running (load ${load.toFixed(1)} on ${cores} cores): speeds will be low and far apart`;
}

export function machineLine({ processor, cores, memoryGb, system, node }: Machine): string {
  return `${processor}, ${cores} cores, ${memoryGb} GiB; ${system}; Node ${node.slice(1)}`;
}
