//! Lays the calls of a trace onto parties and pools: each goes to the first groups of the mapping that choose it, one
//! of them by its share; what neither trace nor group says is assumed, and counted as such.

use std::collections::BTreeMap;
use std::sync::Arc;

use tieline_core::record::Outcome;
use tieline_core::{Ask, Dialect, Span};

use super::mapping::{Asks, Chosen, Group, Mapping, Settings};
use super::row::{Row, RowAsk, Wrong};
use crate::arrivals::{BYTES_PER_TOKEN, Chance, MS_PER_TOKEN_ASSUMED, Purpose, TTFT_MS_ASSUMED, real, whole};
use crate::party::ANYONE;
use crate::traffic::{
    Asked, Builder, COST_KNOWN, KINDS_MAX, NO_LANE, NONE, STREAMED, TrafficCall, USAGE_KNOWN, Unserved,
    Window, flag, narrow,
};

/// Tokens of prompt and answer where neither trace nor mapping says them.
const PROMPT_ASSUMED: u32 = 1_000;
const OUTPUT_ASSUMED: u32 = 500;

/// What is said where [`KINDS_MAX`] is passed.
const TOO_VARIED: &str = "the parties so far, times what they ask for, are more than 100,000";
const LESS_VARIED: &str = "map them to fewer: [[groups]] with `party`, `pool` or `model`";

/// What was known of the calls that were taken, and of those that were not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) calls: u64,
    /// Whose cost the trace says.
    pub(super) costed: u64,
    /// Whose times are longer than a call can hold.
    pub(super) cut: u64,
    /// Beyond the window.
    pub(super) outside: u64,
    pub(super) read_from_cache: u64,
    /// Whose size the trace says.
    pub(super) sized: u64,
    /// Whose time the trace says.
    pub(super) timed: u64,
    /// Whose time and size neither trace nor mapping says.
    pub(super) untimed: u64,
    pub(super) unsized_calls: u64,
    /// That no group takes.
    pub(super) unmapped: u64,
    /// Whose party or ask the trace does not say and the mapping does not either.
    pub(super) whose_assumed: u64,
}

pub(super) struct Mapped<'a> {
    pub(super) builder: Builder<'a>,
    chance: Chance,
    default_ask: Option<Asked>,
    default_party: Option<Arc<str>>,
    /// What the mapping says, the groups with their defaults.
    groups: Vec<Settings>,
    /// What each group asks for, as far as it says.
    group_asks: Vec<Option<u32>>,
    /// Indexes of `names` by name: of pools or models, of models, of pools.
    asks: [BTreeMap<Arc<str>, u32>; 3],
    /// Whether it was said that there are too many kinds of calls.
    is_full: bool,
    /// Whether it was said that neither trace nor mapping names a party, or what is asked for.
    is_missed: [bool; 2],
    /// Kinds by group, party, ask and dialect.
    kinds: BTreeMap<(u32, u32, u32, Dialect), Option<u32>>,
    names: Vec<Asked>,
    pub(super) seen: Seen,
    /// The groups that choose alike, in the order of their first.
    tiers: Vec<Tier>,
    window: Window,
}

/// Groups that choose alike.
struct Tier {
    chosen: Chosen,
    /// Each with the shares up to it.
    groups: Vec<(f64, u32)>,
}

/// The calls of one file.
pub(super) struct FileCalls {
    chance: Chance,
    k: u64,
    /// Of the tiers those that may have calls of the file.
    tiers: Vec<usize>,
}

impl<'a> Mapped<'a> {
    pub(super) fn new(builder: Builder<'a>, mapping: &Mapping, chance: Chance, window: Window) -> Self {
        let mut tiers: Vec<Tier> = Vec::new();
        let default = [Group {
            share: 1.0,
            ..Group::default()
        }];
        let groups = if mapping.groups.is_empty() {
            &default[..]
        } else {
            &mapping.groups
        };
        for (group, ix) in groups.iter().zip(0_u32..) {
            let alike = tiers.iter_mut().find(|tier| tier.chosen == group.chosen);
            match alike {
                Some(tier) => {
                    let sum = tier.groups.last().map_or(0.0, |(sum, _)| *sum);
                    tier.groups.push((sum + group.share, ix));
                }
                None => tiers.push(Tier {
                    chosen: group.chosen.clone(),
                    groups: vec![(group.share, ix)],
                }),
            }
        }
        let groups: Vec<Settings> = groups
            .iter()
            .map(|group| group.settings.or(&mapping.defaults))
            .collect();
        let mut mapped = Self {
            default_ask: only_ask(&builder),
            default_party: only_party(&builder),
            asks: Default::default(),
            builder,
            chance,
            group_asks: Vec::new(),
            groups: Vec::new(),
            is_full: false,
            is_missed: [false; 2],
            kinds: BTreeMap::new(),
            names: Vec::new(),
            seen: Seen::default(),
            tiers,
            window,
        };
        for settings in &groups {
            let ask = settings.ask.as_ref().map(|asks| match asks {
                Asks::Model(name) => mapped.ask(RowAsk::Model(name)),
                Asks::Pool(name) => mapped.ask(RowAsk::Pool(name)),
            });
            mapped.group_asks.push(ask);
        }
        mapped.groups = groups;
        mapped
    }

