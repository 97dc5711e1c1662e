//! Ctrl-C: heard between two tokens.
use std::{
    ptr::null_mut,
    sync::atomic::{AtomicBool, Ordering},
};

static PRESSED: AtomicBool = AtomicBool::new(false);

extern "C" fn press(_: libc::c_int) {
    PRESSED.store(true, Ordering::Relaxed);
}

/// From now on Ctrl-C ends nothing by itself. What waits for input goes on waiting.
pub fn listen() {
    // SAFETY: the handler only sets a flag; all of sigaction's bits may be zero.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = press as extern "C" fn(libc::c_int) as usize;
        libc::sigaction(libc::SIGINT, &action, null_mut());
    }
}

/// Whether it was pressed since it was asked last.
pub fn pressed() -> bool {
    PRESSED.swap(false, Ordering::Relaxed)
}
