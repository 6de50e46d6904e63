//! The ledger as a book to look things up in: which entries name an id, which call is the newest.
//!
//! The index answers at once. Where it cannot be written (an auditor's copy, somebody else's folder) every entry is looked
//! at, which takes a second for some 100 MB and says the same.
//! Bounds: [`ROWS_MAX`] entries for one id.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use tieline_ledger::{Index, LedgerError, ROWS_MAX, Reader, entry};
use tieline_note::Digest;
use tieline_policy::{Directive, EpochRecord, OverlayRecord, Pack, PackArchive, SignedOrder};

use super::ledger::{failed, reader};
use crate::output::{Failure, Result};

/// Of the entry `tieline/activation/v1`, what is looked for.
#[derive(Deserialize)]
struct Activation {
    body: ActivationBody,
}

#[derive(Deserialize)]
struct ActivationBody {
    epoch_record: Digest,
    grid: Digest,
    #[serde(default)]
    overlay: Option<Digest>,
    packs: Vec<Digest>,
}

/// An epoch as it was activated.
#[derive(Debug)]
pub(super) struct Activated {
    /// A `GridRecord` as canonical JSON.
    pub(super) grid: Vec<u8>,
    pub(super) packs: Vec<PackArchive>,
    pub(super) record: EpochRecord,
}

/// A directive by its digest, and its signed note if that is archived.
pub(super) type DirectiveNote = (Digest, Option<String>);

#[derive(Debug)]
pub(super) struct Book {
    /// None where it cannot be written.
    index: Option<Index>,
    reader: Reader,
}

impl Book {
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let reader = reader(dir)?;
        let index = Index::open(dir).and_then(|mut index| index.catch_up(&reader).map(|_| index));
        Ok(Self {
            index: index.ok(),
            reader,
        })
    }

    /// The id of the newest call.
    pub(super) fn last(&self) -> Result<Option<String>> {
        if let Some(index) = &self.index {
            let latest = index.latest(1).map_err(|error| failed(&error))?;
            return Ok(latest.into_iter().next().map(|call| call.id));
        }
        let mut last = None;
        self.each(|head, _| {
            if entry::type_name(&head.t) == Some("decision") {
                last = Some(head.call.as_deref().unwrap_or(&head.id).to_owned());
            }
        })?;
        Ok(last)
    }

    /// The entries that name `id`, in order.
    pub(super) fn naming(&self, id: &str) -> Result<Vec<Vec<u8>>> {
        let mut found = Vec::new();
        let Some(index) = &self.index else {
            self.each(|head, bytes| {
                if (head.id == id || head.call.as_deref() == Some(id)) && found.len() < ROWS_MAX {
                    found.push(bytes.to_vec());
                }
            })?;
            return Ok(found);
        };
        for at in index.entries_of(id).map_err(|error| failed(&error))? {
            found.extend(self.reader.entry(at).map_err(|error| failed(&error))?);
        }
        Ok(found)
    }

    /// What was activated as an epoch, from the archive; none if it was not, or not all of it is archived.
    pub(super) fn activation(&self, epoch: u64) -> Result<Option<Activated>> {
        let Some(found) = self.entry_of(epoch)? else {
            return Ok(None);
        };
        let blob = |digest: &Digest| self.reader.blob(digest).map_err(|error| failed(&error));
        let mut packs = Vec::new();
        for digest in &found.body.packs {
            let Some(archive) = blob(digest)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()) else {
                return Ok(None);
            };
            packs.push(archive);
        }
        let record = blob(&found.body.epoch_record)?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let (Some(record), Some(grid)) = (record, blob(&found.body.grid)?) else {
            return Ok(None);
        };
        Ok(Some(Activated { grid, packs, record }))
    }

    /// The packs of an epoch, from the archive; those that are not archived, or that this version cannot read, are left
    /// out.
    pub(super) fn packs(&self, epoch: u64) -> Result<Vec<Pack>> {
        let Some(activation) = self.entry_of(epoch)? else {
            return Ok(Vec::new());
        };
        let mut packs = Vec::new();
        for digest in activation.body.packs {
            let Some(bytes) = self.reader.blob(&digest).map_err(|error| failed(&error))? else {
                continue;
            };
            let archive = serde_json::from_slice::<PackArchive>(&bytes).ok();
            packs.extend(archive.and_then(|archive| Pack::from_archive(&archive).ok()));
        }
        Ok(packs)
    }

    /// The directives of an epoch, as far as they are archived: the notes of sealed ones are not.
    pub(super) fn directives(&self, epoch: u64) -> Result<Vec<Arc<Directive>>> {
        let notes = self.directive_notes(epoch)?.unwrap_or_default().into_iter();
        let orders = notes.filter_map(|(_, note)| SignedOrder::from_archive(&note?).ok());
        Ok(orders.filter_map(|order| order.directive().cloned()).collect())
    }

    /// The digests of the directives of an epoch, each with its signed note if that is archived; `None` if it has no
    /// directives.
    pub(super) fn directive_notes(&self, epoch: u64) -> Result<Option<Vec<DirectiveNote>>> {
        let blob = |digest: &Digest| self.reader.blob(digest).map_err(|error| failed(&error));
        let activation = self.entry_of(epoch)?;
        let Some(overlay) = activation.and_then(|activation| activation.body.overlay) else {
            return Ok(None);
        };
        let record = blob(&overlay)?.and_then(|bytes| serde_json::from_slice::<OverlayRecord>(&bytes).ok());
        let Some(record) = record else {
            // What was in force is not known: its one note is missing.
            return Ok(Some(vec![(overlay, None)]));
        };
        let mut notes = Vec::new();
        for digest in record.directives {
            let note = blob(&digest)?.and_then(|bytes| String::from_utf8(bytes).ok());
            notes.push((digest, note));
        }
        Ok(Some(notes))
    }

    /// The newest activation of this number, which is its id.
    fn entry_of(&self, epoch: u64) -> Result<Option<Activation>> {
        let activations = self.naming(&epoch.to_string())?;
        let mut newest_first = activations.iter().rev();
        Ok(newest_first.find_map(|bytes| serde_json::from_slice(bytes).ok()))
    }

    /// Every entry whose head can be read.
    fn each(&self, mut see: impl FnMut(&entry::EntryHead<'_>, &[u8])) -> Result<()> {
        let size = self.reader.size().map_err(|error| failed(&error))?;
        self.reader
            .for_each(0..size, |_, bytes| {
                if let Ok(head) = entry::head(bytes) {
                    see(&head, bytes);
                }
                Ok::<(), LedgerError>(())
            })
            .map_err(|error: LedgerError| Failure::from(error))
    }
}
