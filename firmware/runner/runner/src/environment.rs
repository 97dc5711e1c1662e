//! U-Boot's variables on a card: two copies of the form that `mkenvimage -r` makes, the newer one counts. CRC-32 of the data in little-endian, a
//! byte that grows by one with each writing, then NAME=VALUE with a NUL behind each, and one more. The copy that is older is written, so
//! a loss of power leaves the other. docs/boot.md.
use crate::error::{Error, Exit, Result, bad_input};
use std::{collections::BTreeMap, fs::File, os::unix::fs::FileExt, path::Path};

/// Bytes of a copy, and where on the card each begins: between the partition table and the first partition. `boot.cmd` has them as blocks.
pub const COPY_BYTES: usize = 16 << 10;
pub const COPIES: [u64; 2] = [512 << 10, 768 << 10];
const HEADER_BYTES: usize = 5;

/// As U-Boot would have it now; neither copy valid: no variables.
#[derive(Debug, Default, PartialEq)]
pub struct Environment {
    pub variables: BTreeMap<String, String>,
    /// The copy that was read, and its count.
    read: Option<(usize, u8)>,
}

struct Copy {
    count: u8,
    variables: BTreeMap<String, String>,
}

impl Environment {
    pub fn read(disk: &File, path: &Path) -> Result<Self> {
        let mut copies = [None, None];
        for (copy, at) in copies.iter_mut().zip(COPIES) {
            let mut bytes = vec![0; COPY_BYTES];
            disk.read_exact_at(&mut bytes, at)
                .map_err(|error| Error::io(path, &error))?;
            *copy = parse(&bytes);
        }
        let newer = match &copies {
            [None, None] => return Ok(Self::default()),
            [Some(_), None] => 0,
            [None, Some(_)] => 1,
            [Some(first), Some(second)] => usize::from(is_newer(second.count, first.count)),
        };
        let Copy { count, variables } = copies[newer].take().expect("a valid copy");
        Ok(Self {
            variables,
            read: Some((newer, count)),
        })
    }

    /// Into the copy that was not read; durable when this returns.
    pub fn write(&mut self, disk: &File, path: &Path) -> Result<()> {
        let (copy, count) = match self.read {
            Some((copy, count)) => (1 - copy, count.wrapping_add(1)),
            None => (0, 1),
        };
        let bytes = format(&self.variables, count)?;
        let written = disk.write_all_at(&bytes, COPIES[copy]).and_then(|()| disk.sync_data());
        written.map_err(|error| {
            Error::new(Exit::Prerequisite, format!("cannot be written: {error}"))
                .file(path)
                .field("U-Boot's environment")
        })?;
        self.read = Some((copy, count));
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    pub fn set(&mut self, name: &str, value: impl ToString) {
        self.variables.insert(name.into(), value.to_string());
    }

    pub fn unset(&mut self, name: &str) {
        self.variables.remove(name);
    }
}

/// U-Boot's rule, where the count goes from 255 to 0.
fn is_newer(one: u8, other: u8) -> bool {
    match (one, other) {
        (0, 255) => true,
        (255, 0) => false,
        _ => one > other,
    }
}

fn parse(bytes: &[u8]) -> Option<Copy> {
    let (header, data) = bytes.split_at(HEADER_BYTES);
    let crc = u32::from_le_bytes(header[..4].try_into().expect("four bytes"));
    if crc != crc32fast::hash(data) {
        return None;
    }
    let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
    let lines = data.split(|byte| *byte == 0).take_while(|line| !line.is_empty());
    let pairs = lines.filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b'=')?;
        Some((text(&line[..at]), text(&line[at + 1..])))
    });
    Some(Copy {
        count: header[4],
        variables: pairs.collect(),
    })
}

fn format(variables: &BTreeMap<String, String>, count: u8) -> Result<Vec<u8>> {
    let mut data: Vec<u8> = Vec::new();
    for (name, value) in variables {
        data.extend(format!("{name}={value}\0").bytes());
    }
    let room = COPY_BYTES - HEADER_BYTES;
    if data.len() >= room {
        return Err(bad_input("U-Boot's environment is full")
            .expected(format!("less than {room} bytes"))
            .found(data.len()));
    }
    data.resize(room, 0);
    let mut bytes = crc32fast::hash(&data).to_le_bytes().to_vec();
    bytes.push(count);
    bytes.append(&mut data);
    Ok(bytes)
}
