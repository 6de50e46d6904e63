//! The verdict cache, and the [`Judge`] that a gateway holds: one epoch, one grid's targets, and what they have been
//! asked. A new epoch or grid is a new judge, so that swapping one pointer swaps all of it, and no verdict of an old epoch
//! can be found under a new one.
//!
//! An overlay of directives is laid over a judge and shares its base verdicts: a question whose model no directive touches
//! is answered from those, with the number of the activation in force put in; the others are combined once and kept apart.
//!
//! A cached verdict counts only between the instant from which it holds and its `valid_until`. The cache is bounded by
//! [`VERDICTS_MAX`]; the oldest entry leaves. What counts things (a licence with a quantity) is not a verdict and not here.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tieline_core::{ChannelIx, ModelIx, Ruling, Tick, Verdict};

use crate::directive::{InFlight, Standing};
use crate::engine::{Epoch, Judged};
use crate::entity::Asked;
use crate::facts::{Action, Facts, PartyFacts};
use crate::overlay::{Laid, Overlay};
use crate::posture::Postures;
use crate::targets::{EndUseIx, RegionIx, Targets};

/// Verdicts that are kept. 10,000 parties, all distinct, use about six (model, channel) pairs each within minutes.
/// An entry is 32 bytes in the table, 64 beside it and 16 in the queue: 8 MiB at most, and as much for what directives
/// touch.
pub const VERDICTS_MAX: usize = 65_536;

/// Locks over the table. Readers of one lock wait for each other only while one writes, which a miss of some 20 µs
/// does for less than one; 16 locks keep that rare on a machine of a few dozen cores.
const SHARDS: usize = 16;

/// Entries of one shard.
const SHARD_MAX: usize = VERDICTS_MAX / SHARDS;

/// One question of policy, in numbers: may a party of this posture do this with this model over this channel?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    pub action: Action,
    pub channel: ChannelIx,
    pub end_use: EndUseIx,
    pub model: ModelIx,
    /// As [`Postures::intern`] gave it.
    pub posture: u32,
    pub region: RegionIx,
}

/// What a gateway asks for verdicts.
#[derive(Debug)]
pub struct Judge {
    cache: Arc<Cache>,
    epoch: Arc<Epoch>,
    /// What directives touch; fresh with each overlay.
    combined: Cache,
    laid: Option<Laid>,
    number: u64,
    overlay: Arc<Overlay>,
    postures: Arc<Postures>,
    targets: Arc<Targets>,
}

/// Verdicts of one epoch and one grid.
#[derive(Debug, Default)]
struct Cache {
    misses: AtomicU64,
    shards: [RwLock<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    /// In order of arrival.
    queue: VecDeque<Key>,
    verdicts: HashMap<Key, Kept, BuildHasherDefault<Passed>>,
}

/// A verdict, shared by all who ask for it, and the instant from which it holds.
#[derive(Debug)]
struct Kept {
    from: Tick,
    verdict: Arc<Verdict>,
}

/// A question as 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key(u64, u64);

/// A hasher that takes one hash as it comes: [`Key::hash`] has mixed it already. Keys are numbers that this process
/// gave out, so nobody outside can make them collide.
#[derive(Debug, Default)]
struct Passed(u64);

// === impl Judge ===

impl Judge {
    pub fn new(epoch: Arc<Epoch>, targets: Arc<Targets>, postures: Arc<Postures>) -> Self {
        Self {
            cache: Arc::default(),
            combined: Cache::default(),
            laid: None,
            number: epoch.number(),
            overlay: Arc::new(Overlay::none()),
            epoch,
            postures,
            targets,
        }
    }

    /// The same with other directives in force; base verdicts are shared, so that an activation costs them nothing.
    #[must_use]
    pub fn with_overlay(&self, overlay: Arc<Overlay>) -> Self {
        Self {
            cache: self.cache.clone(),
            combined: Cache::default(),
            epoch: self.epoch.clone(),
            laid: Laid::new(overlay.clone(), &self.epoch, &self.targets),
            number: overlay.number().unwrap_or(self.epoch.number()),
            overlay,
            postures: self.postures.clone(),
            targets: self.targets.clone(),
        }
    }

