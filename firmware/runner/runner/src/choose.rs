//! Which device: what the user says, or what this machine has. A device that should be there and is not is an error, never a silent fallback.
use crate::{
    accelerate::Partition,
    device::Place,
    error::{Error, Exit, Result, usage},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

#[derive(Clone, Copy, PartialEq, Debug, clap::ValueEnum)]
pub enum Wish {
    Auto,
    Wasm,
    Board,
}

impl Wish {
    pub fn name(self) -> &'static str {
        match self {
            Wish::Auto => "auto",
            Wish::Wasm => "wasm",
            Wish::Board => "board",
        }
    }
}

pub enum Chosen {
    Wasm,
    Board(Place, Partition),
}

/// How the device tree names it, and so does its UIO node.
const NAME: &str = "accelerator";
const UIO_CLASS: &str = "/sys/class/uio";
const DEVICE_TREE: &str = "/proc/device-tree";
const DEFAULT_UIO: &str = "/dev/uio0";
/// Of folders in a device tree.
const DEEPEST: u32 = 8;

impl Chosen {
    pub fn is_board(&self) -> bool {
        matches!(self, Chosen::Board(..))
    }
}

/// The second part says why, where the user left it open.
pub fn choose(
    wish: Wish,
    place: Option<Place>,
    memory_given: bool,
    partition: Option<Partition>,
) -> Result<(Chosen, Option<String>)> {
    let board = |place| Chosen::Board(place, partition.unwrap_or(Partition::Fused));
    match (wish, place) {
        (Wish::Wasm, None) if memory_given || partition.is_some() => {
            let field = if memory_given { "--memory" } else { "--partition" };
            Err(usage("this is not about --device wasm")
                .field(field)
                .hint("add --device board"))
        }
        (Wish::Wasm, None) => Ok((Chosen::Wasm, None)),
        (Wish::Wasm, Some(_)) => Err(usage("this is not about --device wasm")
            .field("--uio")
            .hint("add --device board")),
        (Wish::Board, place) => Ok((board(place.unwrap_or_else(default_place)), None)),
        (Wish::Auto, Some(place)) => {
            let why = format!("board, {}", place.uio.display());
            Ok((board(place), Some(why)))
        }
        (Wish::Auto, None) => match find(Path::new(UIO_CLASS), Path::new(DEVICE_TREE))? {
            Some(uio) => {
                let why = format!("board, {}", uio.display());
                Ok((
                    board(Place {
                        uio,
                        memories: Vec::new(),
                    }),
                    Some(why),
                ))
            }
            None => Ok((Chosen::Wasm, Some("wasm: no accelerator in the device tree".into()))),
        },
    }
}

fn default_place() -> Place {
    let found = find(Path::new(UIO_CLASS), Path::new(DEVICE_TREE)).ok().flatten();
    Place {
        uio: found.unwrap_or_else(|| DEFAULT_UIO.into()),
        memories: Vec::new(),
    }
}

/// The node of the accelerator. An error where the device tree has one and the kernel made no node for it.
fn find(class: &Path, tree: &Path) -> Result<Option<PathBuf>> {
    let mut nodes: Vec<_> = fs::read_dir(class).into_iter().flatten().flatten().collect();
    nodes.sort_by_key(|entry| entry.file_name());
    let ours = |folder: &Path| fs::read_to_string(folder.join("name")).is_ok_and(|name| name.starts_with(NAME));
    if let Some(node) = nodes.iter().find(|entry| ours(&entry.path())) {
        return Ok(Some(Path::new("/dev").join(node.file_name())));
    }
    match in_tree(tree, DEEPEST) {
        None => Ok(None),
        Some(node) => Err(Error::new(
            Exit::Device,
            "the device tree has an accelerator, but there is no UIO node for it",
        )
        .file(&node)
        .hint("modprobe uio_pdrv_genirq of_id=generic-uio, or --device wasm")),
    }
}

fn in_tree(folder: &Path, depth: u32) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    for entry in folders {
        let path = entry.path();
        let named = entry.file_name().to_string_lossy().starts_with(&format!("{NAME}@"));
        if named && path.join("compatible").exists() {
            return Some(path);
        }
        if depth > 0
            && let Some(found) = in_tree(&path, depth - 1)
        {
            return Some(found);
        }
    }
    None
}
