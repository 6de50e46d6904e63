//! Countries as codes that exist: ISO 3166-1 alpha-2, or ISO 3166-2 for a part of one (`UA-43`). A code that is not
//! listed is refused when it is read, because a rule about a list of countries would let a misspelt one pass.
//!
//! No code stands for another here: whether Hong Kong counts as China is a pack's statement, not ours.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

/// A country or a subdivision of one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Country(Arc<str>);

/// A text that is no country code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no country code: ISO 3166-1 alpha-2 such as `DE`, or ISO 3166-2 such as `UA-43`, is expected"
)]
pub struct BadCountry(pub String);

/// The codes of whole countries, each once in memory however many parties are there.
static CODES: LazyLock<BTreeMap<&'static str, Arc<str>>> = LazyLock::new(|| {
    let codes = ALPHA2.split_ascii_whitespace();
    codes.map(|code| (code, Arc::from(code))).collect()
});

impl Country {
    pub fn parse(code: &str) -> Result<Self, BadCountry> {
        let (country, part) = code
            .split_once('-')
            .map_or((code, None), |(country, part)| (country, Some(part)));
        let listed = CODES.get(country);
        let part_fits = part.is_none_or(|p| {
            (1..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        });
        match listed {
            Some(known) if part.is_none() => Ok(Self(known.clone())),
            Some(_) if part_fits => Ok(Self(Arc::from(code))),
            _ => Err(BadCountry(code.chars().take(32).collect())),
        }
    }

    /// Every country, without subdivisions, by code.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        CODES.values().map(|code| Self(code.clone()))
    }

    pub fn code(&self) -> &str {
        &self.0
    }

    /// The country that a subdivision is part of.
    pub fn whole(&self) -> Option<Self> {
        self.0
            .split_once('-')
            .map(|(country, _)| Self(Arc::from(country)))
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Country {
    type Error = BadCountry;

    fn try_from(code: String) -> Result<Self, BadCountry> {
        Self::parse(&code)
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.0.as_ref().to_owned()
    }
}

/// The 249 officially assigned codes of ISO 3166-1, and XK, which registries use for Kosovo.
const ALPHA2: &str = "\
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ \
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR \
    GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO \
    JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR \
    MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO \
    RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV \
    TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_complete_sorted_and_without_doubles() {
        let codes: Vec<_> = ALPHA2.split_ascii_whitespace().collect();
        assert_eq!(codes.len(), 249 + 1);
        assert!(codes.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn codes_that_exist_are_read_and_others_refused() {
        for good in ["DE", "US", "UA-43", "GB-ENG", "XK"] {
            assert_eq!(
                Country::parse(good).map(|c| c.code().to_owned()),
                Ok(good.to_owned())
            );
        }
        for bad in [
            "", "de", "Germany", "EU", "UK", "AA", "DE-", "UA-43X1", "DE\n", "ÄÖ",
        ] {
            assert!(Country::parse(bad).is_err(), "{bad:?} is not a code");
        }
        assert_eq!(
            Country::parse("UA-43").ok().and_then(|c| c.whole()),
            Country::parse("UA").ok()
        );
    }
}
