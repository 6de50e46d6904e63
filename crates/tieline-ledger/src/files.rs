//! The small files beside the database: `log.key` and `checkpoint.last`.
//!
//! `log.key` is one line, `PRIVATE+KEY+<origin>+<8 hex digits>+<base64 of 0x01 and the 32-byte seed>`, the form that Go's
//! sumdb tools read, with mode 0600; it is created once and never overwritten. `checkpoint.last` is the newest signed
//! checkpoint that was written there (see [`crate::Log`]), replaced atomically, so that a shortened database is noticed.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tieline_note::Signer;

use crate::error::LedgerError;

pub(crate) const LEDGER_FILE: &str = "ledger.db";
pub(crate) const INDEX_FILE: &str = "index.db";
pub(crate) const LAST_FILE: &str = "checkpoint.last";
const KEY_FILE: &str = "log.key";

/// A key is under 400 bytes, a checkpoint under 1 KB; anything larger is another file.
const SMALL_FILE_BYTES_MAX: u64 = 1 << 20;

/// Creates `dir/log.key` from 32 bytes of entropy; an existing key is an error, and so is a ledger without one: it was
/// signed with a key that is lost, and a new one in its place would look like the right one.
pub fn create_key(dir: &Path, origin: &str, seed: &[u8; 32]) -> Result<Signer, LedgerError> {
    let path = dir.join(KEY_FILE);
    let key = |why: String| LedgerError::Key {
        path: path.clone(),
        why,
    };
    if !path.exists()
        && [LEDGER_FILE, LAST_FILE]
            .iter()
            .any(|name| dir.join(name).exists())
    {
        return Err(key(
            "there is no such file, and the ledger beside it was signed with it; put the key back, or move the ledger \
             and checkpoint.last away and begin a new one"
                .to_owned(),
        ));
    }
    let signer = Signer::new(origin, seed).map_err(|error| key(error.to_string()))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(LedgerError::io("create", &path))?;
    file.write_all(format!("{}\n", signer.skey()).as_bytes())
        .map_err(LedgerError::io("write", &path))?;
    file.sync_all().map_err(LedgerError::io("write", &path))?;
    sync_dir(dir)?;
    Ok(signer)
}

/// Reads `dir/log.key`; `None` if there is none. A key that others may read is refused.
pub fn load_key(dir: &Path) -> Result<Option<Signer>, LedgerError> {
    let path = dir.join(KEY_FILE);
    let Some(text) = read_small(&path)? else {
        return Ok(None);
    };
    let key = |why: String| LedgerError::Key {
        path: path.clone(),
        why,
    };
    let mode = fs::metadata(&path)
        .map_err(LedgerError::io("read", &path))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(key(format!(
            "others may read the log's key (mode {:03o}); run chmod 600 on it",
            mode & 0o777
        )));
    }
    Signer::parse(text.trim_end())
        .map(Some)
        .map_err(|error| key(error.to_string()))
}

/// The verifier key of `dir`'s log (signed-note vkey), from its `log.key`.
pub fn vkey(dir: &Path) -> Result<String, LedgerError> {
    match load_key(dir)? {
        Some(signer) => Ok(signer.verifier().vkey()),
        None => Err(LedgerError::Key {
            path: dir.join(KEY_FILE),
            why: "there is no such file".to_owned(),
        }),
    }
}

pub(crate) fn last_path(dir: &Path) -> PathBuf {
    dir.join(LAST_FILE)
}

/// Replaces `path` with `text` so that a crash leaves the old or the new content, never a part.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), LedgerError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let mut file = File::create(&new).map_err(LedgerError::io("create", &new))?;
    file.write_all(text.as_bytes())
        .map_err(LedgerError::io("write", &new))?;
    file.sync_all().map_err(LedgerError::io("write", &new))?;
    drop(file);
    fs::rename(&new, path).map_err(LedgerError::io("replace", path))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// A small text file; `None` if there is none.
pub(crate) fn read_small(path: &Path) -> Result<Option<String>, LedgerError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LedgerError::io("read", path)(error)),
        Ok(data) if data.len() > SMALL_FILE_BYTES_MAX => {
            return Err(LedgerError::io("read", path)(std::io::Error::other(
                "too large for what it should be",
            )));
        }
        Ok(_) => {}
    }
    fs::read_to_string(path)
        .map(Some)
        .map_err(LedgerError::io("read", path))
}

fn sync_dir(dir: &Path) -> Result<(), LedgerError> {
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(LedgerError::io("write", dir))
}
