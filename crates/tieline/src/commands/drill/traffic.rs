//! Where the calls of a rehearsal come from: the ledger of the state folder, files of traces, or a law; and nothing, where
//! the grid alone is asked.
//!
//! A ledger that does not verify, or holds what this program does not read, is refused; with `--unverified` it is used, and
//! every report says so. So is one whose first half does not predict its second, with `--uncalibrated`.
//!
//! Files are read in pieces of [`PIECE_BYTES`], so that memory holds the calls and not the text.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tieline_core::receipt::{LedgerCited, TrafficBasis, TrafficCited};
use tieline_core::record::Hex32;
use tieline_core::{Criticality, Tick};
use tieline_drill::{
    Basis, Calibration, Drawing, Known, LAW_BYTES_MAX, Law, MAPPING_BYTES_MAX, Mapping, Onto, PartyView,
    Receipts, TraceOptions, TraceReader, Traffic, TrafficReader, Window, is_law, structure_digest,
};
use tieline_ledger::{Reader, VerifyOptions};
use tieline_note::Digest;
use tieline_policy::instant_of_date;

use super::cited::Cited;
use super::facts::Facts;
use super::progress;
use crate::cli::{Cli, Gate, TrafficArgs};
use crate::commands::grid::World;
use crate::commands::imported;
use crate::commands::ledger::{failed, reader};
use crate::commands::receipt;
use crate::output::{self, Failure, Result};

/// The argument of a receipt whose calls do not predict themselves.
const UNCALIBRATED: &str = "uncalibrated";

/// Bytes that are read of a file at a time.
const PIECE_BYTES: usize = 64 << 10;

/// What a ledger must be to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Trust {
    /// Nobody asked; whoever reads it says nothing of it either.
    Unasked,
    /// It need not verify, and the traffic says what is wrong with it.
    Unverified,
    Verified,
}

/// Whose grid calls are laid on.
#[derive(Debug)]
pub(in crate::commands) enum Origin {
    /// A configuration without a state folder: it has no parties, and no ledger is its own.
    Alone,
    /// The state folder's.
    Folder,
    /// Another gateway's, with the calls of its own log if that was given.
    Foreign(Option<Box<Traffic>>),
}

/// Calls, what a rehearsal is told beside them, and what a receipt cites of both.
pub(super) struct Calls {
    pub(super) cited: Cited,
    pub(super) known: Known,
    pub(super) traffic: Traffic,
}

/// Calls, what a receipt cites of them, and what tests of pools had shown of the grid, as the state folder's ledger says.
type Chosen = (Traffic, Cited, Receipts);

/// The calls that the arguments name: of files, else of the ledger, else one for each thing that each party may ask for.
pub(super) fn traffic(cli: &Cli, origin: Origin, args: (&TrafficArgs, Gate), world: &World) -> Result<Calls> {
    let facts = match origin {
        Origin::Folder => Facts::of(cli)?,
        Origin::Alone | Origin::Foreign(_) => Facts::default(),
    };
    let (traffic, mut cited, receipts) = chosen(cli, origin, args, world, &facts)?;
    cited.asks_policy = traffic.basis != Basis::Recorded && !world.parties.is_empty();
    if let Some(digest) = facts.digest()? {
        cited.say(Facts::ARGUMENT, digest);
    }
    Ok(Calls {
        cited,
        known: facts.known(receipts),
        traffic,
    })
}

