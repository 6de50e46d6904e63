//! The table: each crate's floor, what it must never reach, which of its source is pure. The one place to change when
//! a crate is added; the reasons are in ARCHITECTURE.md.

/// What a crate may be.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: &'static str,
    /// Relative to the root.
    pub(super) folder: &'static str,
    pub(super) floor: u8,
    /// Outside packages that it must not reach by normal dependencies.
    pub(super) never: &'static [&'static str],
    /// Packages that it may reach by normal dependencies, itself included.
    pub(super) packages_max: Option<usize>,
    /// Words that its source must not have outside of tests.
    pub(super) unsaid: &'static [&'static str],
}

/// Packages in the default build of the binary, build dependencies included. Cedar alone brings about a hundred.
pub(super) const PACKAGES_MAX: usize = 300;

/// Packages that nothing may reach, and why.
pub(super) const BANNED: &[(&str, &str)] = &[
    ("native-tls", "TLS is rustls, the same on every platform"),
    ("openssl", "TLS is rustls, the same on every platform"),
    ("openssl-sys", "TLS is rustls, the same on every platform"),
    (
        "reqwest",
        "the gateway drives hyper itself, for a call's bytes must not pass a second client",
    ),
    ("ring", "one library of primitives is enough: aws-lc"),
];

/// Outside packages that hide behind a boundary of ours, and the crates that may depend on them directly.
pub(super) const HOMES: &[(&str, &[&str])] = &[
    ("cedar-policy", &["tieline-policy"]),
    ("clap", &["tieline"]),
    ("ed25519-dalek", &["tieline-note"]),
];

const IO: [&str; 9] = [
    "axum",
    "getrandom",
    "hyper",
    "mio",
    "rand",
    "reqwest",
    "rusqlite",
    "socket2",
    "tokio",
];
const VALUES: [&str; 10] = [
    "axum",
    "getrandom",
    "hyper",
    "mio",
    "rand",
    "reqwest",
    "rusqlite",
    "serde_json",
    "socket2",
    "tokio",
];
const NETWORK: [&str; 6] = ["axum", "hyper", "mio", "reqwest", "socket2", "tokio"];

/// A pure crate takes time, entropy, configuration and bytes as arguments.
const AMBIENT: [&str; 9] = [
    "Instant::now",
    "SystemTime::now",
    "getrandom::",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "thread::spawn",
];
/// The ledger owns files and one writer thread; its clock and its seed are arguments all the same.
const CLOCK: [&str; 5] = [
    "Instant::now",
    "SystemTime::now",
    "getrandom::",
    "std::env",
    "std::net",
];

/// In the order of their floors.
pub(super) const CRATES: &[Rule] = &[
    Rule {
        name: "tieline-core",
        folder: "crates/tieline-core",
        floor: 0,
        never: &VALUES,
        packages_max: Some(16),
        unsaid: &AMBIENT,
    },
    Rule {
        name: "tieline-note",
        folder: "crates/tieline-note",
        floor: 0,
        never: &VALUES,
        packages_max: Some(40),
        unsaid: &AMBIENT,
    },
    Rule {
        name: "tieline-wire",
        folder: "crates/tieline-wire",
        floor: 1,
        never: &IO,
        packages_max: None,
        unsaid: &AMBIENT,
    },
    Rule {
        name: "tieline-policy",
        folder: "crates/tieline-policy",
        floor: 1,
        never: &IO,
        packages_max: None,
        unsaid: &AMBIENT,
    },
    Rule {
        name: "tieline-ledger",
        folder: "crates/tieline-ledger",
        floor: 1,
        never: &NETWORK,
        packages_max: None,
        unsaid: &CLOCK,
    },
    Rule {
        name: "tieline-drill",
        folder: "crates/tieline-drill",
        floor: 2,
        never: &NETWORK,
        packages_max: None,
        unsaid: &AMBIENT,
    },
    Rule {
        name: "tieline-gateway",
        folder: "crates/tieline-gateway",
        floor: 2,
        never: &[],
        packages_max: None,
        unsaid: &[],
    },
    Rule {
        name: "tieline-console",
        folder: "crates/tieline-console",
        floor: 2,
        never: &[],
        packages_max: None,
        unsaid: &[],
    },
    Rule {
        name: "tieline-testkit",
        folder: "crates/tieline-testkit",
        floor: 2,
        never: &[],
        packages_max: None,
        unsaid: &[],
    },
    Rule {
        name: "tieline",
        folder: "crates/tieline",
        floor: 3,
        never: &[],
        packages_max: None,
        unsaid: &[],
    },
    Rule {
        name: "tieline-bench",
        folder: "bench",
        floor: 4,
        never: &[],
        packages_max: None,
        unsaid: &[],
    },
    Rule {
        name: "xtask",
        folder: "xtask",
        floor: 4,
        never: &[],
        packages_max: None,
        unsaid: &[],
    },
];
