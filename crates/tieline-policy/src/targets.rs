//! What a party may ask for, as rules see it: the models, channels, regions and end uses of one grid, by the indexes that
//! calls carry. Built once per grid; a question is then a handful of integers.

use std::collections::BTreeSet;
use std::sync::Arc;

use tieline_core::grid::{GridRecord, ModelRecord, Snapshot};
use tieline_core::{ChannelIx, ModelIx};

use crate::country::Country;
use crate::entity::{FactsError, Prepared};
use crate::facts::{Action, ChannelFacts, Facts, ModelFacts, PartyFacts};

/// Regions or end uses of one grid; more are refused. The clouds have about a hundred regions together.
pub const CODES_MAX: usize = 4_096;

/// The models, channels, regions and end uses of one grid.
#[derive(Debug)]
pub struct Targets {
    channels: Vec<Target<ChannelFacts>>,
    /// Sorted, as `regions` is.
    end_uses: Vec<Arc<str>>,
    models: Vec<Target<ModelFacts>>,
    regions: Vec<Arc<str>>,
}

/// A region by its number, or the channel's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionIx(pub(crate) u16);

/// An end use by its number, or that none is stated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndUseIx(pub(crate) u16);

/// Why there are no targets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetsError {
    #[error("the {what} `{name}` is under `{code}`, which is no country code")]
    Country {
        what: &'static str,
        name: Arc<str>,
        code: Arc<str>,
    },
    #[error("more than {CODES_MAX} regions or end uses")]
    TooMany,
    #[error(transparent)]
    Unreadable(#[from] FactsError),
}

/// Facts and the entity made of them.
#[derive(Debug)]
pub(crate) struct Target<F> {
    pub(crate) facts: F,
    pub(crate) prepared: Prepared,
}

impl RegionIx {
    /// Where the channel says that it processes its calls.
    pub const OWN: Self = Self(0);
}

impl EndUseIx {
    /// The call does not say what it is for.
    pub const UNSTATED: Self = Self(0);
}

impl Targets {
    /// From facts in the order of the grid's indexes, and the codes that calls may carry.
    pub fn new(
        models: Vec<ModelFacts>,
        channels: Vec<ChannelFacts>,
        regions: &[Arc<str>],
        end_uses: &[Arc<str>],
    ) -> Result<Self, TargetsError> {
        if regions.len().max(end_uses.len()) > CODES_MAX {
            return Err(TargetsError::TooMany);
        }
        let model = |facts: ModelFacts| Prepared::of_model(&facts).map(|prepared| Target { facts, prepared });
        let channel =
            |facts: ChannelFacts| Prepared::of_channel(&facts).map(|prepared| Target { facts, prepared });
        Ok(Self {
            channels: channels.into_iter().map(channel).collect::<Result<_, _>>()?,
            end_uses: sorted(end_uses),
            models: models.into_iter().map(model).collect::<Result<_, _>>()?,
            regions: sorted(regions),
        })
    }

    /// From a grid, so that its [`ModelIx`] and [`ChannelIx`] are the indexes here.
    pub fn of_grid(snapshot: &Snapshot, end_uses: &[Arc<str>]) -> Result<Self, TargetsError> {
        let record = &snapshot.record;
        let models = snapshot
            .models
            .iter()
            .filter_map(|m| record.models.iter().find(|r| r.name == m.name));
        let models = models
            .map(|model| model_facts(model, record))
            .collect::<Result<_, _>>()?;
        let channels = snapshot.channels.iter().map(|channel| {
            let stated = record.channels.iter().find(|known| known.name == channel.name);
            let country = |code: Option<&Option<Arc<str>>>| country("channel", &channel.name, code?.as_ref());
            Ok(ChannelFacts {
                components: (channel.components.iter())
                    .filter_map(|ix| snapshot.components.get(usize::from(ix.0)).cloned())
                    .collect(),
                name: channel.name.clone(),
                operator_jurisdiction: country(stated.map(|known| &known.operator_jurisdiction))
                    .transpose()?,
                provider: channel.provider.clone(),
                region: channel.region.clone(),
                region_country: country(stated.map(|known| &known.region_country)).transpose()?,
            })
        });
        let channels = channels.collect::<Result<Vec<_>, TargetsError>>()?;
        let regions: Vec<Arc<str>> = snapshot
            .channels
            .iter()
            .filter_map(|c| c.region.clone())
            .collect();
        Self::new(models, channels, &regions, end_uses)
    }

    pub fn region(&self, name: &str) -> Option<RegionIx> {
        index_of(&self.regions, name).map(RegionIx)
    }

    pub fn end_use(&self, name: &str) -> Option<EndUseIx> {
        index_of(&self.end_uses, name).map(EndUseIx)
    }

    /// The codes of end uses that calls may carry.
    pub fn end_uses(&self) -> &[Arc<str>] {
        &self.end_uses
    }

    /// In the order of the grid's indexes.
    pub fn models(&self) -> impl Iterator<Item = &ModelFacts> {
        self.models.iter().map(|target| &target.facts)
    }

