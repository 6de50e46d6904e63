//! The configuration as text: what a person would have written, with a comment on where each part is from and what was
//! assumed. It goes through the same check as any other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use tieline_core::ROWS_MAX;
use tieline_core::grid::COMPONENTS_MAX;

use super::super::mapping::{PriceBasis, Remarks, short, shown_place};
use super::super::yaml::Place;
use super::deployment::Deployment;
use super::file::Raw;
use super::model;
use super::plan::{Channel, Model, Plan};

/// The longest a call may take, in ms: the configuration's own bound.
const CALL_MS_MAX: u64 = 3_600_000;

/// The largest context that a configuration states.
const CONTEXT_MAX: u64 = 1_000_000_000;

/// Prices by channel and model, in pico-dollars a token of input and output, as a log's calls agree on them.
pub(crate) type Observed = BTreeMap<(String, String), (u64, u64)>;

/// The text, and where the price of each channel is from.
pub(super) fn toml(
    raw: &Raw,
    plan: &Plan,
    observed: &Observed,
    remarks: &mut Remarks,
) -> (String, Vec<PriceBasis>) {
    let files = short(&raw.files);
    let mut out = format!(
        "# What tieline takes {} to be (LiteLLM). Credentials are not carried over: each `credential` names\n\
         # where tieline would look. What is assumed is said by `tieline drill n-1 --litellm`.\n",
        files.join(", ")
    );
    gateway(plan, &mut out);
    defaults(raw, remarks, &mut out);
    labs(plan, &mut out);
    let kept = components(plan, remarks, &mut out);
    models(plan, &mut out);
    let mut basis = Vec::with_capacity(plan.channels.len());
    for channel in &plan.channels {
        let deployment = raw.deployments.get(channel.deployment);
        basis.push(deployment.map_or(PriceBasis::Unknown, |deployment| {
            self::channel(channel, deployment, plan, &files, (observed, &kept), &mut out)
        }));
    }
    pools(raw, plan, &files, &mut out);
    unpriced(raw, plan, &basis, remarks);
    (out, basis)
}

/// Other ports than the usual, where a channel listens on one of those on this machine.
fn gateway(plan: &Plan, out: &mut String) {
    let is_free = |port: &u16| {
        let taken = [format!(":{port}"), format!(":{}", port + 1)];
        let urls = plan
            .channels
            .iter()
            .filter_map(|channel| channel.way.url.as_deref());
        !urls
            .into_iter()
            .any(|url| taken.iter().any(|port| url.contains(port.as_str())))
    };
    match (8_080..60_000).step_by(1_000).find(is_free) {
        Some(8_080) | None => {}
        Some(port) => {
            let admin = port + 1;
            let _ = writeln!(
                out,
                "\n[gateway]\nlisten = \"127.0.0.1:{port}\"\nadmin = \"127.0.0.1:{admin}\""
            );
        }
    }
}

/// The limits of time of LiteLLM are those of an attempt; without any it waits for 6,000 s (`litellm/constants.py`).
fn defaults(raw: &Raw, remarks: &mut Remarks, out: &mut String) {
    if raw.settings.timeout_ms.is_none() {
        remarks.assumed(
            Place::default(),
            "no limit of time is stated".to_owned(),
            "LiteLLM waits for 6,000 s; a call may take an hour here, the longest that tieline waits",
        );
    }
    let ms = raw.settings.timeout_ms.unwrap_or(CALL_MS_MAX).min(CALL_MS_MAX);
    let call_ms = ms.saturating_mul(ROWS_MAX as u64).min(CALL_MS_MAX);
    let _ = writeln!(
        out,
        "\n[defaults]\ncall_ms = {call_ms}\nfirst_content_ms = {ms}\nhead_ms = {ms}\nidle_ms = {ms}\nwhole_ms = {ms}"
    );
}

fn labs(plan: &Plan, out: &mut String) {
    let labs: BTreeSet<&str> = plan.models.iter().map(|model| model.maker.lab).collect();
    out.push('\n');
    for lab in labs {
        let _ = writeln!(out, "[labs.{}]", key(lab));
        if let Some(country) = model::seat(lab) {
            let _ = writeln!(out, "jurisdiction = \"{country}\"");
        }
    }
}

