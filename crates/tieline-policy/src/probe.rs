//! A probe: some rules of some packs at one instant, whatever their status, and which of them apply to given facts. Unlike
//! a verdict it names every rule that applies, permits beside forbids: what explanations show and checks search with.

use std::collections::BTreeSet;

use cedar_policy::{AuthorizationError, Authorizer, PolicyId, PolicySet, Response};
use tieline_core::{Ruling, Tick};

use crate::country::Country;
use crate::entity::{Asked, Countries, FactsError, Prepared};
use crate::facts::{Facts, PartyFacts};
use crate::pack::{Pack, PackRule};
use crate::representative::Sets;

/// Rules that are asked together; a rule's number is its place in the list that the probe was made of.
#[derive(Debug)]
pub(crate) struct Probe {
    authorizer: Authorizer,
    countries: Countries,
    forbids: PolicySet,
    obliges: PolicySet,
    permits: PolicySet,
}

/// The rules, by number, that have something to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) applies: BTreeSet<usize>,
    /// Those that could not be evaluated.
    pub(crate) fails: BTreeSet<usize>,
}

impl Probe {
    /// `packs` hold the sets that the rules name.
    pub(crate) fn new(packs: &[Pack], rules: &[&PackRule], now: Tick) -> Self {
        let sets = Sets::at(packs, now).0;
        let names: Vec<(String, &BTreeSet<Country>)> =
            sets.iter().map(|(name, set)| (name.clone(), set)).collect();
        let (mut forbids, mut obliges, mut permits) = (PolicySet::new(), PolicySet::new(), PolicySet::new());
        for (ix, rule) in rules.iter().enumerate() {
            let set = match rule.ruling {
                Ruling::Allow if rule.obliges => &mut obliges,
                Ruling::Allow => &mut permits,
                Ruling::Deny | Ruling::Hold => &mut forbids,
            };
            // The ids are numbers of our own, so none is known to be refused.
            let _ = set.add(rule.policy.new_id(PolicyId::new(ix.to_string())));
        }
        Self {
            authorizer: Authorizer::new(),
            countries: Countries::new(&names),
            forbids,
            obliges,
            permits,
        }
    }

    /// What the rules say of `facts`, as far as the party's papers count for the question; of a party whose evidence is
    /// contradictory, in any of its worlds. Clearances are not looked at: a rule that was cleared still applies.
    pub(crate) fn ask(&self, facts: &Facts, now: Tick) -> Result<Found, FactsError> {
        let channel = Prepared::of_channel(&facts.channel)?;
        let model = Prepared::of_model(&facts.model)?;
        let asked = Asked::of(facts, &channel, &model);
        let mut found = Found::default();
        for world in &facts.party.for_question(&asked.subject(), now).worlds(now).each {
            self.ask_world(&asked, world, &mut found)?;
        }
        Ok(found)
    }

    fn ask_world(&self, asked: &Asked<'_>, party: &PartyFacts, found: &mut Found) -> Result<(), FactsError> {
        let (request, entities) = asked.request(&Prepared::of_party(party)?, &self.countries)?;
        for set in [&self.permits, &self.forbids, &self.obliges] {
            if !set.is_empty() {
                found.add(&self.authorizer.is_authorized(&request, set, &entities));
            }
        }
        Ok(())
    }
}

impl Found {
    fn add(&mut self, response: &Response) {
        let number = |id: &PolicyId| AsRef::<str>::as_ref(id).parse::<usize>().ok();
        self.applies
            .extend(response.diagnostics().reason().filter_map(number));
        let errors = response.diagnostics().errors();
        self.fails.extend(errors.filter_map(|error| match error {
            AuthorizationError::PolicyEvaluationError(failure) => number(failure.policy_id()),
        }));
    }
}
