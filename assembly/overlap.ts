// in_proj and the SSM unit at the same time (the paper's reordering): a head starts when its rows are there, while others still multiply. One
// waits for memory, the other computes, so together they take less than one after the other.
import { config, inProjRows, paddedInputs } from "./config";
import { heads, inProj } from "./jobs";
import { allocate } from "./memory";
import { Pass, partBlocks, partsOf, pass, STEP_HEADS, scratchOf, ssmuOf } from "./pass";
import { IN_PROJ, lap, SSMU } from "./profile";
import { LayerState } from "./state";
import { awaitWord, parallel, threads } from "./threads";
import { prepareHeads, SsmuScratch } from "./units/ssmu";
import { layerAt } from "./weights";

const PART: i32 = 0;
const PREPARE: i32 = 1;
const HEAD: i32 = 2;

@unmanaged
class Step {
  kind: i32; //  PART, PREPARE or HEAD
  index: i32; // of the part, of the head
  needs: i32; // parts of in_proj that must be done before
}

@unmanaged
class Schedule {
  count: i32;
  blocks: i32; // of a part
  steps: usize; // Step [count]
}

function scheduleOf(planes: i32): Schedule {
  return changetype<Schedule>(pass.schedules + <usize>(planes - 1) * offsetof<Schedule>());
}

/** Steps are taken in order, so what a step needs is done or in work: nobody waits for what nobody has begun. */
export function allocateSchedules(): void {
  pass.schedules = allocate(2 * offsetof<Schedule>());
  let most = 0;
  for (let planes = 1; planes <= 2; planes++) most = max(most, allocateSchedule(planes));
  pass.done = allocate(most * 4);
}

/** Heads follow the part with their last row, at some distance, so that it is done when they are taken. Returns the number of parts. */
function allocateSchedule(planes: i32): i32 {
  const schedule = scheduleOf(planes);
  schedule.blocks = partBlocks(paddedInputs(config.dModel), planes);
  const parts = partsOf(inProjRows(), schedule.blocks);
  // One thread alone has nothing to overlap, and streams better in one piece.
  const distance = threads() > 1 ? 2 * (threads() - 1) : parts;
  schedule.steps = allocate(<usize>(parts + 1 + config.heads) * offsetof<Step>());
  // Rows of B, C and dt come before x of head 0, so before z of it.
  const shared = partOf(schedule, pass.sharedBlocks - 1);
  let head = 0;
  for (let part = 0; part < parts + distance; part++) {
    if (part < parts) addStep(schedule, PART, part, 0);
    if (part == min(shared + distance, parts + distance - 1)) addStep(schedule, PREPARE, 0, shared + 1);
    for (; head < config.heads; head += STEP_HEADS) {
      const last = min(head + STEP_HEADS, config.heads) - 1;
      const needs = partOf(schedule, load<i32>(pass.headBlocks + ((<usize>last) << 2))) + 1;
      if (needs + distance > part + 1) break;
      addStep(schedule, HEAD, head, needs);
    }
  }
  return parts;
}

function partOf(schedule: Schedule, block: i32): i32 {
  return block / schedule.blocks;
}

function stepAt(schedule: Schedule, i: i32): Step {
  return changetype<Step>(schedule.steps + <usize>i * offsetof<Step>());
}

function addStep(schedule: Schedule, kind: i32, index: i32, needs: i32): void {
  const step = stepAt(schedule, schedule.count++);
  step.kind = kind;
  step.index = index;
  step.needs = needs;
}

/** in_proj, and all heads of all tokens of the pass. */
export function projectAndScan(): void {
  const schedule = scheduleOf(layerAt(pass.layer).inPlanes);
  pass.partBlocks = schedule.blocks;
  pass.round++;
  parallel(schedule.count, takeStep);
}

function takeStep(i: i32, thread: i32): void {
  const step = stepAt(scheduleOf(layerAt(pass.layer).inPlanes), i);
  if (step.kind == PART) {
    inProj(step.index, thread);
    atomic.store<u32>(pass.done + ((<usize>step.index) << 2), pass.round);
    lap(IN_PROJ);
    return;
  }
  for (let part = 0; part < step.needs; part++) awaitWord(pass.done + ((<usize>part) << 2), pass.round);
  const prepared = changetype<usize>(pass) + offsetof<Pass>("prepared");
  if (step.kind == PREPARE) {
    prepare(changetype<SsmuScratch>(scratchOf(thread).ssmu));
    atomic.store<u32>(prepared, pass.round);
  } else {
    awaitWord(prepared, pass.round);
    heads(step.index, min(STEP_HEADS, config.heads - step.index), thread);
  }
  lap(SSMU);
}

function prepare(scratch: SsmuScratch): void {
  const l = layerAt(pass.layer);
  for (let t = 0; t < pass.tokens; t++) {
    prepareHeads(ssmuOf(t), l, changetype<LayerState>(pass.state), pass.first + t, scratch);
  }
}
