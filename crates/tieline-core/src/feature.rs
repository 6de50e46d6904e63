//! What a request asks of a channel beyond text in and text out. A channel that refuses a feature once is asked for it no
//! more, so a feature is named only where the channel refuses it as such, whatever its value.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One thing that channels differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// Sound in a message.
    Audio,
    /// A level of effort (`reasoning_effort`, `output_config.effort`).
    Effort,
    /// A document or another file in a message.
    Files,
    /// A picture in a message.
    Images,
    Logprobs,
    /// The last message is the assistant's, and the answer continues it.
    Prefill,
    /// Parameters of sampling: `temperature`, `top_p`, `top_k`, penalties, `seed`.
    Sampling,
    /// More than one answer to a request (`n`).
    SeveralAnswers,
    /// Stop sequences.
    Stop,
    Streaming,
    /// An answer in JSON, by a schema or without (`response_format`, `output_config.format`).
    Structured,
    /// Thinking that the request switches on (`thinking`).
    Thinking,
    /// Tools that the model may call.
    Tools,
}

/// A set of features: a bit for each. Sixteen bits hold three more than there are.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct FeatureSet(u16);

// === impl Feature ===

impl Feature {
    pub const ALL: &'static [Self] = &[
        Self::Audio,
        Self::Effort,
        Self::Files,
        Self::Images,
        Self::Logprobs,
        Self::Prefill,
        Self::Sampling,
        Self::SeveralAnswers,
        Self::Stop,
        Self::Streaming,
        Self::Structured,
        Self::Thinking,
        Self::Tools,
    ];

    /// The name in records and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Effort => "effort",
            Self::Files => "files",
            Self::Images => "images",
            Self::Logprobs => "logprobs",
            Self::Prefill => "prefill",
            Self::Sampling => "sampling",
            Self::SeveralAnswers => "several_answers",
            Self::Stop => "stop",
            Self::Streaming => "streaming",
            Self::Structured => "structured",
            Self::Thinking => "thinking",
            Self::Tools => "tools",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|feature| feature.name() == name)
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

// === impl FeatureSet ===

impl FeatureSet {
    pub const EMPTY: Self = Self(0);

    pub const fn contains(self, feature: Feature) -> bool {
        self.0 & feature.bit() != 0
    }

    pub const fn insert(&mut self, feature: Feature) {
        self.0 |= feature.bit();
    }

    pub const fn remove(&mut self, feature: Feature) {
        self.0 &= !feature.bit();
    }

    /// The set with `feature`, if it `is_in`; without a branch, for this is done for every request.
    #[must_use]
    #[inline]
    pub const fn with_if(self, feature: Feature, is_in: bool) -> Self {
        Self(self.0 | ((is_in as u16) << feature as u16))
    }

    #[must_use]
    pub const fn with(mut self, feature: Feature) -> Self {
        self.insert(feature);
        self
    }

    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub const fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// In the order of their names.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        Feature::ALL
            .iter()
            .copied()
            .filter(move |feature| self.contains(*feature))
    }
}

impl FromIterator<Feature> for FeatureSet {
    fn from_iter<I: IntoIterator<Item = Feature>>(features: I) -> Self {
        features.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl fmt::Debug for FeatureSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for FeatureSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for FeatureSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = FeatureSet;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of features")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<FeatureSet, A::Error> {
                let mut set = FeatureSet::EMPTY;
                while let Some(feature) = names.next_element()? {
                    set.insert(feature);
                }
                Ok(set)
            }
        }
        deserializer.deserialize_seq(Names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_records_and_in_order() {
        assert!(Feature::ALL.is_sorted_by_key(|feature| feature.name()));
        for feature in Feature::ALL {
            assert_eq!(Feature::from_name(feature.name()), Some(*feature));
            let json = serde_json::to_string(feature).unwrap();
            assert_eq!(json, format!("\"{}\"", feature.name()));
        }
        assert_eq!(Feature::from_name("prefil"), None);
    }

    #[test]
    fn a_set_is_written_as_a_list_of_names() {
        let all: FeatureSet = Feature::ALL.iter().copied().collect();
        assert_eq!(all.iter().count(), Feature::ALL.len());
        for (set, json) in [
            (FeatureSet::EMPTY, "[]"),
            (
                FeatureSet::EMPTY.with(Feature::Tools).with(Feature::Prefill),
                r#"["prefill","tools"]"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&set).unwrap(), json);
            assert_eq!(serde_json::from_str::<FeatureSet>(json).unwrap(), set);
        }
        assert!(serde_json::from_str::<FeatureSet>(r#"["prefil"]"#).is_err());
    }

    #[test]
    fn sets_are_combined() {
        let mut set = FeatureSet::EMPTY.with(Feature::Audio).with(Feature::Stop);
        set.remove(Feature::Audio);
        assert_eq!(set.with_if(Feature::Tools, false), set);
        assert_eq!(set.with_if(Feature::Tools, true), set.with(Feature::Tools));
        assert!(set.contains(Feature::Stop) && !set.contains(Feature::Audio));
        assert_eq!(set.intersection(FeatureSet::EMPTY.with(Feature::Stop)), set);
        assert!(
            set.intersection(FeatureSet::EMPTY.with(Feature::Tools))
                .is_empty()
        );
        assert_eq!(set.union(set), set);
    }
}
