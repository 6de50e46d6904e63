//! The matrix: what each party may reach, model by model. A cell is the best ruling over the channels that serve the
//! model, with those channels and the rules that determine it there.
//!
//! Contract. A cell is the least strict of the verdicts of a [`crate::Judge`] over its channels, directives included; a
//! property test holds it to that. What no rule in force can tell apart is judged once: models and channels that differ in
//! nothing that any rule reads, and facts of the party that none reads. Nothing is kept between rows; rows may be made on
//! several threads. Cost: one evaluation for each pair of kinds of model and channel that occurs, and one for each pair
//! that a directive touches.

use std::collections::BTreeMap;
use std::sync::Arc;

use tieline_core::{ChannelIx, ModelIx, Rule, Ruling, Tick};

use crate::engine::{Epoch, Judged};
use crate::entity::Asked;
use crate::facts::{Action, ChannelFacts, ModelFacts, PartyFacts};
use crate::overlay::{Laid, Listed, Overlay};
use crate::posture::{Posture, PostureError};
use crate::representative::{Reads, Sets};
use crate::schema::Type;
use crate::targets::Targets;

/// A model, and the channels that serve it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub channels: Vec<ChannelIx>,
    pub model: ModelIx,
}

/// What a party may do with one model. The order of `rules` is that of a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The channels with this ruling, in the order of the column; all others are ruled more strictly.
    pub channels: Arc<[ChannelIx]>,
    /// Those of every channel above, each once.
    pub rules: Arc<[Rule]>,
    pub ruling: Ruling,
}

/// An epoch and a grid, ready to make rows.
#[derive(Debug)]
pub struct Matrix<'a> {
    columns: &'a [Column],
    end_use: Option<&'a str>,
    epoch: &'a Epoch,
    /// For each column and each of its channels, the number of the pair's kind.
    kinds: Vec<Vec<usize>>,
    laid: Option<Laid>,
    now: Tick,
    /// One pair of each kind.
    pairs: Vec<(ModelIx, ChannelIx)>,
    reads: Reads,
    targets: &'a Targets,
}

impl<'a> Matrix<'a> {
    /// `end_use` is what the calls say that they are for, if they say.
    pub fn new(
        epoch: &'a Epoch,
        targets: &'a Targets,
        columns: &'a [Column],
        end_use: Option<&'a str>,
        now: Tick,
    ) -> Self {
        let sets = Sets::at(epoch.packs(), now);
        let mut reads = Reads::default();
        for rule in epoch.rules() {
            reads.extend(&Reads::new(rule, &sets));
        }
        let mut out = Self {
            columns,
            end_use,
            epoch,
            kinds: Vec::with_capacity(columns.len()),
            laid: None,
            now,
            pairs: Vec::new(),
            reads,
            targets,
        };
        out.sort_into_kinds();
        out
    }

    /// With directives laid over.
    #[must_use]
    pub fn with_overlay(mut self, overlay: Arc<Overlay>) -> Self {
        self.laid = Laid::new(overlay, self.epoch, self.targets);
        self
    }

    /// A number that parties share whose rows are equal if their facts are; `None` for a party that shares its row with
    /// nobody.
    pub fn key(&self, party: &str) -> Option<u16> {
        self.laid
            .as_ref()
            .map_or(Some(0), |laid| laid.listed(party).number)
    }

    /// The cells of the party of this id in the order of the columns; `None` where no channel serves the model.
    pub fn row(&self, party: &str, facts: &PartyFacts) -> Result<Vec<Option<Cell>>, PostureError> {
        // Facts that cannot be read are refused whole, before some of them are left out.
        Posture::new(facts.clone())?;
        let listed = self.laid.as_ref().map(|laid| (laid, laid.listed(party)));
        let now = facts.at(self.now);
        // Papers and clearances may count for some models and places and not for others: then each is one of its kind.
        let by_names = Self::tells_names(&now);
        let judged: Vec<Judged> = if by_names {
            Vec::new()
        } else {
            let some = self.read_only(&now);
            self.pairs.iter().map(|pair| self.judge(&some, *pair)).collect()
        };
        // Most columns are of few kinds, and share their lists.
        let mut cells: BTreeMap<(&[usize], &[ChannelIx]), Option<Cell>> = BTreeMap::new();
        let columns = self.columns.iter().zip(&self.kinds);
        Ok(columns
            .map(|(column, kinds)| {
                let laid = listed.filter(|(laid, _)| laid.touches(column.model));
                if by_names || laid.is_some() {
                    return self.cell_by_names(column, kinds, &judged, (facts, &now), laid);
                }
                let key = (kinds.as_slice(), column.channels.as_slice());
                let cell = || best(&column.channels, kinds, &judged);
                cells.entry(key).or_insert_with(cell).clone()
            })
            .collect())
    }

