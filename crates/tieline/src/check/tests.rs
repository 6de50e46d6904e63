//! One bad configuration for each mistake, its report as a snapshot; and laws over random texts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use proptest::prelude::*;
use tieline_core::Snapshot;
use tieline_testkit::mmdb::{Layout, database};

use super::*;
use crate::diagnose::{Look, Severity};

/// A configuration without a mistake, in the places that the cases change.
const GOOD: &str = r#"[gateway]
listen = "127.0.0.1:8080"
admin = "127.0.0.1:8081"

[labs.acme]
jurisdiction = "FR"

[models.small]
lab = "acme"
weights = "open"
training_flop = "3.8e25"
context = 8192
price = { input = "0.10", output = "0.40" }

[models.large]
lab = "acme"

[channels.direct]
provider = "openai"
components = ["lab:acme", "cloud:north"]
credential = { env = "ACME_KEY" }
models = { small = "acme-small", large = { name = "acme-large", price = "unknown" } }

[channels.north]
provider = "openai-compatible"
url = "https://models.example.org"
components = ["region:north/one"]
models = { small = { price = "list" } }

[components."region:north/one"]
needs = ["cloud:north"]

[pool.main]
models = ["large", "small"]
"#;

/// A verifier key: the public key of RFC 8032, section 7.1, test 1.
const KEY: &str = "officer.example+6dec3e70+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";

/// The same key by another name.
const OTHER: &str = "counsel.example+939a867c+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";

/// A key set: the public key of RFC 8037, appendix A.2.
const JWKS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// An issuer without a mistake.
const STAFF: &str = r#"[identity.staff]
issuer = "https://login.example.org"
audience = "tieline"
jwks = "jwks.json"
claims = { person_class = "/groups", jurisdiction = "country" }
map = { person_class = { "us" = ["us_person"] } }"#;

/// The issuer with one thing replaced.
fn staff(from: &str, to: &str) -> String {
    assert!(STAFF.contains(from), "{from}");
    add(&STAFF.replacen(from, to, 1))
}

/// What a workload's certificate asserts, without a mistake.
const WORKLOAD: &str = r#"[certificates.batch]
spiffe = "spiffe://acme.example/ns/*"
facts = { jurisdiction = "DE", end_uses = ["research"] }
"#;

/// The certificate with one thing replaced, where clients are asked for one.
fn workload(from: &str, to: &str) -> String {
    assert!(WORKLOAD.contains(from), "{from}");
    let tls = "tls = { cert = \"cert.pem\", key = \"key.pem\", client_ca = \"cert.pem\" }\nadmin =";
    format!("{}\n{}", swap("admin =", tls), WORKLOAD.replacen(from, to, 1))
}

/// A database of countries, behind proxies.
fn geoip(database: &str) -> String {
    let proxies = "trusted_proxies = [\"10.0.0.0/8\", \"2001:db8::1\"]\nadmin =";
    format!(
        "{}\n[geoip]\ndatabase = \"{database}\"\nmax_age_days = 30\n",
        swap("admin =", proxies)
    )
}

fn env(key: &str) -> Option<String> {
    (key == "ACME_KEY").then(|| "secret".to_owned())
}

