//! Who answers what applications ask for, in which order: groups, aliases, patterns and fallbacks as LiteLLM follows
//! them.
//!
//! A name is a group, an alias of one, or matches the longest pattern
//! (`litellm/router_utils/pattern_match_deployments.py`). Where all of a group fail, its fallbacks are tried in order,
//! each with its own fallbacks, to a depth (`litellm/router_utils/fallback_event_handlers.py`, `run_async_fallback`); a
//! group without any takes those of `*`. A fallback may name a deployment by its id. Within a group, deployments of a
//! higher `order` come after those of a lower.

use std::collections::{BTreeMap, BTreeSet};

use super::super::mapping::Remarks;
use super::super::yaml::Place;
use super::deployment::Deployment;
use super::file::Raw;
use super::provider;
use super::settings::Fallback;
use crate::diagnose::shown;

/// Depth to which LiteLLM follows fallbacks unless told otherwise (`litellm/constants.py`, `ROUTER_MAX_FALLBACKS`).
const FALLBACKS_MAX: u64 = 5;

/// Wildcards of one pattern that are told apart; names have one or two.
const STARS_MAX: usize = 4;

/// A deployment as an answer to a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Index of the deployment.
    pub(super) deployment: usize,
    /// LiteLLM's name of the model, with a pattern's stars filled in.
    pub(super) model: String,
    /// First the place in the chain of groups, then the `order` in the group.
    pub(super) rank: (usize, u64),
}

/// What can be asked for.
#[derive(Debug)]
pub(super) struct Groups<'r> {
    exact: BTreeMap<&'r str, Vec<usize>>,
    ids: BTreeMap<&'r str, usize>,
    /// Patterns, most special first.
    patterns: Vec<(&'r str, Vec<usize>)>,
    raw: &'r Raw,
}

impl<'r> Groups<'r> {
    pub(super) fn new(raw: &'r Raw) -> Self {
        let mut exact: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut patterns: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut ids = BTreeMap::new();
        for (ix, deployment) in raw.deployments.iter().enumerate() {
            let group = deployment.group.as_str();
            let of = if group.contains('*') {
                &mut patterns
            } else {
                &mut exact
            };
            of.entry(group).or_default().push(ix);
            if let Some(id) = &deployment.id {
                ids.insert(id.as_str(), ix);
            }
        }
        let mut patterns: Vec<_> = patterns.into_iter().collect();
        patterns.sort_by_key(|(pattern, _)| std::cmp::Reverse((pattern.len(), stars(pattern))));
        Self {
            exact,
            ids,
            patterns,
            raw,
        }
    }

