//! LiteLLM's configurations, from the file to the grid: what each becomes, as text and as mapping.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tieline_core::Snapshot;

use super::litellm::{Converted, Import, Observed};

fn fixture(name: &str) -> PathBuf {
    tieline_testkit::fixtures::workspace_dir()
        .join("fixtures/litellm")
        .join(name)
}

fn open(names: &[&str], asked: &[&str]) -> crate::output::Result<Import> {
    let paths: Vec<PathBuf> = names.iter().map(|name| PathBuf::from(*name)).collect();
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let asked: BTreeSet<String> = asked.iter().map(|name| (*name).to_owned()).collect();
    Import::open(&paths, &asked, &|path| {
        std::fs::read(fixture(path.to_str().unwrap()))
    })
}

/// What a file becomes; the configuration that comes out is always one that tieline takes.
fn converted(names: &[&str], asked: &[&str]) -> Converted {
    let converted = open(names, asked).unwrap().convert(&Observed::new());
    let checked = super::checked("converted", &converted.toml)
        .unwrap_or_else(|failure| panic!("{}\n{}", failure.message, converted.toml));
    Snapshot::build(checked.grid, [0; 32]).unwrap();
    converted
}

fn golden(name: &str, names: &[&str], asked: &[&str]) {
    let converted = converted(names, asked);
    let text = format!(
        "{}\n{}\n\n{}",
        converted.mapping.head(),
        converted.mapping.text(),
        converted.toml
    );
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn a_group_over_two_providers() {
    golden("balance", &["balance.yaml"], &[]);
}

#[test]
fn clouds_with_fallbacks() {
    golden("clouds", &["clouds.yaml"], &[]);
}

#[test]
fn patterns_are_what_is_asked_for() {
    golden("patterns", &["patterns.yaml"], &[]);
    golden(
        "patterns_asked",
        &["patterns.yaml"],
        &[
            "openai/gpt-4o",
            "openai/gpt-4o-mini",
            "eu/anthropic.claude-sonnet-4-20250514-v1:0",
            "claude-3-5-haiku-20241022",
            "gpt-4o-mini",
        ],
    );
}

#[test]
fn files_that_include_and_servers_of_ones_own() {
    golden("team", &["team.yaml"], &[]);
}

#[test]
fn models_from_the_database() {
    golden("models", &["balance.yaml", "models.json"], &[]);
}

#[test]
fn no_secret_leaves_the_file() {
    let converted = converted(&["secrets.yaml"], &[]);
    let json = serde_json::to_string(&converted.mapping).unwrap();
    for out in [
        &converted.toml,
        &json,
        &converted.mapping.text(),
        &converted.mapping.head(),
    ] {
        assert!(!out.contains("LiteralSecret") && !out.contains("AKIA"), "{out}");
        assert!(
            !out.contains("OPENAI_API_KEY") || out.contains("credential = "),
            "{out}"
        );
    }
    let failure = open(&["broken.yaml"], &[]).unwrap_err();
    let said = format!("{} {:?}", failure.message, failure.hint);
    assert!(
        said.contains("broken.yaml:") && !said.contains("LiteralSecret"),
        "{said}"
    );
    golden("secrets", &["secrets.yaml"], &[]);
}

#[test]
fn a_price_that_is_none_is_named_and_not_only_missing() {
    let text = "model_list:\n\
                - model_name: chat\n  \
                  litellm_params: {model: openai/gpt-4o, input_cost_per_token: 3 cents, output_cost_per_token: 0.00001}\n";
    let read = |_: &Path| Ok(text.as_bytes().to_vec());
    let import = Import::open(&[Path::new("c.yaml")], &BTreeSet::new(), &read).unwrap();
    let said = import.convert(&Observed::new()).mapping.text();
    assert!(said.contains("`input_cost_per_token` is no price"), "{said}");
    assert!(said.contains("no price is stated"), "{said}");
}

#[test]
fn what_cannot_be_read_says_why() {
    let check = |text: &str, says: &str| {
        let read = |_: &Path| Ok(text.as_bytes().to_vec());
        let failure = Import::open(&[Path::new("c.yaml")], &BTreeSet::new(), &read).unwrap_err();
        assert!(failure.message.contains(says), "{text}: {failure:?}");
        assert_eq!(failure.code, 2);
    };
    check("", "not a table of settings");
    check("- a\n", "not a table of settings");
    check("model_list: []\n", "lists no model");
    check("a: [\n", "c.yaml:2:1 is not YAML");
    check(
        "model_list: [{model_name: '*', litellm_params: {model: '*'}}]\n",
        "nothing of c.yaml could be mapped",
    );
    check(
        "include: c.yaml\nmodel_list: [{model_name: a, litellm_params: {model: '*'}}]\ninclude: [a, b]\n",
        "",
    );
    let missing = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let failure = Import::open(&[Path::new("c.yaml")], &BTreeSet::new(), &missing).unwrap_err();
    assert!(failure.message.contains("there is no such file"), "{failure:?}");
    let large = |_: &Path| Ok(vec![b' '; 5 << 20]);
    let failure = Import::open(&[Path::new("c.yaml")], &BTreeSet::new(), &large).unwrap_err();
    assert!(failure.message.contains("larger than 4 MiB"), "{failure:?}");
}

/// Odd things that people write, and things that they do not.
const NAMES: [&str; 14] = [
    "chat",
    "gpt-4o",
    "openai:gpt-4o",
    "a b",
    "é",
    "*",
    "openai/*",
    "x/*/y",
    "",
    "..",
    "sk-abcdefghijklmnop0123",
    "hidden",
    "\u{202e}n",
    "a\nb",
];
const MODELS: [&str; 22] = [
    "openai/gpt-4o",
    "gpt-4o-2024-08-06",
    "azure/main",
    "azure/gpt-4o-eu",
    "azure_ai/x",
    "bedrock/",
    "openai/",
    "/",
    "*",
    "openai/*",
    "bedrock/arn:aws:bedrock:::x/y",
    "bedrock/us-east-1/anthropic.claude-v2:1",
    "vertex_ai/gemini@@",
    "ollama/a:b",
    "mystery/é\u{7f}",
    "watsonx/x",
    "oci/x.y",
    "sagemaker/e",
    "databricks/d",
    "together_ai/a/b/c",
    "ft:gpt-4o:o::1",
    "..",
];
const BASES: [&str; 12] = [
    "https://a.openai.azure.com/",
    "http://127.0.0.1:8080",
    "http://[::1]:8000/v1",
    "https://[::]",
    "h:99999",
    "http://-:1/",
    "https://x.example/a/../b",
    "os.environ/BASE",
    "https://u:p@h.example?k=v",
    "not a url",
    "https://eastus.api.cognitive.microsoft.com",
    "https://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.example",
];
const REGIONS: [&str; 7] = [
    "us-east-1",
    "os.environ/R",
    "global",
    "not a region",
    "",
    "eastus2",
    "é",
];
const NUMBERS: [&str; 8] = [
    "0",
    "1",
    "1e5",
    "18446744073709551616",
    "-1",
    "x",
    "3e-06",
    "99999",
];

fn entry() -> impl Strategy<Value = String> {
    let of = |list: &'static [&'static str]| prop::sample::select(list);
    (
        of(&NAMES), of(&MODELS), prop::option::of(of(&BASES)), prop::option::of(of(&REGIONS)), of(&NUMBERS), of(&NUMBERS),
        prop::option::of(of(&NAMES)),
    )
        .prop_map(|(name, model, base, region, number, cost, id)| {
            let said = |key: &str, value: Option<&str>| {
                value.map_or(String::new(), |value| format!("{}: {}, ", serde_json::json!(key), serde_json::json!(value)))
            };
            format!(
                "{{{}\"litellm_params\": {{{}{}{}\"rpm\": {number}, \"tpm\": {number}, \"order\": {number}, \
                 \"input_cost_per_token\": {cost}, \"output_cost_per_token\": {cost}, \"input_cost_per_token_above_128k_tokens\": {cost}}}, \
                 \"model_info\": {{{}}}}}",
                said("model_name", Some(name)),
                said("model", Some(model)),
                said("api_base", base),
                said("aws_region_name", region),
                said("id", id).trim_end_matches(", "),
            )
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// Whatever stands in the file, what comes out is a configuration, or the file is refused for what it lacks.
    #[test]
    fn what_is_imported_is_always_a_configuration(
        entries in prop::collection::vec(entry(), 1..14),
        fallbacks in prop::collection::vec((prop::sample::select(&NAMES[..]), prop::sample::select(&NAMES[..])), 0..5),
        asked in prop::collection::btree_set(prop::sample::select(&MODELS[..]), 0..4),
    ) {
        let fallbacks: Vec<String> = fallbacks
            .iter()
            .map(|(from, to)| serde_json::json!({ *from: [to] }).to_string())
            .collect();
        let text = format!(
            "{{\"model_list\": [{}], \"litellm_settings\": {{\"fallbacks\": [{}]}}}}",
            entries.join(", "),
            fallbacks.join(", ")
        );
        let read = |_: &Path| Ok(text.clone().into_bytes());
        let asked = asked.into_iter().map(str::to_owned).collect();
        match Import::open(&[Path::new("c.yaml")], &asked, &read) {
            Ok(import) => {
                let converted = import.convert(&Observed::new());
                let checked = super::checked("converted", &converted.toml);
                let checked = checked.map_err(|failure| TestCaseError::fail(format!("{}\n{text}\n{}", failure.message, converted.toml)))?;
                prop_assert!(Snapshot::build(checked.grid, [0; 32]).is_ok());
                prop_assert!(!converted.toml.contains("sk-abcdefgh"), "{}", converted.toml);
                let mapping = serde_json::to_string(&converted.mapping).unwrap();
                prop_assert!(!mapping.contains("sk-abcdefgh"), "{mapping}");
            }
            Err(failure) => prop_assert_eq!(failure.code, 2, "{:?}", failure),
        }
    }
}
