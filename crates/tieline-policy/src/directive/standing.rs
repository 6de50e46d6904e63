//! Where a party stands under a directive: outside, inside, exempt, or undetermined because its facts do not say.
//!
//! A missing fact is neither in favour of the party nor against others: every value of it that the directive's conditions
//! can tell apart is tried, all missing facts together. If each leads to the same side, the party stands there; if not, it
//! is undetermined, and the facts that turn the answer are named. At most [`ASSIGNMENTS_MAX`] assignments are tried;
//! beyond them, or where a condition cannot be evaluated, the party is undetermined. Licences and statements that a party
//! does not have are not missing facts: they are known not to be there. Of contradictory evidence each world is judged,
//! and the strictest standing counts.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy::{Authorizer, PolicyId, PolicySet};
use tieline_core::Tick;
use tieline_core::grid::Weights;

use super::{Directive, Effect, Reach, Selector};
use crate::alternative::FactValue;
use crate::country::Country;
use crate::entity::{Asked, Countries, FactsError, Prepared};
use crate::facts::{FactName, Facts, Kind, PartyFacts};
use crate::limits::Subject;
use crate::representative::{Reads, Sets, WORDS_MAX};
use crate::slice::Known;

/// Assignments of values to missing facts that one standing tries. At 10 µs each this is 3 ms, once for each set of facts,
/// model and channel, and only under a directive that touches the model. An unknown kind, person class and jurisdiction
/// under a letter about foreign persons are 16.
pub const ASSIGNMENTS_MAX: usize = 256;

const WHO: &str = "who";
const EXEMPT: &str = "exempt";

/// Where a question stands under one directive. The order is from lenient to strict.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It does not concern the model, the party, or this time.
    Outside,
    /// It would be inside, were the party not exempt.
    Exempt,
    /// The facts do not say; these would, and with none named it is a fact of the model, the channel or the call.
    Undetermined(BTreeSet<FactName>),
    Inside,
}

/// In which lists of a directive a party is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) exempt: bool,
    pub(crate) who: bool,
}

/// A directive made ready for standings: its conditions as policies, and what they read in each era.
#[derive(Debug)]
pub(crate) struct Weighed {
    pub(crate) directive: Arc<Directive>,
    /// By the instant at which the era begins.
    eras: Vec<(Tick, EraReads)>,
    policies: PolicySet,
}

/// What conditions read while the same sets hold.
#[derive(Debug)]
struct EraReads {
    exempt: Reads,
    /// A set that a condition names is not there.
    lacks_set: bool,
    who: Reads,
}

/// Whom one world's facts make the party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Outside,
    Exempt,
    Inside,
    /// A condition could not be evaluated.
    Fails,
}

/// A fact that is missing and is read, with the values that conditions tell apart.
struct Axis {
    /// `None`: of the model, the channel or the call.
    fact: Option<FactName>,
    values: Vec<Value>,
}

/// A value of a missing fact.
#[derive(Clone, Debug)]
enum Value {
    ChannelRegion(Arc<str>),
    Cloud(Arc<str>),
    EndUse(Arc<str>),
    Kind(Kind),
    LabJurisdiction(Country),
    OperatorJurisdiction(Country),
    Party(FactValue),
    Region(Arc<str>),
    RegionCountry(Country),
    TrainingEflop(i64),
    Weights(Weights),
}

/// The channel and the model of a question as entities, which most assignments share; `None` if they cannot be read.
struct Things(Option<(Prepared, Prepared)>);

/// What lists, groups and papers say of a party before any condition is asked.
#[derive(Clone, Copy)]
struct Certain {
    exempt: bool,
    who: bool,
}

