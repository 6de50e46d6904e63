//! The tables of `tieline.toml`. The comments on the fields are the text of the configuration reference.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::{
    At, Entries, List, Read, raw_choice, raw_table, read_at, read_fields, secret_in_file, wrong_type,
};
use crate::diagnose::{Sink, looks_secret};

/// Read the tables of a document.
pub(super) fn read(table: &DeTable<'_>, sink: &mut Sink) -> RawConfig {
    read_fields(table, sink)
}

raw_table! {
    /// The configuration of one tieline: the grid, what applications ask for, and how this process serves it.
    RawConfig {
        /// Listeners, limits and logs of this process.
        gateway: RawGateway,
        /// Who makes models, by name.
        labs: Entries<RawLab>,
        /// What is made, by name.
        models: Entries<RawModel>,
        /// The ways to reach models, by name. Their order is the order in which equal candidates are tried.
        channels: Entries<RawChannel>,
        /// Components that need others, such as a region its cloud, by `kind:name`.
        components: Entries<RawComponent>,
        /// Settings of calls that name a model, and of pools that do not state their own.
        defaults: RawDefaults,
        /// What applications ask for, by name.
        pool: Entries<RawPool>,
        /// The rules that decide who may use what.
        policy: RawPolicy,
        /// Whose tokens about end users are believed, by a name of yours. A token (JSON Web Token, RFC 7519) is sent beside
        /// the key; what it asserts is laid beside the facts of the key's party, for that call and until the token expires.
        identity: Entries<RawIdentity>,
        /// The tamper-evident log.
        ledger: RawLedger,
    }

    RawGateway {
        /// Where applications connect: `address:port`; port 0 picks a free one. Default `127.0.0.1:8080`.
        listen: String,
        /// Where operators connect: `address:port`. Default `127.0.0.1:8081`.
        admin: String,
        /// TLS of `listen`, and of `admin` unless that is on this machine only.
        tls: RawTls,
        /// Largest head of a request, in bytes; 1,024 to 1,048,576. Default 65,536.
        header_bytes_max: u64,
        /// Largest body of a request, in bytes; 1,024 to 1,073,741,824. Default 33,554,432.
        body_bytes_max: u64,
        /// To receive a head, in ms; 1 to 600,000. Also how long an idle connection is kept. Default 30,000.
        header_ms: u64,
        /// To receive a body, in ms; 1 to 3,600,000. Default 30,000.
        body_ms: u64,
        /// Open connections of `listen`; 1 to 1,000,000. Default 10,000.
        connections_max: u64,
        /// Calls in flight, beyond which callers get 503; 1 to 1,000,000. Default 10,000.
        calls_max: u64,
        /// For calls in flight to end at shutdown, in ms; 0 to 3,600,000. Default 10,000.
        drain_ms: u64,
        /// Worker threads; 0 is one for each core. At most 1,024. Default 0.
        threads: u64,
        /// What is logged, and how.
        log: RawLog,
    }

    RawTls {
        /// PEM file with the certificate chain, the server's own first.
        cert: String,
        /// PEM file with its private key.
        key: String,
    }

    RawLog {
        /// Default `text`.
        format: RawLogFormat,
        /// Default `info`.
        level: RawLevel,
    }

    RawLab {
        /// The country whose law it is under: ISO 3166-1 alpha-2, such as `US`.
        jurisdiction: String,
    }

    RawModel {
        /// A name under `[labs]`.
        lab: String,
        /// Whether anybody can obtain the weights. Default `unknown`.
        weights: RawWeights,
        /// Training compute in floating-point operations, such as "3.8e25", or "unknown". Default "unknown".
        training_flop: String,
        /// Context window, in tokens.
        context: u64,
        /// The list price.
        price: RawPriceTable,
    }

    /// USD per million tokens, as decimal strings with at most six decimals.
    RawPriceTable {
        /// Tokens of the prompt that are read anew.
        input: String,
        /// Tokens of the answer, reasoning included.
        output: String,
        /// Tokens of the prompt that were found in the cache. Default: the price of `input`.
        cache_read: String,
        /// Tokens of the prompt that are stored in the cache. Default: the price of `input`.
        cache_write: String,
    }

    RawChannel {
        /// Whose API it is.
        provider: String,
        /// The dialect spoken there. Default: the provider's own.
        dialect: RawDialect,
        /// Where it is: scheme, host, port, and the path before the dialect's own. Default: the provider's own.
        url: String,
        /// The operator's name of the region, such as `us-east-1`.
        region: String,
        /// The country in which it processes calls, by contract, such as "DE". Leave it out for a channel that may pass
        /// calls on to other countries: the rules then know that it is unknown.
        region_country: String,
        /// The country whose law its operator is under, such as "US".
        operator_jurisdiction: String,
        /// What it depends on directly, as `kind:name`: cloud, region, lab, edge, identity, licence, payment, …
        components: List<String>,
        /// Where the credential is found.
        credential: RawCredential,
        /// What its operator allows.
        limits: RawLimits,
        /// The models served there, by their name under `[models]`.
        models: Entries<RawServed>,
        /// Connections kept to it; 1 to 65,536. Default 256.
        connections_max: u64,
        /// How its certificate is judged.
        tls: RawChannelTls,
        /// Assumed share of calls, relative to the other channels with a weight; 1 to 1,000,000. `tieline grid` uses it
        /// where no traffic is recorded yet. No decision depends on it.
        weight: u64,
    }

    RawChannelTls {
        /// PEM file with the certificate authority to trust instead of the public ones.
        ca: String,
    }

    /// Exactly one of these.
    RawCredentialTable {
        /// The environment variable that holds it.
        env: String,
        /// The file that holds it; spaces and line breaks around it are dropped.
        file: String,
        /// The command that prints it, run by `sh -c`.
        command: String,
        /// `true`: the channel wants no credential.
        none: bool,
    }

    RawLimits {
        /// Calls in flight.
        concurrency: u64,
        requests_per_day: u64,
        requests_per_minute: u64,
        tokens_per_day: u64,
        tokens_per_minute: u64,
    }

    RawServedTable {
        /// What the channel calls the model. Default: the same name.
        name: String,
        /// What the channel charges. Default `"unknown"`.
        price: RawPrice,
    }

    RawComponent {
        /// The components without which it does not work, as `kind:name`.
        needs: List<String>,
    }

    RawDefaults {
        /// Attempts of one call over all channels; 1 to 8. Default 3.
        attempts_max: u64,
        /// The whole call, in ms; 1 to 3,600,000. Default 600,000.
        call_ms: u64,
        /// To open a connection, in ms; 1 to 600,000. Default 2,000.
        connect_ms: u64,
        /// From the dial to the first content, in ms; 1 to 3,600,000. Default 20,000.
        first_content_ms: u64,
        /// From the dial to the status line, in ms; 1 to 3,600,000. Default 20,000.
        head_ms: u64,
        /// Between two pieces of content, in ms; 1 to 3,600,000. Default 15,000.
        idle_ms: u64,
        /// When an answer may leave relative to the record of its decision. Default `async`.
        record: RawRecord,
        /// What happens when an answer breaks off after content was delivered. Default `off`.
        resume: RawResume,
        /// From the dial to the end of an answer that is not streamed, in ms; 1 to 3,600,000. Default 120,000.
        whole_ms: u64,
    }

    RawPool {
        /// The models that may stand in for each other, most wanted first.
        models: List<String>,
        /// Attempts of one call over all channels; 1 to 8. Default: as under `[defaults]`, and so for all below.
        attempts_max: u64,
        /// The whole call, in ms.
        call_ms: u64,
        /// To open a connection, in ms.
        connect_ms: u64,
        /// From the dial to the first content, in ms.
        first_content_ms: u64,
        /// From the dial to the status line, in ms.
        head_ms: u64,
        /// Between two pieces of content, in ms.
        idle_ms: u64,
        /// When an answer may leave relative to the record of its decision.
        record: RawRecord,
        /// What happens when an answer breaks off after content was delivered.
        resume: RawResume,
        /// From the dial to the end of an answer that is not streamed, in ms.
        whole_ms: u64,
    }

    RawPolicy {
        /// Folders of packs, each with a `pack.toml`.
        packs: List<String>,
        /// The statuses of rules that enforce; rules of other statuses are only evaluated in explanations and drills.
        enforce: List<RawStatus>,
        /// What calls may say they are for, in the header `x-tieline-end-use`: codes that rules compare with.
        end_uses: List<String>,
        /// Who may sign directives, and how many of them must. Without it no directive is accepted.
        orders: RawOrders,
        /// Different keys of `trusted_keys` that must have signed each pack; 1 to the number of keys. Default 1.
        signatures_min: u64,
        /// Whose signatures make a statement. Without it, an officer records each one and answers for it.
        statements: RawStatements,
        /// Verifier keys of those who may sign packs, as `tieline directive key` prints them (C2SP signed-note). With one,
        /// a pack that is not signed enough (`pack.sig` in its folder) is refused. Without one, signatures are not looked
        /// at.
        trusted_keys: List<String>,
    }

    RawStatements {
        /// Verifier keys of those who may sign statements, as `tieline directive key` prints them (C2SP signed-note).
        keys: List<String>,
    }

    RawOrders {
        /// Verifier keys of those who may sign, as `tieline directive key` prints them (C2SP signed-note).
        keys: List<String>,
        /// Different keys that must have signed a directive; 1 to the number of keys. With 2, four eyes see it. Default 1.
        signatures_min: u64,
    }

    RawIdentity {
        /// What the token's `iss` must be, such as `https://login.example.org`.
        issuer: String,
        /// What the token's `aud` must name.
        audience: String,
        /// File with the issuer's JSON Web Key Set (RFC 7517): keys with a `kid` for RS256, ES256 or EdDSA. It is read at
        /// each reload; a URL cannot be named, so fetch the set with a job of yours, then reload.
        jwks: String,
        /// The request header that carries the token. Default `x-tieline-identity`.
        header: String,
        /// Which claim asserts which fact.
        claims: RawClaims,
        /// What values of claims stand for, by fact. A place or class without an entry stands for itself. Of the facts
        /// `person_class` and `end_uses`, values without an entry are left out once their table is there.
        map: RawClaimMaps,
        /// Whether the issuer proofed the identities of the persons, at IAL2 or above (NIST SP 800-63A). Default false: it
        /// asserts as an employer does.
        proofed: bool,
    }

    /// The name of a claim, or a JSON Pointer (RFC 6901) such as `/realm/roles`. Its values are texts, truth values, or
    /// lists of these.
    RawClaims {
        /// Classes of the person, such as `us_person` or `nationality_group:A5`; never a nationality.
        person_class: String,
        /// Where the person is: ISO 3166-1 alpha-2.
        jurisdiction: String,
        /// What the person may use models for.
        end_uses: String,
        /// `academic`, `agency`, `enterprise` or `startup`.
        class: String,
    }

    /// By value of the claim: `{ "us" = ["us_person"] }`.
    RawClaimMaps {
        /// Values of the claim under `person_class`.
        person_class: Entries<List<String>>,
        /// Values of the claim under `jurisdiction`.
        jurisdiction: Entries<List<String>>,
        /// Values of the claim under `end_uses`.
        end_uses: Entries<List<String>>,
        /// Values of the claim under `class`.
        class: Entries<List<String>>,
    }

    RawLedger {
        /// The log's name in its checkpoints: a URL without scheme. Default `tieline.local/log`.
        origin: String,
        /// What happens to a call when its decision cannot be queued. Default `refuse`.
        on_full: RawOnFull,
        /// Entries that may wait for the writer; 256 to 1,048,576. Default 65,536.
        queue_entries_max: u64,
    }
}

