//! Problems: what a caller is told when a call is not served. A [`Code`] is stable, has a number with a page of its own
//! (`docs/errors/TLnnnn.md`), and carries who is at fault; a [`Problem`] adds the sentence and the wait.
//!
//! `says` reaches the caller and never holds a credential, a prompt or another party's name.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// Whose fault a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The channels, all that could be tried.
    Channel,
    Client,
    /// tieline itself.
    Gateway,
    /// A limit of the key, the party or a channel.
    Quota,
    /// A rule in force.
    Rule,
}

/// Whether the same request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// After this span at the earliest.
    After(Span),
    /// At once, or when the caller likes: nothing was done.
    Free,
    /// Not as it stands.
    Never,
}

/// A problem of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub code: Code,
    pub retry: Retry,
    /// One sentence for the caller.
    pub says: Cow<'static, str>,
}

/// One table gives each code its number, HTTP status, blame, title, and what to do about it; the error pages are
/// generated from it.
macro_rules! codes {
    ($($variant:ident $number:literal $name:literal $status:literal $blame:ident $title:literal $advice:literal)*) => {
        /// A stable error code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code { $(#[serde(rename = $name)] $variant,)* }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The number of its page, such as `TL1001`.
            pub const fn number(self) -> &'static str {
                match self { $(Self::$variant => $number,)* }
            }

            /// The machine-readable name, such as `body_not_json`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The HTTP status, before a dialect's own rules (Anthropic answers 529 where this says 503).
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            pub const fn blame(self) -> Blame {
                match self { $(Self::$variant => Blame::$blame,)* }
            }

            /// What it means, in one sentence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// What to do about it, in one or two sentences.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)* }
            }
        }
    };
}

