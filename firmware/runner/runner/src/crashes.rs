//! How often a supervised program started, and how it ended when that was not meant: on the data partition, for `doctor`.
use crate::{
    durable,
    error::{Error, Exit, Result, bad_input},
    setup::read_limited,
    watch::Ended,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::SystemTime,
};

const FILE: &str = "crashes.json";
const FORMAT: &str = "lightmamba-crashes";
const VERSION: u32 = 1;
const MOST_BYTES: u64 = 65536;

#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Crashes {
    format: String,
    version: u32,
    pub starts: u64,
    /// By what ended it: an exit code, a signal, or that it was stuck.
    pub crashes: BTreeMap<String, u64>,
    /// Too many in a short time: it was not started again.
    pub given_up: u64,
    pub last: Option<Last>,
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Last {
    pub reason: String,
    /// Seconds since 1970, by a clock that may not have been set.
    pub time: u64,
}

impl Default for Crashes {
    fn default() -> Self {
        Self {
            format: FORMAT.into(),
            version: VERSION,
            starts: 0,
            crashes: BTreeMap::new(),
            given_up: 0,
            last: None,
        }
    }
}

impl Crashes {
    fn path(data: &Path) -> PathBuf {
        data.join(FILE)
    }

    /// Nothing has crashed where there is no such file.
    pub fn read(data: &Path) -> Result<Self> {
        let path = &Self::path(data);
        if !path.exists() {
            return Ok(Self::default());
        }
        let bytes = read_limited(path, MOST_BYTES)?;
        let invalid = |what: String| bad_input(format!("damaged: {what}")).file(path);
        let found: Self = serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
        if found.format == FORMAT && found.version == VERSION {
            return Ok(found);
        }
        let error = Error::new(Exit::Unsupported, "counters of another version").file(path);
        let expected = format!("{FORMAT} {VERSION}");
        Err(error
            .expected(expected)
            .found(format!("{} {}", found.format, found.version)))
    }

    pub fn write(&self, data: &Path) -> Result<()> {
        let text = serde_json::to_vec(self).expect("JSON");
        durable::write(&Self::path(data), &[&text, b"\n"])
    }

    pub fn add(&mut self, ended: Ended) {
        let reason = reason(ended);
        *self.crashes.entry(reason.clone()).or_default() += 1;
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let time = time.map_or(0, |since| since.as_secs());
        self.last = Some(Last { reason, time });
    }

    pub fn count(&self) -> u64 {
        self.crashes.values().sum()
    }

    /// In one line.
    pub fn summary(&self) -> String {
        let mut text = format!("{} starts, {} crashes", self.starts, self.count());
        if self.given_up > 0 {
            text += &format!(", given up {} times", self.given_up);
        }
        let kinds: Vec<String> = self
            .crashes
            .iter()
            .map(|(reason, count)| format!("{reason}: {count}"))
            .collect();
        if let Some(last) = &self.last {
            text += &format!(
                " ({}); the last at {}: {}",
                kinds.join(", "),
                utc(last.time),
                last.reason
            );
        }
        text
    }
}

pub fn reason(ended: Ended) -> String {
    match ended {
        Ended::Exit(code) => format!("exit code {code}"),
        Ended::Signal(number) => format!("signal {number}"),
        Ended::Silent => "stuck".into(),
    }
}

/// The civil date of a count of days, by Howard Hinnant's algorithm.
fn utc(seconds: u64) -> String {
    let days = (seconds / 86400) as i64 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + 400 * era + i64::from(month <= 2);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_764_547_199, "2025-11-30 23:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(utc(seconds), text);
        }
    }

    #[test]
    fn kinds_are_counted() {
        let mut crashes = Crashes {
            starts: 4,
            ..Crashes::default()
        };
        for ended in [Ended::Signal(9), Ended::Silent, Ended::Signal(9)] {
            crashes.add(ended);
        }
        let text = crashes.summary();
        assert!(
            text.starts_with("4 starts, 3 crashes (signal 9: 2, stuck: 1); the last at "),
            "{text}"
        );
    }
}
