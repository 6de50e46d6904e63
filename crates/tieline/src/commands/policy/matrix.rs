//! `tieline policy matrix`: parties by models. Rows are made once for each set of facts, on all cores, and printed as they
//! are ready.
//!
//! Bounds: [`BATCH_PARTIES`] rows are made at a time, and [`ROWS_KEPT_MAX`] are kept for parties with the same facts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use tieline_core::Tick;
use tieline_policy::{Matrix, PartyFacts, PostureError, Status, change_kind};

use super::bench::{Field, Party, epoch, in_parallel, instant, overlay, packs, parties};
use super::report::{CellShown, MatrixRow, ReachShown};
use crate::cli::{Cli, PolicyMatrix};
use crate::load;
use crate::output::{self, Failure, Result, csv_field};

/// Parties whose rows are made together: enough that a thread for each core is worth its start.
const BATCH_PARTIES: usize = 512;

/// Rows that are kept. With 50 models a row takes some 12 KB: 50 MB at most.
const ROWS_KEPT_MAX: usize = 4_096;

type Row = Arc<Vec<CellShown>>;

/// What parties have in common that share a row: their facts, and the lists of directives that name them; one that shares
/// with nobody, by its id.
type Key = (PartyFacts, Option<u16>, Option<String>);

/// What makes rows.
struct Maker<'a> {
    everything: Option<Matrix<'a>>,
    matrix: Matrix<'a>,
}

pub(super) fn run(cli: &Cli, args: &PolicyMatrix) -> Result<u8> {
    let now = instant(&args.at)?;
    let checked = load::checked_in(&cli.dir)?;
    let packs = packs(&checked.policy.packs)?;
    let field = Field::new(&checked.grid)?;
    let in_force = epoch(packs.clone(), &checked.policy.enforce)?;
    let everything = args
        .all_statuses
        .then(|| epoch(packs, &Status::ALL))
        .transpose()?;
    let parties = parties(&cli.dir, now)?;
    let matrix = |epoch| {
        let end_use = args.end_use.as_deref();
        let matrix = Matrix::new(epoch, &field.targets, &field.columns, end_use, now);
        overlay(&cli.dir, epoch, now).map(|overlay| matrix.with_overlay(overlay))
    };
    let maker = Maker {
        everything: everything.as_ref().map(matrix).transpose()?,
        matrix: matrix(&in_force)?,
    };
    let format = if cli.json { "json" } else { &args.format };
    if format == "csv" {
        output::line("party,name,model,ruling,rules,channels,would,would_rules,would_channels")?;
    }
    let mut kept: BTreeMap<Key, Row> = BTreeMap::new();
    for batch in parties.chunks(BATCH_PARTIES) {
        if kept.len() >= ROWS_KEPT_MAX {
            kept.clear();
        }
        kept.extend(maker.missing(batch, &kept)?);
        let mut text = String::new();
        for party in batch {
            if let Some(row) = kept.get(&maker.key(party)) {
                print(&mut text, format, party, row, now)?;
            }
        }
        output::line(text)?;
    }
    Ok(0)
}

impl Maker<'_> {
    fn key(&self, party: &Party) -> Key {
        let listed = self.matrix.key(&party.id);
        let alone = listed.is_none().then(|| party.id.clone());
        (party.facts.clone(), listed, alone)
    }

    /// The rows of a batch that are not there yet.
    fn missing(&self, batch: &[Party], kept: &BTreeMap<Key, Row>) -> Result<BTreeMap<Key, Row>> {
        let mut wanted: BTreeMap<Key, &Party> = BTreeMap::new();
        for party in batch {
            let key = self.key(party);
            if !kept.contains_key(&key) {
                wanted.insert(key, party);
            }
        }
        let parties: Vec<&Party> = wanted.values().copied().collect();
        let rows = in_parallel(&parties, &|party: &&Party| self.row(party))?;
        Ok(wanted.into_keys().zip(rows).collect())
    }

    fn row(&self, party: &Party) -> Result<Row> {
        let failed = |error: PostureError| Failure::found(format!("party {}: {error}", party.id));
        let row = self.matrix.row(&party.id, &party.facts).map_err(failed)?;
        let would = match &self.everything {
            Some(everything) => Some(everything.row(&party.id, &party.facts).map_err(failed)?),
            None => None,
        };
        let columns = self.matrix.columns().iter().enumerate();
        let cells = columns.map(|(ix, column)| {
            let reach = row
                .get(ix)
                .and_then(Option::as_ref)
                .map(|cell| self.matrix.reach(cell));
            let would = would
                .as_ref()
                .and_then(|would| would.get(ix))
                .and_then(Option::as_ref);
            let would = would.map(|cell| self.matrix.reach(cell));
            // An allow by one more permit is no other outcome.
            let differs = would.is_some() && change_kind(reach.as_ref(), would.as_ref()).is_some();
            CellShown {
                model: self.matrix.model_name(column.model),
                reach: reach.as_ref().map(ReachShown::new),
                would: would.filter(|_| differs).as_ref().map(ReachShown::new),
            }
        });
        Ok(Arc::new(cells.collect()))
    }
}

fn print(text: &mut String, format: &str, party: &Party, row: &Row, now: Tick) -> Result<()> {
    match format {
        "json" => {
            let row = MatrixRow {
                schema: "tieline/policy-matrix/v1",
                at_us: now.0,
                cells: row.to_vec(),
                name: party.name.clone(),
                party: party.id.clone(),
            };
            let line = serde_json::to_string(&row).map_err(|error| Failure::found(error.to_string()))?;
            text.push_str(&line);
            text.push('\n');
        }
        "csv" => {
            for cell in row.iter() {
                let reach = csv_reach(cell.reach.as_ref());
                let would = csv_reach(cell.would.as_ref());
                let (id, name, model) = (
                    csv_field(&party.id),
                    csv_field(&party.name),
                    csv_field(&cell.model),
                );
                let _ = writeln!(text, "{id},{name},{model},{reach},{would}");
            }
        }
        _ => table(text, party, row),
    }
    Ok(())
}

fn csv_reach(reach: Option<&ReachShown>) -> String {
    let Some(reach) = reach else {
        return ",,".to_owned();
    };
    let (rules, channels) = (
        csv_field(&reach.rules.join(" ")),
        csv_field(&reach.channels.join(" ")),
    );
    format!("{},{rules},{channels}", reach.ruling)
}

/// A party, and a line for each outcome with its models: fifty models mostly have two or three.
fn table(text: &mut String, party: &Party, row: &Row) {
    let name = if party.name.is_empty() {
        String::new()
    } else {
        format!("  {}", party.name)
    };
    let _ = writeln!(text, "{}{name}", party.id);
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for cell in row.iter() {
        let outcome = outcome(cell);
        match groups.iter_mut().find(|(known, _)| *known == outcome) {
            Some((_, models)) => models.push(&cell.model),
            None => groups.push((outcome, vec![&cell.model])),
        }
    }
    for (outcome, models) in groups {
        let _ = writeln!(text, "  {outcome}: {}", models.join(", "));
    }
}

fn outcome(cell: &CellShown) -> String {
    let Some(reach) = &cell.reach else {
        return "none   no channel serves".to_owned();
    };
    let by = |reach: &ReachShown| format!("{} via {}", reach.rules.join(", "), reach.channels.join(", "));
    let mut text = format!("{:<5}  by {}", reach.ruling, by(reach));
    if let Some(would) = &cell.would {
        let _ = write!(text, "; would {} by {}", would.ruling, by(would));
    }
    text
}
