//! Ctrl-C, heard between two tokens; and SIGTERM, for who has to end more than himself.
use std::{
    ptr::null_mut,
    sync::atomic::{AtomicBool, Ordering},
};

static PRESSED: AtomicBool = AtomicBool::new(false);
static ENDED: AtomicBool = AtomicBool::new(false);

extern "C" fn press(_: libc::c_int) {
    PRESSED.store(true, Ordering::Relaxed);
}

extern "C" fn end(_: libc::c_int) {
    ENDED.store(true, Ordering::Relaxed);
}

/// From now on Ctrl-C ends nothing by itself. What waits for input goes on waiting.
pub fn listen() {
    handle(libc::SIGINT, press);
}

/// Whether it was pressed since it was asked last.
pub fn pressed() -> bool {
    PRESSED.swap(false, Ordering::Relaxed)
}

pub fn listen_to_the_end() {
    handle(libc::SIGTERM, end);
}

/// Whether somebody wants this program to end.
pub fn ended() -> bool {
    ENDED.load(Ordering::Relaxed)
}

fn handle(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) {
    // SAFETY: the handlers only set a flag; all of sigaction's bits may be zero.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        libc::sigaction(signal, &action, null_mut());
    }
}
