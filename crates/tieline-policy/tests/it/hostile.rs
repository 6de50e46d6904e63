//! Bytes that nobody meant as a pack.

use proptest::prelude::*;
use proptest::sample::Index;
use tieline_policy::{Pack, fuzz_pack};

use crate::support::{DEMO, demo, manifest, rule, sources};

fn joined() -> Vec<u8> {
    DEMO.map(|(_, text)| text).join("\0").into_bytes()
}

#[test]
fn the_demo_pack_survives_its_own_fuzzing() {
    fuzz_pack(&joined());
    assert!(demo().digest().as_bytes().iter().any(|byte| *byte != 0));
}

/// Cedar's parser and trees recurse; the bounds on a policy must keep the deepest that fits within a thread's stack.
#[test]
fn the_deepest_rules_that_fit_do_not_exhaust_the_stack() {
    let long = |unit: &str, last: &str| format!("{}{last}", unit.repeat(8_000 / unit.len()));
    let deep = |open: &str, close: &str, n: usize| format!("{}true{}", open.repeat(n), close.repeat(n));
    for condition in [
        long("1+", "1 > 0"),
        long("true&&", "true"),
        long("true||", "true"),
        long("if true then true else ", "true"),
        format!("principal{} == 1", ".a".repeat(3_900)),
        format!("principal{} == 1", "[\"a\"]".repeat(1_600)),
        format!("{}true", "!".repeat(7_900)),
        format!("{}1 > 0", "-".repeat(7_900)),
        deep("(", ")", 31),
        deep("(", ")", 3_900),
        deep("[", "]", 3_900),
    ] {
        let text = rule(
            "r",
            "forbid",
            &format!("(principal, action, resource) when {{ {condition} }}"),
        );
        let data = format!("{}\0{text}", manifest("p", ""));
        // As small as the smallest stack that a server thread has.
        let thread = std::thread::Builder::new()
            .stack_size(2 << 20)
            .spawn(move || fuzz_pack(data.as_bytes()));
        thread.unwrap().join().unwrap();
    }
}

#[test]
fn a_pack_beyond_its_bounds_is_refused_at_once() {
    let big = "// \n".repeat(300_000);
    let files = [("pack.toml", &*manifest("p", "")), ("rules.cedar", &big)];
    let problems = Pack::parse(&sources(&files)).unwrap_err();
    assert_eq!(problems.len(), 1);
    let many = rule("r", "permit", "(principal, action, resource)").repeat(600);
    let problems = Pack::parse(&sources(&[
        ("pack.toml", &manifest("p", "")),
        ("rules.cedar", &many),
    ]))
    .unwrap_err();
    assert!(
        problems.iter().any(|p| p.says.contains("more than 512 rules")),
        "{problems:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn random_bytes_are_no_pack(data in proptest::collection::vec(any::<u8>(), 0..512)) {
        fuzz_pack(&data);
    }

    #[test]
    fn a_pack_with_bytes_changed_is_a_pack_or_is_refused(
        edits in proptest::collection::vec((any::<Index>(), any::<u8>(), 0..3_u8), 1..6),
    ) {
        let mut data = joined();
        for (at, byte, kind) in edits {
            let at = at.index(data.len());
            match kind {
                0 => data[at] = byte,
                1 => data.insert(at, byte),
                _ => drop(data.remove(at)),
            }
        }
        fuzz_pack(&data);
    }
}
