//! The operations of the admin listener: one table, of which both the router and the OpenAPI document are made, so that
//! neither has what the other has not. An operation's roles stand here and nowhere else.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{MethodRouter, get, post};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{api, identify, log, openapi, orders, parties, ready, receipts, terms};
use crate::keys::Role;
use crate::parties::IMPORT_BYTES_MAX;
use crate::shared::Shared;

/// Whoever has an admin key.
const ANYBODY: &[Role] = &[Role::Auditor, Role::Officer, Role::Operator, Role::Reader];
const AUDITOR: &[Role] = &[Role::Auditor];
const OPERATOR: &[Role] = &[Role::Operator];
/// Whoever may see what is not disclosed to others.
const OFFICIALS: &[Role] = &[Role::Auditor, Role::Officer, Role::Operator];
const STEWARDS: &[Role] = &[Role::Officer, Role::Operator];

/// One method of one path.
pub(super) struct Operation {
    /// Media types that a request may have beside JSON.
    pub(super) also: &'static [&'static str],
    pub(super) answer: Answer,
    /// Parameters of the query with what they mean; `?` ends the name of one that may be left out.
    pub(super) asks: &'static [(&'static str, &'static str)],
    handler: MethodRouter<Arc<Shared>>,
    /// Its name for generated clients.
    pub(super) id: &'static str,
    pub(super) method: Method,
    /// As the router writes it: `{*rest}` stands for the rest of a path.
    pub(super) path: &'static str,
    pub(super) request: Option<SchemaOf>,
    /// Who may; none needs no key.
    pub(super) roles: Option<&'static [Role]>,
    pub(super) summary: &'static str,
}

/// What comes back with 200.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    Bytes,
    /// JSON that another specification describes.
    Document,
    Json(SchemaOf),
    Metrics,
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Method {
    Get,
    Post,
}

pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

pub(super) fn router(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    operations().into_iter().fold(Router::new(), |router, operation| {
        let handler = match operation.roles {
            Some(roles) => {
                let gate = middleware::from_fn_with_state((shared.clone(), roles), identify);
                operation.handler.layer(gate)
            }
            None => operation.handler,
        };
        router.route(operation.path, handler)
    })
}

/// Every operation, those with a key first.
pub(super) fn operations() -> Vec<Operation> {
    let mut all = operating();
    all.extend(keeping());
    all.extend(orders());
    all.extend(parties());
    all.extend(reading());
    all.extend(terms());
    all.extend(holds());
    all
}

fn operating() -> Vec<Operation> {
    let asked = Operation::get;
    let told = Operation::post;
    vec![
        asked("/admin/v1/status", "status", get(api::status))
            .says("Channels, supervised children, what is out, the ledger's head.")
            .answers(json::<api::Status>)
            .needs(ANYBODY),
        told("/admin/v1/cut", "cut", post(api::cut))
            .says("Take a channel or a component out; a channel's supervised model server is stopped.")
            .takes(json::<api::Target>)
            .answers(json::<api::Turned>)
            .needs(OPERATOR),
        told("/admin/v1/restore", "restore", post(api::restore))
            .says(
                "Put a channel or a component back in. The answer comes once the channel's supervised model server, if \
                 it has one, serves: up to three minutes.",
            )
            .takes(json::<api::Target>)
            .answers(json::<api::Turned>)
            .needs(OPERATOR),
        told("/admin/v1/reload", "reload", post(api::reload))
            .says("Read the configuration again: it is swapped in whole, or 422 says why the old one stays in force.")
            .answers(json::<api::Reloaded>)
            .needs(OPERATOR),
        told("/admin/v1/flush", "flush", post(api::flush))
            .says("Wait until all entries so far are durable.")
            .answers(json::<api::Flushed>)
            .needs(ANYBODY),
        told(
            "/admin/v1/receipts",
            "record_receipt",
            post(receipts::record).layer(DefaultBodyLimit::max(receipts::RECEIPT_BYTES_MAX)),
        )
        .says(
            "Record what a pool test or a drill came to. When the answer comes, the entry is durable; 409 says that the grid \
             is another than that of the test.",
        )
        .takes(json::<receipts::NewReceipt>)
        .answers(json::<receipts::ReceiptRecorded>)
        .needs(OFFICIALS),
    ]
}

fn keeping() -> Vec<Operation> {
    let asked = Operation::get;
    let told = Operation::post;
    vec![
        asked("/admin/v1/keys", "keys", get(api::keys))
            .says("All keys of parties by their public ids, revoked ones included; no secrets.")
            .answers(json::<api::KeyList>)
            .needs(ANYBODY),
        told("/admin/v1/keys", "add_key", post(api::add_key))
            .says("Make a key of a party; the answer shows its secret this once.")
            .takes(json::<api::NewKey>)
            .answers(json::<api::KeyMade>)
            .needs(OPERATOR),
        told("/admin/v1/keys/revoke", "revoke_key", post(api::revoke_key))
            .says("Revoke a key at once.")
            .takes(json::<api::KeyId>)
            .answers(json::<api::KeyRevoked>)
            .needs(OPERATOR),
    ]
}