fn chosen(
    cli: &Cli,
    origin: Origin,
    (args, gate): (&TrafficArgs, Gate),
    world: &World,
    facts: &Facts,
) -> Result<Chosen> {
    let is_alone = !matches!(origin, Origin::Folder);
    // A damaged ledger may have no root to cite.
    let ledger = receipt::ledger(&cli.dir);
    let ledger = if args.unverified {
        ledger.ok().flatten()
    } else {
        ledger?
    };
    if !args.traffic.is_empty() {
        let traffic = match origin {
            Origin::Foreign(Some(traffic)) => args.of_log(*traffic)?,
            _ => world.with_parties(|parties| foreign(args, Some((world, parties))))?,
        };
        let of = TrafficCited {
            basis: TrafficBasis::Trace,
            digest: Hex32(traffic.digest().0),
        };
        let mut cited = cited(of, ledger);
        (cited.arguments, cited.seed) = (args.cited()?, args.seed);
        let receipts = receipts(cli, world, ledger.filter(|_| !is_alone))?;
        return Ok((traffic, cited, receipts));
    }
    if !is_alone && let Some(calls) = chosen_of_ledger(cli, (args, gate), world, facts, ledger)? {
        return Ok(calls);
    }
    args.want_no_part(is_alone)?;
    let (traffic, digest) = world.with_parties(|parties| {
        let digest = structure_digest(&world.snapshot, parties);
        (Traffic::synthetic(&world.snapshot, parties), digest)
    });
    let of = TrafficCited {
        basis: TrafficBasis::Structure,
        digest: digest.ok_or_else(|| Failure::found("the grid has no canonical form"))?,
    };
    let receipts = receipts(cli, world, ledger.filter(|_| !is_alone))?;
    Ok((traffic, cited(of, ledger), receipts))
}

/// The calls alone, cited.
const fn cited(traffic: TrafficCited, ledger: Option<LedgerCited>) -> Cited {
    Cited {
        arguments: BTreeMap::new(),
        asks_policy: false,
        doubt: None,
        ledger,
        scenario: None,
        seed: None,
        traffic,
    }
}

/// The calls of the state folder's ledger; none if it holds none.
fn chosen_of_ledger(
    cli: &Cli,
    (args, gate): (&TrafficArgs, Gate),
    world: &World,
    facts: &Facts,
    ledger: Option<LedgerCited>,
) -> Result<Option<Chosen>> {
    let read = Read {
        calibrate: true,
        criticality: facts.criticality(),
        entries: ledger.map(|ledger| ledger.entries),
        trust: args.trust(),
        window: args.window(),
    };
    let Some((mut calls, finding)) = read.calls(cli)? else {
        return Ok(None);
    };
    let of = ledger.map_or(
        TrafficCited {
            basis: TrafficBasis::Ledger,
            digest: Hex32([0; 32]),
        },
        receipt::of_ledger,
    );
    let mut cited = cited(of, ledger);
    cited.arguments = args.cited()?;
    if calls.pass(gate.uncalibrated)? {
        cited.say(UNCALIBRATED, "true");
    }
    let doubt = finding.map(|finding| format!("the ledger does not verify: {finding}"));
    cited.doubt = doubt.or_else(|| ledger.is_none().then(|| "the ledger cannot be cited".to_owned()));
    warn(&calls.traffic);
    Ok(Some((calls.traffic, cited, receipts(cli, world, ledger)?)))
}

/// The same where no grid is at hand: names are taken as they are, and there must be calls.
pub(in crate::commands) fn traffic_alone(cli: &Cli, args: &TrafficArgs) -> Result<Traffic> {
    if !args.traffic.is_empty() {
        return foreign(args, None);
    }
    let read = Read {
        calibrate: false,
        criticality: &BTreeMap::new(),
        entries: None,
        trust: args.trust(),
        window: args.window(),
    };
    let Some((OfLedger { traffic, .. }, _)) = read.calls(cli)? else {
        let message = format!("there is no call in the ledger of {}", cli.dir.display());
        return Err(
            Failure::input(message).with_hint("give the state folder with --dir, or calls with --traffic")
        );
    };
    warn(&traffic);
    Ok(traffic)
}

/// The recorded calls that began within a window; none if there is no ledger, or no call in it. They say whether they
/// predict themselves, unless nobody asked what they are worth.
pub(in crate::commands) fn recorded(cli: &Cli, window: Window, trust: Trust) -> Result<Option<Traffic>> {
    let read = Read {
        calibrate: trust != Trust::Unasked,
        criticality: &BTreeMap::new(),
        entries: None,
        trust,
        window,
    };
    let Some((mut calls, _)) = read.calls(cli)? else {
        return Ok(None);
    };
    calls.pass(true)?;
    Ok(Some(calls.traffic))
}

/// What the tests of pools among the first entries of the state folder's ledger have shown of the grid.
fn receipts(cli: &Cli, world: &World, ledger: Option<LedgerCited>) -> Result<Receipts> {
    let Some(ledger) = ledger else {
        return Ok(Receipts::new());
    };
    let reader = reader(&cli.dir)?;
    let found = receipts_of(&reader, ledger.entries)?;
    Ok(receipt::within(found, &world.snapshot.record, &reader))
}

