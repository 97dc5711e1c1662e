//! A terminal as a line for data: nothing is echoed, edited or cut at 4,096 bytes, and silence ends it.
use rustix::termios::{InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::io;

/// In tenths of a second. Whoever sends lines does not wait so long.
const LONGEST_SILENCE: u8 = 250;

/// Until it is dropped.
pub struct Raw(Termios);

impl Raw {
    /// Of standard input, where that is a terminal.
    pub fn enter() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::IEXTEN | LocalModes::ISIG;
        raw.input_modes -= InputModes::IXON | InputModes::IXOFF;
        raw.special_codes[SpecialCodeIndex::VMIN] = 0;
        raw.special_codes[SpecialCodeIndex::VTIME] = LONGEST_SILENCE;
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.0);
    }
}
