//! `tieline policy explain`: the whole chain from facts to a ruling, for whoever may see it.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tieline_core::{Ruling, Tick};
use tieline_policy::{Chain, ChainRule, Deciding, Facts, Standing, Stands, chain_under};

use super::bench::{Field, Party, epoch, instant, overlay, packs, parties, ruling, time};
use super::report::{ChannelExplained, FactShown, PolicyExplained, StandingShown};
use crate::cli::{Cli, PolicyExplain};
use crate::load;
use crate::output::{self, Failure, Result};

pub(super) fn run(cli: &Cli, args: &PolicyExplain) -> Result<u8> {
    let now = instant(&args.at)?;
    let checked = load::checked_in(&cli.dir)?;
    let party = parties(&cli.dir, now)?
        .into_iter()
        .find(|party| party.id == args.party)
        .ok_or_else(|| {
            Failure::input(format!("there is no party `{}`", args.party))
                .with_hint("parties are named by their ids, as `tieline party list` shows them")
        })?;
    let epoch = epoch(packs(&checked.policy.packs)?, &checked.policy.enforce)?;
    let field = Field::new(&checked.grid)?;
    let overlay = overlay(&cli.dir, &epoch, now)?;
    let mut chains: Vec<(std::sync::Arc<str>, Chain)> = Vec::new();
    for facts in questions(&field, args)? {
        let facts = Facts {
            party: party.facts.clone(),
            ..facts
        };
        let chain = chain_under(&overlay, &epoch, &field.targets, &party.id, &facts, now);
        chains.push((facts.channel.name.clone(), chain));
    }
    // Channels with one ruling stay in the order of the configuration.
    chains.sort_by_key(|(_, chain)| chain.verdict.ruling);
    if cli.json {
        output::json(&report(args, &party, &chains, now))?;
        return Ok(0);
    }
    let mut text = facts_text(&party, now);
    for (ix, (channel, chain)) in chains.iter().enumerate() {
        if ix == 0 {
            text.push_str(&chain_text(args, channel, chain));
        } else {
            let _ = writeln!(text, "Over {channel}: {}.", verdict_text(chain));
        }
    }
    output::line(text)?;
    Ok(0)
}

/// What is asked, for each channel.
fn questions(field: &Field, args: &PolicyExplain) -> Result<Vec<Facts>> {
    let missing = |what: &str, name: &str| {
        Failure::input(format!("the configuration has no {what} `{name}`"))
            .with_hint("`tieline grid` and `tieline policy matrix` show its names")
    };
    let model = field
        .snapshot
        .model_named(&args.model)
        .ok_or_else(|| missing("model", &args.model))?;
    let column = field.columns.iter().find(|column| column.model == model);
    let mut channels = column.map(|column| column.channels.clone()).unwrap_or_default();
    if let Some(name) = &args.channel {
        let channel = field
            .snapshot
            .channel_named(name)
            .ok_or_else(|| missing("channel", name))?;
        channels.retain(|ix| *ix == channel);
        if channels.is_empty() {
            return Err(Failure::input(format!(
                "the channel `{name}` does not serve the model `{}`",
                args.model
            )));
        }
    }
    if channels.is_empty() {
        return Err(Failure::input(format!(
            "no channel serves the model `{}`",
            args.model
        )));
    }
    let question = |channel| field.targets.question(model, channel, args.end_use.as_deref());
    Ok(channels.into_iter().filter_map(question).collect())
}