fn read(path: &Path, _: u64) -> io::Result<Vec<u8>> {
    let countries = |layout| Ok(database(layout, &[("203.0.113.0/24", "DE")]).unwrap());
    match path.to_str().unwrap_or_default() {
        "/etc/tieline/cert.pem" => {
            Ok(b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".to_vec())
        }
        "/etc/tieline/key.pem" => Ok(b"-----BEGIN EC PRIVATE KEY-----\nAA==\n".to_vec()),
        "/etc/tieline/packs/company/pack.toml" => Ok(b"[pack]".to_vec()),
        "/etc/tieline/jwks.json" => Ok(JWKS.as_bytes().to_vec()),
        "/etc/tieline/countries.mmdb" => countries(Layout::Flat),
        "/etc/tieline/networks.mmdb" => countries(Layout::Other),
        "/etc/tieline/empty" => Ok(b"\n".to_vec()),
        "/etc/tieline/private" => Err(io::ErrorKind::PermissionDenied.into()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn run(text: &str) -> (Option<Checked>, Report) {
    check_text("tieline.toml", text, Path::new("/etc/tieline"), &env, &read)
}

fn rendered(text: &str) -> String {
    let (checked, report) = run(text);
    assert_eq!(checked.is_none(), report.errors() > 0);
    report.render(Look::Plain)
}

/// The good configuration with one thing replaced.
fn swap(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

/// The good configuration with something added at the end.
fn add(more: &str) -> String {
    format!("{GOOD}\n{more}\n")
}

#[test]
fn bars_are_what_is_stated() {
    let (checked, _) = run(&add(
        "[bars.n_1]\ncritical_parties_lost_max = 0\ncost_permille_max = 250",
    ));
    let bars = checked.unwrap().bars;
    let expected = tieline_drill::Bars {
        cost_permille_max: Some(250),
        critical_parties_lost_max: Some(0),
        ..tieline_drill::Bars::default()
    };
    assert_eq!((bars.n_1, bars.n_2), (expected, tieline_drill::Bars::default()));
}

macro_rules! cases {
    ($($name:ident: $text:expr;)*) => { $(
        #[test]
        fn $name() {
            let text: String = $text;
            insta::assert_snapshot!(rendered(&text));
        }
    )* };
}

cases! {
    // The file as TOML.
    an_open_string_is_shown: swap("\"127.0.0.1:8080\"", "\"127.0.0.1:8080");
    typographic_quotes_are_named: swap("\"127.0.0.1:8080\"", "\u{201c}127.0.0.1:8080\u{201d}");
    a_value_that_is_missing_is_shown: swap("context = 8192", "context =");
    a_channel_named_twice_shows_both: add("[channels.direct]\nprovider = \"openai\"\nmodels = {}");
    a_key_written_twice_shows_both: swap("weights = \"open\"", "weights = \"open\"\nlab = \"other\"");
    a_syntax_error_does_not_show_a_secret: swap("{ env = \"ACME_KEY\" }", "\"sk-ant-api03-0123456789abcdef0123456789");

    // Keys and types.
    an_unknown_key_suggests_the_nearest: swap("components = [\"lab:acme\"", "componets = [\"lab:acme\"");
    an_unknown_table_lists_the_tables: add("[routes.a]\nx = 1");
    a_name_with_dots_wants_quotes: add("[models.gpt-4.1]\nlab = \"acme\"");
    a_number_in_quotes_is_named: swap("context = 8192", "context = \"8192\"");
    a_string_for_a_list_is_named: swap("[\"large\", \"small\"]", "\"large\"");
    a_table_for_a_string_is_named: swap("\"127.0.0.1:8080\"", "{ port = 8080 }");
    a_word_that_is_no_choice_suggests: swap("weights = \"open\"", "weights = \"opened\"");
    a_key_that_is_missing_is_named: swap("lab = \"acme\"\nweights", "weights");
    what_a_model_reads_is_no_choice: swap("weights = \"open\"", "modalities = [\"text\", \"smell\"]");
    what_a_model_reads_twice_shows_both: swap("weights = \"open\"", "modalities = [\"text\", \"images\", \"text\"]");
    a_model_that_reads_nothing_is_refused: swap("weights = \"open\"", "modalities = []");
    a_licence_that_is_a_sentence_is_refused: swap("weights = \"open\"", "licence = \"A community licence\"");
    every_mistake_is_reported_in_one_run: "[gateway]\nlisten = 8080\ncalls_max = -1\n[models.m]\nlab = \"nobody\"\n\
        weights = \"ajar\"\n[channels.c]\nprovider = \"nowhere\"\n[pool.m]\nmodels = [\"n\"]\n".to_owned();

    // Numbers.
    a_negative_number_is_refused: add("[defaults]\ncall_ms = -5");
    attempts_beyond_the_rows_are_refused: add("[defaults]\nattempts_max = 9");
    zero_is_refused_where_it_means_nothing: add("[channels.direct.limits]\nrequests_per_minute = 0");
    a_number_beyond_the_range_is_refused: swap("admin =", "body_bytes_max = 99_999_999_999\nadmin =");
    a_wait_beyond_the_call_is_warned_about: swap("models = [\"large\", \"small\"]",
        "models = [\"large\", \"small\"]\ncall_ms = 5000\nfirst_content_ms = 9000");

    a_bar_beyond_the_range_is_refused: add("[bars.n_1]\nlost_permille_max = 1001\n[bars.n_2]\nlost_permille_max = 0");
    a_bar_that_is_misspelt_suggests: add("[bars.n_1]\ncritical_partys_lost_max = 0");

    // Names that refer to others.
    an_unknown_lab_suggests: swap("lab = \"acme\"", "lab = \"amce\"");
    an_unknown_model_of_a_channel_suggests: swap("small = \"acme-small\"", "smal = \"acme-small\"");
    an_unknown_model_of_a_pool_says_how_to_add_it: swap("\"large\", \"small\"", "\"large\", \"claude-5.1\"");
    an_unknown_provider_lists_those_known: swap("provider = \"openai\"", "provider = \"opena\"");
    a_dialect_that_is_not_spoken_lists_those_spoken: swap("provider = \"openai\"",
        "provider = \"openai\"\ndialect = \"anthropic_messages\"");
    a_pool_that_is_a_model_shows_both: swap("[pool.main]", "[pool.small]");
    an_empty_pool_is_refused: swap("[\"large\", \"small\"]", "[]");
    a_model_listed_twice_shows_both: swap("\"large\", \"small\"", "\"small\", \"large\", \"small\"");
    a_model_that_nothing_serves_is_warned_about: add("[models.spare]\nlab = \"acme\"");
    too_many_candidates_are_counted: many_channels(9);
    a_name_with_spaces_is_refused: add("[pool.\"my pool\"]\nmodels = [\"small\"]");

    // Components.
    a_component_without_a_kind_is_refused: swap("\"cloud:north\"]\ncred", "\"north\"]\ncred");
    a_kind_that_is_misspelt_is_warned_about: swap("needs = [\"cloud:north\"]", "needs = [\"clowd:north\"]");
    a_component_that_is_misspelt_is_warned_about: swap("needs = [\"cloud:north\"]", "needs = [\"cloud:norht\"]")
        .replace("[\"region:north/one\"]", "[\"region:north/one\", \"cloud:north\"]");
    a_component_that_nothing_needs_is_warned_about: add("[components.\"region:south/one\"]\nneeds = [\"cloud:south\"]");
    too_many_components_are_counted: many_components(300);

    // Prices and facts.
    a_list_of_prices_wants_its_day_and_source: add("[prices.jan]\nmodels.small = { input = \"1\", output = \"2\" }\n\
        [prices.list]\ndate = \"2026-13-01\"\nsource = \"x\"\nmodels.smal = { input = \"1\" }");
    a_list_without_the_model_is_shown: swap("price = \"list\"", "price = \"jan\"")
        + "\n[prices.jan]\ndate = \"2026-01-01\"\nsource = \"x\"\nmodels = {}\n";
    tiers_want_thresholds_of_their_own: swap("output = \"0.40\" }", "output = \"0.40\", tiers = [\
        { over = 100, input = \"1\", output = \"2\" }, { over = 100, input = \"1\", output = \"2\" }, { input = \"3\" }] }");
    a_budget_with_a_currency_is_refused: add("[pool.main.limits]\nbudget_per_day = \"$250\"");
    a_price_with_a_currency_is_refused: swap("input = \"0.10\"", "input = \"$0.10\"");
    a_price_with_a_comma_is_refused: swap("input = \"0.10\"", "input = \"0,10\"");
    a_price_as_a_number_wants_quotes: swap("input = \"0.10\"", "input = 0.10");
    a_price_in_part_is_refused: swap(", output = \"0.40\"", "");
    a_list_price_that_does_not_exist_is_named: swap("price = \"unknown\"", "price = \"list\"");
    a_price_that_is_no_word_suggests: swap("price = \"unknown\"", "price = \"unknow\"");
    a_jurisdiction_that_is_no_country_is_refused: swap("\"FR\"", "\"UK\"");
    a_country_of_a_channel_that_is_none_is_refused: swap("provider = \"openai\"",
        "provider = \"openai\"\nregion_country = \"de\"\noperator_jurisdiction = \"EU\"");
    training_compute_that_is_no_number_is_refused: swap("\"3.8e25\"", "\"10^25\"");

    // Listeners.
    an_address_with_a_name_is_refused: swap("127.0.0.1:8080", "localhost:8080");
    an_address_without_a_port_is_refused: swap("127.0.0.1:8080", "127.0.0.1");
    two_listeners_on_one_port_are_refused: swap("127.0.0.1:8081", "127.0.0.1:8080");
    listeners_open_to_others_want_tls: swap("127.0.0.1:8081", "0.0.0.0:8081").replace("127.0.0.1:8080", "0.0.0.0:8080");
    tls_files_are_looked_at: swap("admin =", "tls = { cert = \"key.pem\", key = \"nothing.pem\" }\nadmin =");
    tls_wants_both_files: swap("admin =", "tls = { cert = \"cert.pem\" }\nadmin =");

    // Channels: where, and with which secret.
    a_url_without_a_scheme_is_refused: swap("https://models.example.org", "models.example.org");
    a_url_with_credentials_is_masked: swap("https://models.example.org", "https://me:hunter2@models.example.org");
    a_url_with_a_query_is_refused: swap("https://models.example.org", "https://models.example.org/?key=abc");
    a_url_that_is_missing_is_named: swap("url = \"https://models.example.org\"\n", "");
    a_credential_over_http_is_warned_about: swap("url = \"https://models.example.org\"",
        "url = \"http://models.example.org\"\ncredential = { env = \"ACME_KEY\" }");
    a_channel_that_is_this_gateway_is_refused: swap("https://models.example.org", "http://localhost:8080");
    a_variable_that_is_not_set_is_warned_about: swap("ACME_KEY", "OTHER_KEY");
    a_credential_file_that_is_not_there_is_warned_about: swap("{ env = \"ACME_KEY\" }", "{ file = \"private\" }");
    a_secret_as_credential_is_masked: swap("{ env = \"ACME_KEY\" }", "\"sk-ant-api03-0123456789abcdef0123456789\"");
    a_secret_as_variable_is_masked: swap("ACME_KEY", "sk-proj-0123456789abcdef0123456789");
    a_secret_under_another_key_is_masked: swap("provider = \"openai\"", "provider = \"openai\"\napi_key = \"hunter2\"");
    a_credential_in_two_places_is_refused: swap("{ env = \"ACME_KEY\" }", "{ env = \"ACME_KEY\", file = \"key\" }");
    a_credential_that_is_needed_is_named: swap("credential = { env = \"ACME_KEY\" }\n", "");
    a_provider_that_is_not_carried_is_warned_about: swap("provider = \"openai\"",
        "provider = \"bedrock\"\nregion = \"us-east-1\"");
    a_region_that_makes_no_url_is_refused: swap("provider = \"openai\"", "provider = \"bedrock\"\nregion = \"a@b\"");
    a_certificate_authority_is_looked_at: swap("url =", "tls = { ca = \"empty\" }\nurl =");

    // Tokens about end users.
    a_good_issuer_has_nothing_to_say: staff("", "");
    an_issuer_without_its_pins_is_named: add("[identity.staff]\nproofed = true");
    an_issuer_twice_shows_both: add(&format!("{STAFF}\n{}", STAFF.replace(".staff]", ".again]")));
    a_key_set_at_a_url_has_nothing_to_say: staff("jwks.json",
        "https://login.example.org/keys?p=1\"\nrefresh_s = 60\njwks_ca = \"cert.pem");
    a_key_set_at_a_url_that_others_can_change_is_refused: staff("jwks.json", "http://login.example.org/jwks.json");
    a_key_set_at_a_url_with_credentials_is_masked: staff("jwks.json", "https://me:hunter2@login.example.org/jwks.json");
    a_key_set_that_is_fetched_too_often_is_refused: staff("jwks.json",
        "https://login.example.org/jwks.json\"\nrefresh_s = 5\njwks_ca = \"empty");
    a_pace_of_a_key_set_in_a_file_is_warned_about: staff("jwks.json", "jwks.json\"\nrefresh_s = 60\njwks_ca = \"cert.pem");
    a_key_set_that_is_not_there_is_named: staff("jwks.json", "jwk.json");
    a_key_set_that_is_none_says_why: staff("jwks.json", "empty");
    a_header_that_carries_something_else_is_refused: staff("audience", "header = \"authorization\"\naudience");
    a_claim_that_identifies_a_person_is_refused: staff("\"/groups\"", "\"email\"");
    a_claim_mapped_to_what_is_no_value_is_refused: staff("map = {", "map = { jurisdiction = { \"uk\" = [\"UK\"] },");
    a_map_without_its_claim_is_warned_about: staff("map = {", "map = { class = { \"uni\" = [\"academic\"] },");

    // Certificates of clients.
    a_good_certificate_has_nothing_to_say: workload("", "");
    a_certificate_without_a_pattern_is_named: workload("spiffe = \"spiffe://acme.example/ns/*\"\n", "");
    a_certificate_with_two_patterns_shows_both: workload("facts", "dns = \"*.acme.example\"\nfacts");
    a_pattern_for_everybody_is_refused: workload("spiffe://acme.example/ns/*", "spiffe://*");
    a_pattern_of_names_that_is_none_is_refused: workload("spiffe = \"spiffe://acme.example/ns/*\"", "dns = \"*.example\"");
    a_certificate_that_asserts_no_value_is_refused: workload("\"DE\"", "\"Germany\"");
    a_certificate_of_a_person_is_refused: workload("jurisdiction = \"DE\"", "person_class = \"us_person\"");
    a_certificate_without_effect_is_warned_about: workload("facts = { jurisdiction = \"DE\", end_uses = [\"research\"] }\n", "");
    certificates_that_nobody_is_asked_for_are_warned_about: add(WORKLOAD);
    client_authorities_are_looked_at: swap("admin =",
        "tls = { cert = \"cert.pem\", key = \"key.pem\", client_ca = \"empty\", client_auth = \"maybe\" }\nadmin =");
    asking_without_an_authority_is_refused: swap("admin =",
        "tls = { cert = \"cert.pem\", key = \"key.pem\", client_auth = \"required\" }\nadmin =");

    // Where calls come from.
    a_good_database_has_nothing_to_say: geoip("countries.mmdb");
    a_database_without_countries_says_so: geoip("networks.mmdb");
    a_database_that_is_none_says_so: geoip("empty");
    a_database_that_is_not_there_is_named: geoip("country.mmdb");
    a_table_without_a_database_is_named: add("[geoip]\nmax_age_days = 0");
    proxies_that_are_no_networks_are_refused: swap("admin =",
        "trusted_proxies = [\"10.0.0.0/8\", \"load-balancer\", \"0.0.0.0/0\", \"::/0\"]\nadmin =");
    proxies_without_a_database_are_warned_about: swap("admin =", "trusted_proxies = [\"10.0.0.0/8\"]\nadmin =");

    // Policy and ledger.
    a_pack_that_is_not_there_is_named: add("[policy]\npacks = [\"packs/compny\"]");
    a_status_that_is_none_suggests: add("[policy]\npacks = [\"packs/company\"]\nenforce = [\"in_forc\"]");
    enforcing_nothing_is_warned_about: add("[policy]\nenforce = [\"company\"]");
    an_end_use_that_is_no_code_is_refused: add("[policy]\nend_uses = [\"research\", \"Deep Research\"]");
    a_signer_that_is_no_key_is_refused: add("[policy.orders]\nkeys = [\"officer\"]");
    a_signer_named_twice_is_refused: add(&format!("[policy.orders]\nkeys = [\"{KEY}\", \"{KEY}\"]"));
    a_signer_under_two_names_is_refused: add(&format!("[policy.orders]\nkeys = [\"{KEY}\", \"{OTHER}\"]"));
    more_signatures_than_keys_are_refused: add(&format!("[policy.orders]\nkeys = [\"{KEY}\"]\nsignatures_min = 2"));
    a_trusted_key_that_is_no_key_is_refused: add("[policy]\ntrusted_keys = [\"officer\"]");
    more_signatures_of_packs_than_keys_are_refused: add(&format!("[policy]\ntrusted_keys = [\"{KEY}\"]\nsignatures_min = 2"));
    a_signer_of_statements_that_is_no_key_is_refused: add("[policy.statements]\nkeys = [\"officer\"]");
    an_origin_with_a_scheme_is_refused: add("[ledger]\norigin = \"https://example.org/log\"");

    // The whole.
    an_empty_file_is_warned_about: String::new();
}

fn many_channels(count: usize) -> String {
    let mut text = GOOD.to_owned();
    for ix in 0..count {
        let _ = writeln!(
            text,
            "[channels.c{ix}]\nprovider = \"ollama\"\nmodels = {{ large = \"l\" }}"
        );
    }
    text
}

fn many_components(count: usize) -> String {
    let mut text = GOOD.to_owned();
    for ix in 0..count {
        let _ = writeln!(text, "[components.\"region:r/{ix:03}\"]\nneeds = []");
    }
    text
}

#[test]
fn a_good_configuration_has_nothing_to_say() {
    let (checked, report) = run(GOOD);
    assert_eq!(report.render(Look::Plain), "");
    insta::assert_snapshot!(format!("{:#?}", checked.unwrap()));
}

#[test]
fn every_setting_is_taken_over() {
    let text = GOOD
        .replace(
            "admin =",
            "tls = { cert = \"cert.pem\", key = \"./key.pem\", client_ca = \"cert.pem\", client_auth = \"optional\" }\n\
            trusted_proxies = [\"10.0.0.0/8\"]\ndrain_ms = 0\n\
            log = { format = \"json\", level = \"debug\" }\nthreads = 2\nadmin =",
        )
        .replace("[components]", "")
        + "call_ms = 1000\nchoice = \"in_order\"\nconnect_ms = 10\nfirst_content_ms = 20\nhead_ms = 30\nhold_ms = 35\nhold_tokens = 3\nidle_ms = 40\nwhole_ms = 50\nattempts_max = 8\n\
           record = \"strict\"\nresume = \"pool\"\noutput_tokens_max = 60\nunknown_price = \"hold\"\n\
           [pool.main.limits]\nconcurrency = 6\nrequests_per_day = 7\nrequests_per_minute = 8\ntokens_per_day = 9\n\
           tokens_per_minute = 10\nbudget_per_day = \"1.5\"\nbudget_per_week = \"2\"\nbudget_per_month = \"0.000000001\"\n\
           [policy]\npacks = [\"packs/company\"]\nenforce = [\"company\", \"in_force\"]\n\
           [ledger]\norigin = \"example.org/log\"\non_full = \"gap\"\nqueue_entries_max = 256\n\
           [channels.direct.limits]\nconcurrency = 1\nrequests_per_day = 2\nrequests_per_minute = 3\ntokens_per_day = 4\n\
           tokens_per_minute = 5\n"
        + &format!("[policy.statements]\nkeys = [\"{KEY}\"]\n")
        + WORKLOAD
        + "parties = [\"p_1\"]\n[geoip]\ndatabase = \"countries.mmdb\"\nmax_age_days = 30\n";
    let text = text.replace(
        "[channels.north]\n",
        "[channels.north]\nweight = 18\nregion = \"one\"\nregion_country = \"NL\"\noperator_jurisdiction = \"US\"\nconnections_max = 7\n\
         media_tokens_max = 8\n",
    );
    let reads =
        "weights = \"open\"\nmodalities = [\"text\", \"images\"]\ntools = false\nlicence = \"apache-2.0\"";
    let text = text.replacen("weights = \"open\"", reads, 1);
    let (checked, report) = run(&text);
    assert_eq!(report.render(Look::Plain), "");
    insta::assert_snapshot!(format!("{:#?}", checked.unwrap()));
}

#[test]
fn cache_tokens_without_a_price_cost_as_much_as_input() {
    let (checked, _) = run(GOOD);
    let grid = checked.unwrap().grid;
    let price = grid.channels[1].models[0].price.unwrap();
    assert_eq!((price.cache_read, price.cache_write), (price.input, price.input));
    assert_eq!(
        grid.channels[0].models[0].price, None,
        "a price that is not stated is unknown"
    );
}

#[test]
fn a_price_of_a_list_is_taken_over_with_where_it_is_from() {
    let list = r#"
[prices.acme-2026-11]
date = "2026-11-20"
source = "https://acme.example/prices"
models.small = { input = "1", output = "2", reasoning = "3", image = "4", audio = "5", audio_output = "6", tiers = [
    { over = 200000, input = "7", output = "8", cache_read = "0.7" },
] }
"#;
    let text = swap("price = \"list\"", "price = \"acme-2026-11\"") + list;
    let grid = run(&text).0.unwrap().grid;
    insta::assert_json_snapshot!((&grid.prices, &grid.channels[1].models));
}

#[test]
fn candidates_are_tried_in_the_order_of_the_file() {
    let text = swap("[channels.direct]", "[channels.zulu]").replace("[channels.north]", "[channels.alpha]");
    let grid = run(&text).0.unwrap().grid;
    let names: Vec<&str> = grid.channels.iter().map(|channel| &*channel.name).collect();
    assert_eq!(names, ["zulu", "alpha"]);
}

#[test]
fn cycles_of_components_are_fine() {
    let text = add("[components.\"cloud:north\"]\nneeds = [\"region:north/one\"]");
    assert!(run(&text).0.is_some());
}

#[test]
fn every_kind_of_component_is_closed_over() {
    // A lab's account is paid for by one card, the edge is reached by one network, and so on: each needs the next.
    let kinds = super::components::KINDS;
    let name = |kind: &str| format!("{kind}:{}-own", kind.replace(':', "-"));
    let mut text = swap(
        "[\"lab:acme\", \"cloud:north\"]",
        &format!("[\"{}\"]", name(kinds[0])),
    );
    for pair in kinds.windows(2) {
        let _ = writeln!(
            text,
            "[components.\"{}\"]\nneeds = [\"{}\"]",
            name(pair[0]),
            name(pair[1])
        );
    }
    let (checked, report) = run(&text);
    assert_eq!(report.render(Look::Plain), "");
    let grid = Snapshot::build(checked.unwrap().grid, [0; 32]).unwrap();
    for kind in [
        "account", "cloud", "edge", "identity", "lab", "licence", "payment", "region",
    ] {
        assert!(kinds.contains(&kind), "{kind} is named in the documentation");
        let component = grid.component_named(&name(kind)).unwrap();
        assert!(
            grid.channels[0].components.contains(component),
            "{kind} is reached"
        );
        assert!(!grid.channels[1].components.contains(component));
    }
}

#[test]
fn a_version_of_a_model_is_taken_over() {
    let with = |version: &str| {
        swap(
            "price = \"unknown\"",
            &format!("price = \"unknown\", version = \"{version}\""),
        )
    };
    let grid = run(&with("2026-06-01")).0.unwrap().grid;
    let versions: Vec<_> = grid.channels[0]
        .models
        .iter()
        .map(|served| served.version.as_deref())
        .collect();
    assert_eq!(versions, [None, Some("2026-06-01")]);
    assert!(run(&with("last week")).0.is_none(), "no name");
}

#[test]
fn no_report_shows_a_secret() {
    let texts = [
        swap("{ env = \"ACME_KEY\" }", "\"hunter2-hunter2-hunter2\""),
        swap("{ env = \"ACME_KEY\" }", "{ env = \"hunter2-hunter2-hunter2\" }"),
        swap("https://models.example.org", "https://hunter2@models.example.org"),
        swap(
            "provider = \"openai\"",
            "provider = \"openai\"\npassword = \"hunter2\"",
        ),
        swap(
            "[labs.acme]",
            "# gsk_hunter2hunter2hunter2hunter2\n[labs.acme]\nx = 1",
        ),
    ];
    for text in texts {
        let (_, report) = run(&text);
        assert!(report.errors() > 0);
        for shown in [
            report.render(Look::Plain),
            report.render(Look::Color),
            serde_json::to_string(&report.json()).unwrap(),
        ] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}

#[test]
fn the_json_form_has_places() {
    let (_, report) = run(&swap("lab = \"acme\"", "lab = \"\u{e9}t\u{e9}\""));
    insta::assert_json_snapshot!(report.json());
}

#[test]
fn findings_beyond_the_limit_are_counted() {
    let lines: Vec<String> = (0..500).map(|ix| format!("unknown{ix} = 1\n")).collect();
    let text = lines.concat();
    let (checked, report) = run(&text);
    assert!(checked.is_none());
    assert_eq!(report.diagnostics().len(), crate::diagnose::DIAGNOSTICS_MAX);
    assert_eq!(
        report.json().left_off,
        301,
        "500 keys and the warning that there is no channel"
    );
    assert!(
        report
            .render(Look::Plain)
            .ends_with("tieline.toml: 200 errors, 301 more")
    );
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("latin1.toml"), b"[labs.a]\n# caf\xe9\n").unwrap();
    std::fs::write(path("utf16.toml"), b"\xff\xfe[\0").unwrap();
    std::fs::write(
        path("large.toml"),
        vec![b'\n'; usize::try_from(FILE_BYTES_MAX).unwrap() + 1],
    )
    .unwrap();
    let reports: Vec<String> = ["latin1.toml", "utf16.toml", "large.toml", "none.toml", "."]
        .iter()
        .map(|name| load(&path(name)).unwrap_err().render(Look::Plain))
        .map(|text| text.replace(folder.path().to_str().unwrap(), "DIR"))
        .collect();
    insta::assert_snapshot!(reports.join("\n\n"));
}

#[test]
fn the_shipped_grid_is_without_error_where_no_credential_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/public-grid.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let (checked, report) = check_text("public-grid.toml", &text, Path::new(""), &|_| None, &read);
    assert_eq!(report.errors(), 0, "{}", report.render(Look::Plain));
    let warnings: BTreeMap<&str, usize> =
        report
            .diagnostics()
            .iter()
            .fold(BTreeMap::new(), |mut counts, d| {
                *counts.entry(d.code.name()).or_default() += 1;
                counts
            });
    assert_eq!(
        warnings.keys().copied().collect::<Vec<_>>(),
        ["credential_missing", "provider_uncarried"],
        "{warnings:?}"
    );
    let checked = checked.unwrap();
    let grid = Snapshot::build(checked.grid.clone(), [0; 32]).unwrap();
    let share = |component: &str| -> u32 {
        let ix = grid.component_named(component).unwrap();
        let of = grid
            .channels
            .iter()
            .filter(|channel| channel.components.contains(ix));
        of.map(|channel| checked.weights[&channel.name]).sum()
    };
    assert_eq!(checked.weights.values().sum::<u32>(), 100);
    assert_eq!(share("cloud:aws"), 32);
    assert!(share("cloud:aws") + share("cloud:azure") + share("cloud:gcp") > 60);
    let of_anthropic = share("lab:anthropic");
    let through_the_cloud = of_anthropic - checked.weights["vertex-claude"];
    assert!(through_the_cloud * 2 > of_anthropic);
}

#[test]
fn every_code_has_a_number_of_its_own() {
    let numbers: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.number()).collect();
    let names: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!((numbers.len(), names.len()), (Code::ALL.len(), Code::ALL.len()));
    assert!(
        Code::ALL
            .iter()
            .all(|code| code.title().ends_with('.') && code.advice().ends_with('.'))
    );
}

#[test]
fn the_schema_names_every_table() {
    let schema = serde_json::to_value(raw::schema()).unwrap();
    let tables: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    let mut tables: Vec<&str> = tables.iter().map(|table| table.as_str()).collect();
    tables.sort_unstable();
    assert_eq!(
        tables,
        [
            "bars",
            "certificates",
            "channels",
            "components",
            "defaults",
            "gateway",
            "geoip",
            "identity",
            "labs",
            "ledger",
            "models",
            "policy",
            "pool",
            "prices"
        ]
    );
    assert_eq!(schema["additionalProperties"], false);
}

// === laws ===

/// A checked configuration exactly if there is no error; its grid builds; its report renders in every form.
fn holds_together(text: &str) {
    let (checked, report) = run(text);
    assert_eq!(
        checked.is_some(),
        report.errors() == 0,
        "{}",
        report.render(Look::Plain)
    );
    for look in [Look::Plain, Look::Color] {
        assert_eq!(report.render(look).is_empty(), report.diagnostics().is_empty());
    }
    for finding in report.json().findings {
        assert!(
            finding
                .place
                .is_none_or(|place| place.line >= 1 && place.column >= 1)
        );
        assert!(finding.severity == Severity::Error || finding.severity == Severity::Warning);
    }
    if let Some(checked) = checked {
        let grid = Snapshot::build(checked.grid.clone(), [0; 32]).unwrap();
        let wired: Vec<_> = checked.channels.iter().map(|wiring| &wiring.name).collect();
        let named: Vec<_> = grid.channels.iter().map(|channel| &channel.name).collect();
        assert_eq!(wired, named);
        let table: toml::Table = text.parse().unwrap();
        let count = |key: &str| {
            table
                .get(key)
                .and_then(|t| t.as_table())
                .map_or(0, toml::Table::len)
        };
        assert_eq!(
            [
                grid.channels.len(),
                grid.labs.len(),
                grid.models.len(),
                grid.pools.len()
            ],
            [count("channels"), count("labs"), count("models"), count("pool")],
            "nothing is lost"
        );
    }
}

/// Pieces that configurations are made of, and some that they are not.
fn pieces() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "[",
        "]",
        "[[",
        "{",
        "}",
        "=",
        ".",
        ",",
        "\"",
        "'",
        "\"\"\"",
        "\n",
        "\r\n",
        "\r",
        "#",
        " ",
        "\t",
        "\0",
        "\u{feff}",
        "-1",
        "0",
        "9",
        "1e25",
        "0x1f",
        "1979-05-27",
        "true",
        "nan",
        "_",
        "é",
        "\u{1F600}",
        "\u{202e}",
        "\\u0000",
        "[channels.a]\n",
        "[models.m]\n",
        "[pool.p]\n",
        "[labs.l]\n",
        "[components.\"cloud:c\"]\n",
        "[gateway]\n",
        "provider = \"ollama\"\n",
        "lab = \"l\"\n",
        "models = { m = \"x\" }\n",
        "models = [\"m\"]\n",
        "needs = []\n",
        "listen = \"127.0.0.1:0\"\n",
        "url = \"http://h\"\n",
        "credential",
        "sk-",
        "price",
        "weight = 1\n",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_is_checked(text in ".{0,200}") {
        holds_together(&text);
    }

    #[test]
    fn texts_of_pieces_are_checked(parts in prop::collection::vec(pieces(), 0..40)) {
        holds_together(&parts.concat());
    }

    #[test]
    fn an_edited_configuration_is_checked(
        at in any::<prop::sample::Index>(),
        len in 0..60_usize,
        parts in prop::collection::vec(pieces(), 0..4),
    ) {
        let borders: Vec<usize> = GOOD.char_indices().map(|(at, _)| at).collect();
        let start = *at.get(&borders);
        let end = (start + len).min(GOOD.len());
        let (before, after) = (GOOD.get(..start).unwrap(), GOOD.get(end..).unwrap());
        holds_together(&[before, &parts.concat(), after].concat());
    }

    #[test]
    fn swapped_lines_are_checked(a in 0..31_usize, b in 0..31_usize) {
        let mut lines: Vec<&str> = GOOD.lines().collect();
        let (a, b) = (a % lines.len(), b % lines.len());
        lines.swap(a, b);
        holds_together(&lines.join("\n"));
    }
}
