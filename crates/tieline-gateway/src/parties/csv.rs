//! Parties as CSV (RFC 4180): one line a party, with evidence of one kind from one issuer. Columns may be left out and
//! come in any order; an empty cell says nothing, `-` says that there is none, and `;` separates several values.

use std::collections::BTreeSet;
use std::sync::Arc;

use tieline_core::Tick;
use tieline_policy::{
    Class, Country, Evidence, EvidenceKind, FactValue, Kind, Names, PartyRecord, Share, instant_of_date,
};

use super::import::ImportProblem;
use crate::state::PartyRow;

/// The columns that a file may have.
pub const CSV_COLUMNS: [&str; 18] = [
    "id",
    "name",
    "kind",
    "parent",
    "groups",
    "jurisdiction",
    "headquarters",
    "parent_headquarters",
    "class",
    "person_class",
    "end_uses",
    "data_centre",
    "listed",
    "evidence_kind",
    "issuer",
    "obtained",
    "expires",
    "owners",
];

/// Who asserts what a file does not say otherwise.
const ISSUER: &str = "import";

/// One line, and what was wrong with it.
struct Line<'a> {
    cells: Vec<(&'static str, &'a str)>,
    number: u64,
    problems: Vec<ImportProblem>,
}

pub(super) fn read(text: &str, now: Tick, problems: &mut Vec<ImportProblem>) -> Vec<(u64, PartyRow)> {
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .has_headers(false)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut records = reader.records();
    let Some(Ok(head)) = records.next() else {
        return Vec::new();
    };
    let columns = columns(&head, problems);
    let mut rows = Vec::new();
    for record in records {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                problems.push(problem(line, "", error.to_string()));
                continue;
            }
        };
        let number = record.position().map_or(0, csv::Position::line);
        if record.len() != columns.len() {
            let says = format!(
                "the line has {} cells, and the head has {}; quote a cell that holds a comma",
                record.len(),
                columns.len()
            );
            problems.push(problem(number, "", says));
            continue;
        }
        let cells = columns.iter().zip(&record);
        let mut line = Line {
            cells: cells.filter_map(|(name, cell)| Some(((*name)?, cell))).collect(),
            number,
            problems: Vec::new(),
        };
        let row = line.row(now);
        problems.append(&mut line.problems);
        rows.extend(row.map(|row| (number, row)));
    }
    rows
}

/// What each cell of a line is, by the head; none for one that the head names wrongly.
fn columns(head: &csv::StringRecord, problems: &mut Vec<ImportProblem>) -> Vec<Option<&'static str>> {
    let mut seen = BTreeSet::new();
    let columns: Vec<_> = head
        .iter()
        .map(|name| {
            let known = CSV_COLUMNS.into_iter().find(|column| *column == name);
            match known {
                None => {
                    let says = format!("there is no such column; known are {}", CSV_COLUMNS.join(", "));
                    problems.push(problem(1, name, says));
                }
                Some(column) if !seen.insert(column) => {
                    problems.push(problem(1, name, "the column is there twice".to_owned()));
                }
                Some(_) => {}
            }
            known
        })
        .collect();
    if !seen.contains("id") {
        problems.push(problem(
            1,
            "id",
            "the first line must name the columns, and `id` among them".to_owned(),
        ));
    }
    columns
}

fn problem(line: u64, column: &str, says: String) -> ImportProblem {
    ImportProblem {
        line,
        column: column.to_owned(),
        says,
    }
}

