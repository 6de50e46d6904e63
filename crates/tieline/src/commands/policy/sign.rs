//! `tieline policy sign`: a signature under a pack, beside its files. The first makes `pack.sig`, each other adds a line.

use tieline_note::note;
use tieline_policy::PACK_SIGNATURES;

use crate::cli::PolicySign;
use crate::folder;
use crate::load;
use crate::output::{self, Failure, Result};

pub(super) fn run(args: &PolicySign) -> Result<u8> {
    let pack = load::pack(&args.pack).map_err(|problems| Failure::report(problems.join("\n")))?;
    let signer = folder::signing_key(&args.key)?;
    let text = pack.signed_text();
    let path = args.pack.join(PACK_SIGNATURES);
    let name = path.display();
    let cannot = |error: &dyn std::fmt::Display| Failure::input(format!("cannot sign {name}: {error}"));
    let note = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => note::sign(&text, &signer),
        Err(error) => return Err(cannot(&error)),
        Ok(before) => {
            let (inner, _) = note::peek(&before).map_err(|error| cannot(&error))?;
            if inner != text {
                let says = "the signatures in it are under another pack, or this one was changed since";
                return Err(
                    cannot(&says).with_hint("remove the file, and have all who signed before sign anew")
                );
            }
            note::cosign(&before, &signer)
        }
    };
    let note = note.map_err(|error| cannot(&error))?;
    std::fs::write(&path, &note).map_err(|error| Failure::found(format!("cannot write {name}: {error}")))?;
    let manifest = pack.manifest();
    output::line(format!(
        "{} {} is signed by {}, in {name}",
        manifest.id,
        manifest.version,
        signer.name()
    ))?;
    Ok(0)
}
