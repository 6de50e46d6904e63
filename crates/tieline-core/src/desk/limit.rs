//! What may be limited, and whose limits they are.

use serde::{Deserialize, Serialize};

use super::budget::Period;
use super::share::Criticality;
use crate::money::Nano;
use crate::time::Tick;

/// Limits of one owner; absent is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// How much the calls of a key matter when not all can be served; absent is as their pool says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criticality: Option<Criticality>,
    /// Budget of a day, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nano_per_day: Option<Nano>,
    /// Budget of a calendar month, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nano_per_month: Option<Nano>,
    /// Budget of a week from Monday on, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nano_per_week: Option<Nano>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_day: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BucketOwner {
    Channel,
    /// Also of every reply that was recorded before replies said whose.
    #[default]
    Key,
    Party,
    Pool,
}

/// Which limit of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    BudgetPerDay,
    BudgetPerMonth,
    BudgetPerWeek,
    Concurrency,
    /// The turn of a party that was served less.
    FairShare,
    InputTokensPerMinute,
    OutputTokensPerMinute,
    RequestsPerDay,
    RequestsPerMinute,
    TokensInFlight,
    TokensPerDay,
    TokensPerMinute,
}

/// The desk's answer to a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DeskReply {
    /// Nothing was reserved.
    Denied {
        bucket: Bucket,
        /// When the same reservation would fit. Absent where only another call's end can tell, or where it never fits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        free_at: Option<Tick>,
        /// What stands in the way is reserved by calls in flight: the end of any of them may free it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        in_flight: bool,
        #[serde(default, skip_serializing_if = "crate::is_default")]
        owner: BucketOwner,
        /// There is room, but it is kept for calls that matter more, or for a party that was served less.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        shed: bool,
    },
    Granted,
}

/// What one call asks of everybody who pays for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// When it was asked for. Its money counts in the periods of this instant, however long the call lasts.
    pub at: Tick,
    /// An upper bound of what the call can cost; zero where nobody who pays has a budget.
    pub nano: Nano,
    /// An estimate.
    pub tokens: u64,
}

impl Limits {
    /// Whether money is limited at all.
    pub const fn has_budget(&self) -> bool {
        self.nano_per_day.is_some() || self.nano_per_month.is_some() || self.nano_per_week.is_some()
    }

    /// From when on calls count in any limit of money, at `now`; `now` itself if money is not limited.
    pub fn money_since(&self, now: Tick) -> Tick {
        let of = [
            (self.nano_per_day, Period::Day),
            (self.nano_per_month, Period::Month),
            (self.nano_per_week, Period::Week),
        ];
        let limited = of.into_iter().filter(|(limit, _)| limit.is_some());
        limited.map(|(_, period)| period.start(now)).min().unwrap_or(now)
    }

    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl BucketOwner {
    /// The word for it in a sentence.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Key => "key",
            Self::Party => "party",
            Self::Pool => "pool",
        }
    }
}

impl Bucket {
    /// The words for it in a sentence.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BudgetPerDay => "budget of the day",
            Self::BudgetPerMonth => "budget of the month",
            Self::BudgetPerWeek => "budget of the week",
            Self::Concurrency => "calls in flight",
            Self::FairShare => "fair share",
            Self::InputTokensPerMinute => "input tokens per minute",
            Self::OutputTokensPerMinute => "output tokens per minute",
            Self::TokensInFlight => "tokens in flight",
            Self::RequestsPerDay => "requests per day",
            Self::RequestsPerMinute => "requests per minute",
            Self::TokensPerDay => "tokens per day",
            Self::TokensPerMinute => "tokens per minute",
        }
    }

    pub const fn is_budget(self) -> bool {
        matches!(
            self,
            Self::BudgetPerDay | Self::BudgetPerMonth | Self::BudgetPerWeek
        )
    }
}
