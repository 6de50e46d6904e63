//! Says where two records differ: the first field, in the order of the canonical form, whose values are not equal.

use serde::Serialize;
use serde_json::Value;

/// The longest value quoted, in characters: a message stays within a few lines of a terminal.
const QUOTE_MAX: usize = 120;

/// The first difference as a clause, such as "`plan[1].why` is "out" in the record and "chosen" when decided again".
pub(crate) fn first_difference(recorded: &impl Serialize, again: &impl Serialize) -> String {
    let (Ok(recorded), Ok(again)) = (serde_json::to_value(recorded), serde_json::to_value(again)) else {
        return "the entry cannot be written".to_owned();
    };
    let mut path = String::new();
    match differ(&recorded, &again, &mut path) {
        Some((recorded, again)) => {
            format!(
                "`{path}` is {} in the record and {} when decided again",
                quote(recorded),
                quote(again)
            )
        }
        None => "the entries differ in a way that their JSON does not show".to_owned(),
    }
}

/// The values at the first difference, its path left in `path`; absent values are `None`.
fn differ<'v>(
    a: &'v Value,
    b: &'v Value,
    path: &mut String,
) -> Option<(Option<&'v Value>, Option<&'v Value>)> {
    let length = path.len();
    let parts: Vec<(String, Option<&Value>, Option<&Value>)> = match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let names: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            let dot = if path.is_empty() { "" } else { "." };
            let parts = names
                .into_iter()
                .map(|name| (format!("{dot}{name}"), a.get(name), b.get(name)));
            parts.collect()
        }
        (Value::Array(a), Value::Array(b)) => (0..a.len().max(b.len()))
            .map(|ix| (format!("[{ix}]"), a.get(ix), b.get(ix)))
            .collect(),
        _ => return (a != b).then_some((Some(a), Some(b))),
    };
    for (name, a, b) in parts {
        path.push_str(&name);
        match (a, b) {
            (Some(a), Some(b)) => {
                if let Some(found) = differ(a, b, path) {
                    return Some(found);
                }
            }
            _ => return Some((a, b)),
        }
        path.truncate(length);
    }
    None
}

fn quote(value: Option<&Value>) -> String {
    let Some(value) = value else {
        return "absent".to_owned();
    };
    let text = value.to_string();
    if text.chars().count() <= QUOTE_MAX {
        return text;
    }
    text.chars().take(QUOTE_MAX).chain("…".chars()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_field_that_differs_is_named() {
        let check = |a: Value, b: Value, expected: &str| assert_eq!(first_difference(&a, &b), expected);
        check(
            json!({"a": 1, "plan": [{"why": "out"}, {"why": "out"}]}),
            json!({"a": 1, "plan": [{"why": "out"}, {"why": "chosen"}]}),
            "`plan[1].why` is \"out\" in the record and \"chosen\" when decided again",
        );
        check(
            json!({"a": [1]}),
            json!({"a": [1, 2]}),
            "`a[1]` is absent in the record and 2 when decided again",
        );
        check(
            json!({"b": 1, "c": {"d": null}}),
            json!({"b": 1, "c": {}}),
            "`c.d` is null in the record and absent when decided again",
        );
    }
}
