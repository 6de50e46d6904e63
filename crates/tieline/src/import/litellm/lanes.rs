//! Which channel answered a row of the spend log: by the id of its deployment if the files state it, else by group, model,
//! provider and address.
//!
//! LiteLLM makes ids that are not stated from the deployment with its credentials, so they cannot be told from the files.
//! Deployments that differ in nothing that the log shows are taken in the order in which their ids appear in it, which is
//! right for all that is said of clouds, regions and labs, and may be wrong for which of the alike it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use tieline_drill::Deployed;

use super::super::mapping::Remarks;
use super::file::Raw;
use super::model;
use super::plan::{Channel, Plan, Served};
use super::provider;

/// The channel and model of a call, by name.
pub(crate) type Lane = (Arc<str>, Arc<str>);

/// The lane of each.
pub(super) fn lanes(raw: &Raw, plan: &Plan, list: &[Deployed], remarks: &mut Remarks) -> Vec<Option<Lane>> {
    let mut alike: BTreeMap<Vec<(usize, usize)>, Vec<&str>> = BTreeMap::new();
    let lanes = list.iter().map(|deployed| {
        let found = candidates(raw, plan, deployed);
        let chosen = match found.as_slice() {
            [only] => *only,
            [first, rest @ ..] if rest.iter().all(|other| are_alike(plan, *first, *other)) => {
                let ids = alike.entry(found.clone()).or_default();
                let id = &*deployed.model_id;
                let place = ids.iter().position(|known| *known == id).unwrap_or(ids.len());
                if place == ids.len() {
                    ids.push(id);
                }
                *found.get(place % found.len())?
            }
            _ => return None,
        };
        named(plan, chosen)
    });
    let lanes = lanes.collect();
    for (channel, _) in alike.keys().flatten() {
        let deployment = plan
            .channels
            .get(*channel)
            .and_then(|channel| raw.deployments.get(channel.deployment));
        remarks.assumed(
            deployment.map(|deployment| deployment.place).unwrap_or_default(),
            "deployments that differ only in their credentials cannot be told apart in the log".to_owned(),
            "their calls are attributed in the order in which their ids appear; for clouds, regions and labs it is the same",
        );
    }
    lanes
}

/// Channels and models that may have answered, as indexes of the channel and of what it serves.
fn candidates(raw: &Raw, plan: &Plan, deployed: &Deployed) -> Vec<(usize, usize)> {
    let pool = plan.pools.iter().find(|pool| *pool.asked == *deployed.group);
    let in_pool = |served: &Served| pool.is_none_or(|pool| pool.models.contains(&served.model));
    let id = |channel: &Channel| raw.deployments.get(channel.deployment)?.id.as_deref();
    let all = || {
        plan.channels.iter().enumerate().flat_map(|(ix, channel)| {
            let served = channel.served.iter().enumerate();
            served.map(move |(at, served)| ((ix, at), channel, served))
        })
    };
    let stated = |channel: &Channel| !deployed.model_id.is_empty() && id(channel) == Some(&deployed.model_id);
    let by_id: Vec<_> = all()
        .filter(|(_, channel, served)| {
            stated(channel) && in_pool(served) && is_model(served, &deployed.model)
        })
        .map(|(ix, ..)| ix)
        .collect();
    if let [first, ..] = by_id.as_slice() {
        return vec![*first];
    }
    // A deployment whose id is stated has that id in the log.
    let may_be = |channel: &Channel| deployed.model_id.is_empty() || id(channel).is_none();
    let mut found: Vec<_> = all()
        .filter(|(_, channel, served)| {
            may_be(channel) && in_pool(served) && is_model(served, &deployed.model)
        })
        .collect();
    narrow(&mut found, |channel| {
        !deployed.provider.is_empty() && channel.way.operator.prefix == &*deployed.provider
    });
    let host = provider::host(&deployed.api_base);
    narrow(&mut found, |channel| host.is_some() && channel.way.host == host);
    // One that is at another address is not it.
    found.retain(|(_, channel, _)| host.is_none() || channel.way.host.is_none() || channel.way.host == host);
    found.into_iter().map(|(ix, ..)| ix).collect()
}

/// Keep those that hold, unless none does.
fn narrow<I>(found: &mut Vec<(I, &Channel, &Served)>, holds: impl Fn(&Channel) -> bool) {
    if found.iter().any(|(_, channel, _)| holds(channel)) {
        found.retain(|(_, channel, _)| holds(channel));
    }
}

/// Whether the log's name of a model is this one: as LiteLLM has it, or as the provider has.
fn is_model(served: &Served, name: &str) -> bool {
    if name.is_empty() || *served.asked == *name || *served.there == *name {
        return true;
    }
    let bare = |text: &str| model::canonical(text.split_once('/').map_or(text, |(_, rest)| rest));
    bare(&served.asked) == bare(name) || model::canonical(&served.there) == model::canonical(name)
}

fn are_alike(plan: &Plan, (a, at): (usize, usize), (b, bt): (usize, usize)) -> bool {
    let of = |ix: usize, served: usize| {
        let channel = plan.channels.get(ix)?;
        let served = channel.served.get(served)?;
        Some((
            &channel.components,
            channel.way.operator.prefix,
            &channel.way.region,
            served.model,
        ))
    };
    of(a, at) == of(b, bt)
}

fn named(plan: &Plan, (channel, served): (usize, usize)) -> Option<Lane> {
    let channel = plan.channels.get(channel)?;
    let model = plan.models.get(channel.served.get(served)?.model)?;
    Some((channel.name.as_str().into(), model.name.as_str().into()))
}