/// Each fact with its evidence.
fn facts_of(party: &Party) -> Vec<FactShown> {
    let all = serde_json::to_value(&party.facts).unwrap_or_default();
    let mut facts: Vec<FactShown> = party
        .facts
        .names()
        .into_iter()
        .map(|name| {
            let evidence = party.evidence.iter().filter(|one| one.value.fact() == name);
            let text = name.to_string();
            FactShown {
                evidence: evidence.map(|one| json!(one)).collect(),
                expires_us: party.facts.expires.get(&name).map(|at| at.0),
                value: all.get(&text).cloned().unwrap_or(Value::Bool(true)),
                fact: text,
            }
        })
        .collect();
    facts.extend(party.facts.groups.iter().map(|group| FactShown {
        evidence: Vec::new(),
        expires_us: None,
        fact: format!("groups/{group}"),
        value: Value::Bool(true),
    }));
    facts.extend(party.facts.blocked.iter().map(|block| FactShown {
        evidence: vec![json!(block)],
        expires_us: None,
        fact: format!("blocked/{}", block.model),
        value: json!(format!(
            "by the channel {}, ticket {}",
            block.channel, block.ticket
        )),
    }));
    facts.extend(party.facts.also.iter().map(|other| FactShown {
        evidence: Vec::new(),
        expires_us: other.expires.map(|at| at.0),
        fact: format!("{}, contradicted by", other.value.fact()),
        value: json!(other.value),
    }));
    facts
}

fn report(
    args: &PolicyExplain,
    party: &Party,
    chains: &[(std::sync::Arc<str>, Chain)],
    now: Tick,
) -> PolicyExplained {
    let channel = |(channel, chain): &(std::sync::Arc<str>, Chain)| ChannelExplained {
        channel: channel.clone(),
        directives: chain.directives.iter().map(standing_shown).collect(),
        missing: chain.deciding.iter().map(|one| json!(one)).collect(),
        rules: chain.rules.iter().map(|rule| json!(rule)).collect(),
        ruled_by: chain.verdict.rules.iter().map(|rule| rule.id.clone()).collect(),
        ruling: ruling(chain.verdict.ruling),
        valid_until_us: chain.verdict.valid_until.map(|at| at.0),
    };
    PolicyExplained {
        schema: "tieline/policy-explain/v1",
        at_us: now.0,
        channels: chains.iter().map(channel).collect(),
        end_use: args.end_use.clone(),
        facts: facts_of(party),
        flags: party
            .flags
            .iter()
            .map(|flag| json!(format!("{flag:?}")))
            .collect(),
        model: args.model.clone(),
        name: party.name.clone(),
        party: party.id.clone(),
    }
}

fn standing_shown((directive, standing): &(std::sync::Arc<str>, Standing)) -> StandingShown {
    let facts = match standing {
        Standing::Undetermined(facts) => facts.iter().map(ToString::to_string).collect(),
        Standing::Exempt | Standing::Inside | Standing::Outside => Vec::new(),
    };
    StandingShown {
        directive: directive.clone(),
        facts,
        standing: match standing {
            Standing::Exempt => "exempt",
            Standing::Inside => "inside",
            Standing::Outside => "outside",
            Standing::Undetermined(_) => "undetermined",
        },
    }
}

fn facts_text(party: &Party, now: Tick) -> String {
    let mut text = format!("Party {} ({}), as of {}:\n", party.id, party.name, time(now));
    let facts = facts_of(party);
    if facts.is_empty() {
        text.push_str("  nothing is known of it\n");
    }
    for fact in &facts {
        let expires = match fact.expires_us.map(Tick) {
            Some(at) if at <= now => format!(", expired {}", time(at)),
            Some(at) => format!(", expires {}", time(at)),
            None => String::new(),
        };
        let _ = writeln!(text, "  {} = {}{expires}", fact.fact, fact.value);
        for evidence in party
            .evidence
            .iter()
            .filter(|one| one.value.fact().to_string() == fact.fact)
        {
            let held = if evidence.holds(now) { "" } else { ", expired" };
            let _ = writeln!(
                text,
                "    {} by {}, obtained {}{held}",
                evidence.kind.name(),
                evidence.issuer,
                time(evidence.obtained)
            );
        }
    }
    for flag in &party.flags {
        let _ = writeln!(text, "  red flag: {flag:?}");
    }
    text
}

fn verdict_text(chain: &Chain) -> String {
    let rules: Vec<&str> = chain.verdict.rules.iter().map(|rule| &*rule.id).collect();
    format!("{} by {}", ruling(chain.verdict.ruling), rules.join(", "))
}