    /// `again` is how many files of the name there were before.
    pub(super) fn file(&self, name: &str, again: usize) -> FileCalls {
        let may = self
            .tiers
            .iter()
            .enumerate()
            .filter(|(_, tier)| tier.chosen.has_file(name));
        FileCalls {
            chance: self.chance.of(&format!("{name} {again}")),
            k: 0,
            tiers: may.map(|(ix, _)| ix).collect(),
        }
    }

    /// Take a call, or say why not. Its time is that of the traffic.
    pub(super) fn row(&mut self, file: &mut FileCalls, row: &Row<'_>) -> Result<(), Wrong> {
        let k = file.k;
        file.k += 1;
        if !self.window.holds(row.at) {
            self.seen.outside += 1;
            return Ok(());
        }
        let Some(group) = self.group(file, row, k) else {
            self.seen.unmapped += 1;
            self.builder.traffic.left_out += 1;
            return Ok(());
        };
        let Some(kind) = self.kind(group, row)? else {
            self.builder.traffic.left_out += 1;
            return Ok(());
        };
        let lane = self.lane(row);
        if let Some(settings) = self
            .groups
            .get(group as usize)
            .filter(|_| self.builder.has_room())
        {
            let call = self.seen.call(row, settings, file.chance, k, kind, lane);
            self.builder.push(call);
        }
        Ok(())
    }

    /// The group that takes a call: of the first groups that choose it, one by its share.
    fn group(&self, file: &FileCalls, row: &Row<'_>, k: u64) -> Option<u32> {
        let ask = row.ask.map(RowAsk::name);
        let tiers = file.tiers.iter().filter_map(|ix| self.tiers.get(*ix));
        let tier = tiers
            .into_iter()
            .find(|tier| tier.chosen.has_call(row.party, ask, row.class))?;
        let sum = tier.groups.last()?.0;
        let at = file.chance.at(Purpose::Group, k).unit() * sum;
        let ix = tier.groups.partition_point(|(up_to, _)| *up_to <= at);
        tier.groups
            .get(ix)
            .or(tier.groups.last())
            .map(|(_, group)| *group)
    }

    /// What the call shares with others; none where why not was said before.
    fn kind(&mut self, group: u32, row: &Row<'_>) -> Result<Option<u32>, Wrong> {
        let Some(settings) = self.groups.get(group as usize) else {
            return Ok(None);
        };
        let dialect = row.dialect.or(settings.dialect).unwrap_or(Dialect::OpenaiChat);
        let class = settings.class.or(row.class);
        let party = match (&settings.party, row.party, &self.default_party) {
            (Some(party), _, _) | (None, None, Some(party)) => self.builder.party(party),
            (None, Some(party), _) => match self.builder.known_party(party) {
                Some(party) => party,
                None if self.kinds.len() >= KINDS_MAX => return self.full(),
                None => self.builder.party_named(party),
            },
            (None, None, None) => return self.missed(0),
        };
        let is_party_told = settings.party.is_some() || row.party.is_some();
        let group_ask = self.group_asks.get(group as usize).copied().flatten();
        let ask = match (group_ask, row.ask) {
            (Some(ask), _) => ask,
            (None, Some(ask)) if self.kinds.len() >= KINDS_MAX && self.known_ask(ask).is_none() => {
                return self.full();
            }
            (None, Some(ask)) => self.ask(ask),
            (None, None) => match self.default_ask.clone() {
                Some(Asked::Model(name)) => self.ask(RowAsk::Model(&name)),
                Some(Asked::Pool(name)) => self.ask(RowAsk::Pool(&name)),
                Some(Asked::Nothing) | None => return self.missed(1),
            },
        };
        if let Some(class) = class
            && let Err(known) = self.builder.classify(party, class)
        {
            let (known, class) = (known.name(), class.name());
            return Err(Wrong::line(format!(
                "the party is {known} elsewhere, and {class} here"
            )));
        }
        let is_told = is_party_told && (group_ask.is_some() || row.ask.is_some());
        self.seen.whose_assumed += u64::from(!is_told);
        let key = (group, party, ask, dialect);
        if let Some(known) = self.kinds.get(&key) {
            return Ok(*known);
        }
        if self.kinds.len() >= KINDS_MAX {
            return self.full();
        }
        let asked = self.names.get(ask as usize).cloned().unwrap_or(Asked::Nothing);
        let judged = self.builder.judged(party, &asked, dialect);
        self.kinds.insert(key, judged.ok());
        judged.map(Some).map_err(|why| self.unserved(why, party, &asked))
    }

