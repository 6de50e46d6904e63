//! The canonical answer that arrived whole, and the facts that every writer of answers needs from it.

use tieline_core::{Mark, Stop, Usage};

use super::event::Halt;
use super::request::Part;

/// One whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub halt: Halt,
    pub id: String,
    pub model: String,
    pub parts: Vec<Part>,
    /// `None` if the channel did not say; unknown is not zero.
    pub usage: Option<Usage>,
}

impl Answer {
    pub fn calls(&self) -> usize {
        self.parts
            .iter()
            .filter(|part| matches!(part, Part::Call(_)))
            .count()
    }

    /// What the core may know of it, in the order in which a stream would have said it.
    pub fn marks(&self, mut each: impl FnMut(Mark)) {
        let mut contents: u32 = 0;
        if self.parts.iter().any(|part| matches!(part, Part::Thought(_))) {
            each(Mark::Thinking);
        }
        for part in &self.parts {
            match part {
                Part::Call(_) => {
                    contents = contents.saturating_add(1);
                    each(Mark::Tool);
                }
                Part::Text(text) | Part::Refusal(text) if !text.text.is_empty() => {
                    contents = contents.saturating_add(1);
                }
                _ => {}
            }
        }
        if contents > 0 {
            each(Mark::Content(contents));
        }
        if let Some(usage) = self.usage {
            each(Mark::Usage(usage));
        }
        each(Mark::Stop(settle(self.halt.stop, self.calls() > 0)));
    }
}

/// The stop reason that agrees with the content: calls win over an ordinary end, and none is claimed without a call.
pub fn settle(stop: Stop, has_calls: bool) -> Stop {
    match stop {
        Stop::End | Stop::Sequence | Stop::Other if has_calls => Stop::Tool,
        Stop::Tool if !has_calls => Stop::End,
        stop => stop,
    }
}
