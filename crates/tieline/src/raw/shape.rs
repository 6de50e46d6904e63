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
        /// The ways to reach models, by name. Their order is that of equal candidates; `choice` says what it means.
        channels: Entries<RawChannel>,
        /// Components that need others, such as a region its cloud, by `kind:name`.
        components: Entries<RawComponent>,
        /// Settings of calls that name a model, and of pools that do not state their own.
        defaults: RawDefaults,
        /// What applications ask for, by name.
        pool: Entries<RawPool>,
        /// Lists of prices, by a name of yours, such as `[prices.list-2026-11]`. A channel takes one over with
        /// `price = "list-2026-11"`.
        prices: Entries<RawPriceList>,
        /// The rules that decide who may use what.
        policy: RawPolicy,
        /// Whose tokens about end users are believed, by a name of yours. A token (JSON Web Token, RFC 7519) is sent beside
        /// the key; what it asserts is laid beside the facts of the key's party, for that call and until the token expires.
        identity: Entries<RawIdentity>,
        /// What clients' certificates assert, by a name of yours. A certificate that was verified (`client_ca` of the
        /// gateway's `tls`) is compared with each; what all that match assert is laid beside the facts of the key's
        /// party, for the calls of that connection and until the certificate expires. One that matches none asserts
        /// nothing.
        certificates: Entries<RawCertificate>,
        /// Where calls come from: the country of the caller's address, as weak evidence. It is laid beside the facts of the
        /// key's party for that call, replaces nothing that is known, and counts where it is stricter or nothing is known.
        /// The address itself is kept nowhere. Without this table no address is looked at.
        geoip: RawGeoip,
        /// The tamper-evident log.
        ledger: RawLedger,
    }

    RawGateway {
        /// Where applications connect: `address:port`; port 0 picks a free one. Default `127.0.0.1:8080`.
        listen: String,
        /// Where operators connect: `address:port`. Beyond loopback it needs `tls`, and speaks TLS with that certificate.
        /// Default `127.0.0.1:8081`.
        admin: String,
        /// TLS of `listen`, and of `admin` unless that is on this machine only.
        tls: RawTls,
        /// Networks (`10.0.0.0/8`, `2001:db8::/32`) of proxies before `listen` whose `x-forwarded-for` is believed, for
        /// `[geoip]`: its right-most address that is in none of them is the caller's. From others the header is ignored.
        trusted_proxies: List<String>,
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
        /// PEM file with the authorities that sign certificates of clients. Without it, no client is asked for one.
        client_ca: String,
        /// Whether clients need one. Default `required` where `client_ca` is set.
        client_auth: RawClientAuth,
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
        /// What it reads, such as `["text", "images"]`. Without it, that is unknown; it changes no call, and is shown of
        /// whatever may stand in for another model.
        modalities: List<RawModality>,
        /// Whether it calls tools. Without it, that is unknown; it is shown as `modalities` are.
        tools: bool,
        /// Under which open weights are given, by its SPDX id or a name without spaces, such as "apache-2.0". Without it,
        /// that is unknown.
        licence: String,
        /// The list price.
        price: RawPriceTable,
    }

    /// Prices that somebody published, and when.
    RawPriceList {
        /// The day whose prices they are, such as "2026-11-20".
        date: String,
        /// Where they are from: a URL, a contract.
        source: String,
        /// The prices, by the name of the model under `[models]`.
        models: Entries<RawPriceTable>,
    }

    /// USD per million tokens, as decimal strings with at most six decimals.
    RawPriceTable {
        /// Tokens of the prompt that are read anew.
        input: String,
        /// Tokens of the answer.
        output: String,
        /// Tokens of the prompt that were found in the cache. Default: the price of `input`.
        cache_read: String,
        /// Tokens of the prompt that are stored in the cache. Default: the price of `input`.
        cache_write: String,
        /// Tokens of reasoning. Default: the price of `output`.
        reasoning: String,
        /// Tokens of pictures in the prompt, where the channel counts them apart. Default: the price of `input`.
        image: String,
        /// Tokens of sound in the prompt. Without it, the cost of a call with sound is unknown.
        audio: String,
        /// Tokens of sound in the answer. Without it, the cost of an answer with sound is unknown.
        audio_output: String,
        /// Other prices for calls with a long prompt; at most 4 of them. The one with the largest `over` that the prompt
        /// exceeds holds for the whole call.
        tiers: List<RawPriceTier>,
    }

    /// Its keys mean what they mean in the table around it, and have the same defaults.
    RawPriceTier {
        /// Tokens of the prompt, caches included, above which these prices hold; 1 to 1,000,000,000.
        over: u64,
        /// Tokens of the prompt that are read anew.
        input: String,
        /// Tokens of the answer.
        output: String,
        /// Tokens of the prompt that were found in the cache.
        cache_read: String,
        /// Tokens of the prompt that are stored in the cache.
        cache_write: String,
        /// Tokens of reasoning.
        reasoning: String,
        /// Tokens of pictures in the prompt.
        image: String,
        /// Tokens of sound in the prompt.
        audio: String,
        /// Tokens of sound in the answer.
        audio_output: String,
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
        /// What its operator allows, counted by what calls use.
        limits: RawLimits,
        /// What its operator allows, counted by the operator's own rules.
        quota: RawQuota,
        /// Input tokens that one picture, sound or document of a request is counted as there, at most; 1 to 100,000,000.
        /// What a budget reserves for it, unless the model's `context` is less. Default 1,048,576.
        media_tokens_max: u64,
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

    /// Calls are counted as the operator counts them; what its response headers say is left corrects the count.
    RawQuota {
        /// Whose rules count.
        model: RawQuotaModel,
        /// Requests in a minute.
        requests_per_minute: u64,
        /// Tokens in a minute, of prompt and answer together.
        tokens_per_minute: u64,
        /// Tokens of prompts in a minute, without what is read from the cache.
        input_tokens_per_minute: u64,
        /// Tokens of answers in a minute.
        output_tokens_per_minute: u64,
        /// Tokens of all calls in flight, prompts and output limits together: the memory of a server of one's own.
        tokens_in_flight: u64,
        /// What a token of output weighs, in tokens; 1 to 100. Bedrock counts 5 for many models. Default 1.
        output_burn: u64,
    }

    /// What all calls that ask for the pool may use together.
    RawPoolLimits {
        /// Calls in flight.
        concurrency: u64,
        requests_per_day: u64,
        requests_per_minute: u64,
        tokens_per_day: u64,
        tokens_per_minute: u64,
        /// USD in a day, UTC, as a decimal string such as "250.00".
        budget_per_day: String,
        /// USD in a week from Monday on, UTC.
        budget_per_week: String,
        /// USD in a calendar month, UTC.
        budget_per_month: String,
    }

    RawServedTable {
        /// What the channel calls the model. Default: the same name.
        name: String,
        /// What the channel charges: a table, the name of a list under `[prices]`, `"list"` for the model's own price, or
        /// `"unknown"`. Default `"unknown"`.
        price: RawPrice,
        /// Which version of the model it is, such as "2026-09-01": the same text on every channel that serves the same one.
        /// `tieline grid versions` takes it, else the date in the model's name there. No decision depends on it.
        version: String,
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
        /// Which of the channels of one model is asked first. Default `balanced`.
        choice: RawChoice,
        /// To open a connection, in ms; 1 to 600,000. Default 2,000.
        connect_ms: u64,
        /// How much calls matter when not all can be served. Default `critical_plus`.
        criticality: RawCriticality,
        /// From the dial to the first content, in ms; 1 to 3,600,000. Default 20,000.
        first_content_ms: u64,
        /// From the dial to the status line, in ms; 1 to 3,600,000. Default 20,000.
        head_ms: u64,
        /// How long the first part of a stream is kept back, in ms, so that an answer cut within it is begun anew unseen;
        /// 0 to 60,000. Default 0: not at all.
        hold_ms: u64,
        /// How many content events of a stream are kept back; whichever of the two is over first ends it. 0 to 10,000.
        /// Default 0.
        hold_tokens: u64,
        /// Between two pieces of content, in ms; 1 to 3,600,000. Default 15,000.
        idle_ms: u64,
        /// The output limit, in tokens, that a request gets which states none, while a budget is in force; 1 to 10,000,000.
        /// Default 8,192.
        output_tokens_max: u64,
        /// When an answer may leave relative to the record of its decision. Default `async`.
        record: RawRecord,
        /// What happens when an answer breaks off after content was delivered. Default `off`.
        resume: RawResume,
        /// What happens to a candidate whose price is unknown. Default `record`. While a budget is in force, none is tried.
        unknown_price: RawUnknownPrice,
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
        /// Which of the channels of one model is asked first.
        choice: RawChoice,
        /// To open a connection, in ms.
        connect_ms: u64,
        /// How much calls matter when not all can be served.
        criticality: RawCriticality,
        /// From the dial to the first content, in ms.
        first_content_ms: u64,
        /// From the dial to the status line, in ms.
        head_ms: u64,
        /// How long the first part of a stream is kept back, in ms.
        hold_ms: u64,
        /// How many content events of a stream are kept back.
        hold_tokens: u64,
        /// Between two pieces of content, in ms.
        idle_ms: u64,
        /// What all calls that ask for the pool may use together.
        limits: RawPoolLimits,
        /// The output limit, in tokens, that a request gets which states none, while a budget is in force.
        output_tokens_max: u64,
        /// When an answer may leave relative to the record of its decision.
        record: RawRecord,
        /// What happens when an answer breaks off after content was delivered.
        resume: RawResume,
        /// What happens to a candidate whose price is unknown.
        unknown_price: RawUnknownPrice,
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
        /// The issuer's JSON Web Key Set (RFC 7517), with a `kid` for each key, for RS256, ES256 or EdDSA: a file, or a URL
        /// with `https://` (`http://` on this machine alone). A file is read at each reload. A URL is fetched in the
        /// background; the last good set stays in use, in memory alone, and until there is one, tokens of the issuer are
        /// refused with 503.
        jwks: String,
        /// PEM file with the certificate authority to trust instead of the public ones, for a URL.
        jwks_ca: String,
        /// Between two fetches of a URL, in seconds; 60 to 86,400. Default 3,600. A token with an unknown `kid` brings one
        /// about at once, at most every 60 s; that token is refused.
        refresh_s: u64,
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

    /// One of `spiffe` and `dns`.
    RawCertificate {
        /// The SPIFFE id that the certificate must have as its only URI, or where it begins: `spiffe://acme.example/ns/*`.
        spiffe: String,
        /// The DNS name that the certificate must have, or any one label before one: `*.batch.acme.example`.
        dns: String,
        /// What it asserts, as evidence of kind `workload_identity`.
        facts: RawCertificateFacts,
        /// Ids of the parties with whose keys, or keys of parties below them, it may come; with others the call is refused.
        /// Default: any.
        parties: List<String>,
    }

    RawCertificateFacts {
        /// `academic`, `agency`, `enterprise` or `startup`.
        class: String,
        /// What the workload may use models for.
        end_uses: List<String>,
        /// Where it is: ISO 3166-1 alpha-2.
        jurisdiction: String,
    }

    RawGeoip {
        /// File with a database of countries in MaxMind's format (`.mmdb`), at most 256 MiB. A change of it is a reload.
        database: String,
        /// From this age on the log warns at the start and at each reload, in days; 1 to 3,650. Default: never.
        max_age_days: u64,
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

    RawModality {
        Audio "audio",
        /// Documents, such as PDF.
        Files "files",
        Images "images",
        Text "text",
        Video "video",
    }

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

    RawChoice {
        /// The one that has the prompt in its cache, else the cheaper, by latency and load, of two drawn at random.
        Balanced "balanced",
        /// The first in the order of this file.
        InOrder "in_order",
    }

    RawResume {
        /// The stream ends with the dialect's error event.
        Off "off",
        /// Another channel of the same model may continue.
        SameModel "same_model",
        /// Another model of the pool may continue.
        Pool "pool",
    }

    RawClientAuth {
        /// A client may come without; one that is sent is verified all the same.
        Optional "optional",
        /// A client without one is turned away in the handshake.
        Required "required",
    }

    RawCriticality {
        /// Never shed: only a hard limit refuses them.
        CriticalPlus "critical_plus",
        /// Shed when a limit of the channel is used to 98 %.
        Critical "critical",
        /// Shed at 90 %.
        SheddablePlus "sheddable_plus",
        /// Shed at 80 %.
        Sheddable "sheddable",
    }

    RawQuotaModel {
        /// Input without what is read from the cache, and output, each by its own limit, as used.
        Anthropic "anthropic",
        /// Prompt and output limit together, on arrival; requests over 10 s.
        Azure "azure",
        /// Prompt and output limit together on arrival, corrected to what was used, where output weighs `output_burn`
        /// times.
        Bedrock "bedrock",
        /// The larger of prompt and output limit, on arrival.
        Openai "openai",
        /// Prompt and output limit of all calls in flight.
        SelfHosted "self_hosted",
        /// Shared capacity without a fixed quota: nothing is counted.
        Vertex "vertex",
    }

    RawUnknownPrice {
        /// It is served, and its cost is recorded as unknown.
        Record "record",
        /// It is held: 403 with a ticket, until the price is stated.
        Hold "hold",
        /// It is passed over.
        Refuse "refuse",
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
#[expect(clippy::large_enum_variant, reason = "one for each model of a file")]
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
        json_schema!({ "anyOf": [{ "type": "string" }, table] })
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
