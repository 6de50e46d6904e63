//! How full the limits of channels became: the fullest that each was seen after a reservation, and how many it refused.

use schemars::JsonSchema;
use serde::Serialize;
use tieline_core::grid::Candidate;
use tieline_core::{Board, Bucket, BucketOwner, DeskReply, Snapshot, Tick};

use crate::laid::Laid;

/// The limit of a channel that came closest to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Tightest {
    /// The limit.
    #[schemars(with = "String")]
    pub bucket: Bucket,
    pub channel: String,
    /// Reservations that it refused.
    pub refusals: u64,
    /// The most of it that was used, in thousandths; 1,000 is all, and more than that is what calls used beyond what was
    /// reserved for them.
    pub used_permille: u64,
}

impl Tightest {
    /// The limit in words.
    pub(crate) const fn bucket_name(&self) -> &'static str {
        match self.bucket {
            Bucket::BudgetPerDay | Bucket::BudgetPerMonth | Bucket::BudgetPerWeek => "the budget",
            Bucket::Concurrency => "calls in flight",
            Bucket::FairShare => "the turn",
            Bucket::InputTokensPerMinute => "input tokens per minute",
            Bucket::OutputTokensPerMinute => "output tokens per minute",
            Bucket::RequestsPerDay => "requests per day",
            Bucket::RequestsPerMinute => "requests per minute",
            Bucket::TokensInFlight => "tokens in flight",
            Bucket::TokensPerDay => "tokens per day",
            Bucket::TokensPerMinute => "tokens per minute",
        }
    }
}

/// By grid and channel.
pub(crate) struct Fills(Vec<Vec<Option<Fill>>>);

#[derive(Clone, Copy, Debug)]
struct Fill {
    bucket: Bucket,
    refusals: u64,
    used_permille: u64,
}

impl Fills {
    pub(crate) fn new(laid: &Laid<'_>) -> Self {
        let channels = laid.grids().iter().map(|grid| grid.snapshot.channels.len());
        Self(channels.map(|channels| vec![None; channels]).collect())
    }

    /// A channel replied to a reservation.
    pub(crate) fn see(
        &mut self,
        board: &Board,
        (grid, of): (usize, &Snapshot),
        candidate: Candidate,
        reply: &DeskReply,
        now: Tick,
    ) {
        let (bucket, used_permille, refusals) = match reply {
            DeskReply::Granted => match board.fill(of, candidate, now) {
                Some((bucket, permille)) => (bucket, permille, 0),
                None => return,
            },
            // What is kept for others, or for a party whose turn it is, is not used up.
            DeskReply::Denied { shed: true, .. } => return,
            DeskReply::Denied { bucket, owner, .. } if *owner == BucketOwner::Channel => (*bucket, 1_000, 1),
            DeskReply::Denied { .. } => return,
        };
        let channels = self.0.get_mut(grid);
        let Some(place) = channels.and_then(|channels| channels.get_mut(usize::from(candidate.channel.0)))
        else {
            return;
        };
        let before = place.unwrap_or(Fill {
            bucket,
            refusals: 0,
            used_permille: 0,
        });
        // A refusal names the limit that is used up; of what was only seen, the fullest stands.
        let is_fuller = used_permille > before.used_permille && before.refusals == 0;
        *place = Some(Fill {
            bucket: if is_fuller || refusals > before.refusals {
                bucket
            } else {
                before.bucket
            },
            refusals: before.refusals + refusals,
            used_permille: before.used_permille.max(used_permille),
        });
    }

    /// The tightest of all: what refused most, else what was fullest, else what comes first.
    pub(crate) fn tightest(&self, laid: &Laid<'_>) -> Option<Tightest> {
        let grids = laid.grids().iter().zip(&self.0);
        let each = grids.flat_map(|(grid, fills)| grid.snapshot.channels.iter().zip(fills));
        let each = each.filter_map(|(channel, fill)| {
            let fill = (*fill)?;
            Some(Tightest {
                bucket: fill.bucket,
                channel: channel.name.to_string(),
                refusals: fill.refusals,
                used_permille: fill.used_permille,
            })
        });
        each.reduce(|one, other| {
            let weight = |of: &Tightest| (of.refusals, of.used_permille);
            if weight(&other) > weight(&one) { other } else { one }
        })
    }
}