raw_choice! {
    RawLogFormat {
        /// A line for people.
        Text "text",
        /// One JSON object a line.
        Json "json",
    }

    RawLevel { Error "error", Warn "warn", Info "info", Debug "debug", Trace "trace", }

    RawWeights {
        Open "open",
        Closed "closed",
        Unknown "unknown",
    }

    RawDialect {
        /// OpenAI Chat Completions, `POST /v1/chat/completions`.
        OpenaiChat "openai_chat",
        /// Anthropic Messages, `POST /v1/messages`.
        AnthropicMessages "anthropic_messages",
    }

    RawRecord {
        /// The entry is queued; a crash may lose the last few milliseconds of entries.
        Async "async",
        /// No byte of an answer leaves before the decision's entry is durable.
        Strict "strict",
    }

    RawResume {
        /// The stream ends with the dialect's error event.
        Off "off",
        /// Another channel of the same model may continue.
        SameModel "same_model",
        /// Another model of the pool may continue.
        Pool "pool",
    }

    RawOnFull {
        /// It is refused with 503.
        Refuse "refuse",
        /// It is served, and a gap entry says how many entries are missing.
        Gap "gap",
    }

    /// How far a body of rules binds.
    RawStatus {
        /// Law, or an order, that is enforced.
        InForce "in_force",
        /// Printed law that its authority says it does not enforce.
        CodifiedUnenforced "codified_unenforced",
        /// Law whose effect is suspended for a time.
        Suspended "suspended",
        /// Not law yet.
        Proposed "proposed",
        /// Terms of a provider that bind by contract.
        ProviderTerms "provider_terms",
        /// A commitment without sanction.
        Voluntary "voluntary",
        /// The operator's own rules.
        Company "company",
    }
}

