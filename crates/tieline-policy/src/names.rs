//! A set of words that many records share: equal ones can be one in memory. Of ten thousand persons of one class, each
//! then holds a pointer where a set of its own takes two hundred bytes, however few words are in it.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// Words in order; the empty set takes nothing beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(from = "BTreeSet<Arc<str>>")]
pub struct Names(Option<Arc<BTreeSet<Arc<str>>>>);

impl Names {
    /// To change them; what others share stays theirs.
    pub fn extend(&mut self, more: impl IntoIterator<Item = Arc<str>>) {
        let mut words = BTreeSet::from(std::mem::take(self));
        words.extend(more);
        *self = Self::from(words);
    }
}

impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl Deref for Names {
    type Target = BTreeSet<Arc<str>>;

    fn deref(&self) -> &BTreeSet<Arc<str>> {
        static NONE: BTreeSet<Arc<str>> = BTreeSet::new();
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl From<BTreeSet<Arc<str>>> for Names {
    fn from(words: BTreeSet<Arc<str>>) -> Self {
        Self((!words.is_empty()).then(|| Arc::new(words)))
    }
}

impl From<Names> for BTreeSet<Arc<str>> {
    fn from(names: Names) -> Self {
        names.0.map_or_else(Self::new, Arc::unwrap_or_clone)
    }
}

impl FromIterator<Arc<str>> for Names {
    fn from_iter<I: IntoIterator<Item = Arc<str>>>(words: I) -> Self {
        Self::from(words.into_iter().collect::<BTreeSet<_>>())
    }
}

impl<const N: usize> From<[Arc<str>; N]> for Names {
    fn from(words: [Arc<str>; N]) -> Self {
        words.into_iter().collect()
    }
}

impl<'a> IntoIterator for &'a Names {
    type Item = &'a Arc<str>;
    type IntoIter = std::collections::btree_set::Iter<'a, Arc<str>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_names_is_written_and_read_as_a_list() {
        for (text, len) in [("[]", 0), (r#"["a","b"]"#, 2)] {
            let names: Names = serde_json::from_str(text).unwrap();
            assert_eq!(names.len(), len);
            assert_eq!(serde_json::to_string(&names).unwrap(), text);
        }
        let shared: Names = serde_json::from_str(r#"["a"]"#).unwrap();
        let mut other = shared.clone();
        other.extend([Arc::from("b")]);
        assert_eq!((shared.len(), other.len()), (1, 2));
        assert!(size_of::<Names>() <= 8);
    }
}
