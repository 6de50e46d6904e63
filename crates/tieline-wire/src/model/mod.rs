//! The canonical conversation: what every dialect's reader yields and every dialect's writer takes, so that N dialects
//! need N readers and N writers and not one translator for each pair.
//!
//! Contract. Text is kept as it was sent; tool arguments and schemas stay raw JSON text; numbers keep their digits.
//! What a dialect has and this model has not, the reader reports as a [`Loss`]; what this model has and a dialect has
//! not, the writer reports. Nothing here is larger than the body it was read from.

pub mod answer;
pub mod event;
pub mod loss;
pub mod name;
pub mod request;
pub mod value;

pub use answer::Answer;
pub use event::{Event, Halt, Kind};
pub use loss::{Loss, LossKind, Losses, Place};
pub use name::Names;
pub use request::{
    Ask, Choice, Effort, Image, ImageSource, Part, Role, Sampling, Shape, Text, Thought, Tool,
};
pub use request::{ToolCall, ToolResult, Turn};
pub use value::{Number, Raw};
