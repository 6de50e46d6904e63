//! The texts that `tieline directive new` writes: complete, and right as they stand but for what they name.

pub(super) fn directive(now: jiff::Timestamp) -> String {
    format!(
        r#"# A directive: a dated order that changes who may use what. `tieline directive sign` checks it, `rehearse` says whom it
# would hit, `apply` brings it into force. It can make no verdict less strict.

t = "tieline/directive/v1"
id = "example-2026-1"             # lower-case letters, digits and `-`; an amendment has the same id
version = 1                       # an amendment counts upwards
issuer = "Example authority"
authority = "15 CFR 744.22"       # what callers are told as the source
title = "Licence required for the release of a model to foreign persons"
reason = "A licence is required before this model is released to a foreign person."
remedy = "Apply for a licence, or use another model of the pool."
issued = {now}
valid_from = {now}
# valid_to = 2027-01-01T00:00:00Z # without it, until it is revoked
effect = "deny"                   # deny, hold, or require (then: require.licences, require.statements)
in_flight = "finish"              # finish, cut, or `drain 30`: what becomes of calls under way
disclosure = "public"             # public, code, or sealed: how much callers, logs and reports may say
# note = "For our own people."

[scope]                           # models in any of the three
models = ["model-name"]
# labs = ["lab-name"]
# training_flop_min = "1e26"

[who]                             # parties in any of the three; without [who], everybody
condition = '''
if principal has kind && principal.kind == Kind::"person"
then principal has person_class && !principal.person_class.contains("us_person")
else principal has jurisdiction && principal.jurisdiction != Country::"US"
'''
# parties = ["p_0123456789abcdef"]
# groups = ["a-list-of-yours"]

# [exempt]                        # who of them is spared, in the same words
# parties = ["p_fedcba9876543210"]
"#
    )
}

pub(super) fn revocation(id: &str, now: jiff::Timestamp) -> String {
    format!(
        r#"# A revocation: it ends the directive of this id. `tieline directive sign` checks and signs it, `revoke` carries it out.

t = "tieline/revocation/v1"
id = "{id}"
version = 2                       # greater than that of the directive which it ends
issuer = "Example authority"
issued = {now}
reason = "Withdrawn."
"#
    )
}
