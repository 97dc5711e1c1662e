//! Power monitors of a machine, as Linux shows them: docs/power.md, and host/bench/power/hwmon.ts. Every byte that they say is checked.
use std::{
    collections::HashMap,
    fs::{self, OpenOptions},
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

pub const HWMON: &str = "/sys/class/hwmon";
/// No rail of these boards draws a kilowatt.
const MOST_MICROWATTS: i64 = 1_000_000_000;
const MOST_TEXT: usize = 64;
const MOST_DIGITS: usize = 15;

/// Something whose power is told.
pub struct Rail {
    pub name: String,
    /// The monitor's kind, as in ina226.
    pub chip: String,
    /// A file of microwatts; or of millivolts and one of milliamperes.
    files: Vec<PathBuf>,
}

/// In the order of monitors and channels; none where the folder is not there.
pub fn find_rails(folder: &Path) -> Vec<Rail> {
    let mut found: Vec<(String, Rail)> = Vec::new();
    for monitor in numbered(folder, "hwmon", "") {
        let rails = rails_of(&folder.join(&monitor));
        found.extend(rails.into_iter().map(|rail| (monitor.clone(), rail)));
    }
    let mut times: HashMap<String, usize> = HashMap::new();
    for (_, rail) in &found {
        *times.entry(rail.name.clone()).or_default() += 1;
    }
    for (monitor, rail) in &mut found {
        if times[&rail.name] > 1 {
            rail.name = format!("{} {monitor}", rail.name);
        }
    }
    found.into_iter().map(|(_, rail)| rail).collect()
}

fn rails_of(folder: &Path) -> Vec<Rail> {
    let chip = read_text(&folder.join("name")).unwrap_or("unknown".into());
    let own = read_text(&folder.join("label")).unwrap_or(chip.clone());
    let powers = numbered(folder, "power", "_input");
    let several = powers.len() > 1;
    let rail = |file: &String| {
        let channel = file.trim_end_matches("_input");
        let plain = if several {
            format!("{own} {channel}")
        } else {
            own.clone()
        };
        Rail {
            name: read_text(&folder.join(format!("{channel}_label"))).unwrap_or(plain),
            chip: chip.clone(),
            files: vec![folder.join(file)],
        }
    };
    if !powers.is_empty() {
        return powers.iter().map(rail).collect();
    }
    let files = vec![folder.join("in1_input"), folder.join("curr1_input")];
    if files.iter().any(|file| read_text(file).is_none()) {
        return Vec::new();
    }
    let name = own.clone();
    vec![Rail { name, chip, files }]
}

/// Names of a folder with a number in them, by that number.
fn numbered(folder: &Path, before: &str, behind: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<(u64, String)> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let digits = name.strip_prefix(before)?.strip_suffix(behind)?;
            let plain = digits.bytes().all(|digit| digit.is_ascii_digit());
            Some((plain.then(|| digits.parse().ok())??, name))
        })
        .collect();
    names.sort();
    names.into_iter().map(|(_, name)| name).collect()
}

impl Rail {
    /// What it draws now; or None where its monitor is gone, or says what cannot be.
    pub fn microwatts(&self) -> Option<f64> {
        let mut product = 1;
        for file in &self.files {
            product = read_number(file)?.checked_mul(product)?;
        }
        (0..=MOST_MICROWATTS).contains(&product).then_some(product as f64)
    }
}

fn read_number(file: &Path) -> Option<i64> {
    let text = read_text(file)?;
    let digits = text.strip_prefix('-').unwrap_or(&text);
    let plain = digits.bytes().all(|digit| digit.is_ascii_digit());
    if !plain || digits.len() > MOST_DIGITS {
        return None;
    }
    text.parse().ok()
}

/// A short line of printable ASCII. Never waits: a file that is a pipe has nothing.
fn read_text(file: &Path) -> Option<String> {
    let mut open = OpenOptions::new();
    let mut source = open.read(true).custom_flags(libc::O_NONBLOCK).open(file).ok()?;
    let mut bytes = [0; MOST_TEXT];
    let count = source.read(&mut bytes).ok()?;
    let text = str::from_utf8(&bytes[..count]).ok()?.trim();
    let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    (printable && !text.is_empty()).then(|| text.into())
}
