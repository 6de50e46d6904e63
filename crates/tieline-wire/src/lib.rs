//! Bytes: dialects, framing, providers; pure.
//!
//! The way of a call through here: [`surface`] reads the request line, [`scan`] the body's [`Head`]; for each attempt
//! [`prepare`] gives the request as the channel gets it and an [`Exchange`] that reads the answer; [`classify()`] says
//! whose fault an error reply is; [`render`] and [`relay_error`] write errors in the caller's dialect.
//!
//! Contract. Nothing here does IO or reads a clock. All bytes are hostile: no input panics, and every buffer has a named
//! limit. Between equal dialects bytes pass through but for the splices that [`prepare`] declares; between different
//! ones what is lost is reported as [`Loss`]. Of an answer only text-free marks are told to the core.

mod calendar;
pub mod classify;
pub mod convert;
#[doc(hidden)]
pub mod convert_fuzz;
pub mod dialect;
mod exchange;
pub mod frame;
#[doc(hidden)]
pub mod fuzz;
pub mod json;
pub mod model;
mod pass;
mod provider;
mod render;
pub mod resume;
mod surface;

pub use classify::{ChannelKind, classify};
pub use exchange::{Buffered, Exchange, Far, Outgoing, prepare};
pub use json::{Head, scan};
pub use model::{Loss, LossKind};
pub use pass::Out;
pub use provider::{Provider, auth_header, url_path};
pub use render::{
    Headers, Rendered, model_card, models_list, relay_error, relay_error_event, render, render_in_stream,
};
pub use surface::{PATHS, Path, Surface, auth_from_headers, forwards, model_asked, returns, surface};