/// The receipts of pool tests among the first entries of a ledger.
pub(super) fn receipts_of(reader: &Reader, entries: u64) -> Result<Receipts> {
    let mut receipts = Receipts::new();
    reader.for_each(0..entries, |index, entry| {
        receipts.entry(index, entry);
        Ok::<(), Failure>(())
    })?;
    Ok(receipts)
}

/// How calls are read out of the state folder's ledger.
pub(super) struct Read<'r> {
    /// Whether to see if its first half predicts its second.
    pub(super) calibrate: bool,
    /// What keys say by their public ids.
    pub(super) criticality: &'r BTreeMap<Arc<str>, Criticality>,
    /// The first, that were there before it was verified; all of them, where that is not known.
    pub(super) entries: Option<u64>,
    pub(super) trust: Trust,
    pub(super) window: Window,
}

/// Calls of a ledger, and what calibration says of it, if it was asked.
pub(super) struct OfLedger {
    pub(super) calibration: Option<Calibration>,
    pub(super) traffic: Traffic,
}

impl Read<'_> {
    /// The calls of the first entries.
    pub(super) fn of(&self, reader: &Reader, entries: u64) -> Result<OfLedger> {
        let mut traffic = TrafficReader::within(self.window).with_criticality(self.criticality.clone());
        if self.calibrate {
            traffic = traffic.calibrating();
        }
        let bar = progress(entries, "entries read");
        reader.for_each(0..entries, |index, entry| {
            traffic.entry(index, entry);
            bar.set_position(index);
            Ok::<(), Failure>(())
        })?;
        bar.finish_and_clear();
        let blobs = |digest: &[u8; 32]| reader.blob(&Digest(*digest)).ok().flatten();
        let (traffic, calibration) = traffic.finish_calibrated(&blobs);
        Ok(OfLedger { calibration, traffic })
    }

    /// The recorded calls, if there are any, and why the ledger does not verify if it was asked and does not.
    fn calls(&self, cli: &Cli) -> Result<Option<(OfLedger, Option<String>)>> {
        if !cli.dir.join("ledger.db").exists() {
            return Ok(None);
        }
        let verified = match self.trust {
            Trust::Unasked => None,
            Trust::Unverified | Trust::Verified => Some(verify(cli)),
        };
        let (verified, finding) = match verified {
            None => (None, None),
            Some(Ok(size)) => (Some(size), None),
            Some(Err(finding)) if self.trust == Trust::Unverified => (None, Some(finding.to_string())),
            Some(Err(finding)) => {
                return Err(Failure::found(format!("the ledger does not verify: {finding}")).with_hint(
                    "`tieline ledger verify` says more; --unverified uses it all the same, and every report says so",
                ));
            }
        };
        let reader = reader(&cli.dir)?;
        let entries = match self.entries.or(verified) {
            Some(entries) => entries,
            None => reader.size().map_err(|error| failed(&error))?,
        };
        let mut calls = self.of(&reader, entries)?;
        let traffic = &mut calls.traffic;
        if traffic.unknown > 0 && self.trust == Trust::Verified {
            let unknown = traffic.unknown;
            return Err(Failure::found(format!(
                "{unknown} of the ledger's entries are damaged, or of a version that this program does not read"
            ))
            .with_hint("--unverified leaves their calls out, and every report says so"));
        }
        if let Some(finding) = &finding {
            traffic.warnings.push(format!(
                "The ledger does not verify: {finding}. What follows rests on records that may have been changed."
            ));
        }
        Ok((!traffic.calls.is_empty()).then_some((calls, finding)))
    }
}

impl OfLedger {
    /// Refuse calls whose first half does not predict their second, unless they are asked for all the same; whether they
    /// are such. Whatever the verdict is, the calls say it.
    pub(super) fn pass(&mut self, is_asked: bool) -> Result<bool> {
        let Some(calibration) = &self.calibration else {
            return Ok(false);
        };
        let sentence = calibration.sentence();
        if !calibration.is_missed() {
            self.traffic.remarks.push(sentence);
            return Ok(false);
        }
        if !is_asked {
            let reasons = calibration.reasons(2);
            return Err(Failure::found(format!(
                "the recorded calls do not predict themselves, so nothing that rests on them is published: {reasons}"
            ))
            .with_hint(
                "`tieline drill replay` says more; --uncalibrated goes on all the same, and every report says so",
            ));
        }
        self.traffic.warnings.push(sentence);
        Ok(true)
    }
}

