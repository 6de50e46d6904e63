//! From deployments and groups to channels, models and pools.
//!
//! A deployment is a channel. A group is a pool. tieline's pool lists models in order and spreads calls over the
//! channels of one model; LiteLLM spreads calls over the deployments of a group, and goes to the next group when all of
//! them fail. So deployments that stand for the same model are one model here exactly if every pool that has one of them
//! has the others in the same place; otherwise the model stands twice, under two names, each with its own channels.
//!
//! A call sees at most [`ROWS_MAX`] ways. Of more, those are kept that share least with those before them, for what
//! matters is what a loss leaves.

use std::collections::{BTreeMap, BTreeSet};

use tieline_core::ROWS_MAX;
use tieline_core::grid::CHANNELS_MAX;

use super::super::mapping::Remarks;
use super::super::yaml::Place;
use super::chain::{Groups, Link};
use super::deployment::{Deployment, Facts};
use super::diverse::diverse;
use super::file::Raw;
use super::model::{self, Maker};
use super::provider::Operator;
use super::way::{self, Way};
use crate::diagnose::{looks_secret, shown};

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) channels: Vec<Channel>,
    pub(super) models: Vec<Model>,
    pub(super) pools: Vec<Pool>,
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) components: Vec<String>,
    /// Index of the deployment.
    pub(super) deployment: usize,
    pub(super) name: String,
    /// The models that it serves.
    pub(super) served: Vec<Served>,
    pub(super) way: Way,
}

/// A model on a channel.
#[derive(Debug)]
pub(super) struct Served {
    /// Index of the model.
    pub(super) model: usize,
    pub(super) there: String,
}

#[derive(Debug)]
pub(super) struct Model {
    /// Of the first deployment that says anything.
    pub(super) facts: Facts,
    pub(super) maker: Maker,
    pub(super) name: String,
    /// The canonical name, which twins share.
    pub(super) of: String,
}

#[derive(Debug)]
pub(super) struct Pool {
    /// What applications ask for.
    pub(super) asked: String,
    /// Indexes of models, most wanted first.
    pub(super) models: Vec<usize>,
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) ways: usize,
}

/// What each pool reaches: links to entries of a list of ways.
struct Reach<'r> {
    groups: Groups<'r>,
    /// By pool: what it is asked by, and its ways with their ranks.
    pools: Vec<(String, Vec<Seat>)>,
    raw: &'r Raw,
    ways: Vec<Entry>,
}

/// An index with a rank: of a way in a pool, or of a pool that has a way.
type Seat = (usize, (usize, u64));

/// A deployment with one model.
struct Entry {
    /// The canonical name and its maker.
    identity: (String, Maker),
    link: Link,
    way: Way,
}

/// Lay the files out. `asked`: names that the log has.
pub(super) fn plan(raw: &Raw, asked: &BTreeSet<String>, remarks: &mut Remarks) -> Plan {
    let mut reach = Reach::new(raw, asked, remarks);
    reach.unify(remarks);
    for pool in 0..reach.pools.len() {
        reach.limit(pool, remarks);
    }
    let (models, of_way) = reach.models(remarks);
    let channels = reach.channels(&of_way);
    let pools = reach.into_pools(&models, &of_way);
    Plan {
        channels,
        models,
        pools,
    }
}

impl Plan {
    /// Say which models stand twice.
    pub(super) fn remark_twins(&self, raw: &Raw, remarks: &mut Remarks) {
        let mut twins: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (ix, model) in self.models.iter().enumerate() {
            twins.entry((model.maker.lab, &model.of)).or_default().push(ix);
        }
        let in_one_pool = |list: &Vec<usize>| {
            let twins = |pool: &Pool| pool.models.iter().filter(|model| list.contains(model)).count();
            self.pools.iter().any(|pool| twins(pool) > 1)
        };
        for ((_, of), list) in twins.iter().filter(|(_, list)| in_one_pool(list)) {
            let serves =
                |channel: &&Channel| channel.served.iter().any(|served| list.contains(&served.model));
            for channel in self.channels.iter().filter(serves) {
                let place = raw
                    .deployments
                    .get(channel.deployment)
                    .map(|deployment| deployment.place);
                remarks.assumed(
                    place.unwrap_or_default(),
                    format!("`{of}` stands {} times, for LiteLLM asks these deployments at different times or for different names", list.len()),
                    "a call that goes from one to another is counted as degraded, though the model is the same",
                );
            }
        }
    }
}

