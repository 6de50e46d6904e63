//! OpenAI Chat Completions, `POST /v1/chat/completions` (OpenAI API reference; shapes of its imitators as recorded).

pub mod read;
pub mod stream;
pub(crate) mod wire;
pub mod write;
