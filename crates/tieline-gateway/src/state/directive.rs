//! Directives as signed notes, whole, in every version that was applied.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, params};
use tieline_core::Tick;
use tieline_policy::{OrderError, SignedOrder};

use super::{State, StateError, us, us_opt};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectiveRow {
    pub applied_us: u64,
    /// SHA-256 of the note.
    pub digest: [u8; 32],
    pub id: String,
    /// The whole signed note.
    pub note: String,
    pub revoked_us: Option<u64>,
    pub version: u32,
}

/// The directives that are in force at `now`, by id and version: of each the newest version that was applied by then, if
/// it is neither revoked nor over, and where that begins later, what holds until then. Signatures were verified when it
/// was applied: keys may change, and what is in force stays so until it is revoked.
pub fn in_force(rows: &[DirectiveRow], now: Tick) -> Result<Vec<SignedOrder>, OrderError> {
    let applied = rows.iter().filter(|row| row.applied_us <= now.0);
    unrevoked(applied, |at| at <= now.0, now)
}

/// The directives that the state file says are in force. What stands there was applied, whatever this machine's clock says
/// by now: one that was set back must not undo an order.
pub(crate) fn standing(rows: &[DirectiveRow], now: Tick) -> Result<Vec<SignedOrder>, OrderError> {
    unrevoked(rows.iter(), |_| true, now)
}

/// Of rows by id and version the newest of each id, unless it is revoked or over; and as long as that has not begun, the
/// version before it that holds by then.
fn unrevoked<'a>(
    rows: impl Iterator<Item = &'a DirectiveRow>,
    is_past: impl Fn(u64) -> bool,
    now: Tick,
) -> Result<Vec<SignedOrder>, OrderError> {
    let mut of_id: BTreeMap<&str, Vec<&DirectiveRow>> = BTreeMap::new();
    for row in rows {
        of_id.entry(&row.id).or_default().push(row);
    }
    let mut directives = Vec::new();
    for rows in of_id.into_values() {
        let mut versions = Vec::new();
        // From when on the versions that were seen hold.
        let mut begins: Option<Tick> = None;
        for row in rows.into_iter().rev() {
            if begins.is_some_and(|begins| begins <= now) {
                break;
            }
            if row.revoked_us.is_some_and(&is_past) {
                continue;
            }
            let signed = SignedOrder::from_archive(&row.note)?;
            let Some(directive) = signed.directive() else {
                continue;
            };
            // A later version that begins no later leaves nothing of this one.
            if begins.is_some_and(|begins| directive.valid_from >= begins) {
                continue;
            }
            begins = Some(directive.valid_from);
            if directive.valid_to.is_none_or(|to| to > now) {
                versions.push(signed);
            }
        }
        directives.extend(versions.into_iter().rev());
    }
    Ok(directives)
}