fn orders() -> Vec<Operation> {
    let asked = Operation::get;
    let told = Operation::post;
    vec![
        asked("/admin/v1/directives", "directives", get(orders::list))
            .says("Every version of every directive that was applied, as it was signed.")
            .answers(json::<orders::DirectiveList>)
            .needs(OFFICIALS),
        told(
            "/admin/v1/directives",
            "apply_directive",
            post(orders::apply).layer(DefaultBodyLimit::max(orders::ORDER_BYTES_MAX)),
        )
        .says(
            "Bring a signed directive or revocation into force. When the answer comes, nothing goes out any more that it \
             refuses; 422 says why it is not in force, and what was stays so.",
        )
        .takes(json::<orders::NewOrder>)
        .answers(json::<crate::directives::OrderApplied>)
        .needs(STEWARDS),
        asked("/admin/v1/adoptions", "adoptions", get(orders::adoptions))
            .says("Who adopted which pack for which legal entity.")
            .answers(json::<orders::AdoptionList>)
            .needs(OFFICIALS),
        told("/admin/v1/adoptions", "adopt", post(orders::adopt))
            .says("Adopt a pack for a legal entity: from the next reload on it may enforce.")
            .takes(json::<orders::NewAdoption>)
            .answers(json::<orders::Adopted>)
            .needs(STEWARDS),
    ]
}

fn parties() -> Vec<Operation> {
    let asked = Operation::get;
    let told = Operation::post;
    vec![
        asked("/admin/v1/parties", "parties", get(parties::list))
            .says("Parties by id, with what is unknown about them and where evidence disagrees.")
            .asks(&[
                ("after?", "Only parties whose id is greater: `next` of the page before."),
                ("limit?", "At most so many; 10,000 if absent, and at most."),
            ])
            .answers(json::<parties::PartyList>)
            .needs(ANYBODY),
        asked("/admin/v1/party", "party", get(parties::show))
            .says("One party: its record, the facts that its evidence comes to, red flags, evidence with expiry.")
            .asks(&[("id", "The party's id.")])
            .answers(json::<parties::PartyShown>)
            .needs(ANYBODY),
        told("/admin/v1/parties", "put_party", post(parties::put))
            .says("Add a party, or replace one that has the id; evidence that the new record leaves out expires.")
            .takes(json::<crate::state::PartyRow>)
            .answers(json::<parties::PartyChanged>)
            .needs(STEWARDS),
        told("/admin/v1/parties/edit", "edit_party", post(parties::edit))
            .says("Make a party, or change one: add evidence, name its lists, owners or the party above it.")
            .takes(json::<crate::parties::PartyEdit>)
            .answers(json::<parties::PartyChanged>)
            .needs(STEWARDS),
        told("/admin/v1/parties/expire", "expire_evidence", post(parties::expire))
            .says("Let the evidence for a fact expire at once; it is kept, and the fact is missing.")
            .takes(json::<crate::parties::EvidenceExpiry>)
            .answers(json::<parties::PartyChanged>)
            .needs(STEWARDS),
        told("/admin/v1/parties/limits", "limit_party", post(api::limit_party))
            .says(
                "Limit all the keys of a party together: requests, tokens, calls in flight, money. It holds for calls that \
                 begin from here on.",
            )
            .takes(json::<api::NewPartyLimits>)
            .answers(json::<api::PartyLimits>)
            .needs(OPERATOR),
        told(
            "/admin/v1/parties/import",
            "import_parties",
            post(parties::import).layer(DefaultBodyLimit::max(IMPORT_BYTES_MAX)),
        )
        .says(
            "Add or replace up to 10,000 parties, all or none: 422 names every problem by line and column. JSON (an \
             array), JSON Lines or CSV.",
        )
        .takes(json::<Vec<crate::state::PartyRow>>)
        .or(&["application/x-ndjson", "text/csv"])
        .answers(json::<parties::PartyChanged>)
        .needs(STEWARDS),
    ]
}

