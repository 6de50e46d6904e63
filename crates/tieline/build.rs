//! Gives the program the digest of its engine, for receipts: SHA-256 over the source of the crates that decide and drill,
//! and over the versions of everything that it is built with. It depends on no repository, clock or machine.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// What a drill's result follows from, beside its inputs.
const ENGINE: [&str; 3] = ["tieline-core", "tieline-drill", "tieline-policy"];

/// Versions of the dependencies, as cargo fixed them.
const VERSIONS: &str = "../../Cargo.lock";

fn main() -> Result<(), Box<dyn Error>> {
    let mut files = vec![PathBuf::from(VERSIONS)];
    for name in ENGINE {
        sources(&Path::new("..").join(name).join("src"), &mut files)?;
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in &files {
        let bytes = std::fs::read(file)?;
        // Name and length, so that no two sets of files run together.
        hash.update(format!("{}\n{}\n", file.display(), bytes.len()));
        hash.update(&bytes);
    }
    let mut out = std::io::stdout().lock();
    write!(out, "cargo:rustc-env=TIELINE_ENGINE=")?;
    for byte in hash.finalize() {
        write!(out, "{byte:02x}")?;
    }
    writeln!(out)?;
    writeln!(out, "cargo:rerun-if-changed={VERSIONS}")?;
    for name in ENGINE {
        writeln!(out, "cargo:rerun-if-changed=../{name}/src")?;
    }
    Ok(())
}

/// Every Rust file below a folder.
fn sources(folder: &Path, out: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, out)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
    Ok(())
}
