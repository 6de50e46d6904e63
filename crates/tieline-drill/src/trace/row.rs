//! One call of a trace, as its format has it: what it does not say is unknown, not nothing.

use tieline_core::{Dialect, Nano, Span, Tick};

use crate::traffic::Class;

/// A call; texts are those of the line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row<'r> {
    pub(super) ask: Option<RowAsk<'r>>,
    pub(super) at: Tick,
    pub(super) channel: Option<&'r str>,
    pub(super) class: Option<Class>,
    pub(super) cost: Option<Nano>,
    pub(super) dialect: Option<Dialect>,
    pub(super) output_max: Option<u32>,
    pub(super) party: Option<&'r str>,
    /// The model that answered.
    pub(super) served: Option<&'r str>,
    pub(super) stream: Option<bool>,
    /// Input, output, cache read, cache write, reasoning: disjoint.
    pub(super) tokens: Option<[u32; 5]>,
    pub(super) took: Option<Span>,
    pub(super) ttft: Option<Span>,
}

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowAsk<'r> {
    /// A pool or a model, whichever has the name.
    Either(&'r str),
    Model(&'r str),
    Pool(&'r str),
}

/// What is wrong with a line: at a byte of it, or all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) offset: Option<usize>,
    pub(super) says: String,
    pub(super) hint: Option<&'static str>,
}

impl Wrong {
    pub(super) fn at(offset: usize, says: impl Into<String>) -> Self {
        Self {
            offset: Some(offset),
            says: says.into(),
            hint: None,
        }
    }

    pub(super) fn line(says: impl Into<String>) -> Self {
        Self {
            offset: None,
            says: says.into(),
            hint: None,
        }
    }

    pub(super) fn hint(self, hint: &'static str) -> Self {
        Self {
            hint: Some(hint),
            ..self
        }
    }
}

impl<'r> RowAsk<'r> {
    pub(super) const fn name(self) -> &'r str {
        match self {
            Self::Either(name) | Self::Model(name) | Self::Pool(name) => name,
        }
    }
}