impl<'r> Reach<'r> {
    fn new(raw: &'r Raw, asked: &BTreeSet<String>, remarks: &mut Remarks) -> Self {
        let groups = Groups::new(raw);
        let mut names: Vec<String> = groups.names().iter().map(|name| (*name).to_owned()).collect();
        let known: BTreeSet<String> = names.iter().cloned().collect();
        names.extend(asked.iter().filter(|name| !known.contains(*name)).cloned());
        let mut reach = Self {
            groups,
            pools: Vec::new(),
            raw,
            ways: Vec::new(),
        };
        let mut index: BTreeMap<(usize, String), usize> = BTreeMap::new();
        for name in names {
            if reach.pools.len() >= CHANNELS_MAX || reach.ways.len() >= CHANNELS_MAX {
                remarks.not_mapped(
                    Place::default(),
                    format!("more names can be asked for than a grid holds ({CHANNELS_MAX})"),
                    "calls that ask for those beyond are left out",
                );
                break;
            }
            let links = reach.groups.chain(&name, remarks);
            let of_pool = links.into_iter().filter_map(|link| {
                let rank = link.rank;
                let key = (link.deployment, link.model.clone());
                let next = reach.ways.len();
                let ix = *index.entry(key).or_insert(next);
                if ix == next {
                    let deployment = raw.deployments.get(link.deployment)?;
                    reach.ways.push(Entry::new(deployment, link, remarks));
                }
                Some((ix, rank))
            });
            let of_pool: Vec<_> = of_pool.collect();
            if !of_pool.is_empty() {
                reach.pools.push((name, of_pool));
            }
        }
        reach.unused_patterns(remarks);
        reach
    }

    /// Patterns stand for no model until somebody asks for one.
    fn unused_patterns(&self, remarks: &mut Remarks) {
        let used: BTreeSet<usize> = self.ways.iter().map(|entry| entry.link.deployment).collect();
        for (pattern, list) in self.groups.patterns() {
            for deployment in list.iter().filter(|ix| !used.contains(ix)) {
                let place = self
                    .raw
                    .deployments
                    .get(*deployment)
                    .map(|deployment| deployment.place);
                remarks.not_mapped(
                    place.unwrap_or_default(),
                    format!(
                        "the pattern `{}` stands for any model, and none is asked for",
                        shown(pattern)
                    ),
                    "no channel stands for it; with --traffic, what the log asks for by it becomes a pool",
                );
            }
        }
    }

    /// Give every way the model that it stands for.
    fn unify(&mut self, remarks: &mut Remarks) {
        self.guess(remarks);
        let versions = self.versions();
        for entry in &mut self.ways {
            if let Some(dated) = versions.get(&entry.identity.0) {
                let deployment = self.raw.deployments.get(entry.link.deployment);
                remarks.assumed(
                    deployment.map(|deployment| deployment.place).unwrap_or_default(),
                    format!("`{}` means `{dated}`, the one version of it that is named", entry.identity.0),
                    "if it means another version, calls that go from one to the other are degraded and not moved",
                );
                entry.identity.0.clone_from(dated);
            }
        }
    }

