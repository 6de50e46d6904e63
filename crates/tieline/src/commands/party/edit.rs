//! What was typed about a party, as a change of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tieline_gateway::{NewEvidence, PartyEdit, read_shares};
use tieline_policy::{EvidenceKind, FactValue, instant_of_date};

use crate::cli::{Edit, FactArgs};
use crate::output::{Failure, Result};

/// Stands for none, where nothing said means unknown.
const NONE: &str = "-";

pub(super) fn read(id: String, new: bool, args: &Edit) -> Result<PartyEdit> {
    let owners = match args.owners.as_slice() {
        [] => None,
        [none] if none == NONE => Some(Vec::new()),
        owners => {
            Some(read_shares(&owners.join(";")).map_err(|says| Failure::input(format!("--owner: {says}")))?)
        }
    };
    Ok(PartyEdit {
        evidence: evidence(&args.facts)?,
        groups: names(&args.groups),
        id,
        kind: args
            .kind
            .as_ref()
            .map(|kind| parsed("--kind", kind.clone().into()))
            .transpose()?,
        name: args.name.clone(),
        new,
        owners,
        parent: args.parent.as_ref().map(|parent| {
            let id = if parent == NONE { "" } else { parent };
            Arc::from(id)
        }),
    })
}

pub(super) fn is_nothing(edit: &PartyEdit) -> bool {
    edit.evidence.is_empty()
        && edit.groups.is_none()
        && edit.kind.is_none()
        && edit.name.is_none()
        && edit.owners.is_none()
        && edit.parent.is_none()
}

fn evidence(args: &FactArgs) -> Result<Vec<NewEvidence>> {
    let date = |name: &str, text: &Option<String>| {
        let read = text.as_deref().map(instant_of_date).transpose();
        read.map_err(|says| Failure::input(format!("{name}: {says}")))
    };
    let (obtained, expires) = (
        date("--obtained", &args.obtained)?,
        date("--expires", &args.expires)?,
    );
    let kind: EvidenceKind = parsed("--evidence-kind", args.evidence_kind.clone().into())?;
    let one = [
        ("class", &args.class),
        ("data_centre", &args.data_centre),
        ("headquarters", &args.headquarters),
        ("jurisdiction", &args.jurisdiction),
        ("parent_headquarters", &args.parent_headquarters),
    ];
    let many = [
        ("end_uses", "--end-use", &args.end_uses),
        ("listed", "--listed", &args.listed),
        ("person_class", "--person-class", &args.person_class),
    ];
    let mut values: Vec<FactValue> = Vec::new();
    for (fact, text) in one {
        if let Some(text) = text {
            let option = format!("--{}", fact.replace('_', "-"));
            values.push(parsed(&option, serde_json::json!({ fact: text }))?);
        }
    }
    for (fact, option, texts) in many {
        if let Some(names) = names(texts) {
            values.push(parsed(option, serde_json::json!({ fact: names }))?);
        }
    }
    let issuer: Arc<str> = Arc::from(args.issuer.as_str());
    let piece = |value| NewEvidence {
        digest: None,
        expires,
        issuer: issuer.clone(),
        kind,
        obtained,
        value,
    };
    Ok(values.into_iter().map(piece).collect())
}

/// Nothing said is unknown; `-` is none.
fn names(texts: &[String]) -> Option<BTreeSet<Arc<str>>> {
    let names = texts.iter().filter(|text| *text != NONE);
    (!texts.is_empty()).then(|| names.map(|text| Arc::from(text.as_str())).collect())
}

fn parsed<T: DeserializeOwned>(option: &str, value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| Failure::input(format!("{option}: {error}")))
}