    /// The verdict on a question of `party` at `now`, from the cache if it holds one for that instant, which allocates
    /// nothing. A question about what does not exist is held.
    pub fn verdict(&self, question: Question, party: &str, now: Tick) -> Arc<Verdict> {
        let touching = self.laid.as_ref().filter(|laid| laid.touches(question.model));
        let Some(laid) = touching else {
            return self.base(question, now).1;
        };
        let listed = laid.listed(party);
        let key = listed.number.map(|number| Key::of(question, number));
        if let Some((_, verdict)) = key.and_then(|key| self.combined.find(key, now, self.number)) {
            return verdict;
        }
        let (from, base) = self.base(question, now);
        let Some((facts, posture)) = self.whole(question) else {
            return base;
        };
        let base = Judged {
            from,
            verdict: (*base).clone(),
        };
        let judged = laid.combine(&base, &facts, &posture, listed, &self.epoch, now);
        match key {
            Some(key) => self.combined.keep(key, judged),
            None => Arc::new(judged.verdict),
        }
    }

    /// What becomes of a call under way that directives refuse, if these counted licences are spent; `None` if none of
    /// them does.
    pub fn in_flight(
        &self,
        question: Question,
        party: &str,
        now: Tick,
        spent: &[Arc<str>],
    ) -> Option<InFlight> {
        let laid = self.laid.as_ref().filter(|laid| laid.touches(question.model))?;
        let verdict = if spent.is_empty() {
            self.verdict(question, party, now)
        } else {
            self.verdict_without(question, party, now, spent)
        };
        if verdict.ruling == Ruling::Allow {
            return None;
        }
        let (facts, posture) = self.whole(question)?;
        let left = posture.without_licences(spent);
        Laid::in_flight(laid.standings(&facts, &left, laid.listed(party), &self.epoch, now))
    }

    /// Where a question stands under each directive (`<id>@<version>`), for those who may see it.
    pub fn standings(&self, question: Question, party: &str, now: Tick) -> Vec<(Arc<str>, Standing)> {
        let directives = self.overlay.directives().iter();
        let (Some(laid), Some((facts, posture))) = (&self.laid, self.whole(question)) else {
            return directives.map(|one| (one.label(), Standing::Outside)).collect();
        };
        laid.standings(&facts, &posture, laid.listed(party), &self.epoch, now)
            .map(|(_, label, standing)| (label.clone(), standing))
            .collect()
    }

    /// The number of the activation in force, which every verdict bears.
    pub const fn number(&self) -> u64 {
        self.number
    }

    pub const fn overlay(&self) -> &Arc<Overlay> {
        &self.overlay
    }

    /// The verdict if these counted licences are spent: made from nothing, since what counts things is not kept.
    pub fn verdict_without(
        &self,
        question: Question,
        party: &str,
        now: Tick,
        spent: &[Arc<str>],
    ) -> Arc<Verdict> {
        let mut judged = self
            .judge_without(question, now, spent)
            .unwrap_or_else(|| self.epoch.unreadable(now));
        judged.verdict.epoch = self.number;
        let laid = self.laid.as_ref().filter(|laid| laid.touches(question.model));
        if let (Some(laid), Some((facts, posture))) = (laid, self.whole(question)) {
            let left = posture.without_licences(spent);
            judged = laid.combine(&judged, &facts, &left, laid.listed(party), &self.epoch, now);
        }
        Arc::new(judged.verdict)
    }

    /// The facts behind a question, as they are at `now`: what an explanation shows and a replay judges.
    pub fn facts(&self, question: Question, now: Tick) -> Option<Facts> {
        let (mut facts, posture) = self.whole(question)?;
        facts.party = posture.at(now);
        Some(facts)
    }

    pub const fn epoch(&self) -> &Arc<Epoch> {
        &self.epoch
    }

    pub const fn postures(&self) -> &Arc<Postures> {
        &self.postures
    }

    pub const fn targets(&self) -> &Arc<Targets> {
        &self.targets
    }

    /// How many verdicts had to be made, for the metrics.
    pub fn misses(&self) -> u64 {
        self.cache.misses.load(Ordering::Relaxed) + self.combined.misses.load(Ordering::Relaxed)
    }