/// What a channel charges: a word or a table.
#[derive(Clone, Debug)]
pub(crate) enum RawPrice {
    Word(At<String>),
    Table(RawPriceTable),
}

/// A model on a channel: the name there alone, or a table.
#[derive(Clone, Debug)]
pub(crate) enum RawServed {
    Name(At<String>),
    Table(Box<RawServedTable>),
}

/// Where a credential is found.
#[derive(Clone, Debug)]
pub(crate) struct RawCredential(pub(crate) RawCredentialTable);

// === impl Read ===

impl Read for RawPrice {
    fn read(value: &Spanned<DeValue<'_>>, key: &str, sink: &mut Sink) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(_) => read_at(value, key, sink).map(Self::Word),
            DeValue::Table(table) => Some(Self::Table(read_fields(table, sink))),
            _ => wrong_type(
                value,
                key,
                "`\"list\"`, `\"unknown\"` or a table",
                Some("for example `price = { input = \"3.00\", output = \"15.00\" }`"),
                sink,
            ),
        }
    }
}

impl Read for RawServed {
    fn read(value: &Spanned<DeValue<'_>>, key: &str, sink: &mut Sink) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(_) => read_at(value, key, sink).map(Self::Name),
            DeValue::Table(table) => Some(Self::Table(Box::new(read_fields(table, sink)))),
            _ => wrong_type(
                value,
                key,
                "the model's name on this channel, or a table",
                None,
                sink,
            ),
        }
    }
}