/// Regions need their clouds. Gives the components that are kept: a grid holds [`COMPONENTS_MAX`].
fn components(plan: &Plan, remarks: &mut Remarks, out: &mut String) -> BTreeSet<String> {
    let named = plan
        .channels
        .iter()
        .flat_map(|channel| channel.components.iter().cloned());
    let mut kept: BTreeSet<String> = named.collect();
    let clouds: BTreeSet<String> = kept.iter().filter_map(|name| cloud_of(name)).collect();
    kept.extend(clouds);
    // The narrowest go first: what hangs on one host alone falls with its channels.
    for kind in ["endpoint:", "machine:", "region:"] {
        if kept.len() > COMPONENTS_MAX {
            kept.retain(|name| !name.starts_with(kind));
            remarks.not_mapped(
                Place::default(),
                format!("the components `{kind}…` are more than a grid holds ({COMPONENTS_MAX} in all)"),
                "their loss is not among the contingencies; that of each channel is",
            );
        }
    }
    out.push('\n');
    for name in &kept {
        if let Some(cloud) = cloud_of(name) {
            let _ = writeln!(out, "[components.{}]\nneeds = [{}]", key(name), text(&cloud));
        }
    }
    kept
}

/// `cloud:aws` of `region:aws/us-east-1`.
pub(super) fn cloud_of(component: &str) -> Option<String> {
    let (cloud, _) = component.strip_prefix("region:")?.split_once('/')?;
    Some(format!("cloud:{cloud}"))
}

fn models(plan: &Plan, out: &mut String) {
    for model in &plan.models {
        let Model {
            facts, maker, name, ..
        } = model;
        let _ = writeln!(
            out,
            "\n[models.{}]\nlab = {}\nweights = \"{}\"",
            key(name),
            text(maker.lab),
            maker.weights.word()
        );
        if let Some(context) = facts.context {
            let _ = writeln!(out, "context = {}", context.min(CONTEXT_MAX));
        }
        if !facts.reads.is_empty() {
            let reads = facts
                .reads
                .iter()
                .filter(|(_, does)| *does)
                .map(|(what, _)| *what);
            let reads: Vec<String> = std::iter::once("text").chain(reads).map(text).collect();
            let _ = writeln!(out, "modalities = [{}]", reads.join(", "));
        }
        if let Some(tools) = facts.tools {
            let _ = writeln!(out, "tools = {tools}");
        }
    }
}

/// Say of which channels the price is not, or not all of it, what the files say. Most prices stand in LiteLLM's own list,
/// which is no part of its configuration.
fn unpriced(raw: &Raw, plan: &Plan, basis: &[PriceBasis], remarks: &mut Remarks) {
    for (channel, basis) in plan.channels.iter().zip(basis) {
        let Some(deployment) = raw.deployments.get(channel.deployment) else {
            continue;
        };
        let (place, costs) = (deployment.place, &deployment.costs);
        for key in &costs.unread {
            remarks.not_mapped(
                place,
                format!("`{key}` is no price"),
                "it counts as not stated: a price is US dollars a token, such as 0.000003",
            );
        }
        if *basis != PriceBasis::Unknown {
            continue;
        }
        let (says, means) = if costs.is_by_time {
            (
                "it is charged by the second",
                "what it costs when calls go there is unknown: prices are by the token",
            )
        } else {
            (
                "no price is stated, and no call tells one",
                "what it costs when calls go there is unknown; the answer of GET /model/info as a second --litellm has the \
                 prices that LiteLLM knows",
            )
        };
        remarks.not_mapped(place, says.to_owned(), means);
    }
}

// === channels ===

fn channel(
    channel: &Channel,
    deployment: &Deployment,
    plan: &Plan,
    files: &[String],
    (observed, kept): (&Observed, &BTreeSet<String>),
    out: &mut String,
) -> PriceBasis {
    let way = &channel.way;
    let _ = writeln!(
        out,
        "\n# {}\n[channels.{}]\nprovider = \"{}\"",
        shown_place(deployment.place, files),
        key(&channel.name),
        way.provider
    );
    for (name, value) in [
        ("dialect", way.dialect),
        ("url", way.url.as_deref()),
        ("region", way.region.as_deref()),
    ] {
        if let Some(value) = value {
            let _ = writeln!(out, "{name} = {}", text(value));
        }
    }
    let needs: Vec<String> = channel
        .components
        .iter()
        .filter(|name| kept.contains(*name))
        .map(|name| text(name))
        .collect();
    let _ = writeln!(out, "components = [{}]", needs.join(", "));
    let _ = writeln!(out, "credential = {}", credential(way.provider));
    limits(deployment, out);
    let _ = writeln!(out, "[channels.{}.models]", key(&channel.name));
    let mut basis = PriceBasis::Stated;
    for served in &channel.served {
        let Some(model) = plan.models.get(served.model) else {
            continue;
        };
        let (price, from) = price(channel, model, deployment, observed);
        basis = basis.max(from);
        let comment = if from == PriceBasis::Observed {
            " # as the log's calls agree"
        } else {
            ""
        };
        let _ = writeln!(
            out,
            "{} = {{ name = {}, price = {price} }}{comment}",
            key(&model.name),
            text(&there(&served.there))
        );
    }
    basis
}

