//! Another project's verifier over an export of the log: aics-tlog, from the search path or from an environment of its own
//! under the user's cache folder.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::model::{self, Options, Progress};
use super::venv::Setup;
use crate::output;

/// Whether the verifier accepts the export in `tiles`; the error says why it could not be asked.
pub(crate) fn run(tiles: &Path, vkey: &str) -> Result<bool, String> {
    let program = program()?;
    let verified = Command::new(&program)
        .arg("verify-checkpoint")
        .arg("--tiles")
        .arg(tiles)
        .args(["--log-key", vkey])
        .output();
    let verified = verified.map_err(|error| format!("cannot run {}: {error}", program.display()))?;
    Ok(verified.status.success())
}

fn program() -> Result<PathBuf, String> {
    let search_path: OsString = std::env::var_os("PATH").unwrap_or_default();
    if let Some(program) = model::find_program("aics-tlog", &search_path) {
        return Ok(program);
    }
    let cache_folder = model::cache_folder(|name| std::env::var_os(name))
        .ok_or("there is no folder for caches; set HOME or XDG_CACHE_HOME")?;
    let options = Options {
        cache_folder,
        model_file: None,
        offline: false,
        ollama: None,
        search_path,
    };
    let mut show = |progress: Progress| {
        if let Progress::Step(text) = progress {
            output::progress(text);
        }
    };
    let setup = Setup::begin(&options, &mut show).map_err(|error| error.to_string())?;
    setup.verifier(&mut show).map_err(|error| error.to_string())
}
