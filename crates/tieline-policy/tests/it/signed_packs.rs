//! Signatures under packs: enough of them by trusted keys, under this very pack, or the pack is refused.

use tieline_note::note::{self, Signer};
use tieline_policy::{Pack, Signers};

use crate::support::{DEMO, demo, manifest, pack, rule, sources};

fn signer(name: &str) -> Signer {
    let mut seed = [7; 32];
    for (to, from) in seed.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    Signer::new(name, &seed).unwrap()
}

fn trusted(names: &[&str], needed: usize) -> Signers {
    let keys = names.iter().map(|name| signer(name).verifier().clone());
    Signers::new(keys.collect(), needed).unwrap()
}

fn signed(pack: &Pack, names: &[&str]) -> String {
    let (first, rest) = names.split_first().unwrap();
    let note = note::sign(&pack.signed_text(), &signer(first)).unwrap();
    rest.iter()
        .fold(note, |note, name| note::cosign(&note, &signer(name)).unwrap())
}

/// What is said of the demo pack with these signatures, of which two are needed.
fn check(note: Option<&str>, expected: Result<&[&str], &str>) {
    let found = demo().signed_by(note.map(str::as_bytes), &trusted(&["ada", "ben", "cleo"], 2));
    let found = found.map_err(|problem| {
        let place = format!("{}:{}:{}", problem.file, problem.line, problem.col);
        format!("{place}: {}", problem.says.split(';').next().unwrap())
    });
    let expected = expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(found, expected.map_err(str::to_owned));
}

#[test]
fn two_of_three_keys_are_enough() {
    check(Some(&signed(&demo(), &["ada", "cleo"])), Ok(&["ada", "cleo"]));
    // A stranger's signature beside them does no harm.
    check(
        Some(&signed(&demo(), &["mallory", "ben", "ada"])),
        Ok(&["ben", "ada"]),
    );
}

#[test]
fn a_pack_that_is_not_signed_enough_is_refused_with_place_and_reason() {
    let needs = "pack.sig:1:1: the pack is not signed, and 2 of the trusted keys must have signed it";
    check(None, Err(needs));
    check(
        Some(&signed(&demo(), &["ada"])),
        Err("pack.sig:6:1: of 2 signatures by trusted keys the pack has 1, of ada"),
    );
    check(
        Some(&signed(&demo(), &["ada", "mallory"])),
        Err("pack.sig:6:1: of 2 signatures by trusted keys the pack has 1, of ada"),
    );
    check(
        Some(&signed(&demo(), &["mallory"])),
        Err("pack.sig:6:1: of 2 signatures by trusted keys the pack has 0"),
    );
    // One key twice is one pair of eyes.
    let once = signed(&demo(), &["ada"]);
    let line = once.lines().last().unwrap();
    check(
        Some(&format!("{once}{line}\n")),
        Err("pack.sig:6:1: of 2 signatures by trusted keys the pack has 1, of ada"),
    );
}

#[test]
fn a_pack_that_was_changed_after_it_was_signed_is_refused() {
    let other = pack("demo", "", &rule("r", "permit", "(principal, action, resource)")).unwrap();
    let says = "the signatures are under another pack, or this one was changed after it was signed";
    let changed = DEMO.map(|(path, text)| (path, text.replace("\"SY\"", "\"SY\", \"VE\"")));
    let changed = changed.each_ref().map(|(path, text)| (*path, text.as_str()));
    let changed = Pack::parse(&sources(&changed)).unwrap();
    assert_ne!(changed.digest(), demo().digest(), "the change is none");
    for (of, line) in [(&other, 3), (&changed, 4)] {
        check(
            Some(&signed(of, &["ada", "ben"])),
            Err(&format!("pack.sig:{line}:1: {says}")),
        );
    }
    // Cases decide nothing, and are signed by nobody.
    let without_cases = Pack::parse(&sources(&DEMO[..2])).unwrap();
    check(
        Some(&signed(&without_cases, &["ada", "ben"])),
        Ok(&["ada", "ben"]),
    );
}

#[test]
fn a_wrong_signature_refuses_the_pack_however_many_are_right() {
    let note = signed(&demo(), &["ada", "ben", "cleo"]);
    let (above, last) = note.trim_end().rsplit_once(' ').unwrap();
    let other = |c| if c == 'A' { 'B' } else { 'A' };
    let bent: String = (last.char_indices())
        .map(|(at, c)| if at == 40 { other(c) } else { c })
        .collect();
    let says = "pack.sig:8:1: the signature of \"cleo\" does not fit the text: one of the two was changed";
    check(Some(&format!("{above} {bent}\n")), Err(says));
    // A text that was changed under its signatures.
    let text = demo().signed_text();
    let says = "pack.sig:6:1: the signature of \"ada\" does not fit the text: one of the two was changed";
    check(
        Some(&note.replace(&text, &text.replace("demo", "dem0"))),
        Err(says),
    );
}

#[test]
fn signatures_that_are_no_note_are_refused() {
    for note in [
        "",
        "\n",
        "no note",
        "tieline/pack-signed/v1\n\n",
        "a\n\n— ada !\n",
    ] {
        let found = demo().signed_by(Some(note.as_bytes()), &trusted(&["ada"], 1));
        assert!(found.unwrap_err().says.contains("not a signed note"), "{note:?}");
    }
    let found = demo().signed_by(Some(&[0xff, 0xfe]), &trusted(&["ada"], 1));
    assert!(found.unwrap_err().says.contains("UTF-8"));
}

#[test]
fn the_signed_text_is_as_it_is_promised() {
    let pack = pack("p", "", &rule("r", "permit", "(principal, action, resource)")).unwrap();
    let expected = format!("tieline/pack-signed/v1\np\n1\nsha256:{}\n", pack.digest());
    assert_eq!(pack.signed_text(), expected);
    let lines = manifest("p", "").replace("version = \"1\"", "version = \"1\\n2\"");
    let files = [("pack.toml", lines.as_str()), ("rules.cedar", "")];
    if let Ok(pack) = Pack::parse(&sources(&files)) {
        assert_eq!(
            pack.signed_text().lines().count(),
            4,
            "a version cannot add a line"
        );
    }
}
