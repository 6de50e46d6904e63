//! JSON without a document tree: one validating pass that stops at the few fields somebody asked for ([`Cursor`]), the
//! head of a request read that way ([`scan`]), and edits that are spans over the original bytes ([`Edits`]).
//!
//! Bounds: at most [`DEPTH_MAX`] open containers, no recursion, no allocation but for text with escapes. The grammar is
//! RFC 8259; a byte order mark is not JSON.

mod cursor;
mod scan;
mod splice;
mod text;

pub use cursor::{Bad, Cursor, DEPTH_MAX, check};
pub(crate) use scan::StreamOptions;
pub use scan::{Head, scan};
pub(crate) use splice::joined;
pub use splice::{Edits, PIECES};
pub use text::{Text, quote_into};