    /// The facts of a question about a party of which nothing is known yet, in the channel's own region.
    pub fn question(&self, model: ModelIx, channel: ChannelIx, end_use: Option<&str>) -> Option<Facts> {
        let channel = &self.channel(channel)?.facts;
        Some(Facts {
            action: Action::Call,
            channel: channel.clone(),
            end_use: end_use.map(Arc::from),
            model: self.model(model)?.facts.clone(),
            party: PartyFacts::default(),
            region: channel.region.clone(),
        })
    }

    pub(crate) fn model(&self, ix: ModelIx) -> Option<&Target<ModelFacts>> {
        self.models.get(usize::from(ix.0))
    }

    pub(crate) fn channel(&self, ix: ChannelIx) -> Option<&Target<ChannelFacts>> {
        self.channels.get(usize::from(ix.0))
    }

    /// The stated region, or the channel's own; a number that was never given out is an unknown region.
    pub(crate) fn region_name<'a>(&'a self, ix: RegionIx, channel: &'a ChannelFacts) -> Option<&'a Arc<str>> {
        match ix.0.checked_sub(1) {
            None => channel.region.as_ref(),
            Some(at) => self.regions.get(usize::from(at)),
        }
    }

    pub(crate) fn end_use_name(&self, ix: EndUseIx) -> Option<&Arc<str>> {
        self.end_uses.get(usize::from(ix.0.checked_sub(1)?))
    }
}

/// Zero is taken by "none stated", so numbers begin with one.
fn index_of(sorted: &[Arc<str>], name: &str) -> Option<u16> {
    let at = sorted.binary_search_by(|known| (**known).cmp(name)).ok()?;
    u16::try_from(at + 1).ok()
}

fn sorted(names: &[Arc<str>]) -> Vec<Arc<str>> {
    names
        .iter()
        .cloned()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// The country of something that names one.
fn country(
    what: &'static str,
    name: &Arc<str>,
    code: Option<&Arc<str>>,
) -> Option<Result<Country, TargetsError>> {
    let code = code?;
    Some(Country::parse(code).map_err(|_| TargetsError::Country {
        what,
        name: name.clone(),
        code: code.clone(),
    }))
}

fn model_facts(model: &ModelRecord, record: &GridRecord) -> Result<ModelFacts, TargetsError> {
    let lab = record.labs.iter().find(|lab| lab.name == model.lab);
    let code = lab.and_then(|lab| lab.jurisdiction.as_ref());
    let lab_jurisdiction = country("lab", &model.lab, code);
    Ok(ModelFacts {
        lab: model.lab.clone(),
        lab_jurisdiction: lab_jurisdiction.transpose()?,
        name: model.name.clone(),
        training_flop: model.training_flop.clone(),
        weights: model.weights,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tieline_core::grid::{ChannelRecord, GRID_V1, LabRecord, ServedRecord, Weights};

    fn record(region_country: Option<&str>) -> GridRecord {
        let channel = ChannelRecord {
            components: vec!["cloud:aws".into()],
            dialect: tieline_core::Dialect::OpenaiChat,
            limits: tieline_core::Limits::default(),
            media_tokens_max: None,
            quota: None,
            models: vec![ServedRecord {
                price_list: None,
                model: "m".into(),
                name: "m".into(),
                price: None,
                version: None,
            }],
            name: "c".into(),
            operator_jurisdiction: Some("US".into()),
            provider: "bedrock".into(),
            region: Some("eu-central-1".into()),
            region_country: region_country.map(Arc::from),
        };
        GridRecord {
            channels: vec![channel],
            labs: vec![LabRecord {
                jurisdiction: Some("FR".into()),
                name: "l".into(),
            }],
            models: vec![ModelRecord {
                lab: "l".into(),
                name: "m".into(),
                weights: Weights::Closed,
                ..ModelRecord::default()
            }],
            prices: std::collections::BTreeMap::new(),
            t: GRID_V1.into(),
            ..GridRecord::default()
        }
    }

    #[test]
    fn a_grid_says_under_which_law_things_are_and_no_more() {
        let targets = |country| {
            Targets::of_grid(
                &Snapshot::build(Arc::new(record(country)), Default::default()).unwrap(),
                &[],
            )
        };
        let stated = targets(Some("DE")).unwrap();
        let channel = &stated.channels[0].facts;
        let code = |country: &Option<Country>| country.as_ref().map(Country::to_string);
        assert_eq!(code(&channel.region_country).as_deref(), Some("DE"));
        assert_eq!(code(&channel.operator_jurisdiction).as_deref(), Some("US"));
        assert_eq!(
            code(&stated.models[0].facts.lab_jurisdiction).as_deref(),
            Some("FR")
        );
        // No country follows from the name of a region.
        assert_eq!(targets(None).unwrap().channels[0].facts.region_country, None);
        let error = targets(Some("Germany")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the channel `c` is under `Germany`, which is no country code"
        );
    }
}
