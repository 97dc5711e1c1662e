/** What a result must name. */

import { cpus, release, totalmem, type } from "node:os";

export interface Machine {
  processor: string;
  cores: number;
  memoryGb: number;
  system: string;
  node: string;
  compiler: string;
}

export function describeMachine(compiler: string): Machine {
  const list = cpus();
  return {
    processor: list[0]?.model.trim() ?? "unknown",
    cores: list.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()}`,
    node: process.version,
    compiler,
  };
}

export function machineLine({ processor, cores, memoryGb, system, node, compiler }: Machine): string {
  return `${processor}, ${cores} cores, ${memoryGb} GiB; ${system}; Node ${node.slice(1)}; ${compiler}`;
}