    /// Models that a file does not tell are those of their group, or have its name.
    fn guess(&mut self, remarks: &mut Remarks) {
        let mut by_group: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for entry in &self.ways {
            if let (Some(model), Some(deployment)) =
                (&entry.way.model, self.raw.deployments.get(entry.link.deployment))
            {
                by_group.entry(&deployment.group).or_default().insert(model);
            }
        }
        let of_group = |group: &str| match by_group.get(group).map(|models| (models.len(), models.first())) {
            Some((1, Some(model))) => (*model).to_owned(),
            _ => model::as_name(&model::canonical(group)),
        };
        let guessed: Vec<Option<String>> = self
            .ways
            .iter()
            .map(|entry| {
                let deployment = self.raw.deployments.get(entry.link.deployment)?;
                entry.way.model.is_none().then(|| of_group(&deployment.group))
            })
            .collect();
        for (entry, guessed) in self.ways.iter_mut().zip(guessed) {
            let Some(name) = guessed else { continue };
            let Some(deployment) = self.raw.deployments.get(entry.link.deployment) else {
                continue;
            };
            remarks.assumed(
                deployment.place,
                format!(
                    "which model is behind this deployment of `{}` is not stated; it is taken to be `{name}`",
                    shown(&deployment.group)
                ),
                "state `model_info.base_model` to be sure",
            );
            let maker = model::maker(&name).or_else(|| by_operator(entry.way.operator));
            entry.take(name, maker);
        }
    }

    /// For names without a version of which the files have exactly one version: that one.
    fn versions(&self) -> BTreeMap<String, String> {
        let names: BTreeSet<&str> = self.ways.iter().map(|entry| entry.identity.0.as_str()).collect();
        let mut dated: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for name in &names {
            if let Some((bare, _)) = model::version(name) {
                dated.entry(bare).or_default().insert(name);
            }
        }
        let only = dated
            .iter()
            .filter(|(bare, list)| names.contains(*bare) && list.len() == 1);
        only.filter_map(|(bare, list)| Some(((*bare).to_owned(), (*list.first()?).to_owned())))
            .collect()
    }

    /// Keep as many ways of a pool as a call may see.
    fn limit(&mut self, pool: usize, remarks: &mut Remarks) {
        let Some((name, list)) = self.pools.get(pool).filter(|(_, list)| list.len() > ROWS_MAX) else {
            return;
        };
        let needs: Vec<BTreeSet<String>> = list
            .iter()
            .map(|(ix, _)| {
                self.ways
                    .get(*ix)
                    .map_or_else(BTreeSet::new, |entry| closed(&entry.way.components))
            })
            .collect();
        let kept = diverse(&needs);
        remarks.not_mapped(
            self.groups.place(name),
            format!("`{}` has {} ways, and a call sees {ROWS_MAX}", shown(name), list.len()),
            "those are kept that share least, so that what alone stops it is the same; what the others could carry is not \
             counted",
        );
        let list: Vec<_> = kept.iter().filter_map(|at| list.get(*at).copied()).collect();
        if let Some(pool) = self.pools.get_mut(pool) {
            pool.1 = list;
        }
    }

    /// The models, and the model of each way that a pool reaches.
    fn models(&self, remarks: &mut Remarks) -> (Vec<Model>, Vec<Option<usize>>) {
        // By way: the pools that have it, and where.
        let mut seats: Vec<Vec<Seat>> = vec![Vec::new(); self.ways.len()];
        for (pool, (_, list)) in self.pools.iter().enumerate() {
            for (ix, rank) in list {
                if let Some(seats) = seats.get_mut(*ix) {
                    seats.push((pool, *rank));
                }
            }
        }
        let mut classes: BTreeMap<(&str, &[Seat]), usize> = BTreeMap::new();
        let mut models: Vec<(Model, &str)> = Vec::new();
        let mut of_way = Vec::with_capacity(self.ways.len());
        for (entry, seats) in self.ways.iter().zip(&seats) {
            if seats.is_empty() {
                of_way.push(None);
                continue;
            }
            let (of, maker) = &entry.identity;
            let next = models.len();
            let ix = *classes.entry((of, seats)).or_insert(next);
            if ix == next {
                let deployment = self.raw.deployments.get(entry.link.deployment);
                let group = deployment.map_or("", |deployment| deployment.group.as_str());
                let model = Model {
                    facts: Facts::default(),
                    maker: *maker,
                    name: format!("{}:{of}", maker.lab),
                    of: of.clone(),
                };
                models.push((model, group));
            }
            of_way.push(Some(ix));
            let deployment = self.raw.deployments.get(entry.link.deployment);
            if let (Some((model, _)), Some(deployment)) = (models.get_mut(ix), deployment)
                && model.facts == Facts::default()
            {
                model.facts.clone_from(&deployment.facts);
            }
        }
        self.mixed(&of_way, remarks);
        (self.named(models), of_way)
    }

