//! Signatures under packs. They stand beside the pack's files in `pack.sig`, a signed note over a text that names the pack
//! and its digest, so that they vouch for what decides and for nothing else: cases may be added without a new signature.
//!
//! A pack without as many distinct keys under it as are demanded is refused whole, and so is one that was changed after it
//! was signed. Bounds: those of signed notes, and [`crate::SIGNERS_MAX`] keys.

use std::fmt::Write as _;
use std::sync::Arc;

use tieline_note::note::NoteError;

use super::Pack;
use crate::directive::Signers;
use crate::problem::{PackProblem, Sheet};

/// The file beside `pack.toml` that holds the signatures.
pub const PACK_SIGNATURES: &str = "pack.sig";

/// The type tag of version 1 of the text that is signed.
pub const PACK_SIGNED_V1: &str = "tieline/pack-signed/v1";

const HELP: &str = "`tieline policy sign PACK --key FILE` puts a signature under the pack";

impl Pack {
    /// What signers of the pack sign: its id, version and digest.
    pub fn signed_text(&self) -> String {
        let manifest = self.manifest();
        let mut text = format!("{PACK_SIGNED_V1}\n{}\n", manifest.id);
        // A version is a text of the pack's author, on one line whatever it holds; writing to a text cannot fail.
        let _ = writeln!(
            text,
            "{}\nsha256:{}",
            manifest.version.escape_default(),
            self.digest()
        );
        text
    }

    /// Who of `signers` signed the pack, from the content of [`PACK_SIGNATURES`] or that there is none.
    pub fn signed_by(&self, note: Option<&[u8]>, signers: &Signers) -> Result<Vec<String>, PackProblem> {
        let needed = signers.threshold();
        let Some(bytes) = note else {
            let says =
                format!("the pack is not signed, and {needed} of the trusted keys must have signed it");
            return Err(problem("", 0, says, HELP));
        };
        let Ok(note) = std::str::from_utf8(bytes) else {
            return Err(problem(
                "",
                0,
                "the signatures are no text in UTF-8".to_owned(),
                HELP,
            ));
        };
        let opened = signers.open(note).map_err(|error| unreadable(note, &error))?;
        if opened.text != self.signed_text() {
            let says = "the signatures are under another pack, or this one was changed after it was signed"
                .to_owned();
            let help = "have the pack as it is looked at and signed anew, or restore what was signed";
            return Err(problem(
                note,
                first_difference(opened.text, &self.signed_text()),
                says,
                help,
            ));
        }
        if opened.found.len() < needed {
            let mut says = format!(
                "of {needed} signatures by trusted keys the pack has {}",
                opened.found.len()
            );
            if !opened.found.is_empty() {
                let _ = write!(says, ", of {}", opened.found.join(", "));
            }
            if !opened.unknown.is_empty() {
                let _ = write!(says, "; nobody trusts the keys of {}", opened.unknown.join(", "));
            }
            return Err(problem(note, opened.text.len() + 1, says, HELP));
        }
        Ok(opened.found)
    }
}

fn unreadable(note: &str, error: &NoteError) -> PackProblem {
    let at = match error {
        NoteError::BadSignature { name } => note.find(&format!("— {name} ")).unwrap_or_default(),
        _ => 0,
    };
    problem(
        note,
        at,
        error.to_string(),
        "take the pack and its signatures from where they came from again",
    )
}

/// The byte at which the line begins that differs first.
fn first_difference(signed: &str, own: &str) -> usize {
    let same = signed
        .lines()
        .zip(own.lines())
        .take_while(|(one, other)| one == other);
    same.map(|(line, _)| line.len() + 1).sum()
}

fn problem(note: &str, at: usize, says: String, help: &str) -> PackProblem {
    let sheet = Sheet {
        path: &Arc::from(PACK_SIGNATURES),
        text: note,
    };
    sheet.problem(at, says, Some(help))
}