impl Weighed {
    /// `eras` are the instants at which sets change, with the sets from then on.
    pub(crate) fn new(directive: Arc<Directive>, eras: &[(Tick, Sets)]) -> Self {
        let mut policies = PolicySet::new();
        let mut is_whole = true;
        for (selector, id) in [(&directive.who, WHO), (&directive.exempt, EXEMPT)] {
            if let Some(condition) = selector.as_ref().and_then(|one| one.condition.as_ref()) {
                // The two ids differ, so none is known to be refused.
                is_whole &= policies.add(condition.policy.new_id(PolicyId::new(id))).is_ok();
            }
        }
        let reads = |selector: &Option<Selector>, sets: &Sets| match selector
            .as_ref()
            .and_then(|s| s.condition.as_ref())
        {
            Some(condition) => {
                let lacks = condition.sets.iter().any(|name| !sets.0.contains_key(&**name));
                (Reads::of_policy(&condition.policy, &condition.sets, sets), lacks)
            }
            None => (Reads::default(), false),
        };
        let era = |(from, sets): &(Tick, Sets)| {
            let (who, who_lacks) = reads(&directive.who, sets);
            let (exempt, exempt_lacks) = reads(&directive.exempt, sets);
            let lacks_set = who_lacks || exempt_lacks || !is_whole;
            (
                *from,
                EraReads {
                    exempt,
                    lacks_set,
                    who,
                },
            )
        };
        Self {
            eras: eras.iter().map(era).collect(),
            policies,
            directive,
        }
    }

    /// The standing of a question at `now`. `facts` are those of the question, with `party` as it was interned.
    pub(crate) fn standing(
        &self,
        facts: &Facts,
        party: &PartyFacts,
        named: Named,
        countries: &Countries,
        now: Tick,
    ) -> Standing {
        let reach = self.directive.scope.reach(&facts.model);
        if reach == Reach::No || !self.directive.holds(now) {
            return Standing::Outside;
        }
        let at = self.eras.partition_point(|(from, _)| *from <= now);
        let Some((_, reads)) = at.checked_sub(1).and_then(|at| self.eras.get(at)) else {
            return Standing::Undetermined(BTreeSet::new());
        };
        let party = party.for_question(&subject(facts), now);
        let worlds = party.worlds(now);
        let mut found = Standing::Outside;
        for world in &worlds.each {
            found = found.stricter(self.in_world(facts, world, named, reads, countries));
        }
        if worlds.are_too_many {
            let doubted: BTreeSet<FactName> = party.also.iter().map(|other| other.value.fact()).collect();
            if doubted.iter().any(|fact| reads.reads(fact)) {
                found = found.stricter(Standing::Undetermined(doubted));
            }
        }
        match (reach, found) {
            (Reach::Unknown, Standing::Inside) => Standing::Undetermined(BTreeSet::new()),
            (_, found) => found,
        }
    }

    fn in_world(
        &self,
        facts: &Facts,
        party: &PartyFacts,
        named: Named,
        reads: &EraReads,
        countries: &Countries,
    ) -> Standing {
        let directive = &*self.directive;
        let in_group = |selector: &Option<Selector>| {
            selector
                .as_ref()
                .is_some_and(|one| !one.groups.is_disjoint(&party.groups))
        };
        let certain = Certain {
            exempt: named.exempt || in_group(&directive.exempt) || has_paper(&directive.effect, party),
            who: directive.who.is_none() || named.who || in_group(&directive.who),
        };
        let asks = |selector: &Option<Selector>| selector.as_ref().is_some_and(|one| one.condition.is_some());
        let asks_who = !certain.who && asks(&directive.who);
        let asks_exempt = !certain.exempt && asks(&directive.exempt);
        if !asks_who && !asks_exempt {
            return certain.side().standing();
        }
        // Spared for certain: a condition only says from what.
        let mut facts = facts.clone();
        facts.party = party.clone();
        let things = Things::new(&facts);
        if certain.exempt {
            return self.side(&facts, &things, certain, countries).standing();
        }
        let mut all = Reads::default();
        if asks_who {
            all.extend(&reads.who);
        }
        if asks_exempt {
            all.extend(&reads.exempt);
        }
        if reads.lacks_set {
            return Standing::Undetermined(BTreeSet::new());
        }
        let base = self.side(&facts, &things, certain, countries);
        let Some(axes) = axes(&all, &facts) else {
            return Standing::Undetermined(absent_names(&all, party));
        };
        if axes.is_empty() {
            return base.standing();
        }
        let sides = self.sides(&facts, &things, &axes, certain, countries);
        decide(base, &sides, &axes)
    }

