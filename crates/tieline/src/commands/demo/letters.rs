//! The three papers of June 2026, as directives: the letter of the 12th, the exemption of the 26th, the withdrawal of the
//! 30th. The texts are ours; dates, authority, and whom they name follow published accounts.

use tieline_note::{Signer, note};

use crate::output::{Failure, Result};

/// What every paper is made of.
#[derive(Debug)]
pub(super) struct Case<'a> {
    /// The models that the letter names, one or two.
    pub(super) models: &'a [String],
    /// The party that the second letter exempts.
    pub(super) partner: &'a str,
    pub(super) signer: &'a Signer,
    /// Distinguishes runs: directive ids are used once.
    pub(super) run: &'a str,
}

/// Whom the letter means: any foreign person. An organisation is one by where it is, a natural person by the class that an
/// employer asserts. Where neither is on record, the condition is undetermined, and the call is held.
const FOREIGN: &str = "\
if principal has kind && principal.kind == Kind::\"person\" then \
principal has person_class && !principal.person_class.contains(\"us_person\") \
else principal has jurisdiction && principal.jurisdiction != Country::\"US\"";

impl Case<'_> {
    pub(super) fn letter_id(&self) -> String {
        format!("us-is-informed-2026-06-12-{}", self.run)
    }

    fn exemption_id(&self) -> String {
        format!("us-is-informed-2026-06-26-{}", self.run)
    }

    /// 12 June: a licence for any release of the models to any foreign person.
    pub(super) fn letter(&self) -> Result<Vec<String>> {
        let text = Self::directive(&self.letter_id(), 1, self.models, "");
        Ok(vec![self.signed(&text)?])
    }

    /// 26 June: trusted partners are exempt for one of the two; nothing changes for the other.
    pub(super) fn exemption(&self) -> Result<Vec<String>> {
        let exempt = format!("[exempt]\nparties = [\"{}\"]\n", self.partner);
        let (first, others) = self.models.split_at(1.min(self.models.len()));
        if others.is_empty() {
            let text = Self::directive(&self.letter_id(), 2, first, &exempt);
            return Ok(vec![self.signed(&text)?]);
        }
        // The new paper first: at no moment is the model free for those whom both papers mean.
        let exempted = Self::directive(&self.exemption_id(), 1, first, &exempt);
        let narrowed = Self::directive(&self.letter_id(), 2, others, "");
        Ok(vec![self.signed(&exempted)?, self.signed(&narrowed)?])
    }

    /// 30 June: withdrawn.
    pub(super) fn withdrawal(&self) -> Result<Vec<String>> {
        let mut ids = vec![(self.letter_id(), 3)];
        if self.models.len() > 1 {
            ids.push((self.exemption_id(), 2));
        }
        let text = |(id, version): (String, u32)| {
            let now = now();
            self.signed(&format!(
                "t = \"tieline/revocation/v1\"\nid = \"{id}\"\nversion = {version}\n\
                 issuer = \"US Department of Commerce, Bureau of Industry and Security\"\nissued = {now}\n\
                 reason = \"Withdrawn on 30 June 2026.\"\n"
            ))
        };
        ids.into_iter().map(text).collect()
    }

    fn directive(id: &str, version: u32, models: &[String], exempt: &str) -> String {
        let names: Vec<String> = models.iter().map(|name| format!("{name:?}")).collect();
        let now = now();
        format!(
            "t = \"tieline/directive/v1\"\n\
             id = \"{id}\"\n\
             version = {version}\n\
             issuer = \"US Department of Commerce, Bureau of Industry and Security\"\n\
             authority = \"15 CFR 744.22; 50 USC 4817(b)(1)\"\n\
             title = \"Licence required for the release of two models to any foreign person\"\n\
             reason = \"A licence is required before this model is released to a foreign person.\"\n\
             remedy = \"Apply for a licence, or use another model of the pool.\"\n\
             issued = {now}\n\
             valid_from = {now}\n\
             effect = \"deny\"\n\
             in_flight = \"cut\"\n\
             disclosure = \"public\"\n\
             [scope]\n\
             models = [{}]\n\
             [who]\n\
             condition = '''{FOREIGN}'''\n\
             {exempt}",
            names.join(", ")
        )
    }

    fn signed(&self, text: &str) -> Result<String> {
        note::sign(text, self.signer).map_err(|error| Failure::found(format!("cannot sign: {error}")))
    }
}

/// The second that has begun, in RFC 3339.
fn now() -> String {
    let now = jiff::Timestamp::now().as_second();
    jiff::Timestamp::from_second(now).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_scenario_means_whom_the_demo_means() {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let scenario = words(include_str!("../../../../../scenarios/directive-2026-06-12.toml"));
        assert_eq!(
            scenario.matches(&words(FOREIGN)).count(),
            2,
            "the letter and its exemption"
        );
    }
}
