//! The admin API as an OpenAPI 3.1 document, from the table of its operations and from the types that they read and write.
//!
//! Types of the crates below stand here again as schemas alone, since those crates know no JSON Schema; tests hold both
//! to the same fields.

use std::collections::BTreeMap;

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::routes::{Answer, Operation, operations};

/// Limits of a key; an absent one is unlimited.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Limits")]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct LimitsSchema {
    /// Calls in flight at one time.
    concurrency: Option<u32>,
    /// How much calls matter when not all can be served: `critical_plus`, `critical`, `sheddable_plus` or `sheddable`.
    criticality: Option<String>,
    /// Budget of a day, UTC, in nano-USD.
    #[schemars(with = "Option<String>")]
    nano_per_day: Option<u64>,
    /// Budget of a calendar month, UTC, in nano-USD.
    #[schemars(with = "Option<String>")]
    nano_per_month: Option<u64>,
    /// Budget of a week from Monday on, UTC, in nano-USD.
    #[schemars(with = "Option<String>")]
    nano_per_week: Option<u64>,
    requests_per_day: Option<u32>,
    requests_per_minute: Option<u32>,
    /// Tokens, of prompts and answers together.
    tokens_per_day: Option<u64>,
    tokens_per_minute: Option<u64>,
}

/// What has been established about a party; an absent fact is unknown.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "PartyFacts")]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct FactsSchema {
    /// What evidence asserts besides the values of the other members; each is judged, and the strictest verdict wins.
    also: Option<Vec<AlternativeSchema>>,
    /// Models that a channel refused to the party on legal grounds, until an officer ends the block.
    blocked: Option<Vec<BlockSchema>>,
    /// `academic`, `agency`, `consumer`, `enterprise` or `startup`.
    class: Option<String>,
    /// Rules that officers cleared for the party.
    cleared: Option<Vec<ClearanceSchema>>,
    /// Those of its licences of which each call uses a unit.
    counted: Option<Vec<String>>,
    /// Where the party's own computing is: ISO 3166-1 or 3166-2.
    data_centre: Option<String>,
    /// The uses that the party has declared; absent is undeclared, empty is none.
    end_uses: Option<Vec<String>>,
    /// When a fact stops being one: µs UTC, by the fact's name.
    expires: Option<BTreeMap<String, u64>>,
    /// The operator's lists on which the party stands.
    groups: Option<Vec<String>>,
    /// Where the organisation has its headquarters.
    headquarters: Option<String>,
    /// Where the party is.
    jurisdiction: Option<String>,
    /// `organisation`, `person`, `service` or `unit`.
    kind: Option<String>,
    /// The names by which rules ask for licences that have ids of their own, by those ids.
    licence_kinds: Option<BTreeMap<String, String>>,
    /// Ids of licences that it holds.
    licences: Option<Vec<String>>,
    /// Scopes of licences and statements, by the fact's name: each counts only for a question that one of them admits.
    limits: Option<BTreeMap<String, Vec<LimitSchema>>>,
    /// Restricted-party lists on which it was found; absent is unscreened, empty is clear.
    listed: Option<Vec<String>>,
    /// Where its ultimate parent has its headquarters.
    parent_headquarters: Option<String>,
    /// Classes that its employer asserts of a person.
    person_class: Option<Vec<String>>,
    /// Kinds of signed statements that are in force.
    statements: Option<Vec<String>>,
}

/// A legal refusal by a channel, which holds the party on the model over every channel.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Block")]
#[expect(dead_code, reason = "only its schema is used")]
struct BlockSchema {
    /// The channel that refused.
    channel: String,
    model: String,
    /// The HTTP status of the refusal; absent for one that came in a stream.
    status: Option<u16>,
    /// The ticket by which an officer ends it.
    ticket: String,
}

/// An officer's disposition of a hold.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Clearance")]
#[expect(dead_code, reason = "only its schema is used")]
struct ClearanceSchema {
    /// The only model for which it counts; absent for every model.
    model: Option<String>,
    /// The rule's id.
    rule: String,
    /// The ticket that was disposed of.
    ticket: String,
}