    /// How many verdicts are kept, for the metrics.
    pub fn verdicts(&self) -> usize {
        self.cache.len() + self.combined.len()
    }

    /// The verdict of the epoch, and the instant from which it holds.
    fn base(&self, question: Question, now: Tick) -> (Tick, Arc<Verdict>) {
        let key = Key::of(question, 0);
        if let Some(found) = self.cache.find(key, now, self.number) {
            return found;
        }
        let mut judged = self
            .judge(question, now)
            .unwrap_or_else(|| self.epoch.unreadable(now));
        judged.verdict.epoch = self.number;
        let from = judged.from;
        (from, self.cache.keep(key, judged))
    }

    /// The facts behind a question without the party's, and those of the party as they were interned.
    fn whole(&self, question: Question) -> Option<(Facts, Arc<PartyFacts>)> {
        let posture = self.postures.posture(question.posture)?;
        let channel = &self.targets.channel(question.channel)?.facts;
        let facts = Facts {
            action: question.action,
            channel: channel.clone(),
            end_use: self.targets.end_use_name(question.end_use).cloned(),
            model: self.targets.model(question.model)?.facts.clone(),
            party: PartyFacts::default(),
            region: self.targets.region_name(question.region, channel).cloned(),
        };
        Some((facts, posture.facts().clone()))
    }

    fn judge(&self, question: Question, now: Tick) -> Option<Judged> {
        self.judge_without(question, now, &[])
    }

    fn judge_without(&self, question: Question, now: Tick, spent: &[Arc<str>]) -> Option<Judged> {
        let posture = self.postures.posture(question.posture)?;
        let channel = self.targets.channel(question.channel)?;
        let model = self.targets.model(question.model)?;
        let asked = Asked {
            action: question.action,
            channel: &channel.prepared,
            channel_facts: &channel.facts,
            end_use: self.targets.end_use_name(question.end_use).map(|name| &**name),
            model: &model.prepared,
            model_facts: &model.facts,
            region: self
                .targets
                .region_name(question.region, &channel.facts)
                .map(|name| &**name),
        };
        if spent.is_empty() {
            return Some(self.epoch.judge_prepared(&posture, &asked, now));
        }
        let facts = posture.facts().without_licences(spent);
        Some(self.epoch.judge_party(&facts, &asked, now))
    }
}

// === impl Cache ===

impl Cache {
    /// A verdict that holds at `now`, and since when. One that was made under another activation of directives gets the
    /// number of this one, which is all that differs.
    fn find(&self, key: Key, now: Tick, number: u64) -> Option<(Tick, Arc<Verdict>)> {
        let (from, verdict) = {
            let shard = self.shard(key)?.read().unwrap_or_else(PoisonError::into_inner);
            let kept = shard.verdicts.get(&key)?;
            let holds = kept.from <= now && kept.verdict.valid_until.is_none_or(|until| now < until);
            holds.then(|| (kept.from, kept.verdict.clone()))?
        };
        if verdict.epoch == number {
            return Some((from, verdict));
        }
        let mut stamped = (*verdict).clone();
        stamped.epoch = number;
        let stamped = Arc::new(stamped);
        let mut shard = self.shard(key)?.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = shard.verdicts.get_mut(&key)
            && Arc::ptr_eq(&kept.verdict, &verdict)
        {
            kept.verdict = stamped.clone();
        }
        Some((from, stamped))
    }

    fn len(&self) -> usize {
        let len = |shard: &RwLock<Shard>| {
            shard
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .verdicts
                .len()
        };
        self.shards.iter().map(len).sum()
    }

    fn keep(&self, key: Key, judged: Judged) -> Arc<Verdict> {
        self.misses.fetch_add(1, Ordering::Relaxed);
        let verdict = Arc::new(judged.verdict);
        let kept = Kept {
            from: judged.from,
            verdict: verdict.clone(),
        };
        let Some(shard) = self.shard(key) else {
            return verdict;
        };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if shard.verdicts.insert(key, kept).is_some() {
            return verdict;
        }
        shard.queue.push_back(key);
        if shard.queue.len() > SHARD_MAX
            && let Some(oldest) = shard.queue.pop_front()
        {
            shard.verdicts.remove(&oldest);
        }
        verdict
    }