/// Stated, else observed, else unknown.
fn price(
    channel: &Channel,
    model: &Model,
    deployment: &Deployment,
    observed: &Observed,
) -> (String, PriceBasis) {
    let is_embedding = deployment.mode.as_deref() == Some("embedding");
    if let Some(stated) = deployment.costs.toml(is_embedding) {
        return (stated, PriceBasis::Stated);
    }
    match observed.get(&(channel.name.clone(), model.name.clone())) {
        Some((input, output)) => {
            let [input, output] = [input, output].map(|pico| super::price::per_million(*pico));
            let price = format!("{{ input = \"{input}\", output = \"{output}\" }}");
            (price, PriceBasis::Observed)
        }
        None => ("\"unknown\"".to_owned(), PriceBasis::Unknown),
    }
}

/// What LiteLLM counts by what calls use.
fn limits(deployment: &Deployment, out: &mut String) {
    let small = |n: Option<u64>| n.map(|n| n.min(u32::MAX.into()));
    let tokens = |n: Option<u64>| n.map(|n| n.min((1 << 53) - 1));
    let table = |pairs: &[(&str, Option<u64>)]| {
        let stated = pairs
            .iter()
            .filter_map(|(name, n)| Some(format!("{name} = {}", (*n)?)));
        stated.collect::<Vec<_>>().join(", ")
    };
    let limits = table(&[
        ("concurrency", small(deployment.parallel)),
        ("requests_per_minute", small(deployment.requests_per_minute)),
        ("tokens_per_minute", tokens(deployment.tokens_per_minute)),
    ]);
    if !limits.is_empty() {
        let _ = writeln!(out, "limits = {{ {limits} }}");
    }
    let quota = table(&[
        ("input_tokens_per_minute", tokens(deployment.input_per_minute)),
        ("output_tokens_per_minute", tokens(deployment.output_per_minute)),
    ]);
    if !quota.is_empty() {
        let _ = writeln!(out, "quota = {{ model = \"anthropic\", {quota} }}");
    }
}

fn credential(provider: &str) -> String {
    let env = crate::check::provider::find(provider).and_then(|provider| provider.credential_env);
    env.map_or("{ none = true }".to_owned(), |env| {
        format!("{{ env = \"{env}\" }}")
    })
}

/// A name of a model on a channel: no spaces, not empty, not endless, and no secret that stood there by mistake.
fn there(name: &str) -> String {
    let fit = |c: &char| !c.is_whitespace() && !c.is_control();
    let name: String = name.chars().filter(fit).take(200).collect();
    let is_secret = name
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))
        .any(crate::diagnose::looks_secret);
    if name.is_empty() || is_secret || name.len() > 256 {
        "unnamed".to_owned()
    } else {
        name
    }
}

fn pools(raw: &Raw, plan: &Plan, files: &[String], out: &mut String) {
    for pool in &plan.pools {
        let models = pool
            .models
            .iter()
            .filter_map(|ix| plan.models.get(*ix))
            .map(|model| text(&model.name));
        let retries = usize::try_from(raw.settings.retries.unwrap_or(0)).unwrap_or(ROWS_MAX);
        let attempts = pool.ways.max(retries.saturating_add(1)).clamp(1, ROWS_MAX);
        let _ = writeln!(
            out,
            "\n# {}\n[pool.{}]\nmodels = [{}]\nattempts_max = {attempts}",
            shown_place(pool.place, files),
            key(&pool.name),
            models.collect::<Vec<_>>().join(", ")
        );
    }
}

// === TOML ===

/// A string of TOML.
fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A key of TOML, quoted unless it can stand bare.
fn key(name: &str) -> String {
    let is_bare = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if is_bare { name.to_owned() } else { text(name) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn any_text_is_written_as_itself(value in "\\PC{0,40}|[\\x00-\\x7f]{0,20}") {
            let document = format!("a = {}", text(&value));
            let table: toml::Table = document.parse().unwrap();
            prop_assert_eq!(table.get("a").and_then(toml::Value::as_str), Some(value.as_str()));
        }
    }
}