    /// Say once that there are too many kinds of calls; nothing new is taken from there on.
    fn full(&mut self) -> Result<Option<u32>, Wrong> {
        if std::mem::replace(&mut self.is_full, true) {
            return Ok(None);
        }
        Err(Wrong::line(TOO_VARIED).hint(LESS_VARIED))
    }

    /// Say once that nobody says whose the calls are (0), or what they ask for (1).
    fn missed(&mut self, what: usize) -> Result<Option<u32>, Wrong> {
        let says = [
            "neither the trace nor a group of the mapping says whose the calls are",
            "neither the trace nor a group of the mapping says what the calls ask for",
        ];
        let hints = [
            "give a `party` in [defaults] or in a [[groups]] of the mapping",
            "give a `pool` or `model` in [defaults] or in a [[groups]] of the mapping",
        ];
        match (self.is_missed.get_mut(what), says.get(what), hints.get(what)) {
            (Some(is_missed @ false), Some(says), Some(hint)) => {
                *is_missed = true;
                Err(Wrong::line(*says).hint(hint))
            }
            _ => Ok(None),
        }
    }

    fn unserved(&self, why: Unserved, party: u32, asked: &Asked) -> Wrong {
        match (why, asked) {
            (Unserved::Ask, Asked::Model(name) | Asked::Pool(name)) => {
                let what = if matches!(asked, Asked::Model(_)) {
                    "model"
                } else {
                    "pool"
                };
                Wrong::line(format!("the grid has no {what} `{name}`"))
                    .hint("map it: [[groups]] with `from_ask` and `pool` or `model`")
            }
            (Unserved::Kinds, _) => Wrong::line(TOO_VARIED).hint(LESS_VARIED),
            (Unserved::Ask, Asked::Nothing) => Wrong::line("the call asks for nothing"),
            (Unserved::Party, _) => {
                let name = self.builder.traffic.parties.get(party as usize);
                let name = name.map_or("", |name| name);
                Wrong::line(format!("the party `{name}` is not known here, or has no live key"))
                    .hint("map it: [[groups]] with `from_party` and `party`, or rehearse a configuration with --config")
            }
        }
    }

    /// The number of what is asked for; a name alone is a model if the grid has one of that name, else a pool.
    fn ask(&mut self, ask: RowAsk<'_>) -> u32 {
        let (is, name) = keyed(ask);
        if let Some(ix) = self.known_ask(ask) {
            return ix;
        }
        let resolved = |name: &str| self.builder.onto().map(|onto| onto.snapshot.resolve(name));
        let shared: Arc<str> = name.into();
        let asked = match ask {
            RowAsk::Model(_) => Asked::Model(shared.clone()),
            RowAsk::Either(name) if matches!(resolved(name), Some(Ask::Model(_))) => {
                Asked::Model(shared.clone())
            }
            RowAsk::Either(_) | RowAsk::Pool(_) => Asked::Pool(shared.clone()),
        };
        let ix = narrow(self.names.len() as u64);
        self.names.push(asked);
        if let Some(asks) = self.asks.get_mut(is) {
            asks.insert(shared, ix);
        }
        ix
    }

    fn known_ask(&self, ask: RowAsk<'_>) -> Option<u32> {
        let (is, name) = keyed(ask);
        self.asks.get(is)?.get(name).copied()
    }

    /// The lane that answered, if the trace says so in names of this grid.
    fn lane(&mut self, row: &Row<'_>) -> u16 {
        let found = || {
            let snapshot = self.builder.onto()?.snapshot;
            let channel = snapshot.channel(snapshot.channel_named(row.channel?)?)?;
            let model = match row
                .served
                .or(row.ask.map(RowAsk::name))
                .and_then(|name| snapshot.model_named(name))
            {
                Some(model) => model,
                None => match channel.served.as_slice() {
                    [only] => only.model,
                    _ => return None,
                },
            };
            let serves = channel.served.iter().any(|served| served.model == model);
            let model = snapshot.model(model).filter(|_| serves)?;
            Some((channel.name.clone(), model.name.clone()))
        };
        found().map_or(NO_LANE, |(channel, model)| self.builder.lane(&channel, &model))
    }
}

/// Which of the indexes of names has what is asked for, and by which name.
const fn keyed(ask: RowAsk<'_>) -> (usize, &str) {
    match ask {
        RowAsk::Either(name) => (0, name),
        RowAsk::Model(name) => (1, name),
        RowAsk::Pool(name) => (2, name),
    }
}

