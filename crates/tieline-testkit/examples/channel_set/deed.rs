//! What a channel may do with a request: answer it, answer it oddly, or fail it in one of the ways that channels fail.

use std::time::Duration;

use bytes::Bytes;
use tieline_testkit::{Act, Answer, Cut, Dialect, Step, canned};

use crate::ask::Ask;

/// Each variant with its name in prompts, orders and the journal.
macro_rules! deeds {
    ($($variant:ident $name:literal $says:literal)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Deed { $(#[doc = $says] $variant,)* }

        impl Deed {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

deeds! {
    Close "close" "FIN in mid-answer."
    Cut "cut" "RST in mid-answer."
    Empty "empty" "A 200 with nothing in it."
    Error "500" "The provider's own 500."
    ErrorEvent "error-event" "The provider's own error within a stream, after content."
    Invalid "400" "The provider's own 400: the request is at fault."
    Junk "junk" "An event that is no JSON and has no content stands in the stream; nothing is missing."
    Late "late" "The first content comes late, and in time."
    Malformed "malformed" "Content in mid-answer stands in an event that is no JSON."
    Ok "ok" "A whole answer."
    Overload "503" "The provider's own 503, or 529."
    Page "page" "A 200 with a page of HTML."
    Rate "429" "The provider's own 429, with a Retry-After of a second."
    Refuse "reset" "RST before any byte."
    Silent "silent" "Nothing at all."
    Stall "stall" "Silence in mid-answer."
    Twice "twice" "The events that end the stream come twice."
    Unterminated "unterminated" "The stream closes without its terminator, after it said that it is whole."
}

/// Before the first content of an answer that is late: below every limit that a long run sets.
const LATE: Duration = Duration::from_millis(600);

/// Where a whole answer breaks off: within its first members.
const WHOLE_CUT_BYTE: usize = 40;

impl Deed {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|deed| deed.name() == name)
    }

    /// What comes nearest in an answer that is not streamed.
    pub(crate) const fn possible(self, is_stream: bool) -> Self {
        match self {
            Self::ErrorEvent if !is_stream => Self::Error,
            Self::Junk | Self::Twice | Self::Unterminated if !is_stream => Self::Ok,
            _ => self,
        }
    }

    pub(crate) fn act(self, ask: &Ask, answer: &Answer) -> Act {
        let of = |openai: canned::Canned, anthropic: canned::Canned| match ask.dialect {
            Dialect::OpenAi => openai,
            Dialect::Anthropic => anthropic,
        };
        let error = of(canned::OPENAI_SERVER_ERROR, canned::ANTHROPIC_SERVER_ERROR);
        match self {
            Self::Error => error.act(),
            Self::Invalid => of(canned::OPENAI_INVALID_REQUEST, canned::ANTHROPIC_INVALID_REQUEST).act(),
            Self::Overload => of(canned::OPENAI_OVERLOADED, canned::ANTHROPIC_OVERLOADED).act(),
            Self::Rate => of(canned::OPENAI_RATE_LIMIT, canned::ANTHROPIC_RATE_LIMIT)
                .act()
                .header("retry-after", "1")
                .header("retry-after-ms", "1000"),
            Self::Page => Act::status(200)
                .content_type("text/html")
                .body("<html>we will be back soon</html>"),
            Self::Empty if ask.is_stream => Act::stream(Vec::<Bytes>::new()),
            Self::Empty => Act::json("{}"),
            Self::Refuse => Act::refuse(),
            Self::Silent => Act::silent(),
            _ if ask.is_stream => self.streamed(ask, answer, error),
            _ => self.whole(ask, answer),
        }
    }

    fn whole(self, ask: &Ask, answer: &Answer) -> Act {
        let body = match ask.dialect {
            Dialect::OpenAi => answer.openai_json(),
            Dialect::Anthropic => answer.anthropic_json(),
        };
        let good = Act::json(body.clone()).wait_before_head(ask.pace);
        match self {
            Self::Close => good.cut_at_body_byte(WHOLE_CUT_BYTE, Cut::Close),
            Self::Cut => good.cut_at_body_byte(WHOLE_CUT_BYTE, Cut::Reset),
            Self::Late => good.wait_before_head(LATE),
            Self::Malformed => Act::json(body.slice(..body.len().saturating_sub(1))),
            Self::Stall => good.cut_at_body_byte(WHOLE_CUT_BYTE, Cut::Silence),
            _ => good,
        }
    }

    fn streamed(self, ask: &Ask, answer: &Answer, error: canned::Canned) -> Act {
        let frames = match ask.dialect {
            Dialect::OpenAi => answer.openai_stream(ask.wants_usage),
            Dialect::Anthropic => answer.anthropic_stream(),
        };
        // After the role, or after the message, its block and a ping.
        let first = match ask.dialect {
            Dialect::OpenAi => 1,
            Dialect::Anthropic => 3,
        };
        let (middle, last) = (first + answer.text.len() / 2, frames.len().saturating_sub(1));
        let stop = match ask.dialect {
            Dialect::OpenAi => first + answer.text.len(),
            // Before it, the block ends.
            Dialect::Anthropic => first + answer.text.len() + 1,
        };
        let good = paced(frames, first, ask.pace);
        match self {
            Self::Close => good.cut_before_frame(middle, Cut::Close),
            Self::Cut => good.cut_before_frame(middle, Cut::Reset),
            Self::ErrorEvent => good
                .before_frame(middle, Step::Frame(error.frame()))
                .cut_before_frame(middle, Cut::Close),
            Self::Junk => {
                good.before_frame(middle, Step::Frame(Bytes::from_static(b"data: proxy: busy\n\n")))
            }
            Self::Late => good.wait_before_frame(first, LATE),
            Self::Malformed => good.malform_frame(middle),
            Self::Stall => good.cut_before_frame(middle, Cut::Silence),
            Self::Twice => good.duplicate_frame(stop).duplicate_frame(last),
            Self::Unterminated => good.cut_before_frame(last, Cut::Close),
            _ => good,
        }
    }
}

/// The stream with a pause before each piece of content but the first.
fn paced(frames: Vec<Bytes>, first: usize, pace: Duration) -> Act {
    let mut act = Act::stream(Vec::<Bytes>::new());
    for (place, frame) in frames.into_iter().enumerate() {
        if place > first && !pace.is_zero() {
            act = act.wait(pace);
        }
        act = act.body(frame);
    }
    act
}