    fn shard(&self, key: Key) -> Option<&RwLock<Shard>> {
        // The table uses the lowest and the highest bits of the hash; these are between.
        let at = usize::try_from(key.mixed() >> 40).unwrap_or_default() % SHARDS;
        self.shards.get(at)
    }
}

// === impl Key ===

impl Key {
    /// `listed` numbers the lists of directives that name the party.
    fn of(question: Question, listed: u16) -> Self {
        let Question {
            action,
            channel,
            end_use,
            model,
            posture,
            region,
        } = question;
        let high = u64::from(posture) << 32 | u64::from(model.0) << 16 | u64::from(channel.0);
        let low =
            u64::from(listed) << 48 | u64::from(region.0) << 32 | u64::from(end_use.0) << 16 | action as u64;
        Self(high, low)
    }

    /// Both halves of a 128-bit product, folded: every bit of the key reaches every bit of the hash.
    fn mixed(self) -> u64 {
        const ODD_HIGH: u64 = 0x9e37_79b9_7f4a_7c15;
        const ODD_LOW: u64 = 0xd1b5_4a32_d192_ed03;
        let (one, other) = (self.0 ^ ODD_LOW, self.1.rotate_left(24) ^ ODD_HIGH);
        let high = ((u128::from(one) * u128::from(other)) >> 64) as u64;
        (high ^ one.wrapping_mul(other)).wrapping_mul(ODD_HIGH)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.mixed());
    }
}

impl Hasher for Passed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, mixed: u64) {
        self.0 = mixed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn judged(from: u64, until: Option<u64>) -> Judged {
        let verdict = Verdict {
            consumes: Arc::default(),
            ruling: tieline_core::Ruling::Allow,
            epoch: 1,
            obligations: Arc::default(),
            rules: Arc::default(),
            valid_until: until.map(Tick),
        };
        Judged {
            from: Tick(from),
            verdict,
        }
    }

    #[test]
    fn a_verdict_counts_only_while_it_holds() {
        let cache = Cache::default();
        cache.keep(Key(1, 1), judged(10, Some(20)));
        assert!(cache.find(Key(1, 1), Tick(9), 1).is_none());
        assert!(cache.find(Key(1, 1), Tick(10), 1).is_some());
        assert!(cache.find(Key(1, 1), Tick(19), 1).is_some());
        assert!(cache.find(Key(1, 1), Tick(20), 1).is_none());
        assert!(cache.find(Key(1, 2), Tick(10), 1).is_none());
    }

    #[test]
    fn the_cache_stays_within_its_bound_and_the_oldest_leaves() {
        let cache = Cache::default();
        for n in 0..(VERDICTS_MAX as u64 * 2) {
            cache.keep(Key(n << 16, 0), judged(0, None));
        }
        let len: usize = cache
            .shards
            .iter()
            .map(|s| s.read().unwrap().verdicts.len())
            .sum();
        let queued: usize = cache.shards.iter().map(|s| s.read().unwrap().queue.len()).sum();
        assert_eq!(len, queued);
        assert!(len <= VERDICTS_MAX);
        // The shards fill evenly, or the bound of each would waste that of all.
        assert!(len > VERDICTS_MAX * 99 / 100, "{len}");
        assert!(cache.find(Key(0, 0), Tick(0), 1).is_none());
        assert!(
            cache
                .find(Key((VERDICTS_MAX as u64 * 2 - 1) << 16, 0), Tick(0), 1)
                .is_some()
        );
    }

    #[test]
    fn small_keys_have_distinct_hashes() {
        let hashes: BTreeSet<u64> = (0..64_u64)
            .flat_map(|posture| {
                (0..32_u64).flat_map(move |model| (0..32_u64).map(move |c| (posture, model, c)))
            })
            .map(|(posture, model, channel)| Key(posture << 32 | model << 16 | channel, 0).mixed())
            .collect();
        assert_eq!(hashes.len(), 64 * 32 * 32);
    }
}
