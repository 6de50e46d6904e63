//! Putting a signature under a text: one that is right gets its first, one that has some already gets one more.

use std::path::Path;

use tieline_note::note;

use crate::cli::Signing;
use crate::folder;
use crate::output::{self, Failure, Result};

/// `check` says whether the text itself is right, whoever signs it.
pub(super) fn sign(args: &Signing, check: impl FnOnce(&Path, &str) -> Result<()>) -> Result<u8> {
    let name = args.file.display();
    let text = std::fs::read_to_string(&args.file)
        .map_err(|error| Failure::input(format!("cannot read {name}: {error}")))?;
    let signer = folder::signing_key(&args.key)?;
    let note = if let Ok((inner, _)) = note::peek(&text) {
        check(&args.file, inner)?;
        note::cosign(&text, &signer)
    } else {
        check(&args.file, &text)?;
        note::sign(&text, &signer)
    };
    let note = note.map_err(|error| Failure::input(format!("cannot sign {name}: {error}")))?;
    match &args.out {
        None => output::line(&note)?,
        Some(out) => {
            std::fs::write(out, &note)
                .map_err(|error| Failure::found(format!("cannot write {}: {error}", out.display())))?;
        }
    }
    Ok(0)
}
