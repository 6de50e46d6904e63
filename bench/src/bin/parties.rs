//! Measures parties: `parties [N]` imports N organisations (10,000 by default) of eight facts each, a set of person
//! classes among them, and two groups, all distinct, as the admin API does, and prints what reading, checking, writing
//! and resolving take, and what a party takes in memory: the difference in resident memory by the number of parties, in
//! a process that did nothing before.
#![expect(clippy::print_stdout, reason = "the figures are its output")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use tieline_core::Tick;
use tieline_gateway::{Import, ImportFormat, PartyChange, State};
use tieline_policy::{Postures, Registry};

/// What the first process says to the second.
const MEASURE: &str = "--measure";

const PLACES: [&str; 16] = [
    "DE", "FR", "US", "GB", "JP", "KR", "NL", "SE", "NO", "FI", "IT", "ES", "PL", "CH", "AT", "BE",
];

/// Some day in 2026, in µs.
const NOW: Tick = Tick(1_790_000_000_000_000);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [word, dir] = words.as_slice()
        && word == MEASURE
    {
        return measure(Path::new(dir));
    }
    let count: usize = words.first().map_or(Ok(10_000), |word| word.parse())?;
    let dir = tempfile::tempdir()?;
    import(dir.path(), count)?;
    let me = std::env::current_exe()?;
    let status = Command::new(me)
        .arg(MEASURE)
        .arg(dir.path())
        // Large buffers go back to the kernel when they are dropped, and are not counted for parties.
        .env("MALLOC_MMAP_THRESHOLD_", "65536")
        .env("MALLOC_TRIM_THRESHOLD_", "0")
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err("the measuring process failed".into())
    }
}

fn import(dir: &Path, count: usize) -> Result<(), Box<dyn std::error::Error>> {
    let text = csv(count);
    let begun = Instant::now();
    let import = Import::read(text.as_bytes(), ImportFormat::Csv, NOW)?;
    println!("read {} bytes of CSV: {:?}", text.len(), begun.elapsed());
    let mut state = State::open(dir)?;
    let registry = Registry::new(NOW, Vec::new()).map_err(|_| "an empty registry")?;
    let begun = Instant::now();
    let amended = PartyChange::Import(import).amend(&state, &registry, NOW)?;
    println!("check: {:?}", begun.elapsed());
    let begun = Instant::now();
    state.put_parties(&amended.rows)?;
    println!("write: {:?}", begun.elapsed());
    Ok(())
}

fn measure(dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let state = State::open(dir)?;
    let count = state.party_count()?;
    let before = resident_bytes()?;
    let begun = Instant::now();
    let registry = state.registry(NOW)?;
    println!("start: {:?}", begun.elapsed());
    // Its page cache is no party's.
    drop(state);
    let read = resident_bytes()?;
    let postures = Postures::new();
    let begun = Instant::now();
    for record in registry.records() {
        if let Some(resolved) = registry.resolve_party(&record.id) {
            postures.intern(&resolved.facts)?;
        }
    }
    println!("resolve {} postures: {:?}", postures.len(), begun.elapsed());
    let resolved = resident_bytes()?;
    println!(
        "a party: {} bytes; its posture, if nobody shares it: {} bytes",
        read.saturating_sub(before) / count.max(1),
        resolved.saturating_sub(read) / count.max(1)
    );
    Ok(())
}

fn csv(count: usize) -> String {
    let mut text = String::from(
        "id,name,kind,groups,jurisdiction,headquarters,parent_headquarters,class,end_uses,data_centre,\
         listed,person_class,evidence_kind,issuer,obtained,expires\n",
    );
    for n in 0..count {
        let place = |shift: usize| PLACES.get((n >> shift) % PLACES.len()).unwrap_or(&"DE");
        let _ = writeln!(
            text,
            "p_{n:016x},Party {n},organisation,pilots;g{},{},{},{},enterprise,translation,{},-,us_person;nationality_group:A5,\
             employer_assertion,registrar,2026-01-01,2030-01-01",
            n % 7,
            place(0),
            place(4),
            place(8),
            place(12),
        );
    }
    text
}

/// Resident memory of this process, from the kernel.
fn resident_bytes() -> Result<usize, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize = status.split(' ').nth(1).ok_or("an odd statm")?.parse()?;
    Ok(pages * 4_096)
}
