use proptest::prelude::*;

use super::*;

fn signer(seed: u8) -> Signer {
    Signer::new("PeterNeumann", &[seed; 32]).unwrap()
}

/// The example of the specification and of Go's `note` package, made by other code.
const VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const SKEY: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

#[test]
fn agrees_with_the_reference_implementation() {
    let verifier = Verifier::parse(VKEY).unwrap();
    assert_eq!(verifier.vkey(), VKEY);
    let opened = open(NOTE, std::slice::from_ref(&verifier)).unwrap();
    assert_eq!(opened.signers, ["PeterNeumann"]);
    let signer = Signer::parse(SKEY).unwrap();
    assert_eq!(signer.skey(), SKEY);
    assert_eq!(signer.verifier(), &verifier);
    assert_eq!(sign(opened.text, &signer).unwrap(), NOTE);
}

#[test]
fn unknown_signatures_are_ignored_and_counted() {
    let (ours, theirs) = (signer(1), Signer::new("witness.example", &[2; 32]).unwrap());
    let note = sign("text\n", &ours).unwrap() + &theirs.line("text\n");
    let opened = open(&note, &[ours.verifier().clone()]).unwrap();
    assert_eq!((opened.text, opened.unknown), ("text\n", 1));
    let both = open(&note, &[ours.verifier().clone(), theirs.verifier().clone()]).unwrap();
    assert_eq!(both.signers, ["PeterNeumann", "witness.example"]);
    assert_eq!(open(&note, &[]), Err(NoteError::NoKnownSigner { unknown: 2 }));
}

#[test]
fn a_cosignature_is_one_line_more() {
    let (ours, theirs) = (signer(1), Signer::new("witness.example", &[2; 32]).unwrap());
    let note = sign("text\n", &ours).unwrap();
    let both = cosign(&note, &theirs).unwrap();
    let keys = [ours.verifier().clone(), theirs.verifier().clone()];
    assert_eq!(
        open(&both, &keys).unwrap().signers,
        ["PeterNeumann", "witness.example"]
    );
    assert!(both.starts_with(&note));
    for again in [&ours, &theirs] {
        let name = again.name().to_owned();
        assert_eq!(cosign(&both, again), Err(NoteError::SignedAlready { name }));
    }
    let signers = (0..SIGNATURES_MAX).map(|n| Signer::new(&format!("k{n}"), &[3; 32]).unwrap());
    let full = signers
        .skip(1)
        .fold(note, |note, signer| cosign(&note, &signer).unwrap());
    assert_eq!(cosign(&full, &theirs), Err(NoteError::TooManySignatures));
    assert!(matches!(cosign("no note", &ours), Err(NoteError::Malformed(_))));
}

#[test]
fn a_bad_signature_by_a_known_key_refuses_the_note() {
    let (ours, theirs) = (signer(1), Signer::new("witness.example", &[2; 32]).unwrap());
    let note = sign("text\n", &ours).unwrap() + &theirs.line("other\n");
    let keys = [ours.verifier().clone(), theirs.verifier().clone()];
    assert_eq!(
        open(&note, &keys),
        Err(NoteError::BadSignature {
            name: "witness.example".to_owned()
        })
    );
    assert!(open(&note, &keys[..1]).is_ok());
}

#[test]
fn malformed_notes_and_keys() {
    let ours = signer(1);
    let note = sign("text\n", &ours).unwrap();
    let keys = [ours.verifier().clone()];
    for broken in [
        "",
        "\n",
        "\n\n",
        "text",
        "text\n",
        "text\n\n",
        "text\n\n— \n",
        "text\n\n— a \n",
        "text\n\n— a AAAA\n",
    ] {
        assert!(
            matches!(
                open(broken, &keys),
                Err(NoteError::Malformed(_) | NoteError::Name(_))
            ),
            "{broken:?}"
        );
    }
    assert!(open(note.trim_end(), &keys).is_err());
    assert!(open(&note.replace("text", "te\rxt"), &keys).is_err());
    assert_eq!(
        sign("no newline", &ours),
        Err(NoteError::Malformed("the text does not end with a newline"))
    );
    let many = format!("{note}{}", ours.line("text\n").repeat(SIGNATURES_MAX));
    assert_eq!(open(&many, &keys), Err(NoteError::TooManySignatures));
    let long = format!("{}\n", "a".repeat(NOTE_BYTES_MAX));
    assert!(matches!(sign(&long, &ours), Err(NoteError::TooLong { .. })));
    assert_eq!(Verifier::parse("a+00000000+BA=="), Err(NoteError::KeyType(4)));
    assert!(matches!(
        Verifier::parse(&VKEY.replace("c74f20a3", "c74f20a4")),
        Err(NoteError::Key(_))
    ));
    assert!(matches!(
        Verifier::parse(&VKEY.replace("PeterN", "Peter N")),
        Err(NoteError::Name(_))
    ));
    assert!(matches!(Signer::parse(VKEY), Err(NoteError::Key(_))));
    assert_eq!(format!("{ours:?}"), "Signer(PeterNeumann)");
}

proptest! {
    #[test]
    fn signed_opens_and_one_bit_breaks_it(text in "[ -~\n]{0,80}\n", seed: [u8; 32], at: prop::sample::Index, bit in 0..7_u8) {
        let signer = Signer::new("log.example/a", &seed).unwrap();
        let note = sign(&text, &signer).unwrap();
        let keys = [signer.verifier().clone()];
        prop_assert_eq!(open(&note, &keys).unwrap().text, &text);
        let mut bytes = note.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = String::from_utf8(bytes) {
            prop_assert!(open(&changed, &keys).is_err(), "{:?}", changed);
        }
    }

    #[test]
    fn any_text_is_answered(note: String, key: String) {
        let _ = open(&note, &[signer(1).verifier().clone()]);
        let _ = (Verifier::parse(&key), Signer::parse(&key));
    }
}
