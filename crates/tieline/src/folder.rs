//! The state folder as commands see it: where things are, whether a server runs there, and the small files that `up`
//! writes so that commands on the same machine need no arguments.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sys::stat::{Mode, umask};
use serde::{Deserialize, Serialize};
use tieline_core::Tick;
use tieline_gateway::{AdminKeyRow, AdoptionRow, KeyRow, PartyRow, State, Token};
use tieline_note::Digest;
use tieline_note::Signer;
use tieline_policy::{Evidence, FactValue, Kind, Names, Pack, PartyRecord, Source};

use crate::check::kind;
use crate::output::{Failure, Result};

/// `DIR/server.json` while a server runs there.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) admin: String,
    /// SHA-256 of the certificate by which `admin` is known, where it speaks TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) admin_certificate: Option<Digest>,
    pub(crate) gateway: String,
    pub(crate) pid: u32,
}

const SERVER_FILE: &str = "server.json";
const ADMIN_KEY_FILE: &str = "admin.key";
const ORDERS_KEY_FILE: &str = "orders.key";
const PARTY_KEY_FILE: &str = "party.key";

/// The name of the key that `up` makes to sign directives with.
const ORDERS_KEY_NAME: &str = "tieline.local/orders";

/// The demonstration pack, as `up` and `demo` write it.
const DEMO_PACK: [(&str, &str); 3] = [
    ("pack.toml", include_str!("../../../packs/demo/pack.toml")),
    ("rules.cedar", include_str!("../../../packs/demo/rules.cedar")),
    ("cases.toml", include_str!("../../../packs/demo/cases.toml")),
];

pub(crate) fn config(dir: &Path) -> PathBuf {
    dir.join("tieline.toml")
}

/// From here on, what this process makes is for its owner only, whatever the shell's mask: a state folder that a person
/// made may be open to others, and the database makes files of its own.
pub(crate) fn keep_private() {
    let _before = umask(Mode::S_IRWXG | Mode::S_IRWXO);
}

/// Make the folder if there is none, for its owner only: the ledger in it says who asked for what.
pub(crate) fn make(dir: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| Failure::input(format!("cannot make {}: {error}", dir.display())))
}

/// The server that runs in this folder, if one does.
pub(crate) fn server(dir: &Path) -> Option<Server> {
    let text = std::fs::read_to_string(dir.join(SERVER_FILE)).ok()?;
    let server: Server = serde_json::from_str(&text).ok()?;
    // A process that was killed leaves the file; the lock tells.
    tieline_gateway::Lock::take(dir).is_err().then_some(server)
}

/// A command that only reads, or changes what is there, makes no state file where there is none.
pub(crate) fn must_have_state(dir: &Path) -> Result<()> {
    if dir.join("state.db").exists() {
        return Ok(());
    }
    Err(
        Failure::input(format!("there are no parties and keys in {}", dir.display())).with_hint(
            "give the state folder with --dir; the first `tieline serve` or `tieline up` makes a party and its key",
        ),
    )
}

pub(crate) fn write_server(dir: &Path, server: &Server) -> Result<()> {
    let text = serde_json::to_string(server).unwrap_or_default();
    private(&dir.join(SERVER_FILE), &text)
}

pub(crate) fn remove_server(dir: &Path) {
    let _ = std::fs::remove_file(dir.join(SERVER_FILE));
}

/// The operator's key for commands on this machine: from the environment, else what `up` or `serve` left in the folder.
pub(crate) fn admin_key(dir: &Path) -> Result<String> {
    if let Ok(key) = std::env::var("TIELINE_ADMIN_KEY") {
        return Ok(key);
    }
    let path = dir.join(ADMIN_KEY_FILE);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Failure::input(format!("cannot read the admin key {}: {error}", path.display()))
            .with_hint("set TIELINE_ADMIN_KEY to an operator's key")
    })?;
    Ok(text.trim().to_owned())
}

/// The admin key at hand as this folder knows it; none if it does not, or no longer.
pub(crate) fn admin(dir: &Path, state: &State) -> Result<Option<AdminKeyRow>> {
    let digest = Token::digest_of(&admin_key(dir)?);
    let keys = state
        .admin_keys()
        .map_err(|error| Failure::input(error.to_string()))?;
    Ok(keys
        .into_iter()
        .find(|key| key.digest == digest && key.revoked_us.is_none()))
}

/// The key of the first party, as `up` made it.
pub(crate) fn party_key(dir: &Path) -> Option<String> {
    std::fs::read_to_string(dir.join(PARTY_KEY_FILE))
        .ok()
        .map(|text| text.trim().to_owned())
}

/// A party that nobody has said more about than `values`.
pub(crate) fn organisation(
    name: &str,
    issuer: &str,
    now_us: u64,
    values: Vec<FactValue>,
) -> Result<PartyRow> {
    let issuer: Arc<str> = Arc::from(issuer);
    let piece = |value: FactValue| Evidence {
        digest: None,
        expires: None,
        issuer: issuer.clone(),
        kind: value.kind_min(),
        obtained: Tick(now_us),
        value,
    };
    let record = PartyRecord {
        evidence: values.into_iter().map(piece).collect(),
        groups: Names::default(),
        id: Arc::from(random_id("p")?),
        kind: Kind::Organisation,
        owners: Vec::new(),
        parent: None,
    };
    let name = name.to_owned();
    Ok(PartyRow { name, record })
}

