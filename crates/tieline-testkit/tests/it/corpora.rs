//! The stable half of fuzzing: committed corpora and 2,000 random byte strings through every target.

use std::fs;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tieline_testkit::fixtures::workspace_dir;
use tieline_testkit::fuzz::TARGETS;

#[test]
fn every_target_survives_its_corpus() {
    let corpora = workspace_dir().join("fuzz/corpus");
    for (name, target) in TARGETS {
        let dir = corpora.join(name);
        let listing =
            fs::read_dir(&dir).unwrap_or_else(|error| panic!("no corpus at {}: {error}", dir.display()));
        let mut count = 0;
        for file in listing {
            target(&fs::read(file.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "{} is empty", dir.display());
    }
}

#[test]
fn every_target_survives_random_bytes() {
    let config = ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    for (name, target) in TARGETS {
        let bytes = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            // Printable text and line ends reach deeper than noise does.
            prop::collection::vec(prop::sample::select(ALPHABET), 0..300),
        ];
        let mut runner = TestRunner::new(config.clone());
        runner
            .run(&bytes, |data| {
                target(&data);
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn every_target_is_a_binary_of_the_fuzz_crate() {
    let fuzz = workspace_dir().join("fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "fuzz/Cargo.toml has no binary {name}"
        );
        let source = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(
            source.contains(&format!("fuzz::{name}(")),
            "fuzz_targets/{name}.rs calls another function"
        );
    }
}

const ALPHABET: &[u8] = b"{}[]\":,\\ntruefalse0123456789abcdefGETPOST/ HTTP1.\r\n\t -;=%";
