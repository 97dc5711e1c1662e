// A team of threads on one shared memory. The main thread publishes a job of equal parts; whoever is awake takes the next part, so a thread
// that the system has put aside delays at most the part it holds. Parts share no sums: the bits do not depend on who computes what.
// Waiting is a bounded spin, then sleep: jobs follow each other within microseconds, tokens do not.

/** One part of a job, on a thread of the team; 0 is the main thread. */
export type Job = (part: i32, thread: i32) => void;

/** Looks at the team's state before a thread goes to sleep: some 30 µs. */
const SPINS: i32 = 100000;
const LOOK_AGAIN_NS: i64 = 100000;

// Each word that threads write has a cache line of its own.
const LINE: usize = 64;
const TEAM: usize = memory.data(256, 64);
/** u64: number of the job, and below it the parts that nobody has taken. One word, so that a late thread cannot take a part of the wrong job. */
const TICKET: usize = TEAM;
/** u32: parts done; u32: 1 while the main thread sleeps on it. */
const DONE: usize = TEAM + LINE;
/** u32: jobs so far; u32: threads that sleep on it. */
const JOBS: usize = TEAM + 2 * LINE;
// Written by the main thread before it publishes: the job's function, its parts, the team's size.
const FUNCTION: usize = TEAM + 3 * LINE;
const PARTS: usize = FUNCTION + 4;
const THREADS: usize = FUNCTION + 8;

/** Threads of the team, the main one included. Set before the first job. */
export function setThreads(threads: i32): void {
  store<i32>(THREADS, threads);
}

export function threads(): i32 {
  return max(1, load<i32>(THREADS));
}

/** Runs job(part, thread) for each part in 0..parts-1 and returns when all are done. */
export function parallel(parts: i32, job: Job): void {
  if (threads() == 1) {
    for (let part = 0; part < parts; part++) job(part, 0);
    return;
  }
  store<u32>(FUNCTION, <u32>changetype<usize>(job));
  store<i32>(PARTS, parts);
  atomic.store<u32>(DONE, 0);
  const sequence = atomic.add<u32>(JOBS, 1) + 1;
  atomic.store<u64>(TICKET, ((<u64>sequence) << 32) | <u64>parts);
  if (atomic.load<u32>(JOBS, 4) > 0) atomic.notify(JOBS, -1);
  for (let part = take(); part >= 0; part = take()) {
    job(part, 0);
    atomic.add<u32>(DONE, 1);
  }
  awaitParts(parts);
}

/** Takes the next part of the current job; -1 when there is none left. */
function take(): i32 {
  let ticket = atomic.load<u64>(TICKET);
  while (<u32>ticket != 0) {
    const seen = atomic.cmpxchg<u64>(TICKET, ticket, ticket - 1);
    if (seen == ticket) return load<i32>(PARTS) - <i32>(<u32>ticket);
    ticket = seen;
  }
  return -1;
}

function awaitParts(parts: i32): void {
  for (let i = 0; i < SPINS; i++) if (atomic.load<u32>(DONE) == <u32>parts) return;
  atomic.store<u32>(DONE, 1, 4);
  for (;;) {
    const done = atomic.load<u32>(DONE);
    if (done == <u32>parts) break;
    atomic.wait<i32>(DONE, <i32>done, -1);
  }
  atomic.store<u32>(DONE, 0, 4);
}

/** Waits until the u32 at `at` is `value`, which another thread is about to write; nobody notifies, so a long wait looks again now and then. */
export function awaitWord(at: usize, value: u32): void {
  for (let i = 0; i < SPINS; i++) if (atomic.load<u32>(at) == value) return;
  for (;;) {
    const found = atomic.load<u32>(at);
    if (found == value) return;
    atomic.wait<i32>(at, <i32>found, LOOK_AGAIN_NS);
  }
}

/** The life of thread 1, 2, …: never returns. */
export function serve(thread: i32): void {
  for (;;) {
    const jobs = atomic.load<u32>(JOBS);
    let part = take();
    for (let i = 0; part < 0 && i < SPINS; i++) part = take();
    if (part < 0) {
      atomic.add<u32>(JOBS, 1, 4);
      // Not when a job was published since: the word has changed then, or take() finds it.
      if (<u32>atomic.load<u64>(TICKET) == 0) atomic.wait<i32>(JOBS, <i32>jobs, -1);
      atomic.sub<u32>(JOBS, 1, 4);
      continue;
    }
    for (; part >= 0; part = take()) {
      // Read before the part is done: afterwards the main thread may publish the next job.
      const parts = load<u32>(PARTS);
      changetype<Job>(<usize>load<u32>(FUNCTION))(part, thread);
      if (atomic.add<u32>(DONE, 1) + 1 == parts && atomic.load<u32>(DONE, 4) != 0) atomic.notify(DONE, -1);
    }
  }
}