/// Write the demonstration pack to `packs/demo`; what is there is left alone.
pub(crate) fn write_demo_pack(dir: &Path) -> Result<()> {
    let failed =
        |error: std::io::Error| Failure::found(format!("cannot write to {}: {error}", dir.display()));
    let pack = dir.join("packs/demo");
    std::fs::create_dir_all(&pack).map_err(failed)?;
    for (name, text) in DEMO_PACK {
        if !pack.join(name).exists() {
            std::fs::write(pack.join(name), text).map_err(failed)?;
        }
    }
    Ok(())
}

/// The demonstration pack as this program writes it.
pub(crate) fn demo_pack() -> Result<Pack> {
    pack_of(&DEMO_PACK.map(|(path, text)| (path, text.to_owned())))
}

/// The demonstration pack with another permit: one that nobody meets.
pub(crate) fn closed_pack() -> Result<Pack> {
    const PERMIT: &str = "permit (principal, action == Action::\"call\", resource);";
    const CLOSED: &str = "permit (principal, action == Action::\"call\", resource)\nwhen { principal.statements.contains(\"nobody\") };";
    // Its cases say what the open one decides.
    let files = DEMO_PACK.iter().filter(|(path, _)| *path != "cases.toml");
    let files: Vec<_> = files
        .map(|(path, text)| (*path, text.replace(PERMIT, CLOSED)))
        .collect();
    pack_of(&files)
}

fn pack_of(files: &[(&str, String)]) -> Result<Pack> {
    let source = |(path, text): &(&str, String)| Source {
        path: (*path).into(),
        text: text.as_str().into(),
    };
    let sources: Vec<Source> = files.iter().map(source).collect();
    Pack::parse(&sources).map_err(|_| Failure::found("the demonstration pack cannot be read"))
}

/// Adopt the demonstration pack as this program writes it, so that it may enforce; whoever changes it adopts it anew.
pub(crate) fn adopt_demo_pack(state: &State, officer: &str, now_us: u64) -> Result<()> {
    adopt(state, &demo_pack()?, officer, now_us)
}

/// Adopt a pack in the name of the example's company.
pub(crate) fn adopt(state: &State, pack: &Pack, officer: &str, now_us: u64) -> Result<()> {
    let row = AdoptionRow {
        adopted_us: now_us,
        digest: pack.digest(),
        entity: "Example GmbH".to_owned(),
        officer: officer.to_owned(),
        pack: pack.manifest().id.to_string(),
    };
    let put = state.put_adoption(&row);
    put.map(drop).map_err(|error| Failure::found(error.to_string()))
}

/// The key of this folder that signs directives.
pub(crate) fn orders_key(dir: &Path) -> Result<Signer> {
    signing_key(&dir.join(ORDERS_KEY_FILE))
}

/// The same, made if there is none.
pub(crate) fn ensure_orders_key(dir: &Path) -> Result<Signer> {
    let path = dir.join(ORDERS_KEY_FILE);
    if path.exists() {
        return signing_key(&path);
    }
    make_signing_key(&path, ORDERS_KEY_NAME)
}

/// A signing key from its file.
pub(crate) fn signing_key(path: &Path) -> Result<Signer> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::input(format!("cannot read the signing key {}: {error}", path.display()))
            .with_hint("`tieline directive key FILE` makes one")
    })?;
    Signer::parse(text.trim())
        .map_err(|error| Failure::input(format!("{} is no signing key: {error}", path.display())))
}

/// A new signing key in a file of its owner's, which must not exist.
pub(crate) fn make_signing_key(path: &Path, name: &str) -> Result<Signer> {
    let signer = Signer::new(name, &entropy()?)
        .map_err(|error| Failure::input(format!("`{name}` cannot name a key: {error}")))?;
    let written = File::options()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| writeln!(file, "{}", signer.skey()));
    written.map_err(|error| Failure::input(format!("cannot make {}: {}", path.display(), kind(&error))))?;
    Ok(signer)
}

/// Make sure that there is an administrator's key, and a party with a key; those that exist are left alone.
pub(crate) fn ensure_keys(dir: &Path, state: &State, party: &PartyRow, now_us: u64) -> Result<()> {
    let failed = |error: tieline_gateway::StateError| Failure::found(error.to_string());
    if state.admin_keys().map_err(failed)?.is_empty() {
        let token = Token::admin(&entropy()?);
        let row = AdminKeyRow {
            digest: token.digest,
            id: random_id("a")?,
            name: "first operator".into(),
            revoked_us: None,
            role: "operator".into(),
        };
        private(&dir.join(ADMIN_KEY_FILE), token.expose())?;
        state.put_admin_key(&row).map_err(failed)?;
    }
    if state.party_count().map_err(failed)? == 0 {
        state.put_party(party).map_err(failed)?;
        let token = Token::party(&entropy()?);
        private(&dir.join(PARTY_KEY_FILE), token.expose())?;
        let row = KeyRow {
            created_us: now_us,
            digest: token.digest,
            id: random_id("k")?,
            limits: tieline_core::Limits::default(),
            party: party.id().to_owned(),
            revoked_us: None,
            scope: None,
        };
        state.put_key(&row).map_err(failed)?;
    }
    Ok(())
}

pub(crate) fn entropy() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::found(format!("the operating system gives no randomness: {error}")))?;
    Ok(bytes)
}

/// An opaque id: a letter for its kind, and 64 random bits.
pub(crate) fn random_id(kind: &str) -> Result<String> {
    let bytes = entropy()?;
    let number = bytes
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    Ok(format!("{kind}_{number:016x}"))
}

/// Write a file for its owner only.
pub(crate) fn private(path: &Path, text: &str) -> Result<()> {
    let written = File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| writeln!(file, "{text}"));
    written.map_err(|error| Failure::found(format!("cannot write {}: {error}", path.display())))
}
