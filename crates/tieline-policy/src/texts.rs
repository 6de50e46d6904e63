//! Texts that many records share, kept once: issuers, lists, end uses, and whole sets of them. A party then costs its
//! structure, not its words.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::alternative::FactValue;
use crate::names::Names;
use crate::registry::PartyRecord;

/// The texts of records that came together; as many as their distinct words and sets. Whoever reads many records shares
/// their texts as they come, so that they are never all there twice.
#[derive(Debug, Default)]
pub struct Texts {
    sets: BTreeSet<Names>,
    words: BTreeSet<Arc<str>>,
}

impl Texts {
    /// The same records, with equal texts in one place and no room to spare.
    pub(crate) fn share_all(records: Vec<PartyRecord>) -> impl Iterator<Item = Arc<PartyRecord>> {
        let mut texts = Self::default();
        records.into_iter().map(move |mut record| {
            texts.share(&mut record);
            Arc::new(record)
        })
    }

    /// The same record, with the texts that others have had before and no room to spare.
    pub fn share(&mut self, record: &mut PartyRecord) {
        record.groups = self.set(&record.groups);
        for piece in &mut record.evidence {
            piece.issuer = self.text(&piece.issuer);
            match &mut piece.value {
                FactValue::EndUses(names) | FactValue::Listed(names) | FactValue::PersonClass(names) => {
                    *names = self.set(names);
                }
                FactValue::Licence(name) | FactValue::Statement(name) => *name = self.text(name),
                FactValue::Class(_)
                | FactValue::DataCentre(_)
                | FactValue::Headquarters(_)
                | FactValue::Jurisdiction(_)
                | FactValue::ParentHeadquarters(_) => {}
            }
        }
        record.evidence.shrink_to_fit();
        record.owners.shrink_to_fit();
    }

    fn set(&mut self, names: &Names) -> Names {
        if let Some(known) = self.sets.get(names) {
            return known.clone();
        }
        let shared: Names = names.iter().map(|name| self.text(name)).collect();
        self.sets.insert(shared.clone());
        shared
    }

    fn text(&mut self, text: &Arc<str>) -> Arc<str> {
        if let Some(known) = self.words.get(text) {
            return known.clone();
        }
        self.words.insert(text.clone());
        text.clone()
    }
}
