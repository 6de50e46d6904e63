//! A licence: a permission that an authority gave to parties, with what it is about, how long it lasts, and how many calls
//! it covers. Rules ask for it by its kind (`bis-licence`), so that each licence keeps a number of its own.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tieline_core::Tick;
use tieline_note::{Digest, jcs, sha256};

use super::read;
use crate::fields::{self, Fields, Reported};
use crate::limits::TermScope;
use crate::problem::PackProblem;

/// The type tag of version 1.
pub const LICENCE_V1: &str = "tieline/licence/v1";

/// Parties that one licence names. The exemption of June 2026 is said to have named about a hundred firms.
const PARTIES_MAX: usize = 1_024;

/// A licence as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    /// What it is given under, such as `15 CFR 748`.
    pub authority: Arc<str>,
    /// What its holders undertook, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Arc<str>>,
    /// `[a-z0-9-]{1,64}`, unique among licences.
    pub id: Arc<str>,
    pub issuer: Arc<str>,
    /// The name by which rules ask for it.
    pub kind: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Arc<str>>,
    pub parties: Vec<TermParty>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
    /// From this instant on it is worth nothing, whatever its validity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Tick>,
    #[serde(default, skip_serializing_if = "TermScope::is_unrestricted")]
    pub scope: TermScope,
    /// Always [`LICENCE_V1`].
    pub t: Arc<str>,
    pub valid_from: Tick,
    /// The first instant at which it is no longer valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Tick>,
}

/// A party that a licence names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermParty {
    pub id: Arc<str>,
    /// Whether those below it in the tree have it too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub with_members: bool,
}

/// How much a licence covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantity {
    /// Calls of all its parties together, at least one.
    pub calls: u64,
}

impl Licence {
    /// Reads a TOML file; on failure, every problem with its place.
    pub fn read(path: &Arc<str>, text: &str) -> Result<Self, Vec<PackProblem>> {
        fields::read(path, text, check)
    }

    /// SHA-256 of the canonical JSON of the licence as it was given: revoking it does not make it another. `None` only for
    /// an instant after the year 2255, which canonical JSON cannot write.
    pub fn digest(&self) -> Option<Digest> {
        let given = Self {
            revoked: None,
            ..self.clone()
        };
        Some(sha256(&jcs::to_vec(&given).ok()?))
    }
}

fn check(fields: &mut Fields<'_, '_>) -> Option<Licence> {
    fields.only(&[
        "authority",
        "conditions",
        "id",
        "issuer",
        "kind",
        "note",
        "parties",
        "quantity",
        "scope",
        "t",
        "valid_from",
        "valid_to",
    ]);
    // Each line reads its own field, so that one wrong field does not hide the next.
    let tag = read::tag(fields, LICENCE_V1);
    let authority = fields.text("authority");
    let conditions = if fields.has("conditions") {
        fields.texts("conditions")
    } else {
        Some(Vec::new())
    };
    let id = read::id(fields, "id");
    let issuer = fields.text("issuer");
    let kind = if fields.has("kind") {
        read::id(fields, "kind")
    } else {
        id.clone()
    };
    let note = fields.optional_text("note");
    let parties = parties(fields);
    let quantity = quantity(fields);
    let scope = read::scope(fields);
    let times = read::times(fields);
    tag?;
    let (valid_from, valid_to) = times?;
    Some(Licence {
        authority: authority?,
        conditions: conditions?,
        id: id?,
        issuer: issuer?,
        kind: kind?,
        note: note.ok()?,
        parties: parties?,
        quantity: quantity.ok()?,
        revoked: None,
        scope: scope?,
        t: Arc::from(LICENCE_V1),
        valid_from,
        valid_to,
    })
}

fn quantity(fields: &mut Fields<'_, '_>) -> Result<Option<Quantity>, Reported> {
    let Some(mut fields) = read::nested(fields, "quantity")? else {
        return Ok(None);
    };
    fields.only(&["calls"]);
    let calls = read::count(&mut fields, "calls").ok_or(Reported)?;
    Ok(Some(Quantity { calls }))
}

fn parties(fields: &mut Fields<'_, '_>) -> Option<Vec<TermParty>> {
    let Some(array) = fields.required("parties")?.get_ref().as_array() else {
        fields.wrong_type("parties", "an array of tables");
        return None;
    };
    if array.is_empty() || array.len() > PARTIES_MAX {
        let says = format!("`parties` names none, or more than {PARTIES_MAX}");
        fields.complain(
            "parties",
            says,
            Some("write `[[parties]]` and `id = \"…\"` for each"),
        );
        return None;
    }
    let mut out: Vec<TermParty> = Vec::new();
    let mut sound = true;
    for item in array {
        let Some(table) = item.get_ref().as_table() else {
            let says = format!("a value of type {} is no party", item.get_ref().type_str());
            let problem = fields.sheet.problem(item.span().start, says, None);
            fields.problems.push(problem);
            sound = false;
            continue;
        };
        let mut one = Fields {
            sheet: fields.sheet,
            table,
            place: item.span(),
            problems: &mut *fields.problems,
        };
        one.only(&["id", "with_members"]);
        let id = one.text("id");
        let with_members = if one.has("with_members") {
            read::yes_or_no(&mut one, "with_members")
        } else {
            Some(false)
        };
        if let Some(id) = id.as_ref().filter(|id| out.iter().any(|known| known.id == **id)) {
            one.complain("id", format!("the party `{id}` stands twice"), None);
        }
        match (id, with_members) {
            (Some(id), Some(with_members)) => out.push(TermParty { id, with_members }),
            _ => sound = false,
        }
    }
    sound.then_some(out)
}