impl Read for RawCredential {
    fn read(value: &Spanned<DeValue<'_>>, key: &str, sink: &mut Sink) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(table) => {
                let table: RawCredentialTable = read_fields(table, sink);
                Some(Self(table))
            }
            DeValue::String(text) if is_bare_name(text) && !looks_secret(text) => wrong_type(
                value,
                key,
                "a table",
                Some("`credential = { env = \"NAME\" }` takes it from the environment"),
                sink,
            ),
            DeValue::String(_) => {
                sink.push(secret_in_file(value.span().into()));
                None
            }
            _ => wrong_type(
                value,
                key,
                "a table",
                Some("for example `credential = { env = \"NAME\" }`"),
                sink,
            ),
        }
    }
}

/// Whether a text is written like the name of an environment variable, so that it is no secret.
fn is_bare_name(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') && !text.is_empty()
}

// === impl JsonSchema ===

impl JsonSchema for RawPrice {
    fn schema_name() -> Cow<'static, str> {
        "RawPrice".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<RawPriceTable>();
        json_schema!({ "anyOf": [{ "type": "string", "enum": ["list", "unknown"] }, table] })
    }
}

impl JsonSchema for RawServed {
    fn schema_name() -> Cow<'static, str> {
        "RawServed".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<RawServedTable>();
        json_schema!({ "anyOf": [{ "type": "string" }, table] })
    }
}

impl JsonSchema for RawCredential {
    fn schema_name() -> Cow<'static, str> {
        "RawCredential".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        RawCredentialTable::json_schema(generator)
    }
}
