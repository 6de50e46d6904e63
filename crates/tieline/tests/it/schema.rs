//! Whether what `--json` prints is what its schema promises: every required member there, none that it does not name,
//! each of its type. Enough of JSON Schema for what `schemars` writes of plain structs and enums.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::folder::tieline;

/// By the name of the schema, as `tieline gen json-schemas` prints them.
static SCHEMAS: LazyLock<Value> = LazyLock::new(|| {
    let output = tieline().args(["gen", "json-schemas"]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
});

/// Check every object of a command's output; rows are one object a line.
#[track_caller]
pub(crate) fn check(args: &[&str], output: &str) {
    let values = serde_json::Deserializer::from_str(output).into_iter::<Value>();
    for value in values {
        let value = value.unwrap_or_else(|error| panic!("{args:?} printed no JSON: {error}\n{output}"));
        check_object(args, &value);
    }
}

#[track_caller]
fn check_object(args: &[&str], value: &Value) {
    let tag = value["schema"]
        .as_str()
        .unwrap_or_else(|| panic!("{args:?}: no schema: {value}"));
    let name = tag
        .strip_prefix("tieline/")
        .and_then(|tag| tag.strip_suffix("/v1"))
        .unwrap_or_else(|| panic!("{args:?}: an odd schema {tag}"));
    let schemas = &*SCHEMAS;
    let schema = schemas
        .get(name)
        .unwrap_or_else(|| panic!("{args:?}: no schema is called {name}"));
    let empty = Map::new();
    let definitions = schema["$defs"].as_object().unwrap_or(&empty);
    if let Err(why) = fits(value, schema, definitions, "") {
        panic!("{args:?} does not print what the schema {name} says: {why}\n{value:#}");
    }
}

fn fits(value: &Value, schema: &Value, definitions: &Map<String, Value>, at: &str) -> Result<(), String> {
    let Some(schema) = schema.as_object() else {
        return Ok(());
    };
    if let Some(path) = schema.get("$ref").and_then(Value::as_str) {
        let name = path.strip_prefix("#/$defs/").unwrap();
        return fits(value, &definitions[name], definitions, at);
    }
    for word in ["anyOf", "oneOf"] {
        if let Some(choices) = schema.get(word).and_then(Value::as_array) {
            let tried: Vec<_> = choices
                .iter()
                .map(|choice| fits(value, choice, definitions, at))
                .collect();
            if tried.iter().all(Result::is_err) {
                return Err(format!("{at}: none of the choices: {tried:?}"));
            }
        }
    }
    if let Some(only) = schema.get("const")
        && only != value
    {
        return Err(format!("{at}: {value} is not {only}"));
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array)
        && !choices.contains(value)
    {
        return Err(format!("{at}: {value} is none of {choices:?}"));
    }
    if let Some(kinds) = schema.get("type") {
        let is = |kind: &Value| is_of(value, kind.as_str().unwrap());
        let right = kinds
            .as_array()
            .map_or_else(|| is(kinds), |kinds| kinds.iter().any(is));
        if !right {
            return Err(format!("{at}: {value} is not of type {kinds}"));
        }
    }
    if let Some(values) = value.as_array()
        && let Some(items) = schema.get("items")
    {
        for (index, value) in values.iter().enumerate() {
            fits(value, items, definitions, &format!("{at}/{index}"))?;
        }
    }
    match value.as_object() {
        Some(members) => members_fit(members, schema, definitions, at),
        None => Ok(()),
    }
}

fn members_fit(
    members: &Map<String, Value>,
    schema: &Map<String, Value>,
    definitions: &Map<String, Value>,
    at: &str,
) -> Result<(), String> {
    for name in schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        if !members.contains_key(name.as_str().unwrap()) {
            return Err(format!("{at}: {name} is missing"));
        }
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return match schema.get("additionalProperties") {
            Some(of_each) => members
                .iter()
                .try_for_each(|(name, value)| fits(value, of_each, definitions, &format!("{at}/{name}"))),
            None => Ok(()),
        };
    };
    for (name, value) in members {
        let Some(property) = properties.get(name) else {
            return Err(format!("{at}: {name} is not in the schema"));
        };
        fits(value, property, definitions, &format!("{at}/{name}"))?;
    }
    Ok(())
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        other => panic!("a type that no schema of ours has: {other}"),
    }
}

#[test]
fn what_does_not_fit_is_seen() {
    let schema = &SCHEMAS["cut"];
    let empty = Map::new();
    let good = serde_json::json!({
        "schema": "tieline/cut/v1", "changed": true, "kind": "channel", "name": "left", "out": true, "process": false
    });
    assert_eq!(fits(&good, schema, &empty, ""), Ok(()));
    for (name, value) in [("extra", Value::Bool(true)), ("name", Value::Bool(true))] {
        let mut bad = good.clone();
        bad[name] = value;
        assert!(fits(&bad, schema, &empty, "").is_err(), "{name}");
    }
    let mut bad = good;
    bad.as_object_mut().unwrap().remove("kind");
    assert_eq!(
        fits(&bad, schema, &empty, ""),
        Err(": \"kind\" is missing".to_owned())
    );
}
