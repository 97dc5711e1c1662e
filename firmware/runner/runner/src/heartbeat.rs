//! Signs of life for `supervise`: a program that waits for somebody is well; one that works must get on with it.
use crate::device::TIMEOUT_MS;
use std::{
    env,
    fs::File,
    io::{self, Write},
    os::fd::{FromRawFd, RawFd},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

/// Names the pipe to the supervisor, by its number.
pub const VARIABLE: &str = "LIGHTMAMBA_HEARTBEAT";
/// Without a sign of life for so long a program is stuck. A device's time-out comes before: that is told, and ends nothing.
pub const LONGEST_SILENCE: Duration = Duration::from_millis(TIMEOUT_MS as u64 * 5 / 2);
const EVERY: Duration = Duration::from_secs(1);

static WORKING: AtomicUsize = AtomicUsize::new(0);
static STEPS: AtomicU64 = AtomicU64::new(0);

/// Where somebody supervises this program.
pub fn start() {
    let Some(number) = env::var(VARIABLE).ok().and_then(|text| text.parse::<RawFd>().ok()) else {
        return;
    };
    // SAFETY: the supervisor opened it for this, and nobody else here knows its number.
    let mut pipe = unsafe { File::from_raw_fd(number) };
    thread::spawn(move || {
        let mut seen = u64::MAX;
        loop {
            let steps = STEPS.load(Ordering::Relaxed);
            if steps != seen || WORKING.load(Ordering::Relaxed) == 0 {
                // Without a supervisor there is nobody to tell
                let _ = pipe.write(&[0]);
            }
            seen = steps;
            thread::sleep(EVERY);
        }
    });
}

/// The work goes on.
pub fn step() {
    STEPS.fetch_add(1, Ordering::Relaxed);
}

/// As long as it lives, only steps are signs of life.
pub struct Work;

pub fn work() -> Work {
    step();
    WORKING.fetch_add(1, Ordering::Relaxed);
    Work
}

impl Drop for Work {
    fn drop(&mut self) {
        WORKING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits, for a user or a child: no matter for how long.
pub fn pause<T>(wait: impl FnOnce() -> T) -> T {
    WORKING.fetch_sub(1, Ordering::Relaxed);
    let result = wait();
    step();
    WORKING.fetch_add(1, Ordering::Relaxed);
    result
}

/// Whoever reads may take his time, or hold the text with Ctrl-S.
pub struct Patient<'a>(pub &'a mut dyn Write);

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        pause(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        pause(|| self.0.flush())
    }
}