fn reading() -> Vec<Operation> {
    let asked = Operation::get;
    vec![
        asked("/metrics", "metrics", get(api::metrics))
            .says("Metrics in OpenMetrics text, for Prometheus.")
            .with(Answer::Metrics)
            .needs(ANYBODY),
        asked("/tile/entries/{*rest}", "entry_bundle", get(log::entries))
            .says("A bundle of the log's entries (C2SP tlog-tiles), by its path.")
            .with(Answer::Bytes)
            .needs(AUDITOR),
        asked("/tile/{*rest}", "tile", get(log::tile))
            .says("A tile of the log's hashes (C2SP tlog-tiles), by its path.")
            .with(Answer::Bytes),
        asked("/checkpoint", "checkpoint", get(log::checkpoint))
            .says("The log's signed head (C2SP tlog-checkpoint)."),
        asked("/healthz", "healthz", get(|| async { "ok\n" })).says("Whether the process lives."),
        asked("/readyz", "readyz", get(ready))
            .says("Whether it takes calls; 503 while it drains or cannot record."),
        asked("/openapi.json", "openapi", get(openapi::serve))
            .says("This document.")
            .with(Answer::Document),
    ]
}

fn terms() -> Vec<Operation> {
    let asked = Operation::get;
    let told = Operation::post;
    let large = || DefaultBodyLimit::max(terms::TERM_BYTES_MAX);
    vec![
        asked("/admin/v1/licences", "licences", get(terms::licences))
            .says("Every licence, those that have ended included, and what was used of those that are counted.")
            .answers(json::<terms::LicenceList>)
            .needs(OFFICIALS),
        told("/admin/v1/licences", "add_licence", post(terms::add_licence).layer(large()))
            .says("Record a licence: it counts for the next call. 422 names every problem by line and column.")
            .takes(json::<terms::NewLicence>)
            .answers(json::<terms::TermChanged>)
            .needs(STEWARDS),
        told("/admin/v1/licences/revoke", "revoke_licence", post(terms::revoke_licence))
            .says("Revoke a licence: it counts for no call any more.")
            .takes(json::<terms::TermId>)
            .answers(json::<terms::TermChanged>)
            .needs(STEWARDS),
        asked("/admin/v1/statements", "statements", get(terms::statements))
            .says("Every statement, those that have ended included, as it was made.")
            .answers(json::<terms::StatementList>)
            .needs(OFFICIALS),
        told(
            "/admin/v1/statements",
            "add_statement",
            post(terms::add_statement).layer(large()),
        )
        .says(
            "Record a statement: it counts for the next call, and a later version replaces it. A text that nobody signed \
             is recorded in the name of the key that records it. 422 names every problem by line and column.",
        )
        .takes(json::<terms::NewStatement>)
        .answers(json::<terms::TermChanged>)
        .needs(STEWARDS),
        told(
            "/admin/v1/statements/revoke",
            "revoke_statement",
            post(terms::revoke_statement),
        )
        .says("Revoke a statement: it counts for no call any more.")
        .takes(json::<terms::TermId>)
        .answers(json::<terms::TermChanged>)
        .needs(STEWARDS),
    ]
}

fn holds() -> Vec<Operation> {
    vec![
        Operation::get("/admin/v1/holds", "holds", get(terms::holds))
            .says("Holds by their tickets, with what officers said of them; oldest first.")
            .asks(&[("open?", "`true`: only those that nobody has disposed of.")])
            .answers(json::<terms::HoldList>)
            .needs(OFFICIALS),
        Operation::post("/admin/v1/holds/dispose", "dispose_hold", post(terms::dispose))
            .says(
                "Grant a hold, for exactly this party, these rules and this model, or refuse it. A grant holds for the next \
                 call; a denial is never lifted.",
            )
            .takes(json::<terms::NewDisposition>)
            .answers(json::<crate::state::HoldRow>)
            .needs(STEWARDS),
    ]
}

fn json<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Operation {
    fn get(path: &'static str, id: &'static str, handler: MethodRouter<Arc<Shared>>) -> Self {
        Self::new(Method::Get, path, id, handler)
    }

    fn post(path: &'static str, id: &'static str, handler: MethodRouter<Arc<Shared>>) -> Self {
        Self::new(Method::Post, path, id, handler)
    }

    fn new(method: Method, path: &'static str, id: &'static str, handler: MethodRouter<Arc<Shared>>) -> Self {
        Self {
            also: &[],
            answer: Answer::Text,
            asks: &[],
            handler,
            id,
            method,
            path,
            request: None,
            roles: None,
            summary: "",
        }
    }

    fn says(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    fn takes(self, request: SchemaOf) -> Self {
        Self {
            request: Some(request),
            ..self
        }
    }

    fn or(self, also: &'static [&'static str]) -> Self {
        Self { also, ..self }
    }

    fn asks(self, asks: &'static [(&'static str, &'static str)]) -> Self {
        Self { asks, ..self }
    }

    fn answers(self, schema: SchemaOf) -> Self {
        self.with(Answer::Json(schema))
    }

    fn with(self, answer: Answer) -> Self {
        Self { answer, ..self }
    }

    fn needs(self, roles: &'static [Role]) -> Self {
        Self {
            roles: Some(roles),
            ..self
        }
    }
}

impl Method {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
        }
    }
}