    /// A cell for which names matter: those of the model and channels, or that of the party. `facts` are the party's,
    /// whole and as they are now.
    fn cell_by_names(
        &self,
        column: &Column,
        kinds: &[usize],
        judged: &[Judged],
        (facts, now): (&PartyFacts, &PartyFacts),
        laid: Option<(&Laid, Listed)>,
    ) -> Option<Cell> {
        let verdict = |(channel, kind): (&ChannelIx, &usize)| {
            let known = judged.get(*kind).cloned();
            let base = known.unwrap_or_else(|| self.judge(now, (column.model, *channel)));
            let question = self.targets.question(column.model, *channel, self.end_use);
            match (laid, question) {
                (Some((laid, listed)), Some(question)) => {
                    laid.combine(&base, &question, facts, listed, self.epoch, self.now)
                }
                _ => base,
            }
        };
        let verdicts: Vec<Judged> = column.channels.iter().zip(kinds).map(verdict).collect();
        let each: Vec<usize> = (0..verdicts.len()).collect();
        best(&column.channels, &each, &verdicts)
    }

    /// For each column and each of its channels, the number of its kind, and one pair of each kind: what no rule in force
    /// can tell apart has one number. It says nothing of directives, nor of parties whose papers or clearances count for
    /// some models or places alone ([`Matrix::tells_names`]).
    pub fn kinds(&self) -> (&[Vec<usize>], &[(ModelIx, ChannelIx)]) {
        (&self.kinds, &self.pairs)
    }

    /// Whether names of models and places matter to the facts of a party.
    pub fn tells_names(facts: &PartyFacts) -> bool {
        !facts.limits.is_empty() || !facts.cleared.is_empty() || !facts.blocked.is_empty()
    }

