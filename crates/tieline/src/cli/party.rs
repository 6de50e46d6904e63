//! `tieline party`: names, defaults and help texts.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Party {
    /// Make a party, with what is known about it; its id is opaque and printed.
    #[command(after_help = "\
Examples:
  tieline party add --name 'Example GmbH' --jurisdiction DE --class enterprise \\
      --evidence-kind registration --issuer 'HRB 1234, Charlottenburg'
  tieline party add --name 'Unit Lyon' --kind unit --parent p_91 --jurisdiction FR
  tieline party add --name 'Sub Ltd' --owner p_91:600 --owner 'Somebody Else:?'

A fact that nobody established is missing, and missing never opens a door: say nothing of what you do not know.")]
    Add(PartyAdd),
    /// Show one party: record, facts, red flags, evidence with its expiry.
    Show(PartyId),
    /// List parties with what is unknown about them and where evidence disagrees.
    List,
    /// Add evidence about a party, or change its name, place in the tree, lists or owners.
    #[command(after_help = "\
Examples:
  tieline party change p_91 --jurisdiction FR --evidence-kind registration --issuer 'RCS Lyon' --expires 2027-06-30
  tieline party change p_91 --listed -             screened, and found on no list

What the same issuer said of the same fact by the same kind of evidence expires; what others said stays, and \
where it disagrees, both are judged and the stricter counts.")]
    Change(PartyChangeArgs),
    /// Let the evidence for a fact expire at once. It is kept; the fact is missing from then on.
    #[command(after_help = "\
Examples:
  tieline party expire p_91 jurisdiction
  tieline party expire p_91 licences/D1234567 --issuer BIS")]
    Expire(PartyExpire),
    /// Limit all the keys of a party together, in place of the limits that it had.
    #[command(after_help = "\
Examples:
  tieline party limit p_91 --budget-per-month 2500 --requests-per-minute 600
  tieline party limit p_91                         no limits but those of its keys

A key's own limits hold beside it: a call needs room in both, and in the pool's.")]
    Limit(PartyLimit),
    /// Add or replace up to 10,000 parties from a file, all or none.
    #[command(after_help = "\
Examples:
  tieline party import parties.csv
  tieline party import parties.jsonl               one party a line, as the admin API takes them
  tieline party import - --format csv < parties.csv

Columns of a CSV file, by its first line, in any order; only id is needed:
  id                  opaque; a party that has it is replaced, and what the line leaves out expires
  name                for people; it never reaches the ledger
  kind                organisation (default), unit, person, service
  parent              id of the party above it, of this file or known
  groups              your own lists: a;b
  jurisdiction, headquarters, parent_headquarters, data_centre
                      ISO 3166-1 or 3166-2, such as DE or UA-43
  class               enterprise, startup, academic, agency, consumer
  person_class        asserted by the employer: us_person;nationality_group:A5
  end_uses            declared: translation;research, or - for none
  listed              lists on which a screening found it, or - for clear; empty is unscreened
  evidence_kind       self_declared (default), registration, employer_assertion, …
  issuer              who says so; `import` if empty
  obtained, expires   2026-06-12 or 2026-06-12T17:21:00Z; obtained is now if empty
  owners              owner:permille;…, with ? for a share of unknown size

Every problem is named by line and column; with one, nothing is imported. Exit code 2: nothing was.")]
    Import(PartyImport),
}

#[derive(Args, Debug)]
pub(crate) struct PartyAdd {
    /// The party's id; by default one is drawn.
    #[arg(long)]
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) edit: Box<Edit>,
}

#[derive(Args, Debug)]
pub(crate) struct PartyLimit {
    /// The party's id.
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) limits: super::LimitArgs,
}

#[derive(Args, Debug)]
pub(crate) struct PartyId {
    /// The party's id.
    pub(crate) id: String,
}

#[derive(Args, Debug)]
pub(crate) struct PartyChangeArgs {
    /// The party's id.
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) edit: Box<Edit>,
}

#[derive(Args, Debug)]
pub(crate) struct PartyExpire {
    /// The party's id.
    pub(crate) id: String,
    /// The fact, such as jurisdiction, listed or licences/D1234567.
    pub(crate) fact: String,
    /// Only what this issuer says.
    #[arg(long)]
    pub(crate) issuer: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct PartyImport {
    /// The file; - is standard input.
    pub(crate) file: PathBuf,
    /// What it is; by default the end of its name says so.
    #[arg(long, value_parser = ["csv", "json", "jsonl"])]
    pub(crate) format: Option<String>,
}

/// What may be said of a party.
#[derive(Args, Debug)]
pub(crate) struct Edit {
    /// A name for people; it never reaches the ledger.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// organisation, unit, person or service; a new party is an organisation by default.
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// The id of the party above it; - for none.
    #[arg(long, value_name = "ID")]
    pub(crate) parent: Option<String>,
    /// A list of yours on which it stands; may be repeated, and names all of them. - for none.
    #[arg(long = "group", value_name = "NAME")]
    pub(crate) groups: Vec<String>,
    /// Who owns it, such as p_91:500; ? for a share of unknown size. May be repeated, and names all of them.
    #[arg(long = "owner", value_name = "OWNER:PERMILLE")]
    pub(crate) owners: Vec<String>,
    #[command(flatten)]
    pub(crate) facts: FactArgs,
}

/// Facts, and the evidence for them.
#[derive(Args, Debug)]
pub(crate) struct FactArgs {
    /// Where it is: ISO 3166-1 or 3166-2.
    #[arg(long, value_name = "CODE")]
    pub(crate) jurisdiction: Option<String>,
    /// Where the organisation has its headquarters.
    #[arg(long, value_name = "CODE")]
    pub(crate) headquarters: Option<String>,
    /// Where its ultimate parent has its headquarters.
    #[arg(long, value_name = "CODE")]
    pub(crate) parent_headquarters: Option<String>,
    /// Where its own computing is.
    #[arg(long, value_name = "CODE")]
    pub(crate) data_centre: Option<String>,
    /// enterprise, startup, academic, agency or consumer.
    #[arg(long)]
    pub(crate) class: Option<String>,
    /// A class that its employer asserts of a person, such as us_person; may be repeated.
    #[arg(long = "person-class", value_name = "CLASS")]
    pub(crate) person_class: Vec<String>,
    /// A use that it has declared; may be repeated. - for none.
    #[arg(long = "end-use", value_name = "USE")]
    pub(crate) end_uses: Vec<String>,
    /// A list on which a screening found it; may be repeated. - for a clear screening.
    #[arg(long, value_name = "LIST")]
    pub(crate) listed: Vec<String>,
    /// How strong the evidence is: self_declared, registration, employer_assertion, …
    #[arg(long, value_name = "KIND", default_value = "self_declared")]
    pub(crate) evidence_kind: String,
    /// Who says so.
    #[arg(long, default_value = "operator")]
    pub(crate) issuer: String,
    /// When the evidence was obtained; by default now.
    #[arg(long, value_name = "DATE")]
    pub(crate) obtained: Option<String>,
    /// From when on it says nothing any more: 2026-12-31 or 2026-12-31T12:00:00Z.
    #[arg(long, value_name = "DATE")]
    pub(crate) expires: Option<String>,
}