    /// Names that tell twins and pools apart.
    fn named(&self, models: Vec<(Model, &str)>) -> Vec<Model> {
        let mut taken: BTreeSet<String> = self.pools.iter().map(|(name, _)| model::as_name(name)).collect();
        let mut out = Vec::with_capacity(models.len());
        for (mut model, group) in models {
            if taken.contains(&model.name) {
                model.name = model::as_name(&format!("{}@{}", model.name, group.replace('*', "any")));
            }
            model.name = unique(&model.name, &mut taken);
            out.push(model);
        }
        out
    }

    /// Groups that spread calls over different models, which a pool asks in order.
    fn mixed(&self, of_way: &[Option<usize>], remarks: &mut Remarks) {
        for (name, list) in &self.pools {
            let mut by_rank: BTreeMap<(usize, u64), BTreeSet<usize>> = BTreeMap::new();
            // What a group falls back to spreads calls as that group does, which is said there.
            for (ix, rank) in list.iter().filter(|(_, rank)| rank.0 == 0) {
                by_rank
                    .entry(*rank)
                    .or_default()
                    .extend(of_way.get(*ix).copied().flatten());
            }
            if by_rank.values().any(|models| models.len() > 1) {
                remarks.not_mapped(
                    self.groups.place(name),
                    format!("`{}` spreads calls over different models", shown(name)),
                    "a pool asks one model after the other: with nothing gone all calls are with the first, and a loss of it \
                     shows as degraded; what is lost altogether is the same",
                );
            }
        }
    }

    fn channels(&self, of_way: &[Option<usize>]) -> Vec<Channel> {
        let mut index: BTreeMap<(usize, &str, Option<&str>), usize> = BTreeMap::new();
        let mut channels: Vec<Channel> = Vec::new();
        let mut taken = BTreeSet::new();
        for (entry, model) in self.ways.iter().zip(of_way) {
            let (Some(model), Some(deployment)) = (model, self.raw.deployments.get(entry.link.deployment))
            else {
                continue;
            };
            let key = (
                entry.link.deployment,
                entry.way.operator.prefix,
                entry.way.region.as_deref(),
            );
            let next = channels.len();
            let ix = *index.entry(key).or_insert(next);
            if ix == next {
                channels.push(Channel {
                    components: Vec::new(),
                    deployment: entry.link.deployment,
                    name: unique(&channel_name(deployment, entry), &mut taken),
                    served: Vec::new(),
                    way: entry.way.clone(),
                });
            }
            let Some(channel) = channels.get_mut(ix) else {
                continue;
            };
            for component in &entry.way.components {
                if !channel.components.contains(component) {
                    channel.components.push(component.clone());
                }
            }
            if channel.served.iter().all(|served| served.model != *model) {
                channel.served.push(Served {
                    model: *model,
                    there: entry.way.there.clone(),
                });
            }
        }
        shared_endpoints(&mut channels);
        channels
    }

    fn into_pools(self, models: &[Model], of_way: &[Option<usize>]) -> Vec<Pool> {
        let mut taken: BTreeSet<String> = models.iter().map(|model| model.name.clone()).collect();
        let mut pools = Vec::with_capacity(self.pools.len());
        for (asked, mut list) in self.pools {
            list.sort_by_key(|(_, rank)| *rank);
            let mut order: Vec<usize> = Vec::new();
            for model in list
                .iter()
                .filter_map(|(ix, _)| of_way.get(*ix).copied().flatten())
            {
                if !order.contains(&model) {
                    order.push(model);
                }
            }
            pools.push(Pool {
                models: order,
                name: unique(&model::as_name(&asked), &mut taken),
                place: self.groups.place(&asked),
                ways: list.len(),
                asked,
            });
        }
        pools
    }
}