    pub const fn columns(&self) -> &'a [Column] {
        self.columns
    }

    /// The name of a model; empty for one that the grid does not have.
    pub fn model_name(&self, ix: ModelIx) -> Arc<str> {
        let target = self.targets.model(ix);
        target.map(|target| target.facts.name.clone()).unwrap_or_default()
    }

    /// The name of a channel; empty for one that the grid does not have.
    pub fn channel_name(&self, ix: ChannelIx) -> Arc<str> {
        let target = self.targets.channel(ix);
        target.map(|target| target.facts.name.clone()).unwrap_or_default()
    }

    fn judge(&self, facts: &PartyFacts, (model, channel): (ModelIx, ChannelIx)) -> Judged {
        let (Some(model), Some(channel)) = (self.targets.model(model), self.targets.channel(channel)) else {
            return self.epoch.unreadable(self.now);
        };
        let asked = Asked {
            action: Action::Call,
            channel: &channel.prepared,
            channel_facts: &channel.facts,
            end_use: self.end_use,
            model: &model.prepared,
            model_facts: &model.facts,
            region: channel.facts.region.as_deref(),
        };
        self.epoch.judge_party(facts, &asked, self.now)
    }

    fn sort_into_kinds(&mut self) {
        let mut known: BTreeMap<(String, String), usize> = BTreeMap::new();
        for column in self.columns {
            let model = self.targets.model(column.model);
            let model_kind = model.map(|target| self.model_kind(&target.facts));
            let mut kinds = Vec::with_capacity(column.channels.len());
            for channel in &column.channels {
                let facts = self.targets.channel(*channel);
                let channel_kind = facts.map(|target| self.channel_kind(&target.facts));
                let key = (
                    model_kind.clone().unwrap_or_default(),
                    channel_kind.unwrap_or_default(),
                );
                let next = self.pairs.len();
                let kind = *known.entry(key).or_insert(next);
                if kind == next {
                    self.pairs.push((column.model, *channel));
                }
                kinds.push(kind);
            }
            self.kinds.push(kinds);
        }
    }

    /// Everything of a model that rules could tell apart. Its lab is an entity that a rule may compare with another, so
    /// it stays.
    fn model_kind(&self, facts: &ModelFacts) -> String {
        let named = self.reads.named(Type::Model).any(|name| *name == facts.name);
        let mut facts = facts.clone();
        if !named {
            facts.name = Arc::from("");
        }
        format!("{facts:?}")
    }

    fn channel_kind(&self, facts: &ChannelFacts) -> String {
        let reads = |name: &str| self.reads.attributes.contains(name);
        // The attribute `channel` is that of the context, without which a rule sees nothing of the channel but the
        // region of the call.
        if !reads("channel") {
            let region = facts.region.as_ref().filter(|_| reads("region"));
            let country = facts.region_country.as_ref().filter(|_| reads("region_country"));
            return format!("{region:?} {country:?}");
        }
        let is_named = |of: Type, name: &Arc<str>| self.reads.named(of).any(|known| known == name);
        let mut facts = facts.clone();
        if !is_named(Type::Channel, &facts.name) {
            facts.name = Arc::from("");
        }
        let cloud = facts.cloud().map(str::to_owned);
        facts.components.retain(|name| is_named(Type::Component, name));
        format!("{facts:?} {cloud:?}")
    }

    /// The facts that some rule in force reads: the others change no verdict.
    fn read_only(&self, facts: &PartyFacts) -> PartyFacts {
        if !facts.also.is_empty() {
            // How many worlds there are counts, and that of facts that no rule reads too.
            return facts.clone();
        }
        let reads = |name: &str| self.reads.attributes.contains(name);
        // Every field is named, so that a new one has to say here whether rules see it. One that names models would
        // also have to be part of the kinds of models.
        let PartyFacts {
            also,
            blocked,
            class,
            cleared,
            counted,
            data_centre,
            end_uses,
            expires: _,
            groups,
            headquarters,
            jurisdiction,
            kind,
            licence_kinds,
            licences,
            limits,
            listed,
            parent_headquarters,
            person_class,
            statements,
        } = facts.clone();
        PartyFacts {
            also,
            blocked,
            class: class.filter(|_| reads("class")),
            cleared,
            counted,
            data_centre: data_centre.filter(|_| reads("data_centre")),
            end_uses: end_uses.filter(|_| reads("end_uses")),
            expires: BTreeMap::new(),
            groups: groups
                .into_iter()
                .filter(|group| self.reads.named(Type::Group).any(|name| name == group))
                .collect(),
            headquarters: headquarters.filter(|_| reads("headquarters")),
            jurisdiction: jurisdiction.filter(|_| reads("jurisdiction")),
            kind: kind.filter(|_| reads("kind")),
            licence_kinds,
            licences: Some(licences).filter(|_| reads("licences")).unwrap_or_default(),
            limits,
            listed: listed.filter(|_| reads("listed")),
            parent_headquarters: parent_headquarters.filter(|_| reads("parent_headquarters")),
            person_class: person_class.filter(|_| reads("person_class")),
            statements: Some(statements)
                .filter(|_| reads("statements"))
                .unwrap_or_default(),
        }
    }
}

/// The best ruling of a column; `None` without channels.
fn best(channels: &[ChannelIx], kinds: &[usize], judged: &[Judged]) -> Option<Cell> {
    let verdicts = || {
        let pairs = channels.iter().zip(kinds);
        pairs.filter_map(|(channel, kind)| Some((*channel, &judged.get(*kind)?.verdict)))
    };
    let ruling = verdicts().map(|(_, verdict)| verdict.ruling).min()?;
    let those = || verdicts().filter(|(_, verdict)| verdict.ruling == ruling);
    let (_, first) = those().next()?;
    let mut rules = first.rules.clone();
    for (_, verdict) in those() {
        let is_new = |rule: &&Rule| rules.iter().all(|known| known.id != rule.id);
        let new: Vec<Rule> = verdict.rules.iter().filter(is_new).cloned().collect();
        if !new.is_empty() {
            rules = rules.iter().cloned().chain(new).collect();
        }
    }
    Some(Cell {
        channels: those().map(|(channel, _)| channel).collect(),
        rules,
        ruling,
    })
}