    /// The names that the files themselves have: groups in their order, then aliases.
    pub(super) fn names(&self) -> Vec<&'r str> {
        let mut seen = BTreeSet::new();
        let groups = self
            .raw
            .deployments
            .iter()
            .map(|deployment| deployment.group.as_str());
        let aliases = self.raw.settings.aliases.iter().map(|alias| alias.name.as_str());
        let names = groups.filter(|group| !group.contains('*')).chain(aliases);
        names.filter(|name| seen.insert(*name)).collect()
    }

    /// The patterns of the files.
    pub(super) fn patterns(&self) -> impl Iterator<Item = (&'r str, &[usize])> {
        self.patterns
            .iter()
            .map(|(pattern, list)| (*pattern, list.as_slice()))
    }

    /// Everything that may answer a name, in LiteLLM's order; empty if nothing may.
    pub(super) fn chain(&self, name: &str, remarks: &mut Remarks) -> Vec<Link> {
        let mut walk = Walk {
            depth_max: self.raw.settings.fallbacks_max.unwrap_or(FALLBACKS_MAX),
            links: Vec::new(),
            position: 0,
            seen: BTreeSet::new(),
            taken: BTreeSet::new(),
        };
        if self.members(name).is_empty() {
            return Vec::new();
        }
        self.walk(name, 0, &mut walk, remarks);
        walk.links.sort_by_key(|link| link.rank);
        walk.links
    }

    /// Take up a group and then its fallbacks; the depth is how many fallbacks lie before it, as LiteLLM counts them.
    fn walk(&self, name: &str, depth: u64, walk: &mut Walk, remarks: &mut Remarks) {
        if !walk.seen.insert(name.to_owned()) {
            return;
        }
        let position = walk.position;
        walk.position += 1;
        for (deployment, model) in self.members(name) {
            if walk.taken.insert((deployment, model.clone())) {
                let order = self
                    .raw
                    .deployments
                    .get(deployment)
                    .and_then(|deployment| deployment.order);
                walk.links.push(Link {
                    deployment,
                    model,
                    rank: (position, order.unwrap_or(0)),
                });
            }
        }
        let Some(fallback) = self.fallback(name).filter(|_| depth < walk.depth_max) else {
            return;
        };
        let mut depth = depth;
        for next in fallback.to.iter().filter(|next| *next != name) {
            depth += 1;
            if self.members(next).is_empty() {
                remarks.not_mapped(
                    fallback.place,
                    format!(
                        "the fallback `{}` is no group, no alias and no deployment",
                        shown(next)
                    ),
                    "it is not followed; LiteLLM would find nothing there either",
                );
                continue;
            }
            self.walk(next, depth, walk, remarks);
        }
    }

    /// The deployments of a name itself, without fallbacks.
    fn members(&self, name: &str) -> Vec<(usize, String)> {
        let own = |list: &[usize]| {
            let own = list
                .iter()
                .filter_map(|ix| Some((*ix, self.deployment(*ix)?.model.clone())));
            own.collect()
        };
        if let Some(list) = self.exact.get(name) {
            return own(list);
        }
        if let Some(ix) = self.ids.get(name) {
            return own(&[*ix]);
        }
        let alias = self.raw.settings.aliases.iter().rfind(|alias| alias.name == name);
        if let Some(list) = alias.and_then(|alias| self.exact.get(alias.target.as_str())) {
            return own(list);
        }
        let name = alias.map_or(name, |alias| alias.target.as_str());
        self.patterns
            .iter()
            .find_map(|(pattern, list)| {
                let parts = captures(pattern, name)?;
                let filled = list
                    .iter()
                    .filter_map(|ix| Some((*ix, filled(&self.deployment(*ix)?.model, &parts, name))));
                Some(filled.collect())
            })
            .unwrap_or_default()
    }

    /// The place where a name stands first.
    pub(super) fn place(&self, name: &str) -> Place {
        let of_alias = self.raw.settings.aliases.iter().find(|alias| alias.name == name);
        if let Some(alias) = of_alias.filter(|_| !self.exact.contains_key(name)) {
            return alias.place;
        }
        let first = self
            .members(name)
            .first()
            .and_then(|(ix, _)| self.deployment(*ix));
        first.map(|deployment| deployment.place).unwrap_or_default()
    }

    fn deployment(&self, ix: usize) -> Option<&'r Deployment> {
        self.raw.deployments.get(ix)
    }

    /// The fallbacks of a name: its own, those of the name without its provider, or those of every name.
    fn fallback(&self, name: &str) -> Option<&'r Fallback> {
        let fallbacks = &self.raw.settings.fallbacks;
        let of = |name: &str| fallbacks.iter().find(|fallback| fallback.from == name);
        let bare = name
            .split_once('/')
            .filter(|(prefix, _)| provider::find(prefix).is_some());
        of(name)
            .or_else(|| bare.and_then(|(_, bare)| of(bare)))
            .or(self.raw.settings.default_fallbacks.as_ref())
            .or_else(|| fallbacks.iter().rfind(|fallback| fallback.from == "*"))
    }
}

/// A walk through groups and their fallbacks.
struct Walk {
    depth_max: u64,
    links: Vec<Link>,
    position: usize,
    seen: BTreeSet<String>,
    taken: BTreeSet<(usize, String)>,
}

// === patterns ===

fn stars(pattern: &str) -> usize {
    pattern.bytes().filter(|b| *b == b'*').count()
}

/// What the stars of a pattern stand for in a name. As LiteLLM matches, from the beginning of the name, each star as far as
/// it can, and what follows the pattern is free.
fn captures<'n>(pattern: &str, name: &'n str) -> Option<Vec<&'n str>> {
    let mut parts = pattern.split('*');
    let rest = name.strip_prefix(parts.next()?)?;
    let parts: Vec<&str> = parts.collect();
    if parts.is_empty() || parts.len() > STARS_MAX {
        return None;
    }
    let mut found = Vec::new();
    matched(&parts, rest, &mut found).then_some(found)
}

fn matched<'n>(parts: &[&str], rest: &'n str, found: &mut Vec<&'n str>) -> bool {
    let Some((next, later)) = parts.split_first() else {
        return true;
    };
    if next.is_empty() && later.is_empty() {
        found.push(rest);
        return true;
    }
    let mut end = rest.len();
    while let Some(at) = rest.get(..end).and_then(|part| part.rfind(next)) {
        let (star, after) = rest.split_at(at);
        let after = after.get(next.len()..).unwrap_or_default();
        found.push(star);
        if matched(later, after, found) {
            return true;
        }
        found.pop();
        // Step back by one character, or give up at the beginning.
        let Some(before) = rest
            .get(..at + next.len())
            .and_then(|part| part.char_indices().next_back())
        else {
            return false;
        };
        end = before.0;
    }
    false
}

