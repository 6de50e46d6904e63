//! Where the rows of a ledger are kept.

mod sqlite;

pub(crate) use sqlite::{Row, Store, StoredHead};