fn chain_text(args: &PolicyExplain, channel: &str, chain: &Chain) -> String {
    let mut text = String::new();
    let end_use = args.end_use.as_ref();
    let end_use = end_use.map_or_else(String::new, |name| format!(" for {name}"));
    let _ = writeln!(
        text,
        "Model {} over {channel}{end_use}: {}.",
        args.model,
        verdict_text(chain)
    );
    for rule in chain
        .verdict
        .rules
        .iter()
        .filter(|rule| rule.id.starts_with("default/"))
    {
        let _ = writeln!(text, "  {}: {} ({})", rule.id, rule.reason, rule.citation);
    }
    for standing in chain.directives.iter().map(standing_shown) {
        let wants = match standing.facts.as_slice() {
            [] => String::new(),
            facts => format!(", for want of {}", facts.join(", ")),
        };
        let _ = writeln!(
            text,
            "  directive {}: {}{wants}",
            standing.directive, standing.standing
        );
    }
    let (enforced, others): (Vec<_>, Vec<_>) = chain.rules.iter().partition(|rule| rule.enforced);
    for rule in enforced {
        rule_text(&mut text, rule);
    }
    if let Some(until) = chain.verdict.valid_until {
        let _ = writeln!(text, "  It holds until {}.", time(until));
    }
    if !others.is_empty() {
        let _ = writeln!(text, "Rules whose status does not enforce would also apply:");
        for rule in others {
            rule_text(&mut text, rule);
        }
    }
    if chain.verdict.ruling != Ruling::Allow {
        deciding_text(&mut text, &chain.deciding);
    }
    text
}

fn rule_text(text: &mut String, rule: &ChainRule) {
    let word = match (rule.enforced, rule.ruling) {
        (true, _) if rule.obliges => "obliges",
        (false, _) if rule.obliges => "would oblige",
        (true, Ruling::Allow) => "permits",
        (true, Ruling::Hold) => "holds",
        (true, Ruling::Deny) => "denies",
        (false, Ruling::Allow) => "would permit",
        (false, Ruling::Hold) => "would hold",
        (false, Ruling::Deny) => "would deny",
    };
    let fails = match rule.stands {
        Stands::Applies => "",
        Stands::Cleared => " (cleared by an officer)",
        Stands::Fails => " (could not be evaluated)",
    };
    let title = rule.title.as_deref().map(|title| format!(": {title}"));
    let status = rule.status.name();
    let _ = writeln!(
        text,
        "  {} [{status}] {word}{fails}{}",
        rule.id,
        title.unwrap_or_default()
    );
    let _ = writeln!(text, "    {} ({})", rule.reason, rule.citation);
    if let Some(why) = &rule.unverified {
        let _ = writeln!(text, "    Unverified: {why}");
    }
    if let Some(remedy) = rule.remedy.as_ref().filter(|_| rule.ruling != Ruling::Allow) {
        let _ = writeln!(text, "    Remedy: {remedy}");
    }
}

fn deciding_text(text: &mut String, deciding: &[Deciding]) {
    if deciding.is_empty() {
        text.push_str("No missing fact that the rules read would change this.\n");
        return;
    }
    text.push_str("Missing facts that the rules read, and values that would change the ruling:\n");
    for one in deciding {
        if one.opens.is_empty() {
            let _ = writeln!(text, "  {}: no value of it alone", one.fact);
            continue;
        }
        for outcome in [Ruling::Allow, Ruling::Hold] {
            let values: Vec<String> = one
                .opens
                .iter()
                .filter(|opening| opening.ruling == outcome)
                .map(|opening| opening.value.to_string())
                .collect();
            if !values.is_empty() {
                let _ = writeln!(
                    text,
                    "  {}: {} with a value such as {}",
                    one.fact,
                    ruling(outcome),
                    values.join(", ")
                );
            }
        }
    }
}
