//! How a party's record changes: evidence is added, superseded and expired, and never forgotten by a change.
//!
//! An expired fact is a missing fact, while one that was never there may be taken from those above; so what a change
//! leaves out stays as evidence that has expired. Bounded by [`EVIDENCE_MAX`]: beyond it, expired evidence is dropped,
//! oldest first, for facts that other evidence is about.

use tieline_core::Tick;

use crate::evidence::Evidence;
use crate::facts::FactName;
use crate::registry::{EVIDENCE_MAX, PartyRecord};

impl PartyRecord {
    /// This record in place of `before`: what it no longer asserts is kept as expired at `now`.
    #[must_use]
    pub fn in_place_of(mut self, before: &Self, now: Tick) -> Self {
        for piece in &before.evidence {
            let is_said = self
                .evidence
                .iter()
                .any(|other| piece == other || piece.says_the_same(other));
            if !is_said {
                let mut piece = piece.clone();
                piece.end(now);
                self.evidence.push(piece);
            }
        }
        self.trim(now);
        self
    }

    /// Adds evidence. What the same source said of the same fact before expires at `now`, or gives way if it is the same.
    pub fn add_evidence(&mut self, piece: Evidence, now: Tick) {
        self.evidence.retain(|other| !other.says_the_same(&piece));
        let fact = piece.value.fact();
        for other in &mut self.evidence {
            if other.kind == piece.kind && other.issuer == piece.issuer && other.value.fact() == fact {
                other.end(now);
            }
        }
        self.evidence.push(piece);
        self.trim(now);
    }

    /// Lets the evidence for a fact expire at `now`, of one issuer or of all; how many pieces that were in force did.
    pub fn expire_evidence(&mut self, fact: &FactName, issuer: Option<&str>, now: Tick) -> usize {
        let mut count = 0;
        for piece in &mut self.evidence {
            let is_meant =
                piece.value.fact() == *fact && issuer.is_none_or(|issuer| *piece.issuer == *issuer);
            if is_meant && piece.holds(now) {
                piece.end(now);
                count += 1;
            }
        }
        count
    }

    /// Drops expired evidence beyond the bound, oldest first, but never the last about a fact.
    fn trim(&mut self, now: Tick) {
        while self.evidence.len() > EVIDENCE_MAX {
            let is_spare = |(at, piece): &(usize, &Evidence)| {
                let mut others = self.evidence.iter().enumerate().filter(|(other, _)| other != at);
                !piece.holds(now) && others.any(|(_, other)| other.value.fact() == piece.value.fact())
            };
            let spare = self.evidence.iter().enumerate().filter(is_spare);
            let Some((oldest, _)) = spare.min_by_key(|(_, piece)| piece.expires) else {
                return;
            };
            self.evidence.remove(oldest);
        }
    }
}

impl Evidence {
    /// Whether the same source asserts the same value, whenever it did.
    fn says_the_same(&self, other: &Self) -> bool {
        self.kind == other.kind && self.issuer == other.issuer && self.value == other.value
    }

    /// It asserts nothing from `now` on; evidence expires later than it was obtained.
    fn end(&mut self, now: Tick) {
        let at = now.max(Tick(self.obtained.0.saturating_add(1)));
        self.expires = Some(self.expires.map_or(at, |before| before.min(at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    fn record(evidence: &str) -> PartyRecord {
        let text = format!(r#"{{"id":"p","kind":"organisation","evidence":[{evidence}]}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn piece(issuer: &str, obtained: u64, jurisdiction: &str) -> String {
        format!(
            r#"{{"kind":"registration","issuer":"{issuer}","obtained":{obtained},"value":{{"jurisdiction":"{jurisdiction}"}}}}"#
        )
    }

    fn parsed(text: &str) -> Evidence {
        serde_json::from_str(text).unwrap()
    }

    fn jurisdiction(record: &PartyRecord, now: u64) -> Option<String> {
        let registry = Registry::new(Tick(now), vec![record.clone()]).unwrap();
        let facts = registry.resolve_party("p").unwrap().facts.at(Tick(now));
        facts.jurisdiction.map(|country| country.to_string())
    }

    #[test]
    fn what_a_new_record_leaves_out_expires() {
        let before = record(&[piece("a", 1, "DE"), piece("b", 1, "DE")].join(","));
        let after = record(&piece("a", 5, "DE")).in_place_of(&before, Tick(9));
        assert_eq!(after.evidence.len(), 2, "the same word of a source gives way");
        assert_eq!(
            (after.evidence[0].obtained, after.evidence[1].expires),
            (Tick(5), Some(Tick(9)))
        );
        let nothing = record("").in_place_of(&after, Tick(12));
        assert_eq!(jurisdiction(&nothing, 12), None);
        assert_eq!(nothing.evidence.len(), 2, "nothing is forgotten");
        assert_eq!(
            nothing.evidence[1].expires,
            Some(Tick(9)),
            "what had expired stays as it was"
        );
    }

    #[test]
    fn a_source_supersedes_itself_and_nobody_else() {
        let mut party = record(&[piece("a", 1, "DE"), piece("b", 1, "DE")].join(","));
        party.add_evidence(parsed(&piece("a", 7, "FR")), Tick(7));
        let held: Vec<bool> = party.evidence.iter().map(|piece| piece.holds(Tick(7))).collect();
        assert_eq!(held, [false, true, true]);
    }

    #[test]
    fn evidence_that_expires_is_missing_at_that_instant() {
        let mut party = record(&[piece("a", 1, "DE"), piece("b", 1, "DE")].join(","));
        let fact = FactName::Jurisdiction;
        assert_eq!(party.expire_evidence(&fact, Some("c"), Tick(5)), 0);
        assert_eq!(party.expire_evidence(&fact, Some("a"), Tick(5)), 1);
        assert_eq!(jurisdiction(&party, 5).as_deref(), Some("DE"));
        assert_eq!(party.expire_evidence(&fact, None, Tick(6)), 1);
        assert_eq!(jurisdiction(&party, 6), None);
        assert_eq!(party.expire_evidence(&fact, None, Tick(7)), 0);
    }

    #[test]
    fn only_expired_evidence_about_facts_with_more_is_dropped() {
        let mut party = record(&piece("first", 1, "DE"));
        party.expire_evidence(&FactName::Jurisdiction, None, Tick(2));
        for n in 0..2 * u64::try_from(EVIDENCE_MAX).unwrap() {
            let text = piece("a", 10 + n, if n % 2 == 0 { "DE" } else { "FR" });
            let text = text
                .replace("jurisdiction", "data_centre")
                .replace("\"a\"", &format!("\"a{n}\""));
            party.add_evidence(parsed(&text), Tick(10 + n));
            party.expire_evidence(&FactName::DataCentre, None, Tick(11 + n));
        }
        assert_eq!(party.evidence.len(), EVIDENCE_MAX);
        assert_eq!(party.evidence[0].value.fact(), FactName::Jurisdiction);
    }
}
