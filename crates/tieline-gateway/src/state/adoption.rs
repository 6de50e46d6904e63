//! Who adopted which pack for which entity. An adoption is of one text, by its digest: a changed pack is another.

use rusqlite::params;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tieline_note::Digest;

use super::{State, StateError, us};

#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdoptionRow {
    /// µs UTC.
    pub adopted_us: u64,
    /// SHA-256 of the pack's stored form.
    #[schemars(with = "String")]
    pub digest: Digest,
    /// The legal entity for which it was adopted.
    pub entity: String,
    pub officer: String,
    /// The pack's id.
    pub pack: String,
}

impl State {
    /// Record an adoption; false if that entity had adopted the same text, which then stands.
    pub fn put_adoption(&self, adoption: &AdoptionRow) -> Result<bool, StateError> {
        let changed = self.db.execute(
            "INSERT OR IGNORE INTO adoption (pack, digest, officer, entity, adopted_us) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                adoption.pack,
                adoption.digest.0.as_slice(),
                adoption.officer,
                adoption.entity,
                adoption.adopted_us.cast_signed()
            ],
        )?;
        Ok(changed == 1)
    }

    /// By pack, then oldest first.
    pub fn adoptions(&self) -> Result<Vec<AdoptionRow>, StateError> {
        let mut statement = self.db.prepare(
            "SELECT pack, digest, officer, entity, adopted_us FROM adoption
             ORDER BY pack, adopted_us, entity, digest",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(AdoptionRow {
                adopted_us: us(row, 4)?,
                digest: Digest(row.get(1)?),
                entity: row.get(3)?,
                officer: row.get(2)?,
                pack: row.get(0)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adoption_is_of_one_text_for_one_entity() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        let row = |digest: u8, entity: &str, at: u64| AdoptionRow {
            adopted_us: at,
            digest: Digest([digest; 32]),
            entity: entity.into(),
            officer: "An officer".into(),
            pack: "us-ear".into(),
        };
        assert!(state.put_adoption(&row(1, "A GmbH", 1)).unwrap());
        assert!(
            !state.put_adoption(&row(1, "A GmbH", 9)).unwrap(),
            "the first stands"
        );
        assert!(state.put_adoption(&row(1, "B GmbH", 2)).unwrap());
        assert!(state.put_adoption(&row(2, "A GmbH", 3)).unwrap());
        assert_eq!(
            state.adoptions().unwrap(),
            [row(1, "A GmbH", 1), row(1, "B GmbH", 2), row(2, "A GmbH", 3)]
        );
    }
}