/// One scope within which a licence or statement counts, and from when to when.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Limit")]
#[expect(dead_code, reason = "only its schema is used")]
struct LimitSchema {
    /// Of the licence or statement.
    digest: Option<String>,
    /// µs UTC.
    expires: Option<u64>,
    /// µs UTC.
    from: Option<u64>,
    scope: Option<ScopeSchema>,
}

/// What a licence or statement is for; an empty list restricts nothing.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "TermScope")]
#[expect(dead_code, reason = "only its schema is used")]
struct ScopeSchema {
    end_uses: Option<Vec<String>>,
    labs: Option<Vec<String>>,
    models: Option<Vec<String>>,
    /// Countries or regions.
    places: Option<Vec<String>>,
}

/// One more value of a fact.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Alternative")]
#[expect(dead_code, reason = "only its schema is used")]
struct AlternativeSchema {
    /// µs UTC.
    expires: Option<u64>,
    /// One member, named after the fact: `{"jurisdiction":"DE"}`.
    value: BTreeMap<String, serde_json::Value>,
}

/// The state of a channel's breaker.
#[derive(JsonSchema)]
#[schemars(rename = "Health", rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum HealthSchema {
    /// Open because too many of its attempts fail, though others do not.
    Ailing,
    Closed,
    Open,
    /// Open, but the next call may try.
    Probe,
}

/// An answer that is not what was asked for.
#[derive(JsonSchema)]
#[schemars(rename = "Refusal")]
#[expect(dead_code, reason = "only its schema is used")]
struct RefusalSchema {
    error: RefusalReason,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct RefusalReason {
    /// What is wrong, and what to do.
    message: String,
}

pub(super) async fn serve() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], document().to_string())
}

/// The admin API as an OpenAPI 3.1 document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = BTreeMap::<String, Map<String, Value>>::new();
    for operation in operations() {
        let described = described(&operation, &mut generator);
        paths
            .entry(path(&operation))
            .or_default()
            .insert(operation.method.name().to_owned(), described);
    }
    json!({
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "admin_key": {
                    "description": "An admin key, `tla_…`. It carries a name and a role, which the ledger's entries name.",
                    "scheme": "bearer",
                    "type": "http",
                },
            },
        },
        "info": {
            "description": "The admin listener of a tieline gateway. Errors say what, why and what to do in `error.message`.",
            "license": { "identifier": "Apache-2.0", "name": "Apache-2.0" },
            "title": "tieline admin API",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "openapi": "3.1.0",
        "paths": paths,
        "servers": [{ "url": "http://127.0.0.1:8081" }],
    })
}

/// As the specification writes it: it has no word for the rest of a path.
fn path(operation: &Operation) -> String {
    operation.path.replace("{*", "{")
}

fn described(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    responses.insert("200".to_owned(), answer(operation.answer, generator));
    let refusal = generator.subschema_for::<RefusalSchema>();
    let mut refuses = |status: &str, why: &str| {
        let content = json!({ "application/json": { "schema": refusal } });
        responses.insert(
            status.to_owned(),
            json!({ "content": content, "description": why }),
        );
    };
    if operation.roles.is_some() {
        refuses("401", "No admin key, or none that is known here.");
        refuses("403", "The key's role may not.");
        refuses(
            "default",
            "What was asked is wrong (4XX), or cannot be done now (5XX).",
        );
    }
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| drop(out.insert(name.to_owned(), value));
    put("operationId", operation.id.into());
    put("summary", operation.summary.into());
    put("responses", Value::Object(responses));
    put(
        "security",
        match operation.roles {
            Some(_) => json!([{ "admin_key": [] }]),
            None => json!([]),
        },
    );
    if let Some(roles) = operation.roles {
        let names: Vec<&str> = roles.iter().map(|role| role.name()).collect();
        put("description", format!("Roles: {}.", names.join(", ")).into());
    }
    if let Some(request) = operation.request {
        let mut content = Map::new();
        content.insert(
            "application/json".to_owned(),
            json!({ "schema": request(generator) }),
        );
        for kind in operation.also {
            content.insert((*kind).to_owned(), json!({ "schema": { "type": "string" } }));
        }
        put("requestBody", json!({ "content": content, "required": true }));
    }
    if !operation.asks.is_empty() {
        let parameters = operation.asks.iter().map(|(name, says)| {
            let (name, required) = name.strip_suffix('?').map_or((*name, true), |name| (name, false));
            let schema = json!({ "type": "string" });
            json!({ "description": says, "in": "query", "name": name, "required": required, "schema": schema })
        });
        put("parameters", parameters.collect());
    }
    if operation.path.contains("{*rest}") {
        let rest = json!({
            "description": "The rest of the path, slashes included, such as `0/x001/067`.",
            "in": "path",
            "name": "rest",
            "required": true,
            "schema": { "type": "string" },
        });
        put("parameters", json!([rest]));
    }
    Value::Object(out)
}