impl State {
    /// Record a directive that is applied. The same version twice is an error of the database: nothing is replaced.
    pub fn put_directive(&self, directive: &DirectiveRow) -> Result<(), StateError> {
        self.db.execute(
            "INSERT INTO directive (id, version, note, digest, applied_us, revoked_us)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                directive.id,
                directive.version,
                directive.note,
                directive.digest.as_slice(),
                directive.applied_us.cast_signed(),
                directive.revoked_us.map(u64::cast_signed)
            ],
        )?;
        Ok(())
    }

    /// Every version of every directive, by id and version.
    pub fn directives(&self) -> Result<Vec<DirectiveRow>, StateError> {
        let mut statement = self.db.prepare(
            "SELECT id, version, note, digest, applied_us, revoked_us FROM directive ORDER BY id, version",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(DirectiveRow {
                applied_us: us(row, 4)?,
                digest: row.get(3)?,
                id: row.get(0)?,
                note: row.get(2)?,
                revoked_us: us_opt(row, 5)?,
                version: row.get(1)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Revoke every version of a directive that is not revoked yet; how many.
    pub fn revoke_directive(&self, id: &str, at_us: u64) -> Result<usize, StateError> {
        let known: Option<i64> = self
            .db
            .query_row("SELECT 1 FROM directive WHERE id = ?1 LIMIT 1", [id], |row| {
                row.get(0)
            })
            .optional()?;
        if known.is_none() {
            return Err(StateError::Missing {
                what: "directive",
                id: id.into(),
            });
        }
        Ok(self.db.execute(
            "UPDATE directive SET revoked_us = ?2 WHERE id = ?1 AND revoked_us IS NULL",
            params![id, at_us.cast_signed()],
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_of_a_directive_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        let row = |version: u32| DirectiveRow {
            applied_us: version.into(),
            digest: [7; 32],
            id: "us-bis".into(),
            note: format!("note {version}\n"),
            revoked_us: None,
            version,
        };
        state.put_directive(&row(2)).unwrap();
        state.put_directive(&row(1)).unwrap();
        assert!(matches!(state.put_directive(&row(1)), Err(StateError::Db(_))));
        assert_eq!(state.directives().unwrap(), [row(1), row(2)]);
        assert_eq!(state.revoke_directive("us-bis", 5).unwrap(), 2);
        assert_eq!(state.revoke_directive("us-bis", 6).unwrap(), 0);
        assert!(
            state
                .directives()
                .unwrap()
                .iter()
                .all(|row| row.revoked_us == Some(5))
        );
        assert!(matches!(
            state.revoke_directive("other", 6),
            Err(StateError::Missing { .. })
        ));
    }

    /// A version that holds from so many seconds after the year began, and perhaps until so many.
    fn version(version: u32, from_s: u64, to_s: Option<u64>) -> DirectiveRow {
        let time = |s: u64| format!("2026-01-01T00:00:{s:02}Z");
        let to = to_s.map_or_else(String::new, |s| format!("valid_to = {}\n", time(s)));
        let text = format!(
            "t = \"tieline/directive/v1\"\nid = \"us-1\"\nversion = {version}\nissuer = \"An authority\"\n\
             authority = \"15 CFR 744.22\"\ntitle = \"A letter\"\nreason = \"A licence is required.\"\n\
             issued = 2026-01-01T00:00:00Z\nvalid_from = {}\n{to}effect = \"deny\"\n\
             in_flight = \"cut\"\n[scope]\nmodels = [\"m1\"]\n",
            time(from_s)
        );
        let signer = tieline_note::Signer::new("tieline.example/officer", &[1; 32]).unwrap();
        DirectiveRow {
            applied_us: 1_000,
            digest: [7; 32],
            id: "us-1".into(),
            note: tieline_note::note::sign(&text, &signer).unwrap(),
            revoked_us: None,
            version,
        }
    }

    #[test]
    fn a_version_that_begins_later_leaves_the_one_before_it_until_then() {
        /// 2026-01-01T00:00:00Z.
        const YEAR: u64 = 1_767_225_600_000_000;
        let check = |rows: &[DirectiveRow], expected: &[(u64, &[u32])]| {
            for (s, versions) in expected {
                let found = standing(rows, Tick(YEAR + s * 1_000_000)).unwrap();
                let found: Vec<u32> = found.iter().map(|signed| signed.order.version()).collect();
                assert_eq!(&found, versions, "{s}");
            }
        };
        let (one, two) = (version(1, 0, None), version(2, 10, None));
        check(
            &[one.clone(), two.clone()],
            &[(0, &[1, 2]), (9, &[1, 2]), (10, &[2]), (11, &[2])],
        );
        check(
            &[one.clone(), two.clone(), version(3, 20, Some(30))],
            &[(0, &[1, 2, 3]), (10, &[2, 3]), (20, &[3]), (30, &[])],
        );
        // The newest word counts, whatever was announced before it.
        check(
            &[one.clone(), two.clone(), version(3, 5, None)],
            &[(0, &[1, 3]), (5, &[3]), (10, &[3])],
        );
        check(
            &[one.clone(), two.clone(), version(3, 0, None)],
            &[(0, &[3]), (10, &[3])],
        );
        check(
            &[version(1, 0, Some(5)), two.clone()],
            &[(4, &[1, 2]), (5, &[2]), (10, &[2])],
        );
        let revoked = [one, two].map(|row| DirectiveRow {
            revoked_us: Some(1),
            ..row
        });
        check(&revoked, &[(0, &[]), (10, &[])]);
        check(&[&revoked[..], &[version(3, 10, None)]].concat(), &[(0, &[3])]);
    }

    #[test]
    fn a_clock_that_was_set_back_undoes_no_order() {
        let row = |revoked_us| DirectiveRow {
            revoked_us,
            ..version(1, 0, None)
        };
        for at in [Tick(0), Tick(999), Tick(1_000)] {
            assert_eq!(standing(&[row(None)], at).unwrap().len(), 1, "{at:?}");
            assert_eq!(standing(&[row(Some(2_000))], at).unwrap().len(), 0, "{at:?}");
        }
        assert_eq!(in_force(&[row(None)], Tick(999)).unwrap().len(), 0);
        assert_eq!(in_force(&[row(Some(2_000))], Tick(1_999)).unwrap().len(), 1);
    }
}
