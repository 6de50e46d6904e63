//! Copies of a ledger: as static tiles for other people's verifiers, and as a backup.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::error::LedgerError;
use crate::files;
use crate::reader::{Head, Reader};
use crate::tile;

/// What an export wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportReport {
    pub head: Head,
    /// Tiles and bundles, partial ones included.
    pub files: u64,
    pub bytes: u64,
}

/// What a backup wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// The head of the copy, which may be newer than the one when the backup began.
    pub head: Head,
    /// The signed checkpoint beside the copy.
    pub checkpoint: PathBuf,
}

/// Writes the ledger of `dir` to `out` in the layout of C2SP tlog-tiles: `tile/…`, then `checkpoint`. Tiles that are
/// there already are not written again, so that a second export adds only what is new.
pub fn export_tiles(dir: &Path, out: &Path) -> Result<ExportReport, LedgerError> {
    let reader = Reader::open(dir)?;
    let head = reader.head()?;
    let (mut files, mut bytes) = (0, 0);
    for path in tile::tiles(head.size) {
        let Some(tile) = reader.tile(&path)? else {
            return Err(LedgerError::Damaged(format!("{path} is missing")));
        };
        files += 1;
        bytes += tile.len() as u64;
        let target = out.join(path.to_string());
        if fs::read(&target).is_ok_and(|there| there == tile) {
            continue;
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(LedgerError::io("create", parent))?;
        }
        let mut file = File::create(&target).map_err(LedgerError::io("create", &target))?;
        file.write_all(&tile).map_err(LedgerError::io("write", &target))?;
    }
    fs::create_dir_all(out).map_err(LedgerError::io("create", out))?;
    files::replace(&out.join("checkpoint"), &head.checkpoint)?;
    Ok(ExportReport { head, files, bytes })
}

/// Copies the ledger of `dir`, as of one moment and while it is written to, into the SQLite file `file`, and its signed
/// checkpoint to `<file>.checkpoint`. An existing `file` is an error.
pub fn backup(dir: &Path, file: &Path) -> Result<BackupReport, LedgerError> {
    // Taking the name first keeps two backups from writing into one file.
    File::create_new(file).map_err(LedgerError::io("create", file))?;
    let reader = Reader::open(dir)?;
    reader.store().backup(file)?;
    let head = Reader::open_file(file)?.head()?;
    let mut name = file.as_os_str().to_owned();
    name.push(".checkpoint");
    let checkpoint = PathBuf::from(name);
    files::replace(&checkpoint, &head.checkpoint)?;
    Ok(BackupReport { head, checkpoint })
}
