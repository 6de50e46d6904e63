//! What `--help` teaches, and what is said to somebody who typed it wrong.

use crate::folder::{empty, run, tieline};
use crate::transcript::Transcript;

/// Every command that a person is shown.
const COMMANDS: [&[&str]; 74] = [
    &[],
    &["up"],
    &["serve"],
    &["check"],
    &["explain"],
    &["demo"],
    &["demo", "june-12"],
    &["directive"],
    &["directive", "key"],
    &["directive", "new"],
    &["directive", "sign"],
    &["directive", "verify"],
    &["directive", "rehearse"],
    &["directive", "apply"],
    &["directive", "amend"],
    &["directive", "revoke"],
    &["directive", "list"],
    &["directive", "show"],
    &["grid"],
    &["hold"],
    &["hold", "list"],
    &["hold", "show"],
    &["hold", "dispose"],
    &["licence"],
    &["licence", "add"],
    &["licence", "show"],
    &["licence", "list"],
    &["licence", "revoke"],
    &["ledger"],
    &["ledger", "verify"],
    &["ledger", "show"],
    &["ledger", "tail"],
    &["ledger", "key"],
    &["ledger", "export"],
    &["ledger", "backup"],
    &["drill"],
    &["drill", "fit"],
    &["drill", "replay"],
    &["drill", "bench"],
    &["drill", "n-1"],
    &["drill", "n-2"],
    &["drill", "scenario"],
    &["drill", "directive"],
    &["keys"],
    &["keys", "add"],
    &["keys", "list"],
    &["keys", "revoke"],
    &["party"],
    &["party", "add"],
    &["party", "show"],
    &["party", "list"],
    &["party", "change"],
    &["party", "expire"],
    &["party", "import"],
    &["statement"],
    &["statement", "new"],
    &["statement", "sign"],
    &["statement", "add"],
    &["statement", "show"],
    &["statement", "list"],
    &["statement", "revoke"],
    &["policy"],
    &["policy", "adopt"],
    &["policy", "check"],
    &["policy", "sign"],
    &["policy", "test"],
    &["policy", "explain"],
    &["policy", "matrix"],
    &["policy", "diff"],
    &["policy", "coverage"],
    &["cut"],
    &["restore"],
    &["usage"],
    &["faults"],
];

#[test]
fn help() {
    let (dir, mut said) = (empty(), Transcript::default());
    for command in COMMANDS {
        let args = [command, &["--help"]].concat();
        assert!(run(&mut said, dir.path(), &args).status.success());
    }
    said.check("help", dir.path());
}

#[test]
fn every_argument_says_what_it_is_for() {
    for command in COMMANDS {
        let output = tieline().args(command).arg("--help").output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = help.lines().collect();
        for (line, next) in lines.iter().zip(lines.iter().skip(1).chain(&[""])) {
            let is_argument = line.trim_start().starts_with("--") || line.trim_start().starts_with('<');
            let is_alone = !line.trim().contains("  ") && next.trim().is_empty();
            assert!(
                !(is_argument && is_alone),
                "{command:?}: `{line}` is not explained"
            );
        }
    }
}

#[test]
fn wrong_usage() {
    let (dir, mut said) = (empty(), Transcript::default());
    let wrong: [&[&str]; 12] = [
        &["frobnicate"],
        &["chek"],
        &["explain"],
        &["ledger", "tail", "-n", "0"],
        &["ledger", "export", "--format", "zip", "out"],
        &["ledger", "show", "x"],
        &["drill", "n-2"],
        &["keys", "add", "--concurrency", "many"],
        &["serve", "--listen", "8080"],
        &[
            "up",
            "--model-file",
            "a.gguf",
            "--ollama",
            "http://127.0.0.1:11434",
        ],
        &["cut", "a", "b"],
        &["check", "--jsn"],
    ];
    for args in wrong {
        assert_eq!(
            run(&mut said, dir.path(), args).status.code(),
            Some(2),
            "{args:?}"
        );
    }
    said.check("wrong_usage", dir.path());
}

#[test]
fn a_folder_with_nothing_in_it() {
    let (dir, mut said) = (empty(), Transcript::default());
    let commands: [&[&str]; 15] = [
        &["check"],
        &["check", "--json"],
        &["serve"],
        &["explain", "last"],
        &["explain", "nonsense"],
        &["explain", "TL9999"],
        &["grid"],
        &["ledger", "tail"],
        &["ledger", "verify"],
        &["ledger", "key"],
        &["ledger", "export", "out"],
        &["ledger", "backup", "copy.db"],
        &["drill", "replay"],
        &["keys", "list"],
        &["cut", "cloud:east"],
    ];
    for args in commands {
        assert_eq!(
            run(&mut said, dir.path(), args).status.code(),
            Some(2),
            "{args:?}"
        );
    }
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 0, "a command that failed left a file behind");
    said.check("a_folder_with_nothing_in_it", dir.path());
}