/// How many entries of the ledger verify; or what is wrong.
fn verify(cli: &Cli) -> std::result::Result<u64, tieline_ledger::Finding> {
    let bar = progress(0, "entries verified");
    let report = tieline_ledger::verify(&cli.dir, &VerifyOptions::default(), |progress| {
        bar.set_length(progress.entries_expected);
        bar.set_position(progress.entries);
    });
    bar.finish_and_clear();
    report.map(|report| report.size)
}

/// A grid and what policy lets each party use of it.
type Judged<'a> = Option<(&'a World, &'a [PartyView<'a>])>;

fn foreign(args: &TrafficArgs, judged: Judged<'_>) -> Result<Traffic> {
    let onto = judged.map(|(world, parties)| Onto {
        snapshot: &world.snapshot,
        parties,
    });
    let is_law = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "toml");
    let traffic = match args.traffic.as_slice() {
        [file] if is_law(file) => drawn(args, file, onto)?,
        files if files.iter().any(is_law) => {
            return Err(Failure::input(
                "calls are drawn from one law alone, and not mixed with a trace",
            ));
        }
        files => traced(args, files, onto)?,
    };
    warn(&traffic);
    Ok(traffic)
}

fn drawn(args: &TrafficArgs, file: &Path, onto: Option<Onto<'_>>) -> Result<Traffic> {
    let text = text(file, LAW_BYTES_MAX)?;
    if !is_law(&text) {
        return Err(Failure::input(format!("{} is no law", file.display())).with_hint(
            "`tieline drill fit` writes one; a mapping is given with --mapping, beside the trace",
        ));
    }
    if args.mapping.is_some() || args.sort {
        return Err(Failure::input(
            "--mapping and --sort are for traces, and this is a law",
        ));
    }
    let law = Law::parse(&name(file), &text).map_err(|problems| Failure::input(problems.to_string()))?;
    let drawing = Drawing {
        scale: args.scale.unwrap_or(1.0),
        seed: args.seed.unwrap_or_default(),
        window: args.window(),
    };
    law.draw(onto, &drawing).map_err(|error| {
        Failure::input(format!("cannot draw from {}: {error}", file.display())).with_hint(
            "--since, --until and --scale say when and how many; names stand in the law, which may be edited",
        )
    })
}

fn traced(args: &TrafficArgs, files: &[PathBuf], onto: Option<Onto<'_>>) -> Result<Traffic> {
    let mapping = match &args.mapping {
        None if imported::is_spend_log(files) => {
            return Err(Failure::input(
                "this is LiteLLM's spend log, and only its configuration says what it means",
            )
            .with_hint("give that with --litellm config.yaml; or a --mapping that names its columns"));
        }
        None => Mapping::none(),
        Some(file) => {
            let text = text(file, MAPPING_BYTES_MAX)?;
            Mapping::parse(&name(file), &text).map_err(|problems| Failure::input(problems.to_string()))?
        }
    };
    let files = within_folders(files)?;
    let bytes = files.iter().filter_map(|file| Some(file.metadata().ok()?.len()));
    let bar = progress(bytes.sum(), "bytes read");
    let mut reader = TraceReader::new(TraceOptions {
        mapping: &mapping,
        onto,
        scale: args.scale,
        seed: args.seed,
        sort: args.sort,
        window: args.window(),
    });
    let mut piece = vec![0; PIECE_BYTES];
    for path in &files {
        let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
        reader.file(&name(path));
        while !reader.is_done() {
            let read = file.read(&mut piece).map_err(|error| unreadable(path, &error))?;
            let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            reader.feed(bytes);
            bar.inc(read as u64);
        }
    }
    let traffic = reader.finish();
    bar.finish_and_clear();
    traffic.map_err(|problems| Failure::input(problems.to_string()))
}