    /// The side of each assignment, the first axis turning fastest.
    fn sides(
        &self,
        facts: &Facts,
        things: &Things,
        axes: &[Axis],
        certain: Certain,
        countries: &Countries,
    ) -> Vec<Side> {
        let count = axes.iter().map(|axis| axis.values.len()).product();
        let changes_things = axes.iter().any(|axis| axis.fact.is_none());
        (0..count)
            .map(|number| {
                let mut world = facts.clone();
                let mut rest: usize = number;
                for axis in axes {
                    if let Some(value) = axis.values.get(rest % axis.values.len().max(1)) {
                        value.clone().put(&mut world);
                    }
                    rest /= axis.values.len().max(1);
                }
                if let Some(side) = self.supposed_side(&world, certain, countries) {
                    return side;
                }
                if changes_things {
                    return self.side(&world, &Things::new(&world), certain, countries);
                }
                self.side(&world, things, certain, countries)
            })
            .collect()
    }

    fn side(&self, facts: &Facts, things: &Things, certain: Certain, countries: &Countries) -> Side {
        // What the call's own facts come to is for Cedar to say.
        let answers = things.0.as_ref().and_then(|(channel, model)| {
            let asked = Asked::of(facts, channel, model);
            self.ask(&asked, &facts.party, countries).ok()
        });
        let (who, exempt) = answers.unwrap_or((None, None));
        certain.side_with(who, exempt)
    }

    /// The side of facts that are supposed to see if a missing one matters, where looking facts up is enough to say; it
    /// is hundreds of times cheaper than asking Cedar.
    fn supposed_side(&self, world: &Facts, certain: Certain, countries: &Countries) -> Option<Side> {
        let known = Known::new(world, countries);
        let says =
            |selector: &Option<Selector>| match selector.as_ref().and_then(|one| one.condition.as_ref()) {
                Some(condition) => condition.guard.says(&known),
                None => Some(false),
            };
        let (who, exempt) = (says(&self.directive.who)?, says(&self.directive.exempt)?);
        Some(certain.side_with(Some(who), Some(exempt)))
    }

    /// Whether each condition applies; `None` for one that could not be evaluated. Cedar is asked unless both certainly
    /// do not.
    fn ask(
        &self,
        asked: &Asked<'_>,
        party: &PartyFacts,
        countries: &Countries,
    ) -> Result<(Option<bool>, Option<bool>), FactsError> {
        let known = asked.known(party, countries);
        let selectors = [&self.directive.who, &self.directive.exempt]
            .into_iter()
            .flatten();
        let mut conditions = selectors.filter_map(|one| one.condition.as_ref());
        if conditions.all(|condition| condition.guard.rules_out(&known)) {
            return Ok((Some(false), Some(false)));
        }
        let (request, entities) = asked.request(&Prepared::of_party(party)?, countries)?;
        let response = Authorizer::new().is_authorized(&request, &self.policies, &entities);
        let failed: Vec<String> = response
            .diagnostics()
            .errors()
            .map(|cedar_policy::AuthorizationError::PolicyEvaluationError(e)| e.policy_id().to_string())
            .collect();
        let applies = |id: &str| {
            let is_reason = response
                .diagnostics()
                .reason()
                .any(|one| AsRef::<str>::as_ref(one) == id);
            failed.iter().all(|one| one != id).then_some(is_reason)
        };
        Ok((applies(WHO), applies(EXEMPT)))
    }
}

/// What the scopes of licences and statements are held against.
fn subject(facts: &Facts) -> Subject<'_> {
    Subject {
        end_use: facts.end_use.as_deref(),
        lab: &facts.model.lab,
        model: &facts.model.name,
        region: facts.region.as_deref(),
        region_country: facts.channel.country_at(facts.region.as_deref()),
    }
}

/// Any one of the papers is enough.
fn has_paper(effect: &Effect, party: &PartyFacts) -> bool {
    match effect {
        Effect::Require { licences, statements } => {
            licences.iter().any(|name| party.holds_licence(name))
                || !statements.is_disjoint(&party.statements)
        }
        Effect::Deny | Effect::Hold => false,
    }
}