impl Seen {
    fn call(
        &mut self,
        row: &Row<'_>,
        settings: &Settings,
        chance: Chance,
        k: u64,
        kind: u32,
        lane: u16,
    ) -> TrafficCall {
        let tokens = row.tokens.unwrap_or_else(|| {
            let drawn = [
                (&settings.prompt_tokens, Purpose::Input, PROMPT_ASSUMED),
                (&settings.output_tokens, Purpose::Output, OUTPUT_ASSUMED),
            ];
            let [prompt, output] = drawn.map(|(size, purpose, assumed)| {
                size.as_ref()
                    .map_or(assumed, |size| size.draw_whole(&mut chance.at(purpose, k)))
            });
            [prompt, output, 0, 0, 0]
        });
        let [input, output, cache_read, cache_write, reasoning] = tokens.map(u64::from);
        let stream = settings.stream.unwrap_or(1.0);
        let is_streamed = row
            .stream
            .unwrap_or_else(|| chance.at(Purpose::Stream, k).unit() < stream);
        let (took, ttft) = times(row, settings, chance, k, output + reasoning);
        let (took_us, ttft_us) = (narrow(took.0), narrow(ttft.0));
        self.calls += 1;
        self.costed += u64::from(row.cost.is_some());
        self.cut += u64::from(took.0 > u64::from(u32::MAX));
        self.read_from_cache += cache_read;
        self.sized += u64::from(row.tokens.is_some());
        self.timed += u64::from(row.took.is_some());
        let is_sized = settings.prompt_tokens.is_some() && settings.output_tokens.is_some();
        self.unsized_calls += u64::from(row.tokens.is_none() && !is_sized);
        let is_timed = settings.ttft_ms.is_some() && settings.ms_per_output_token.is_some();
        self.untimed += u64::from(row.took.is_none() && !is_timed);
        let prompt = input + cache_read + cache_write;
        TrafficCall {
            at: row.at,
            cost_nano: row.cost.unwrap_or_default().0,
            tokens,
            body_bytes: narrow(whole(real(prompt) * BYTES_PER_TOKEN)),
            failures: NONE,
            kind,
            output_max: row.output_max.or(settings.output_max).unwrap_or(NONE),
            took_us,
            ttft_us: if is_streamed { ttft_us } else { took_us },
            lane,
            flags: USAGE_KNOWN | flag(COST_KNOWN, row.cost.is_some()) | flag(STREAMED, is_streamed),
            result: Outcome::Served,
        }
    }
}

/// How long a call takes, and its first content: as the trace says, else as the mapping does.
fn times(row: &Row<'_>, settings: &Settings, chance: Chance, k: u64, output: u64) -> (Span, Span) {
    let drawn = |law: &Option<crate::arrivals::Distribution>, purpose, assumed| {
        law.as_ref()
            .map_or(assumed, |law| law.draw(&mut chance.at(purpose, k)))
    };
    let ttft = || {
        let ms = drawn(&settings.ttft_ms, Purpose::Ttft, TTFT_MS_ASSUMED);
        Span(whole(ms * 1_000.0))
    };
    let rest = || {
        let ms = drawn(
            &settings.ms_per_output_token,
            Purpose::PerToken,
            MS_PER_TOKEN_ASSUMED,
        );
        Span(whole(ms * real(output) * 1_000.0))
    };
    match (row.took, row.ttft) {
        (Some(took), Some(ttft)) => (took, ttft),
        (Some(took), None) => (took, ttft().min(took)),
        (None, known) => {
            let ttft = known.unwrap_or_else(ttft);
            (Span(ttft.0.saturating_add(rest().0)), ttft)
        }
    }
}

/// What is asked for where there is nothing else: the only pool, or the only model where there is no pool.
fn only_ask(builder: &Builder<'_>) -> Option<Asked> {
    let snapshot = builder.onto()?.snapshot;
    match (snapshot.pools.as_slice(), snapshot.models.as_slice()) {
        ([pool], _) => Some(Asked::Pool(pool.name.clone())),
        ([], [model]) => Some(Asked::Model(model.name.clone())),
        _ => None,
    }
}

/// Whose a call is where there is nobody else: the only party, or everyone where nobody is known.
fn only_party(builder: &Builder<'_>) -> Option<Arc<str>> {
    let Some(onto) = builder.onto() else {
        return Some(ANYONE.into());
    };
    let first = onto.parties.first().map(|view| &view.party);
    match first {
        None => Some(ANYONE.into()),
        Some(first) => onto
            .parties
            .iter()
            .all(|view| view.party == *first)
            .then(|| first.clone()),
    }
}