impl Entry {
    fn new(deployment: &Deployment, link: Link, remarks: &mut Remarks) -> Self {
        let way = way::way(deployment, &link.model, remarks);
        let name = way.model.clone().unwrap_or_default();
        let maker = model::maker(&name).or_else(|| by_operator(way.operator));
        let mut entry = Self {
            identity: (String::new(), model::UNKNOWN),
            link,
            way,
        };
        entry.take(name, maker);
        entry
    }

    fn take(&mut self, name: String, maker: Option<Maker>) {
        let maker = maker.unwrap_or(model::UNKNOWN);
        let lab = format!("lab:{}", maker.lab);
        let needs_lab = maker.lab != model::UNKNOWN.lab && maker.weights != model::Weights::Open;
        if needs_lab && !name.is_empty() && !self.way.components.contains(&lab) {
            self.way.components.push(lab);
        }
        self.identity = (name, maker);
    }
}

/// Components with the clouds that their regions need.
fn closed(components: &[String]) -> BTreeSet<String> {
    let clouds = components.iter().filter_map(|name| super::write::cloud_of(name));
    components.iter().cloned().chain(clouds).collect()
}

/// Whose model it is if its name does not tell: a lab that sells its own, and OpenAI on Azure.
fn by_operator(operator: &Operator) -> Option<Maker> {
    let lab = match operator.seat {
        super::provider::Seat::Lab(lab) => lab,
        _ if operator.prefix == "azure" || operator.prefix == "azure_text" => "openai",
        _ => return None,
    };
    Some(Maker {
        lab,
        weights: model::Weights::Unknown,
    })
}

/// A component for each host that several channels of a cloud have: one resource, which can be lost alone.
fn shared_endpoints(channels: &mut [Channel]) {
    let mut hosts: BTreeMap<String, usize> = BTreeMap::new();
    for host in channels.iter().filter_map(endpoint) {
        *hosts.entry(host).or_default() += 1;
    }
    for channel in channels {
        if let Some(host) = endpoint(channel).filter(|host| hosts.get(host).is_some_and(|count| *count > 1)) {
            channel.components.push(host);
        }
    }
}

fn endpoint(channel: &Channel) -> Option<String> {
    let is_machine = channel
        .components
        .iter()
        .any(|component| component.starts_with("machine:"));
    let host = channel.way.host.as_deref().filter(|_| !is_machine)?;
    way::component("endpoint", host)
}

/// The id that the file gives, if it is a name; else who, where and what.
fn channel_name(deployment: &Deployment, entry: &Entry) -> String {
    let id = deployment.id.as_deref().filter(|id| is_name(id));
    if let Some(id) = id {
        return model::as_name(id);
    }
    let operator = if entry.way.operator.prefix.is_empty() {
        entry.way.host.as_deref().unwrap_or("other")
    } else {
        entry.way.operator.prefix
    };
    let place = entry
        .way
        .region
        .as_deref()
        .or_else(|| match entry.way.operator.prefix {
            "azure" | "azure_ai" | "azure_text" => entry.way.host.as_deref()?.split('.').next(),
            _ => None,
        });
    // A pattern serves many models.
    let model = Some(entry.identity.0.as_str()).filter(|_| !deployment.model.contains('*'));
    let parts = [Some(operator), place, model];
    let name: Vec<String> = parts.into_iter().flatten().map(way::part).collect();
    model::as_name(&name.join("-"))
}

/// Whether an id was given by people: no UUID, no hash, no number, no secret.
fn is_name(id: &str) -> bool {
    let is_hex = id.len() >= 32 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    id.len() <= 60 && id.bytes().any(|b| b.is_ascii_alphabetic()) && !is_hex && !looks_secret(id)
}

/// The name, with a number if it is taken.
fn unique(name: &str, taken: &mut BTreeSet<String>) -> String {
    let name = if name.is_empty() { "unnamed" } else { name };
    let mut found = name.to_owned();
    // At most one try more than there are names.
    for number in 2..=taken.len() + 2 {
        if taken.insert(found.clone()) {
            return found;
        }
        found = format!("{name}-{number}");
    }
    found
}
