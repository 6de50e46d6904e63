//! What readers of licences and statements share: the type tag, names, numbers, nested tables, the scope and the times.

use std::collections::BTreeSet;
use std::sync::Arc;

use tieline_core::Tick;
use toml::value::Datetime;

use crate::country::Country;
use crate::date::{self, Edge};
use crate::fields::{Fields, ID_HELP, Reported, is_id};
use crate::limits::TermScope;

/// Members of one list. A licence that named more models than there are would say nothing by it.
const NAMES_MAX: usize = 256;

/// Whether the file is of the type that its reader reads.
pub(super) fn tag(fields: &mut Fields<'_, '_>, expected: &str) -> Option<()> {
    let found = fields.text("t")?;
    if &*found == expected {
        return Some(());
    }
    let says = format!("the file is of type `{found}`; `{expected}` is expected");
    fields.complain("t", says, None);
    None
}

pub(super) fn id(fields: &mut Fields<'_, '_>, key: &str) -> Option<Arc<str>> {
    let id = fields.text(key)?;
    if is_id(&id) {
        return Some(id);
    }
    fields.complain(key, format!("`{id}` is no id"), Some(ID_HELP));
    None
}

/// A table within a table; `Ok(None)` if it is absent.
pub(super) fn nested<'b, 't>(
    fields: &'b mut Fields<'_, 't>,
    key: &str,
) -> Result<Option<Fields<'b, 't>>, Reported> {
    let Some(value) = fields.table.get(key) else {
        return Ok(None);
    };
    let Some(table) = value.get_ref().as_table() else {
        fields.wrong_type(key, "a table");
        return Err(Reported);
    };
    Ok(Some(Fields {
        sheet: fields.sheet,
        table,
        place: value.span(),
        problems: &mut *fields.problems,
    }))
}

/// A list of distinct names; absent is the empty set.
pub(super) fn names(fields: &mut Fields<'_, '_>, key: &str) -> Option<BTreeSet<Arc<str>>> {
    if !fields.has(key) {
        return Some(BTreeSet::new());
    }
    let list = fields.texts(key)?;
    let set: BTreeSet<Arc<str>> = list.iter().cloned().collect();
    let (says, help) = if list.is_empty() {
        (
            format!("`{key}` is empty"),
            "leave it out if it restricts nothing",
        )
    } else if set.len() < list.len() {
        (format!("`{key}` names something twice"), "name each once")
    } else if set.iter().any(|name| name.trim().is_empty()) {
        (format!("`{key}` holds an empty name"), "leave it out")
    } else if set.len() > NAMES_MAX {
        (
            format!("`{key}` has more than {NAMES_MAX} names"),
            "split the paper",
        )
    } else {
        return Some(set);
    };
    fields.complain(key, says, Some(help));
    None
}

/// A whole number from 1.
pub(super) fn count(fields: &mut Fields<'_, '_>, key: &str) -> Option<u64> {
    let value = fields.required(key)?;
    let Some(integer) = value.get_ref().as_integer() else {
        fields.wrong_type(key, "a whole number");
        return None;
    };
    let found = u64::from_str_radix(integer.as_str(), integer.radix())
        .ok()
        .filter(|count| *count > 0);
    if found.is_none() {
        fields.complain(key, format!("`{key}` is no whole number from 1"), None);
    }
    found
}

pub(super) fn yes_or_no(fields: &mut Fields<'_, '_>, key: &str) -> Option<bool> {
    let found = fields.required(key)?.get_ref().as_bool();
    if found.is_none() {
        fields.wrong_type(key, "`true` or `false`");
    }
    found
}

pub(super) fn scope(fields: &mut Fields<'_, '_>) -> Option<TermScope> {
    let Some(mut fields) = nested(fields, "scope").ok()? else {
        return Some(TermScope::default());
    };
    fields.only(&["end_uses", "labs", "models", "places"]);
    let end_uses = names(&mut fields, "end_uses");
    let labs = names(&mut fields, "labs");
    let models = names(&mut fields, "models");
    let places = names(&mut fields, "places");
    // Two capital letters can only be meant as a country; names of regions are written small.
    let is_code = |place: &&Arc<str>| place.bytes().take(2).all(|byte| byte.is_ascii_uppercase());
    let wrong = places
        .iter()
        .flatten()
        .filter(is_code)
        .find_map(|place| Country::parse(place).err());
    if let Some(wrong) = wrong {
        let help = "write codes of countries (`DE`) or names of regions (`eu-central-1`)";
        fields.complain("places", wrong.to_string(), Some(help));
        return None;
    }
    Some(TermScope {
        end_uses: end_uses?,
        labs: labs?,
        models: models?,
        places: places?,
    })
}

/// From when and, if the file says so, until when it is valid.
pub(super) fn times(fields: &mut Fields<'_, '_>) -> Option<(Tick, Option<Tick>)> {
    let from = fields.date("valid_from", Edge::Begin);
    let to = if fields.has("valid_to") {
        fields.date("valid_to", Edge::End).map(Some)
    } else {
        Some(None)
    };
    let (from, to) = (from?, to?);
    if to.is_some_and(|to| to <= from) {
        let help = "the last day comes after the first";
        fields.complain("valid_to", "`valid_to` lies before `valid_from`", Some(help));
        return None;
    }
    Some((from, to))
}

/// The instant twelve months after the date in a field; the year after a 29 February ends with the February.
pub(super) fn a_year_after(fields: &Fields<'_, '_>, key: &str) -> Option<Tick> {
    let begin: &Datetime = fields.table.get(key)?.get_ref().as_datetime()?;
    let mut end = *begin;
    let date = end.date.as_mut()?;
    date.year = date.year.checked_add(1)?;
    if (date.month, date.day) == (2, 29) {
        (date.month, date.day) = (3, 1);
    }
    date::tick(&end, Edge::Begin).ok()
}
