//! From what the user wrote to what the program uses. Every mistake of a file is reported in one run, except that a text
//! which is not TOML is not looked at further.
//!
//! Contract. [`check_text`] is a function of its arguments: the environment and the files are asked through closures. It
//! gives a [`Checked`] exactly if there is no error, and the grid of a [`Checked`] always builds a `Snapshot`.
//! A credential that is not there is a warning and no error, here and at `serve`: one channel's missing key must not take
//! the others down. Bounds: [`FILE_BYTES_MAX`], and the limits of the grid.

mod bars;
pub(crate) mod catalogue;
mod certificate;
mod channel;
pub(crate) mod checked;
mod components;
mod gateway;
mod geoip;
mod grid;
mod identity;
mod limits;
mod price;
pub(crate) mod provider;
pub(crate) mod scenario;
pub(crate) mod value;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tieline_core::Snapshot;

pub(crate) use checked::{BarSettings, Checked};

use crate::diagnose::{Code, Diagnostic, Report, Sink};
use crate::raw;

/// Bytes of a configuration: 4,096 channels, the most that a grid has, at a full kilobyte each.
pub(crate) const FILE_BYTES_MAX: u64 = 4 << 20;

/// What a check may ask of the world.
#[derive(Clone, Copy)]
struct World<'a> {
    /// The folder that relative paths start from.
    base: &'a Path,
    env: &'a dyn Fn(&str) -> Option<String>,
    /// The addresses that this gateway listens on.
    listeners: &'a [SocketAddr],
    read: &'a Read,
}

/// Reads a file, up to a number of bytes and one more, so that a device or a wrong file cannot fill the memory.
pub(crate) type Read = dyn Fn(&Path, u64) -> io::Result<Vec<u8>>;

impl World<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        (self.read)(path, FILE_BYTES_MAX)
    }
}

/// Read and check a file. The report of an unusable one has at least one error.
pub(crate) fn load(path: &Path) -> Result<Checked, Report> {
    let (checked, report) = examine(path);
    checked.ok_or(report)
}

/// The text of a configuration.
pub(crate) fn text(path: &Path) -> Result<String, Report> {
    let refused =
        |diagnostic: Box<Diagnostic>| Report::new(&path.display().to_string(), "", vec![*diagnostic], 0);
    text_of(path, &CONFIGURATION).map_err(refused)
}

/// As [`load`], with the report of a usable file too, for it may have warnings.
pub(crate) fn examine(path: &Path) -> (Option<Checked>, Report) {
    let name = path.display().to_string();
    let text = match text_of(path, &CONFIGURATION) {
        Ok(text) => text,
        Err(diagnostic) => return (None, Report::new(&name, "", vec![*diagnostic], 0)),
    };
    let base = path.parent().unwrap_or(Path::new(""));
    let env = |key: &str| std::env::var(key).ok();
    check_text(&name, &text, base, &env, &read_start)
}

/// Check a text. `base_dir` is where relative paths start, `env` and `read` stand for the world.
pub(crate) fn check_text(
    path_name: &str,
    text: &str,
    base_dir: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    read: &Read,
) -> (Option<Checked>, Report) {
    let (checked, sink) = check(
        text,
        World {
            base: base_dir,
            env,
            listeners: &[],
            read,
        },
    );
    let (diagnostics, left_off) = sink.into_sorted();
    (checked, Report::new(path_name, text, diagnostics, left_off))
}

