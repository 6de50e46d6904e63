//! The traces of Mooncake: JSON Lines with `timestamp` (ms from the beginning), `input_length`, `output_length` and
//! `hash_ids`, one for each block of 512 prompt tokens, each of which names its block with everything before it. What a
//! prompt begins with and was seen within the lifetime of a cache is taken as read from it: that is modelled.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use tieline_core::{Span, Tick};

use super::calls::{since_epoch, tokens};
use super::row::{Row, Wrong};

/// Tokens of a block.
const BLOCK_TOKENS: usize = 512;

/// Blocks that are remembered: 4 million at some 40 bytes are 160 MB; beyond them those that lapsed are forgotten, then
/// all.
const BLOCKS_MAX: usize = 4_000_000;

/// Which blocks are in the cache, and until when.
#[derive(Debug)]
pub(super) struct Mooncake {
    blocks: BTreeMap<u64, Tick>,
    lifetime: Span,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCall<'l> {
    hash_ids: Vec<u64>,
    #[serde(borrow)]
    input_length: &'l RawValue,
    #[serde(borrow)]
    output_length: &'l RawValue,
    #[serde(borrow)]
    timestamp: &'l RawValue,
}

impl Mooncake {
    pub(super) const fn new(lifetime: Span) -> Self {
        Self {
            blocks: BTreeMap::new(),
            lifetime,
        }
    }

    pub(super) fn row(&mut self, line: &[u8]) -> Result<Row<'static>, Wrong> {
        let raw: RawCall<'_> = serde_json::from_slice(line).map_err(|error| {
            let says = error.to_string();
            let (says, _) = says.rsplit_once(" at line ").unwrap_or((&says, ""));
            Wrong::at(
                error.column().saturating_sub(1),
                format!("the line is no call of Mooncake: {says}"),
            )
            .hint("lines of JSON are read in that format alone; write others as CSV")
        })?;
        // Where in the line a number stands, is where its text is borrowed from.
        let place = |value: &RawValue| offset(line, value.get());
        let number = |name: &str, value: &RawValue| {
            let read = tokens(value.get(), place(value));
            read.map_err(|wrong| Wrong {
                says: format!("`{name}`: {}", wrong.says),
                ..wrong
            })
        };
        let input = number("input_length", raw.input_length)?;
        let output = number("output_length", raw.output_length)?;
        let at = since_epoch(raw.timestamp.get(), 3, place(raw.timestamp))?;
        let read = self.read(at, &raw.hash_ids);
        let cached = u32::try_from(read * BLOCK_TOKENS).unwrap_or(u32::MAX).min(input);
        Ok(Row {
            at,
            tokens: Some([input - cached, output, cached, 0, 0]),
            ..Row::default()
        })
    }

    /// How many blocks a prompt begins with that the cache has; it has all of them then.
    fn read(&mut self, at: Tick, blocks: &[u64]) -> usize {
        let is_cached = |block: &&u64| self.blocks.get(block).is_some_and(|lapses| *lapses > at);
        let read = blocks.iter().take_while(is_cached).count();
        if self.blocks.len() + blocks.len() > BLOCKS_MAX {
            self.blocks.retain(|_, lapses| *lapses > at);
        }
        if self.blocks.len() + blocks.len() > BLOCKS_MAX {
            self.blocks.clear();
        }
        let lapses = at.plus(self.lifetime);
        self.blocks.extend(blocks.iter().map(|block| (*block, lapses)));
        read
    }
}

/// Where a part of a line begins that was borrowed from it.
fn offset(line: &[u8], part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(line.as_ptr() as usize)
}
