//! Energy of a span of time: a thread reads all power monitors many times a second. docs/power.md, and host/bench/power.
use crate::hwmon::{Rail, find_rails};
use serde::Serialize;
use std::{
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const PERIOD: Duration = Duration::from_millis(50);
/// A monitor that has said nothing for so long at the end is gone.
const GONE_SECONDS: f64 = 1.0;
/// Of the readings during the span so many must have been possible.
const LEAST_GOOD: f64 = 0.5;
/// Fewer of them in the measured time say little.
const FEW_READINGS: usize = 10;

/// When, and microwatts; None: the monitor said nothing that could be.
pub type Reading = (f64, Option<f64>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PowerUse {
    pub joules_per_token: Option<f64>,
    pub seconds: f64,
    /// Of the rails that could be counted; None where none could.
    pub joules: Option<f64>,
    pub watts: Option<f64>,
    pub rails: Vec<RailEnergy>,
    pub notes: Vec<String>,
}

#[derive(Serialize)]
pub struct RailEnergy {
    pub rail: String,
    chip: String,
    /// Mean of the span; None where the rail is left out of the sum, for the reason in `note`.
    watts: Option<f64>,
    pub joules: Option<f64>,
    /// During the span, and of these such as were refused.
    readings: usize,
    refused: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

pub struct PowerMeter {
    start: Instant,
    names: Vec<(String, String)>,
    stop: Sender<()>,
    reader: JoinHandle<Vec<Vec<Reading>>>,
}

impl PowerMeter {
    /// None where the folder has no monitor of power.
    pub fn open(folder: &Path) -> Option<Self> {
        let rails = find_rails(folder);
        if rails.is_empty() {
            return None;
        }
        let start = Instant::now();
        let names = rails
            .iter()
            .map(|rail| (rail.name.clone(), rail.chip.clone()))
            .collect();
        let (stop, stopped) = channel();
        let (ready, begun) = channel();
        let reader = thread::spawn(move || read(&rails, start, &stopped, &ready));
        begun.recv().ok()?;
        Some(Self {
            start,
            names,
            stop,
            reader,
        })
    }

    /// Seconds of the clock of the readings.
    pub fn now(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// Ends the reading, and tells what was drawn from `begin` to `end`, for so many tokens.
    pub fn stop(self, (begin, end): (f64, f64), tokens: u32) -> PowerUse {
        drop(self.stop);
        let readings = self.reader.join().unwrap_or_default();
        let rails = self
            .names
            .iter()
            .zip(&readings)
            .map(|((rail, chip), readings)| rail_energy(rail, chip, readings, begin, end));
        power_use(rails.collect(), end - begin, tokens)
    }
}

fn read(rails: &[Rail], start: Instant, stopped: &Receiver<()>, ready: &Sender<()>) -> Vec<Vec<Reading>> {
    let mut readings = vec![Vec::new(); rails.len()];
    let mut due = Instant::now();
    loop {
        for (rail, readings) in rails.iter().zip(&mut readings) {
            let microwatts = rail.microwatts();
            readings.push((start.elapsed().as_secs_f64(), microwatts));
        }
        let _ = ready.send(());
        // After a pause of the whole machine no reading is made up for
        due = (due + PERIOD).max(Instant::now());
        let wait = due.saturating_duration_since(Instant::now());
        if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
            return readings;
        }
    }
}

fn power_use(rails: Vec<RailEnergy>, seconds: f64, tokens: u32) -> PowerUse {
    let counted: Vec<f64> = rails.iter().filter_map(|rail| rail.joules).collect();
    let joules = (!counted.is_empty()).then(|| counted.iter().sum::<f64>());
    let mut notes: Vec<String> = rails
        .iter()
        .filter_map(|rail| Some(format!("{}: {}; left out", rail.rail, rail.note.as_ref()?)))
        .collect();
    let most = rails.iter().map(|rail| rail.readings).max().unwrap_or_default();
    if joules.is_some() && most < FEW_READINGS {
        notes.push(format!("only {most} readings in {seconds:.2} s: more tokens say more"));
    }
    PowerUse {
        joules_per_token: joules.map(|joules| joules / f64::from(tokens)),
        seconds,
        joules,
        watts: joules.map(|joules| joules / seconds),
        rails,
        notes,
    }
}

fn rail_energy(rail: &str, chip: &str, readings: &[Reading], begin: f64, end: f64) -> RailEnergy {
    let inside = readings.iter().filter(|(time, _)| (begin..=end).contains(time));
    let refused = inside.clone().filter(|(_, microwatts)| microwatts.is_none()).count();
    let good: Vec<(f64, f64)> = readings
        .iter()
        .filter_map(|(time, microwatts)| Some((*time, (*microwatts)?)))
        .collect();
    let count = inside.count();
    let note = fault_of(&good, count, refused, end);
    let joules = note.is_none().then(|| integral(&good, begin, end) / 1e6);
    RailEnergy {
        rail: rail.into(),
        chip: chip.into(),
        watts: joules.map(|joules| joules / (end - begin)),
        joules,
        readings: count,
        refused,
        note,
    }
}

/// Why a rail cannot be counted.
fn fault_of(good: &[(f64, f64)], count: usize, refused: usize, end: f64) -> Option<String> {
    let Some((last, _)) = good.last() else {
        return Some("said nothing from 0 to 1000 W".into());
    };
    let missing = end - last;
    if missing > GONE_SECONDS {
        return Some(format!("gone {missing:.1} s before the end"));
    }
    let few = ((count - refused) as f64) < LEAST_GOOD * count as f64;
    few.then(|| format!("{refused} of {count} readings were not from 0 to 1000 W"))
}

/// Of straight lines between readings; before the first one and after the last one as these. In microjoules.
fn integral(readings: &[(f64, f64)], begin: f64, end: f64) -> f64 {
    let at = |time: f64| match readings.iter().position(|(one, _)| *one >= time) {
        Some(0) => readings[0].1,
        None => readings[readings.len() - 1].1,
        Some(after) => {
            let ((t0, p0), (t1, p1)) = (readings[after - 1], readings[after]);
            p0 + (p1 - p0) * (time - t0) / (t1 - t0)
        }
    };
    let inner = readings
        .iter()
        .copied()
        .filter(|(time, _)| begin < *time && *time < end);
    let mut points = vec![(begin, at(begin))];
    points.extend(inner);
    points.push((end, at(end)));
    points
        .windows(2)
        .map(|pair| (pair[0].1 + pair[1].1) / 2.0 * (pair[1].0 - pair[0].0))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_str, to_value};

    /// The same that the host is held against: tests/bench/power.test.ts.
    #[test]
    fn energy_is_the_hosts() {
        let cases: Vec<Value> = from_str(include_str!("../../../../tests/bench/power-cases.json")).unwrap();
        for case in cases.iter().filter(|case| case["spans"].as_array().unwrap().len() == 1) {
            let readings: Vec<Reading> = case["readings"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| (one[0].as_f64().unwrap(), one[1].as_f64()))
                .collect();
            let span = &case["spans"][0];
            let (begin, end) = (span[0].as_f64().unwrap(), span[1].as_f64().unwrap());
            let found = to_value(rail_energy("rail", "chip", &readings, begin, end)).unwrap();
            for (key, expected) in case["expected"].as_object().unwrap() {
                let same = match (expected.as_f64(), found[key].as_f64()) {
                    (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs(),
                    _ => expected == &found[key],
                };
                assert!(same, "{}: {key} {} {expected}", case["name"], found[key]);
            }
        }
        assert!(cases.len() > 8);
    }
}
