//! Makes a state folder to measure: `state DIR [PARTIES]`. Each party has one key; the first party's is printed, alone on
//! its line. Parties differ in no fact, as the customers of one reseller mostly do; their ids and keys are counted, not
//! drawn, so that two folders are alike. Never use such a folder to serve anybody: its keys can be guessed.
#![expect(clippy::print_stdout, reason = "the key is its output")]

use std::path::PathBuf;

use tieline_core::Limits;
use tieline_gateway::{KeyRow, Lock, PartyRow, State, Token};
use tieline_policy::PartyRecord;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let dir = PathBuf::from(words.next().ok_or("which folder?")?);
    let parties: u64 = words.next().map_or(Ok(1), |word| word.parse())?;
    std::fs::create_dir_all(&dir)?;
    let _lock = Lock::take(&dir)?;
    let mut state = State::open(&dir)?;
    let record: PartyRecord = serde_json::from_str(
        r#"{"evidence":[
            {"issuer":"bench","kind":"registration","obtained":1,"value":{"class":"enterprise"}},
            {"issuer":"bench","kind":"registration","obtained":1,"value":{"jurisdiction":"DE"}}
        ],"id":"p","kind":"organisation"}"#,
    )?;
    let party = |n: u64| PartyRow {
        name: format!("Bench {n}"),
        record: PartyRecord {
            id: format!("p_{n}").into(),
            ..record.clone()
        },
    };
    let token = |n: u64| {
        let mut seed = [0; 32];
        for (slot, byte) in seed.iter_mut().zip(n.to_le_bytes()) {
            *slot = byte;
        }
        Token::party(&seed)
    };
    let key = |n: u64| KeyRow {
        created_us: n,
        digest: token(n).digest,
        id: format!("k_{n}"),
        limits: Limits {
            requests_per_minute: Some(u32::MAX),
            ..Limits::default()
        },
        party: format!("p_{n}"),
        revoked_us: None,
        scope: None,
    };
    let rows: Vec<PartyRow> = (0..parties).map(party).collect();
    let keys: Vec<KeyRow> = (0..parties).map(key).collect();
    state.put_parties(&rows)?;
    state.put_keys(&keys)?;
    println!("{}", token(0).expose());
    Ok(())
}
