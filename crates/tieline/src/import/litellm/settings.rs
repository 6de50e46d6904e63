//! The settings of LiteLLM that say who answers when another is gone, and remarks on those that would change an answer and
//! are not mapped. What they mean is from their `docs/my-website/docs/proxy/config_settings.md` and `reliability.md`.

use std::sync::Arc;

use super::super::mapping::Remarks;
use super::super::yaml::{Node, Place};
use super::deployment::whole;
use super::file::Parts;
use super::price::decimal;
use crate::diagnose::shown;

/// What it means that tieline spreads calls in its own way.
pub(super) const SPREAD: &str = "with nothing gone, calls are spread over the channels of a model by tieline's own rule; what a loss leaves is the same";

/// What the settings say.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) aliases: Vec<Alias>,
    /// Fallbacks of every group that has none of its own.
    pub(super) default_fallbacks: Option<Fallback>,
    pub(super) fallbacks: Vec<Fallback>,
    /// Depth to which fallbacks of fallbacks are followed.
    pub(super) fallbacks_max: Option<u64>,
    pub(super) retries: Option<u64>,
    /// The limit of time of an attempt, in ms.
    pub(super) timeout_ms: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Alias {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) target: String,
}

#[derive(Debug)]
pub(super) struct Fallback {
    /// The group that falls back; `*` for every one that has no fallback of its own.
    pub(super) from: String,
    pub(super) place: Place,
    pub(super) to: Vec<String>,
}

/// Take over a section. Of two that say the same, `router_settings` counts, which is read last: it is what the router is
/// made with, and `litellm_settings` are what it takes otherwise (`litellm/router.py`).
pub(super) fn settings(node: &Arc<Node>, section: &str, raw: &mut Settings, remarks: &mut Remarks) {
    for (key, value) in node.entries().iter().filter(|(_, value)| !value.is_null()) {
        match &**key {
            "fallbacks" => raw.fallbacks = fallbacks(value, remarks),
            "default_fallbacks" => {
                raw.default_fallbacks = Some(Fallback {
                    from: "*".to_owned(),
                    place: value.place,
                    to: names(value),
                });
            }
            "model_group_alias" => aliases(value, raw),
            "num_retries" => raw.retries = whole(value).or(Some(0)),
            "max_fallbacks" => raw.fallbacks_max = whole(value),
            "timeout" | "request_timeout" => raw.timeout_ms = seconds(value).or(raw.timeout_ms),
            _ => other(key, value, section, remarks),
        }
    }
}

/// What a setting that is not mapped means for the answer; those that mean nothing for it are passed over.
fn other(key: &str, value: &Node, section: &str, remarks: &mut Remarks) {
    let means = match key {
        "content_policy_fallbacks" | "context_window_fallbacks" => {
            "LiteLLM follows it where a prompt is refused or too long, and not where a supplier is gone; so it is not followed"
        }
        "routing_strategy" if value.text() != Some("simple-shuffle") => SPREAD,
        "enable_tag_filtering" if value.is_true() => {
            "LiteLLM sends a call with tags to the deployments that have them; here every deployment of the group may answer, \
             so less may seem lost than would be"
        }
        "routing_groups" | "model_group_retry_policy" | "retry_policy" => {
            "what is tried first, and how often, follows the defaults"
        }
        "provider_budget_config" => "a channel whose budget is used up answers all the same here",
        "cache" if value.is_true() => {
            "LiteLLM answers from its cache without a channel; in the spend log such calls are told apart and left out"
        }
        "allowed_fails" | "cooldown_time" | "disable_cooldowns" | "allowed_fails_policy" => {
            "how long a failing channel is rested follows tieline's own rule; an element that is gone is gone from the first \
             call to the last"
        }
        _ => return,
    };
    let what = match key {
        "allowed_fails" | "allowed_fails_policy" | "cooldown_time" | "disable_cooldowns" => {
            "after which failures a deployment is rested, and how long".to_owned()
        }
        _ => format!("`{section}.{key}`"),
    };
    remarks.not_mapped(value.place, what, means);
}

/// `[{group: [group, …]}, …]`; as `get_fallback_model_group` in `litellm/router_utils/fallback_event_handlers.py` has it,
/// only the first key of each counts, and a bare name is the fallback of every group.
fn fallbacks(list: &Arc<Node>, remarks: &mut Remarks) -> Vec<Fallback> {
    let mut found = Vec::new();
    for item in list.one_or_more() {
        let fallback = match item.entries().first() {
            Some((from, to)) => (from.to_string(), names(to)),
            None => ("*".to_owned(), names(item)),
        };
        if fallback.1.is_empty() {
            remarks.not_mapped(
                item.place,
                format!("a fallback of `{}` names no group", shown(&fallback.0)),
                "it is not followed",
            );
            continue;
        }
        found.push(Fallback {
            from: fallback.0,
            place: item.place,
            to: fallback.1,
        });
    }
    found
}

/// Names of groups; one may stand in a table as `model`.
fn names(node: &Arc<Node>) -> Vec<String> {
    let name = |item: &Arc<Node>| {
        let inner = item.get("model").map_or(item.text(), |model| model.text());
        inner.map(str::to_owned)
    };
    node.one_or_more().iter().filter_map(name).collect()
}

fn aliases(node: &Node, raw: &mut Settings) {
    for (name, value) in node.entries() {
        let target = value.get("model").map_or(value.text(), |model| model.text());
        if let Some(target) = target {
            raw.aliases.push(Alias {
                name: name.to_string(),
                place: value.place,
                target: target.to_owned(),
            });
        }
    }
}

/// Seconds, perhaps with a fraction, in ms.
fn seconds(node: &Node) -> Option<u64> {
    let ms = decimal(node.text()?)?.scaled(3)?;
    (ms > 0).then_some(ms)
}

/// Parts of the gateway itself on which every call depends, and what else decides about calls.
pub(super) fn general(parts: &Parts, remarks: &mut Remarks) {
    if let Some(part) = parts.last("guardrails").filter(|part| !part.items().is_empty()) {
        remarks.not_mapped(
            part.place,
            "`guardrails`: services that look at calls on their way".to_owned(),
            "their own loss is not among the contingencies",
        );
    }
    let place = |section: &str, key: &str| Some(parts.last(section)?.get(key)?.place);
    let shared = place("general_settings", "database_url").or_else(|| place("router_settings", "redis_host"));
    if let Some(place) = shared {
        remarks.not_mapped(
            place,
            "LiteLLM's own database and cache".to_owned(),
            "their loss, and that of LiteLLM itself, is not among the contingencies, though all calls need it",
        );
    }
    let general = parts.last("general_settings");
    let in_database = general
        .as_ref()
        .and_then(|general| general.get("store_model_in_db"));
    if let Some(stored) = in_database.filter(|node| node.is_true() && !parts.values.contains_key("data")) {
        remarks.assumed(
            stored.place,
            "LiteLLM keeps models in its database too (`store_model_in_db`)".to_owned(),
            "those that are not in this file are missing here; give the answer of GET /model/info as a second --litellm",
        );
    }
}