fn answer(answer: Answer, generator: &mut SchemaGenerator) -> Value {
    let text = || Schema::try_from(json!({ "type": "string" })).unwrap_or_default();
    let (kind, schema) = match answer {
        Answer::Bytes => ("application/octet-stream", Schema::default()),
        Answer::Document => ("application/json", Schema::default()),
        Answer::Json(schema) => ("application/json", schema(generator)),
        Answer::Metrics => ("application/openmetrics-text", text()),
        Answer::Text => ("text/plain", text()),
    };
    json!({ "content": { kind: { "schema": schema } }, "description": "Done." })
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The fields that `T` reads, as its refusal of another one lists them.
    pub(in crate::admin) fn fields<T: serde::de::DeserializeOwned>() -> BTreeSet<String> {
        let error = serde_json::from_str::<T>(r#"{"no such field":1}"#)
            .err()
            .unwrap()
            .to_string();
        let (_, expected) = error.split_once("expected").unwrap();
        expected
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    }

    pub(in crate::admin) fn properties<T: JsonSchema>() -> BTreeSet<String> {
        let schema = schemars::schema_for!(T);
        schema
            .get("properties")
            .unwrap()
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    }

    #[test]
    fn schemas_have_the_fields_of_their_types() {
        assert_eq!(properties::<LimitsSchema>(), fields::<tieline_core::Limits>());
        assert_eq!(
            properties::<FactsSchema>(),
            fields::<tieline_policy::PartyFacts>()
        );
        assert_eq!(
            properties::<ClearanceSchema>(),
            fields::<tieline_policy::Clearance>()
        );
        assert_eq!(properties::<BlockSchema>(), fields::<tieline_policy::Block>());
        assert_eq!(properties::<LimitSchema>(), fields::<tieline_policy::Limit>());
        assert_eq!(properties::<ScopeSchema>(), fields::<tieline_policy::TermScope>());
    }

    #[test]
    fn health_has_the_words_of_its_type() {
        let error = serde_json::from_str::<tieline_core::Health>("\"no such word\"")
            .unwrap_err()
            .to_string();
        for word in error.split('`').skip(3).step_by(2) {
            let schema = schemars::schema_for!(HealthSchema).to_value().to_string();
            assert!(schema.contains(&format!("\"{word}\"")), "{word}: {schema}");
        }
    }

    #[test]
    fn every_operation_is_in_the_document_and_nothing_else() {
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        let methods = |(path, item): (&String, &Value)| -> Vec<(String, String)> {
            let methods = item.as_object().unwrap().keys();
            methods.map(|method| (path.clone(), method.clone())).collect()
        };
        let written: BTreeSet<_> = paths.iter().flat_map(methods).collect();
        let routed: Vec<_> = operations()
            .iter()
            .map(|operation| (path(operation), operation.method.name().to_owned()))
            .collect();
        assert_eq!(written, routed.iter().cloned().collect());
        assert_eq!(written.len(), routed.len(), "two operations are one");
        // The router is made of the same table, and of nothing beside it.
        for source in [
            include_str!("mod.rs"),
            include_str!("api.rs"),
            include_str!("log.rs"),
            include_str!("parties.rs"),
        ] {
            assert!(
                !source.contains(".route("),
                "a route that the table does not have"
            );
        }
        assert_eq!(include_str!("routes.rs").matches(".route(").count(), 1);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        let mut count = 0;
        for part in text.split("\"$ref\":\"#").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
            count += 1;
        }
        assert!(count > 20, "{count}");
    }
}
