//! `lightmamba slot`, and what an update asks of the two slots: which runs, which boots next, and whether it may stay. A slot on trial
//! boots first until it is confirmed, or has failed: then the other one does. docs/boot.md.
use crate::{
    card::{Card, Region, Slot},
    cli::{CardArgs, SlotCommand},
    environment::Environment,
    error::{Error, Exit, Result, usage},
    output::Output,
};
use rustix::fs::{FlockOperation, flock};
use serde_json::json;

/// Boots that a slot may begin before it has come to its end once.
const TRIES: u64 = 3;
/// RAUC's names.
const ORDER: &str = "BOOT_ORDER";
const TRIAL: &str = "lm_trial";

fn left(slot: Slot) -> String {
    format!("BOOT_{slot}_LEFT")
}

/// How `started` found the card.
#[derive(Debug, PartialEq)]
pub enum Start {
    Usual,
    /// To be confirmed once it has tested itself.
    OnTrial,
    /// The other slot was on trial, and did not come here.
    TrialFailed,
    /// The other slot comes first, and did not start.
    FellBack,
}

/// Locked: nobody else changes the card's slots as long as this lives.
pub struct Slots {
    card: Card,
    environment: Environment,
}

impl Slots {
    pub fn open(args: &CardArgs) -> Result<Self> {
        let given = match (&args.disk, args.running) {
            (Some(disk), Some(slot)) => Some((disk.as_path(), slot)),
            (None, None) => None,
            _ => return Err(usage("--disk and --running belong together")),
        };
        let card = Card::open(given)?;
        flock(&card.disk, FlockOperation::LockExclusive).map_err(|error| Error::io(&card.path, &error.into()))?;
        let environment = Environment::read(&card.disk, &card.path)?;
        Ok(Self { card, environment })
    }

    pub fn running(&self) -> Slot {
        self.card.running
    }

    /// Where a new system goes.
    pub fn other_partition(&self) -> &Region {
        self.card.region(self.running().other())
    }

    /// In which order U-Boot tries them. What it cannot read is as it is on a new card.
    pub fn order(&self) -> [Slot; 2] {
        match self.environment.get(ORDER) {
            Some("B A") => [Slot::B, Slot::A],
            _ => [Slot::A, Slot::B],
        }
    }

    /// Boots that a slot may still begin, as boot.cmd reads it: what is no number is none.
    pub fn left(&self, slot: Slot) -> u64 {
        match self.environment.get(&left(slot)) {
            Some(text) => u64::from_str_radix(text, 16).unwrap_or(0),
            None => TRIES,
        }
    }

    pub fn trial(&self) -> Option<Slot> {
        self.environment.get(TRIAL).and_then(Slot::of)
    }

    pub fn on_trial(&self) -> bool {
        self.trial() == Some(self.running())
    }

    /// Nothing boots from the other slot: what is there may be overwritten.
    pub fn retire_other(&mut self) -> Result<()> {
        self.retire(self.running().other());
        self.write()
    }

    /// The other slot boots next, and until it is confirmed.
    pub fn start_trial(&mut self, slot: Slot) -> Result<()> {
        if slot == self.running() {
            return Err(usage(format!("slot {slot} is running: nothing to try")));
        }
        if !self.other_partition().has_system()? {
            return Err(Error::new(Exit::Prerequisite, format!("slot {slot} holds no system")).file(&self.card.path));
        }
        self.prefer(slot);
        self.environment.set(&left(slot), TRIES);
        self.environment.set(TRIAL, slot);
        self.write()
    }

    /// Userland is up: only a slot on trial has to show more. Says how it came that this slot runs.
    pub fn started(&mut self) -> Result<Start> {
        let running = self.running();
        if self.on_trial() {
            return Ok(Start::OnTrial);
        }
        let start = match self.trial() {
            Some(_) => Start::TrialFailed,
            None if self.order()[0] != running => Start::FellBack,
            None => Start::Usual,
        };
        match start {
            Start::TrialFailed => self.retire(running.other()),
            _ if self.left(running) == TRIES => return Ok(start),
            _ => {}
        }
        self.environment.set(&left(running), TRIES);
        self.write()?;
        Ok(start)
    }