/// From the sides of all assignments to a standing.
fn decide(base: Side, sides: &[Side], axes: &[Axis]) -> Standing {
    let all = || sides.iter().copied().chain([base]);
    if all().all(|side| side == Side::Inside) {
        return Standing::Inside;
    }
    if all().all(|side| matches!(side, Side::Outside | Side::Exempt)) {
        return base.standing();
    }
    // A fact turns the answer if two assignments that differ in it alone lead to different sides.
    let refuses = |at: usize| {
        sides
            .get(at)
            .is_some_and(|side| matches!(side, Side::Inside | Side::Fails))
    };
    let mut turning = BTreeSet::new();
    let mut stride = 1;
    for axis in axes {
        let len = axis.values.len().max(1);
        let turns = (0..sides.len()).any(|at| {
            let digit = (at / stride) % len;
            digit > 0 && refuses(at) != refuses(at - digit * stride)
        });
        if turns {
            turning.insert(&axis.fact);
        }
        stride *= len;
    }
    // Only that nothing is known makes the difference: anything known would do.
    if turning.is_empty() {
        turning.extend(axes.iter().map(|axis| &axis.fact));
    }
    Standing::Undetermined(turning.into_iter().flatten().cloned().collect())
}

/// The missing facts that are read; `None` if they have more assignments than are tried.
fn axes(reads: &Reads, facts: &Facts) -> Option<Vec<Axis>> {
    let mut reads = reads.clone();
    if reads.compares {
        let channel = [
            &facts.channel.operator_jurisdiction,
            &facts.channel.region_country,
        ];
        let places = facts.party.countries().chain(&facts.model.lab_jurisdiction);
        reads
            .countries
            .extend(places.chain(channel.into_iter().flatten()).cloned());
        let words = [
            &facts.party.end_uses,
            &facts.party.listed,
            &facts.party.person_class,
        ];
        reads.texts.extend(words.into_iter().flatten().flatten().cloned());
        reads
            .texts
            .extend(facts.end_use.iter().chain(&facts.region).cloned());
    }
    let mut axes = call_axes(&reads, facts);
    // A set may hold words that no condition names: one stands for all of them.
    reads.texts.insert(unnamed(&reads.texts));
    for name in absent_names(&reads, &facts.party) {
        let is_words = matches!(name, FactName::EndUses | FactName::Listed | FactName::PersonClass);
        if is_words && reads.texts.len() > WORDS_MAX {
            return None;
        }
        let values: Vec<Value> = if name == FactName::Kind {
            Kind::ALL.into_iter().map(Value::Kind).collect()
        } else {
            reads.values(&name).into_iter().map(Value::Party).collect()
        };
        axes.push(Axis {
            fact: Some(name),
            values,
        });
    }
    // A fact of which no value is known to try cannot be tried.
    if axes.iter().any(|axis| axis.values.is_empty()) {
        return None;
    }
    let count = axes
        .iter()
        .try_fold(1_usize, |count, axis| count.checked_mul(axis.values.len()));
    (count? <= ASSIGNMENTS_MAX).then_some(axes)
}

/// Facts of the party that are read and missing; licences and statements are known.
fn absent_names(reads: &Reads, party: &PartyFacts) -> BTreeSet<FactName> {
    let known = party.names();
    let named = reads
        .attributes
        .iter()
        .filter_map(|name| FactName::try_from(name.clone()).ok());
    named.filter(|name| !known.contains(name)).collect()
}

/// What is read and missing of the model, the channel and the call.
fn call_axes(reads: &Reads, facts: &Facts) -> Vec<Axis> {
    let is_read = |name: &str| reads.attributes.contains(name);
    let countries = |of: fn(Country) -> Value| reads.countries.iter().cloned().map(of).collect();
    let texts = |of: fn(Arc<str>) -> Value| {
        reads
            .texts
            .iter()
            .cloned()
            .chain([unnamed(&reads.texts)])
            .map(of)
            .collect()
    };
    let mut out: Vec<Vec<Value>> = Vec::new();
    let (model, channel) = (&facts.model, &facts.channel);
    if is_read("end_use") && facts.end_use.is_none() {
        out.push(texts(Value::EndUse));
    }
    if is_read("region") && facts.region.is_none() {
        out.push(texts(Value::Region));
    }
    if is_read("region") && channel.region.is_none() {
        out.push(texts(Value::ChannelRegion));
    }
    if is_read("cloud") && channel.cloud().is_none() {
        out.push(texts(Value::Cloud));
    }
    if is_read("operator_jurisdiction") && channel.operator_jurisdiction.is_none() {
        out.push(countries(Value::OperatorJurisdiction));
    }
    if is_read("region_country") && channel.region_country.is_none() {
        out.push(countries(Value::RegionCountry));
    }
    if is_read("lab_jurisdiction") && model.lab_jurisdiction.is_none() {
        out.push(countries(Value::LabJurisdiction));
    }
    if is_read("training_eflop") && model.training_eflop().is_none() {
        let around = reads
            .numbers
            .iter()
            .flat_map(|n| [n.saturating_sub(1), *n, n.saturating_add(1)]);
        let values: BTreeSet<i64> = around.chain([0]).filter(|n| *n >= 0).collect();
        out.push(values.into_iter().map(Value::TrainingEflop).collect());
    }
    if is_read("weights") && model.weights == Weights::Unknown {
        out.push([Weights::Closed, Weights::Open].map(Value::Weights).into());
    }
    out.into_iter()
        .map(|values| Axis { fact: None, values })
        .collect()
}