impl Line<'_> {
    /// The party, unless something is wrong; every problem of the line is found.
    fn row(&mut self, now: Tick) -> Option<PartyRow> {
        let evidence = self.evidence(now);
        let kind = self.read("kind", |text| named(text, Kind::ALL, Kind::name));
        let owners = self.read("owners", read_shares).unwrap_or_default();
        let id: Option<Arc<str>> = self.cell("id").map(Arc::from);
        if id.is_none() && self.cells.iter().any(|(name, _)| *name == "id") {
            self.report("id", "a party needs an id".to_owned());
        }
        let record = PartyRecord {
            evidence,
            groups: self.cell("groups").map(names).unwrap_or_default(),
            id: id?,
            kind: kind.unwrap_or(Kind::Organisation),
            owners,
            parent: self.cell("parent").map(Arc::from),
        };
        let name = self.cell("name").unwrap_or_default().to_owned();
        self.problems.is_empty().then_some(PartyRow { name, record })
    }

    fn evidence(&mut self, now: Tick) -> Vec<Evidence> {
        let kind = self.read("evidence_kind", |text| {
            named(text, EvidenceKind::ALL, EvidenceKind::name)
        });
        let kind = kind.unwrap_or(EvidenceKind::SelfDeclared);
        let obtained = self.read("obtained", instant_of_date).unwrap_or(now);
        let expires = self.read("expires", instant_of_date);
        let issuer: Arc<str> = Arc::from(self.cell("issuer").unwrap_or(ISSUER));
        let values = [
            self.country("jurisdiction").map(FactValue::Jurisdiction),
            self.country("headquarters").map(FactValue::Headquarters),
            self.country("parent_headquarters")
                .map(FactValue::ParentHeadquarters),
            self.country("data_centre").map(FactValue::DataCentre),
            self.read("class", |text| named(text, Class::ALL, Class::name))
                .map(FactValue::Class),
            self.cell("person_class").map(names).map(FactValue::PersonClass),
            self.cell("end_uses").map(names).map(FactValue::EndUses),
            self.cell("listed").map(names).map(FactValue::Listed),
        ];
        let piece = |value: FactValue| Evidence {
            digest: None,
            expires,
            issuer: issuer.clone(),
            kind,
            obtained,
            value,
        };
        values.into_iter().flatten().map(piece).collect()
    }

    fn country(&mut self, column: &'static str) -> Option<Country> {
        self.read(column, |text| {
            Country::parse(text).map_err(|error| error.to_string())
        })
    }

    /// The value of a cell that is there; a problem if it has none.
    fn read<T, E: ToString>(
        &mut self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(self.cell(column)?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.report(column, error.to_string());
                None
            }
        }
    }

    fn cell(&self, column: &str) -> Option<&str> {
        let (_, cell) = self.cells.iter().find(|(name, _)| *name == column)?;
        (!cell.is_empty()).then_some(*cell)
    }

    fn report(&mut self, column: &str, says: String) {
        self.problems.push(problem(self.number, column, says));
    }
}

fn names(cell: &str) -> Names {
    if cell == "-" {
        return Names::default();
    }
    let parts = cell.split(';').map(str::trim).filter(|part| !part.is_empty());
    parts.map(Arc::from).collect()
}

fn named<T: Copy>(
    text: &str,
    all: impl IntoIterator<Item = T> + Copy,
    name: fn(T) -> &'static str,
) -> Result<T, String> {
    let found = all.into_iter().find(|value| name(*value) == text);
    found.ok_or_else(|| {
        let known: Vec<&str> = all.into_iter().map(name).collect();
        format!("`{text}` is none of {}", known.join(", "))
    })
}

/// `owner:permille;…`, with `?` for a share of unknown size.
pub fn read_shares(cell: &str) -> Result<Vec<Share>, String> {
    let parts = cell.split(';').map(str::trim).filter(|part| !part.is_empty());
    let share = |part: &str| {
        let wrong = || format!("`{part}` is no share: `owner:permille`, or `owner:?` if nobody knows");
        let (owner, size) = part.rsplit_once(':').ok_or_else(wrong)?;
        let permille = match size.trim() {
            "?" => None,
            size => Some(size.parse().map_err(|_| wrong())?),
        };
        let owner = owner.trim();
        if owner.is_empty() {
            return Err(wrong());
        }
        Ok(Share {
            owner: Arc::from(owner),
            permille,
        })
    };
    parts.map(share).collect()
}