    /// The slot that runs is the one to stay with; whether it was on trial.
    pub fn confirm(&mut self) -> Result<bool> {
        let was = self.on_trial();
        if was || self.left(self.running()) != TRIES {
            self.environment.set(&left(self.running()), TRIES);
            if was {
                self.environment.unset(TRIAL);
            }
            self.write()?;
        }
        Ok(was)
    }

    /// The slot that runs is on trial, and no good: the other one boots next.
    pub fn fail(&mut self) -> Result<()> {
        let running = self.running();
        if !self.on_trial() {
            return Err(Error::new(
                Exit::Prerequisite,
                format!("slot {running} is not on trial: it stays"),
            ));
        }
        self.retire(running);
        self.write()
    }

    /// By hand: the other slot on trial, or the running one to stay.
    pub fn choose(&mut self, slot: Slot) -> Result<()> {
        if slot != self.running() {
            return self.start_trial(slot);
        }
        self.prefer(slot);
        self.environment.set(&left(slot), TRIES);
        self.write()
    }

    /// Comes first, and no trial is under way.
    fn prefer(&mut self, slot: Slot) {
        self.environment.set(ORDER, format!("{slot} {}", slot.other()));
        self.environment.unset(TRIAL);
    }

    fn retire(&mut self, slot: Slot) {
        self.prefer(slot.other());
        self.environment.set(&left(slot), 0);
    }

    fn write(&mut self) -> Result<()> {
        self.environment.write(&self.card.disk, &self.card.path)
    }
}

pub fn run(command: &SlotCommand, output: Output) -> Result<()> {
    match command {
        SlotCommand::Show(args) => show(&Slots::open(args)?, output),
        SlotCommand::Started(args) => started(&mut Slots::open(args)?, output),
        SlotCommand::Confirm(args) => {
            let mut slots = Slots::open(args)?;
            if slots.confirm()? {
                output.note(&format!("slot {} has passed its trial: it stays", slots.running()));
            }
            Ok(())
        }
        SlotCommand::Fail(args) => {
            let mut slots = Slots::open(args)?;
            slots.fail()?;
            let running = slots.running();
            output.note(&format!(
                "slot {running} has failed its trial: back to slot {}",
                running.other()
            ));
            Ok(())
        }
        SlotCommand::Use { slot, card } => {
            let mut slots = Slots::open(card)?;
            slots.choose(*slot)?;
            let how = if slots.trial().is_some() { ", on trial" } else { "" };
            output.note(&format!("slot {slot} boots next{how}"));
            Ok(())
        }
    }
}

fn started(slots: &mut Slots, output: Output) -> Result<()> {
    let start = slots.started()?;
    let (running, other) = (slots.running(), slots.running().other());
    let said = match start {
        Start::Usual => return Ok(()),
        Start::OnTrial => format!("slot {running} is on trial"),
        Start::TrialFailed => format!("slot {other} did not start, its trial is over: this is slot {running}"),
        Start::FellBack => format!("slot {other} comes first, but did not start: this is slot {running}"),
    };
    output.note(&said);
    Ok(())
}

fn show(slots: &Slots, output: Output) -> Result<()> {
    let mut rows = Vec::new();
    for slot in slots.order() {
        let region = slots.card.region(slot);
        rows.push((slot, slots.left(slot), region.has_system()?, region));
    }
    if output.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(slot, left, system, region)| {
                json!({ "slot": slot.to_string(), "left": left, "system": system, "offset": region.offset, "bytes": region.bytes })
            })
            .collect();
        let trial = slots.trial().map(|slot| slot.to_string());
        return output.record(&json!({ "running": slots.running().to_string(), "trial": trial, "slots": rows }));
    }
    for (slot, left, system, region) in rows {
        let holds = if system { "a system" } else { "no system" };
        let mib = region.bytes >> 20;
        let runs = if slot == slots.running() { ", runs" } else { "" };
        let trial = if slots.trial() == Some(slot) { ", on trial" } else { "" };
        output.line(&format!(
            "slot {slot}: {holds} in {mib} MiB, {left} boots left{runs}{trial}"
        ))?;
    }
    Ok(())
}