/// A word that is none of these.
fn unnamed(texts: &BTreeSet<Arc<str>>) -> Arc<str> {
    let mut word = "other".to_owned();
    while texts.contains(&*word) {
        word.push('-');
    }
    Arc::from(word)
}

impl Value {
    fn put(self, facts: &mut Facts) {
        match self {
            Self::ChannelRegion(name) => facts.channel.region = Some(name),
            Self::Cloud(name) => drop(
                facts
                    .channel
                    .components
                    .insert(Arc::from(format!("cloud:{name}"))),
            ),
            Self::EndUse(name) => facts.end_use = Some(name),
            Self::Kind(kind) => facts.party.kind = Some(kind),
            Self::LabJurisdiction(code) => facts.model.lab_jurisdiction = Some(code),
            Self::OperatorJurisdiction(code) => facts.channel.operator_jurisdiction = Some(code),
            Self::Party(value) => facts.party.set(value),
            Self::Region(name) => facts.region = Some(name),
            Self::RegionCountry(code) => facts.channel.region_country = Some(code),
            Self::TrainingEflop(number) => {
                facts.model.training_flop = Some(Arc::from(format!("{number}e18")));
            }
            Self::Weights(weights) => facts.model.weights = weights,
        }
    }
}

impl Things {
    fn new(facts: &Facts) -> Self {
        let channel = Prepared::of_channel(&facts.channel).ok();
        Self(channel.zip(Prepared::of_model(&facts.model).ok()))
    }
}

impl Certain {
    /// With whether each condition applies.
    fn side_with(self, who: Option<bool>, exempt: Option<bool>) -> Side {
        let who = if self.who { Some(true) } else { who };
        let exempt = if self.exempt { Some(true) } else { exempt };
        match (who, exempt) {
            (Some(false), _) => Side::Outside,
            (_, Some(true)) => Side::Exempt,
            (Some(true), Some(false)) => Side::Inside,
            (None, _) | (_, None) => Side::Fails,
        }
    }

    fn side(self) -> Side {
        match (self.who, self.exempt) {
            (false, _) => Side::Outside,
            (true, true) => Side::Exempt,
            (true, false) => Side::Inside,
        }
    }
}

impl Side {
    fn standing(self) -> Standing {
        match self {
            Self::Outside => Standing::Outside,
            Self::Exempt => Standing::Exempt,
            Self::Inside => Standing::Inside,
            Self::Fails => Standing::Undetermined(BTreeSet::new()),
        }
    }
}

impl Standing {
    /// Of two worlds: the stricter one, and what either waits for.
    fn stricter(self, other: Self) -> Self {
        match (self, other) {
            (Self::Undetermined(mut one), Self::Undetermined(two)) => {
                one.extend(two);
                Self::Undetermined(one)
            }
            (one, two) => one.max(two),
        }
    }

    /// Whether the directive stands against it.
    pub const fn refuses(&self) -> bool {
        matches!(self, Self::Inside | Self::Undetermined(_))
    }

    pub const fn name(&self) -> &'static str {
        match self {
            Self::Outside => "outside",
            Self::Exempt => "exempt",
            Self::Undetermined(_) => "undetermined",
            Self::Inside => "inside",
        }
    }
}

impl EraReads {
    fn reads(&self, fact: &FactName) -> bool {
        let name = fact.to_string();
        let field = name.split('/').next().unwrap_or_default();
        [&self.who, &self.exempt]
            .iter()
            .any(|reads| reads.attributes.contains(field))
    }
}