/// The files, and those of folders among them by name.
fn within_folders(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let is_trace = |file: &PathBuf| {
            let ending = file
                .extension()
                .and_then(|ending| ending.to_str())
                .unwrap_or_default();
            file.is_file() && ["csv", "json", "jsonl"].contains(&ending)
        };
        let entries = std::fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
        let mut within: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(is_trace)
            .collect();
        within.sort();
        if within.is_empty() {
            return Err(Failure::input(format!(
                "{} holds no file .csv or .jsonl",
                path.display()
            )));
        }
        files.extend(within);
    }
    Ok(files)
}

/// A whole file of text, if it is not too long.
fn text(path: &Path, bytes_max: usize) -> Result<String> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut bytes = Vec::new();
    let read = file.take(bytes_max as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(path, &error))?;
    if bytes.len() > bytes_max {
        return Err(Failure::input(format!(
            "{} is longer than {bytes_max} bytes",
            path.display()
        )));
    }
    String::from_utf8(bytes).map_err(|_| Failure::input(format!("{} is no text in UTF-8", path.display())))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::input(format!("cannot read {}: {error}", path.display()))
}

/// The last part of a path: what problems cite and mappings choose.
fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// An instant that [`instant_of_date`] reads.
fn instant(at: Tick) -> Arc<str> {
    let at = i64::try_from(at.0).ok();
    let at = at.and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    at.map_or_else(String::new, |at| at.to_string()).into()
}

fn warn(traffic: &Traffic) {
    for warning in &traffic.warnings {
        output::warning(warning);
    }
}

/// The window that a receipt cites by its options.
pub(super) fn window_of(arguments: &BTreeMap<Arc<str>, Arc<str>>) -> Result<Window> {
    let instant = |name: &str| {
        let text = arguments.get(name);
        text.map(|text| instant_of_date(text).map_err(Failure::input))
            .transpose()
    };
    Ok(Window {
        since: instant("since")?,
        until: instant("until")?,
    })
}

impl TrafficArgs {
    /// As a receipt cites them; calls are cited by their digest.
    fn cited(&self) -> Result<BTreeMap<Arc<str>, Arc<str>>> {
        let mut cited = BTreeMap::new();
        let mut say = |name: &str, value: Option<Arc<str>>| {
            if let Some(value) = value {
                cited.insert(name.into(), value);
            }
        };
        say("since", self.since.map(instant));
        say("until", self.until.map(instant));
        say("scale", self.scale.map(|scale| scale.to_string().into()));
        say("sort", self.sort.then(|| "true".into()));
        say(
            "mapping",
            self.mapping.as_deref().map(receipt::file_digest).transpose()?,
        );
        Ok(cited)
    }

    /// The calls of a spend log, to which the options of traces mean nothing.
    fn of_log(&self, traffic: Traffic) -> Result<Traffic> {
        if self.mapping.is_some() || self.seed.is_some() || self.scale.is_some() {
            return Err(Failure::input(
                "--mapping, --seed and --scale are for traces and laws, and this is LiteLLM's spend log",
            )
            .with_hint("--write-trace makes a trace of it"));
        }
        if traffic.calls.is_empty() {
            return Err(
                Failure::input("no call of the spend log can be laid on the configuration's grid").with_hint(
                    "its calls ask for what the configuration does not have, or lie outside of --since and --until; \
                     models that LiteLLM keeps in its database are in the answer of GET /model/info, as a second --litellm",
                ),
            );
        }
        warn(&traffic);
        Ok(traffic)
    }

    /// Refuse a window where there are no calls to choose from.
    fn want_no_part(&self, is_configuration: bool) -> Result<()> {
        if self.window() == Window::default() {
            return Ok(());
        }
        let message = if is_configuration {
            "--since and --until choose among calls, and a configuration alone has none"
        } else {
            "no call is recorded between --since and --until"
        };
        Err(Failure::input(message).with_hint("give calls with --traffic, or leave them out"))
    }

    pub(in crate::commands) fn window(&self) -> Window {
        Window {
            since: self.since,
            until: self.until,
        }
    }

    const fn trust(&self) -> Trust {
        if self.unverified {
            Trust::Unverified
        } else {
            Trust::Verified
        }
    }
}