/// A model's pattern with its stars filled in; the name itself if it has fewer stars (`set_deployment_model_name`).
fn filled(model: &str, parts: &[&str], name: &str) -> String {
    if !model.contains('*') {
        return model.to_owned();
    }
    if parts.len() > stars(model) {
        return name.to_owned();
    }
    let mut out = model.to_owned();
    for part in parts {
        out = out.replacen('*', part, 1);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::settings::{Alias, Settings};
    use super::*;

    #[test]
    fn patterns_match_as_far_as_they_can() {
        let check = |pattern: &str, name: &str, expected: Option<&[&str]>| {
            assert_eq!(captures(pattern, name).as_deref(), expected, "{pattern} {name}");
        };
        check("*", "gpt-4o", Some(&["gpt-4o"]));
        check("openai/*", "openai/gpt-4o", Some(&["gpt-4o"]));
        check("openai/*", "azure/gpt-4o", None);
        check("*meta.llama3*", "eu-meta.llama3-70b", Some(&["eu-", "-70b"]));
        check("a/*::b::*", "a/x::b::y::b::z", Some(&["x::b::y", "z"]));
        check("a*b", "a1b2b3", Some(&["1b2"]));
        check("a*b", "a1", None);
        check("*é*", "aéb", Some(&["a", "b"]));
        check("*****", "abc", None);
        let models = |model: &str, parts: &[&str]| filled(model, parts, "asked");
        assert_eq!(models("openai/*", &["gpt-4o"]), "openai/gpt-4o");
        assert_eq!(models("openai/fixed", &["gpt-4o"]), "openai/fixed");
        assert_eq!(models("bedrock/meta*", &["x", "y"]), "asked");
    }

    fn raw() -> Raw {
        let deployment = |group: &str, model: &str, order: Option<u64>, id: Option<&str>| Deployment {
            group: group.to_owned(),
            id: id.map(str::to_owned),
            model: model.to_owned(),
            order,
            ..Deployment::default()
        };
        let fallback = |from: &str, to: &[&str]| Fallback {
            from: from.to_owned(),
            place: Place::default(),
            to: to.iter().map(|name| (*name).to_owned()).collect(),
        };
        Raw {
            deployments: vec![
                deployment("a", "openai/a", Some(2), None),
                deployment("a", "azure/a", Some(1), Some("eu")),
                deployment("b", "openai/b", None, None),
                deployment("c", "openai/c", None, None),
                deployment("azure/*", "azure/*", None, None),
            ],
            settings: Settings {
                aliases: vec![Alias {
                    name: "old".to_owned(),
                    place: Place::default(),
                    target: "a".to_owned(),
                }],
                fallbacks: vec![
                    fallback("*", &["c"]),
                    fallback("a", &["b", "azure/x"]),
                    fallback("b", &["a", "nobody", "eu"]),
                ],
                ..Settings::default()
            },
            ..Raw::default()
        }
    }

    #[test]
    fn chains_follow_fallbacks_in_depth() {
        let raw = raw();
        let groups = Groups::new(&raw);
        let mut remarks = Remarks::default();
        let mut check = |name: &str, expected: &[&str]| {
            let links = groups.chain(name, &mut remarks);
            let got: Vec<String> = links
                .iter()
                .map(|link| format!("{} {}.{}", link.model, link.rank.0, link.rank.1))
                .collect();
            assert_eq!(got, expected, "{name}");
        };
        check(
            "a",
            &[
                "azure/a 0.1",
                "openai/a 0.2",
                "openai/b 1.0",
                "openai/c 3.0",
                "azure/x 4.0",
            ],
        );
        check("old", &["azure/a 0.1", "openai/a 0.2", "openai/c 1.0"]);
        check(
            "b",
            &[
                "openai/b 0.0",
                "azure/a 1.1",
                "openai/a 1.2",
                "azure/x 2.0",
                "openai/c 3.0",
            ],
        );
        check("c", &["openai/c 0.0"]);
        check(
            "azure/b",
            &[
                "azure/b 0.0",
                "azure/a 1.1",
                "openai/a 1.2",
                "openai/b 2.0",
                "azure/x 4.0",
                "openai/c 5.0",
            ],
        );
        check("eu", &["azure/a 0.1", "openai/c 1.0"]);
        check("nobody", &[]);
        let (_, not_mapped) = remarks.finish(&["config.yaml".to_owned()]);
        assert_eq!(not_mapped.len(), 1, "{not_mapped:?}");
        assert_eq!(groups.names(), ["a", "b", "c", "old"]);
    }
}
