//! The folder of recorded data, which is not part of the project.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A folder or file of real traffic in `TIELINE_DATA`, else in `../shared/data` beside the workspace. `None` if there is no
/// data, which CI does not allow.
pub(crate) fn traffic(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let folder = std::env::var_os("TIELINE_DATA").filter(|value| !value.is_empty());
    let folder = folder.map_or_else(|| root.join("../shared/data"), PathBuf::from);
    if folder.is_dir() {
        return Some(folder.join("traffic").join(name));
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "{} is missing, and this is CI",
        folder.display()
    );
    let _ = writeln!(std::io::stderr(), "skipped: {} is missing", folder.display());
    None
}

/// A count as a float.
pub(crate) fn real(n: impl TryInto<u32>) -> f64 {
    f64::from(n.try_into().unwrap_or_default())
}