fn check(text: &str, world: World<'_>) -> (Option<Checked>, Sink) {
    let mut sink = Sink::default();
    let Some(raw) = raw::parse(text, &mut sink) else {
        return (None, sink);
    };
    let gateway = gateway::gateway(raw.gateway.as_ref(), world, &mut sink);
    let listeners = [gateway.listen, gateway.admin];
    let world = World {
        listeners: &listeners,
        ..world
    };
    let (grid, wirings, weights) = grid::check(&raw, world, &mut sink);
    let log = gateway::log(raw.gateway.as_ref());
    let policy = gateway::policy(raw.policy.as_ref(), world, &mut sink);
    let identity = identity::check(raw.identity.as_ref(), world, &mut sink);
    let certificates = certificate::check(&raw, &mut sink);
    let geoip = geoip::check(&raw, world, &mut sink);
    let ledger = gateway::ledger(raw.ledger.as_ref(), &mut sink);
    let bars = bars::check(raw.bars.as_ref(), &mut sink);
    if sink.has_errors() {
        return (None, sink);
    }
    let grid = Arc::new(grid);
    // The digest does not matter here: only whether the record resolves.
    if let Err(error) = Snapshot::build(Arc::clone(&grid), [0; 32]) {
        sink.push(Diagnostic::error(
            Code::GridBad,
            format!("the grid does not hold together: {error}"),
        ));
        return (None, sink);
    }
    (
        Some(Checked {
            bars,
            certificates,
            channels: wirings,
            gateway,
            geoip,
            grid,
            identity,
            ledger,
            log,
            policy,
            weights,
        }),
        sink,
    )
}

/// Whether a channel can have this URL.
pub(crate) fn is_url(text: &str) -> bool {
    value::endpoint(text).is_ok()
}

// === files ===

/// A kind of file that people write.
pub(crate) struct FileKind {
    pub(crate) bytes_max: u64,
    /// What to do where there is none.
    pub(crate) if_absent: &'static str,
    /// What to do where it is a folder.
    pub(crate) if_folder: &'static str,
    /// What messages call it, after "the".
    pub(crate) name: &'static str,
}

const CONFIGURATION: FileKind = FileKind {
    bytes_max: FILE_BYTES_MAX,
    if_absent: "give the path of another; `tieline up` writes one into its state folder",
    if_folder: "name the file in it, such as `tieline.toml`",
    name: "configuration",
};

/// The text of a file that somebody wrote.
pub(crate) fn text_of(path: &Path, of: &FileKind) -> Result<String, Box<Diagnostic>> {
    let size = std::fs::metadata(path).map_err(|error| Box::new(unreadable(&error, of)))?;
    if size.is_dir() {
        let message = format!("the {} is a folder, not a file", of.name);
        let diagnostic = Diagnostic::error(Code::FileUnreadable, message);
        return Err(Box::new(diagnostic.hint(of.if_folder)));
    }
    let bytes = read_start(path, of.bytes_max).map_err(|error| Box::new(unreadable(&error, of)))?;
    text_from(bytes, of)
}

/// The text of the bytes.
fn text_from(bytes: Vec<u8>, of: &FileKind) -> Result<String, Box<Diagnostic>> {
    if bytes.len() as u64 > of.bytes_max {
        let message = format!("the {} is larger than {} MiB", of.name, of.bytes_max >> 20);
        return Err(Box::new(
            Diagnostic::error(Code::FileTooLarge, message).hint("is it the right file?"),
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error
            .as_bytes()
            .get(..error.utf8_error().valid_up_to())
            .unwrap_or_default();
        let line = valid.split(|b| *b == b'\n').count();
        let hint = match error.as_bytes() {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "it looks like UTF-16; save it as UTF-8",
            _ => "save it as UTF-8; a name with accents may have been written in another encoding",
        };
        Box::new(
            Diagnostic::error(
                Code::FileNotUtf8,
                format!("the {} is not UTF-8 from line {line} on", of.name),
            )
            .hint(hint),
        )
    })
}

fn unreadable(error: &io::Error, of: &FileKind) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        Code::FileUnreadable,
        format!("the {} cannot be read: {}", of.name, kind(error)),
    );
    match error.kind() {
        io::ErrorKind::NotFound => diagnostic.hint(of.if_absent),
        _ => diagnostic,
    }
}

/// What went wrong with a file, without the system's own number.
pub(crate) fn kind(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        io::ErrorKind::AlreadyExists => "it is there already, and nothing is overwritten".to_owned(),
        other => other.to_string(),
    }
}

/// The content of a file, one byte beyond the limit at most.
pub(crate) fn read_start(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(
        &mut io::Read::take(std::fs::File::open(path)?, bytes_max + 1),
        &mut bytes,
    )?;
    Ok(bytes)
}