codes! {
    BodyNotJson "TL1001" "body_not_json" 400 Client "The request body is not valid JSON."
        "Send one JSON object. The message names the byte at which reading stopped."
    BodyNotUtf8 "TL1002" "body_not_utf8" 400 Client "The request body is not valid UTF-8."
        "Encode the body as UTF-8; JSON has no other encoding (RFC 8259, section 8.1)."
    BodyTooDeep "TL1003" "body_too_deep" 400 Client "The request body nests more than 128 levels."
        "Flatten the document. The limit keeps every reader of the body, ours and the channel's, from running out of stack."
    BodyTooLarge "TL1004" "body_too_large" 413 Client "The request body is larger than the listener accepts."
        "Send less, or raise `body_bytes_max` under `[gateway]`."
    KeyTwice "TL1005" "key_twice" 400 Client "The request body names a field twice."
        "Name each field once. With two, the gateway and the channel might each obey a different one."
    FieldMissing "TL1006" "field_missing" 400 Client "A field that the dialect requires is missing."
        "Add the field that the message names."
    FieldWrong "TL1007" "field_wrong" 400 Client "A field has a type or value that the dialect does not allow."
        "Correct the field that the message names."
    PathUnknown "TL1008" "path_unknown" 404 Client "No dialect has this path."
        "Use `POST /v1/chat/completions`, `POST /v1/messages` or `GET /v1/models`."
    MethodWrong "TL1009" "method_wrong" 405 Client "The path exists, but not for this method."
        "Use the method that the message names."
    BodyTimeout "TL1010" "body_timeout" 408 Client "The request body did not arrive in time."
        "Send the body faster, or raise `body_ms` under `[gateway]`."
    TranslationImpossible "TL1011" "translation_impossible" 400 Client
        "The request cannot be expressed in the dialect of any channel that could serve it."
        "Use the channel's own dialect for this request, or leave out what the message names."
    BodyEncoded "TL1012" "body_encoded" 415 Client "The request body is compressed, which no dialect's server accepts."
        "Send the body as it is, without `content-encoding`: switch compression of requests off in the client or its proxy."
    KeyMissing "TL2001" "key_missing" 401 Client "The request carries no key."
        "Send the key as `Authorization: Bearer …` or `x-api-key: …`. `tieline keys add` makes one."
    KeyUnknown "TL2002" "key_unknown" 401 Client "The key is not known here."
        "Check for a truncated or outdated key. `tieline keys list` shows the public ids of those that exist."
    KeyRevoked "TL2003" "key_revoked" 401 Client "The key was revoked."
        "Ask the operator for another. `tieline keys list` shows when it was revoked."
    PoolUnknown "TL2004" "pool_unknown" 404 Client "`model` names neither a pool nor a model of this grid."
        "`GET /v1/models` lists what the key may ask for."
    PoolForbidden "TL2005" "pool_forbidden" 403 Client "The key may not ask for this pool or model."
        "Ask the operator to add it to the key, or use one that `GET /v1/models` lists."
    IdentityRefused "TL2006" "identity_refused" 401 Client "The token or client certificate that came with the call is not valid here."
        "The message names the check that failed. Get a fresh token for the configured issuer and audience, or a fresh certificate, or ask the operator to look at `[identity]` and `[certificates]`."
    Denied "TL3001" "denied" 403 Rule "A rule in force denies this call."
        "The message names the rule and its source. `tieline explain <call>` prints the whole chain."
    Held "TL3002" "held" 403 Rule "A rule in force holds this call until an officer has decided."
        "Quote the ticket to the compliance officer; send the call again after the disposition."
    RequestLimit "TL4001" "request_limit" 429 Quota "The limit of requests is used up."
        "Wait as long as `retry-after` says."
    TokenLimit "TL4002" "token_limit" 429 Quota "The limit of tokens is used up."
        "Wait as long as `retry-after` says, or ask for fewer tokens."
    ConcurrencyLimit "TL4003" "concurrency_limit" 429 Quota "Too many calls of this key are in flight."
        "Wait for one to end."
    BudgetLimit "TL4004" "budget_limit" 429 Quota "The budget is used up."
        "Wait as long as `retry-after` says, or ask the operator for a larger budget. A lower output limit of the request reserves less of it."
    PriceUnknown "TL4005" "price_unknown" 403 Quota "No candidate has a known price, and a budget or the configuration wants it known."
        "Ask the operator to state the price of the model on its channels, or of the model itself."
    NoChannel "TL5001" "no_channel" 503 Channel "No channel that this party may use can serve the model."
        "`tieline grid` shows the channels and what is out; `tieline explain <call>` says why each was passed over."
    ChannelsFailed "TL5002" "channels_failed" 502 Channel "Every channel that was tried failed."
        "Send the call again later. `tieline explain <call>` lists the attempts."
    ChannelsBusy "TL5003" "channels_busy" 429 Quota "Every channel that was tried is at its limit."
        "Wait as long as `retry-after` says."
    AnswerCut "TL5004" "answer_cut" 502 Channel "The answer broke off after part of it was delivered."
        "Discard the part or use it as such: it is not a complete answer. Sending the call again is safe."
    CallTimeout "TL5005" "call_timeout" 504 Channel "The call reached its limit of time."
        "Raise `call_ms` of the pool, or ask for less."
    AnswerUnreadable "TL5006" "answer_unreadable" 502 Channel "The channel's answer is not what its dialect allows."
        "`tieline explain <call>` names the channel; report it to its operator."
    LedgerFull "TL6001" "ledger_full" 503 Gateway "The ledger cannot take another entry, and this gateway is set to refuse then."
        "Send the call again. If it lasts, look at the disk of the state folder and at `tieline_ledger_*` in the metrics."
    Draining "TL6002" "draining" 503 Gateway "The gateway is shutting down."
        "Send the call again; another process takes it."
    Overloaded "TL6003" "gateway_overloaded" 503 Gateway "The gateway has as many calls in flight as it may."
        "Send the call again later, or raise `calls_max` under `[gateway]`."
    KeySetMissing "TL6005" "key_set_missing" 503 Gateway "The keys that would verify the token have not been fetched yet."
        "Send the call again. If it lasts, the log and `tieline_key_set_fetches` in the metrics say why the issuer's key set cannot be fetched."
    Internal "TL6004" "internal" 500 Gateway "A defect in tieline ended the call."
        "Please report it with the call id. No other call is affected."
}

impl Problem {
    /// A problem with the code's own title as its sentence.
    pub const fn plain(code: Code) -> Self {
        Self {
            code,
            retry: Retry::Never,
            says: Cow::Borrowed(code.title()),
        }
    }

    pub fn new(code: Code, says: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            retry: Retry::Never,
            says: says.into(),
        }
    }

    #[must_use]
    pub const fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbers_and_names_are_unique() {
        let numbers: BTreeSet<_> = Code::ALL.iter().map(|c| c.number()).collect();
        let names: BTreeSet<_> = Code::ALL.iter().map(|c| c.name()).collect();
        assert_eq!(numbers.len(), Code::ALL.len());
        assert_eq!(names.len(), Code::ALL.len());
    }
}
