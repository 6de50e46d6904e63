//! Prices: of models, of channels, and lists of them with their day and source.

use std::collections::BTreeMap;
use std::sync::Arc;

use tieline_core::grid::PriceListRecord;
use tieline_core::{PicoPerToken, Price, Rates, TIERS_MAX, Tier, Tiers};

use super::grid::{Names, missing, unknown};
use super::value;
use crate::diagnose::{Code, Diagnostic, Sink, Span, shown};
use crate::raw::shape::{RawPriceList, RawPriceTable};
use crate::raw::{At, Entries, nearest};

/// Tokens of a prompt at which a tier may begin; no context window is near it.
const OVER_MAX: u64 = 1_000_000_000;

/// Names that a channel's price may have without a list of that name.
const WORDS: [&str; 2] = ["list", "unknown"];

/// The lists of a file: of each the models that it names, with the price if it is in order.
pub(super) type Lists<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Option<Price>>>;

/// The rates of a table; two tables have these keys. Cache tokens without a price of their own cost as much as input: what
/// is not known to be cheaper is not taken to be.
macro_rules! rates {
    ($raw:expr, $place:expr, $sink:expr) => {{
        let (raw, place, sink) = ($raw, $place, &mut *$sink);
        for key in ["input", "output"] {
            if !raw.seen.contains(&key) {
                lacks(key, place, sink);
            }
        }
        let input = amount(raw.input.as_ref(), sink);
        let output = amount(raw.output.as_ref(), sink);
        let mut own = |at: &Option<At<String>>, key: &str, otherwise: Option<PicoPerToken>| {
            if raw.seen.contains(&key) {
                amount(at.as_ref(), sink)
            } else {
                otherwise
            }
        };
        let cache_read = own(&raw.cache_read, "cache_read", input);
        let cache_write = own(&raw.cache_write, "cache_write", input);
        let [audio, audio_output] = [
            own(&raw.audio, "audio", None),
            own(&raw.audio_output, "audio_output", None),
        ];
        let [image, reasoning] = [
            own(&raw.image, "image", None),
            own(&raw.reasoning, "reasoning", None),
        ];
        match (input, output, cache_read, cache_write) {
            (Some(input), Some(output), Some(cache_read), Some(cache_write)) => Some(Rates {
                audio,
                audio_output,
                cache_read,
                cache_write,
                image,
                input,
                output,
                reasoning,
            }),
            _ => None,
        }
    }};
}

/// A price table.
pub(super) fn price(raw: &RawPriceTable, place: Span, sink: &mut Sink) -> Option<Price> {
    let rates = rates!(raw, place, sink);
    let mut tiers = Vec::new();
    for tier in raw.tiers.iter().flat_map(|at| &at.value) {
        let over = if tier.value.seen.contains(&"over") {
            value::number_if_stated(tier.value.over.as_ref(), "over", OVER_MAX, sink)
        } else {
            lacks("over", tier.span, sink);
            None
        };
        let rates = rates!(&tier.value, tier.span, sink);
        tiers.extend(over.zip(rates).map(|(over, rates)| Tier { over, rates }));
    }
    let place = raw.tiers.as_ref().map_or(place, |at| at.span);
    let tiers = Tiers::new(tiers);
    if tiers.is_none() {
        sink.push(
            Diagnostic::error(Code::PriceBad, "the tiers of the price do not fit together").at(
                place,
                format!("wants at most {TIERS_MAX}, each with its own `over`"),
            ),
        );
    }
    Some(Price::new(rates?, tiers?))
}

/// The lists of a file, and what their names stand for in the record.
pub(super) fn lists<'a>(
    raw: Option<&'a Entries<RawPriceList>>,
    models: &BTreeMap<&str, super::grid::ListPrice>,
    sink: &mut Sink,
) -> (Lists<'a>, BTreeMap<Arc<str>, PriceListRecord>) {
    let (mut lists, mut records) = (Lists::new(), BTreeMap::new());
    for (name, list) in raw.into_iter().flat_map(Entries::iter) {
        let record = record(name, list, sink);
        let mut prices = BTreeMap::new();
        for (model, table) in list.models.iter().flat_map(|at| at.value.iter()) {
            if !models.contains_key(model.value.as_str()) {
                unknown(Code::ModelUnknown, "model", model, models.keys().copied(), sink);
            }
            prices.insert(model.value.as_str(), price(table, model.span, sink));
        }
        lists.insert(name.value.as_str(), prices);
        if let (Some(key), Some(record)) = (value::name(name, "price list", sink), record) {
            records.insert(key, record);
        }
    }
    (lists, records)
}

fn record(name: &At<String>, list: &RawPriceList, sink: &mut Sink) -> Option<PriceListRecord> {
    if WORDS.contains(&name.value.as_str()) {
        sink.push(
            Diagnostic::error(
                Code::NameBad,
                format!("`{}` cannot be the name of a price list", name.value),
            )
            .at(name.span, "has a meaning of its own")
            .hint("name it by whose prices they are and of when, such as `list-2026-11`"),
        );
    }
    for (key, hint) in [
        ("date", "the day whose prices they are: `date = \"2026-11-20\"`"),
        ("source", "where they are from: a URL, a contract"),
    ] {
        if !list.seen.contains(&key) {
            missing(name, key, hint, sink);
        }
    }
    let (date, source) = (list.date.as_ref()?, list.source.as_ref()?);
    if !value::is_day(&date.value) {
        sink.push(
            Diagnostic::error(Code::PriceBad, format!("`{}` is not a day", shown(&date.value)))
                .at(date.span, "wants year, month and day")
                .hint("such as \"2026-11-20\""),
        );
    }
    if source.value.trim().is_empty() || source.value.len() > SOURCE_BYTES_MAX {
        sink.push(
            Diagnostic::error(Code::PriceBad, "the source of the prices says nothing")
                .at(source.span, format!("wants 1 to {SOURCE_BYTES_MAX} bytes")),
        );
    }
    Some(PriceListRecord {
        date: Arc::from(date.value.as_str()),
        source: Arc::from(source.value.as_str()),
    })
}

/// Bytes of a source: a URL with room to spare.
const SOURCE_BYTES_MAX: usize = 512;

/// The price that a word stands for, and the list that it is from.
pub(super) fn named(
    model: &At<String>,
    word: &At<String>,
    names: &Names<'_>,
    sink: &mut Sink,
) -> (Option<Price>, Option<Arc<str>>) {
    let none = (None, None);
    match word.value.as_str() {
        "unknown" => none,
        "list" => {
            let list = names.models.get(model.value.as_str()).copied();
            // A model that the file does not have is reported where it is named.
            if list.is_some_and(|list| !list.is_stated) {
                sink.push(
                    Diagnostic::error(
                        Code::PriceListMissing,
                        format!("the model `{}` has no list price", shown(&model.value)),
                    )
                    .at(word.span, "the price of what?")
                    .hint("give the model a `price`, or write the channel's own, or `\"unknown\"`"),
                );
            }
            (list.and_then(|list| list.price), None)
        }
        name => {
            if let Some(list) = names.prices.get(name) {
                let price = list.get(model.value.as_str());
                if price.is_none() && names.models.contains_key(model.value.as_str()) {
                    sink.push(
                        Diagnostic::error(
                            Code::PriceListMissing,
                            format!("the list `{name}` has no price of `{}`", shown(&model.value)),
                        )
                        .at(word.span, "the price of what?")
                        .hint(
                            "add the model to the list, or write the channel's own price, or `\"unknown\"`",
                        ),
                    );
                }
                (price.copied().flatten(), Some(Arc::from(name)))
            } else {
                let known = WORDS.into_iter().chain(names.prices.keys().copied());
                sink.push(
                    Diagnostic::error(Code::PriceBad, format!("`{}` is not a price", shown(name)))
                        .at(
                            word.span,
                            "one of `list` or `unknown`, the name of a list, or a table",
                        )
                        .did_you_mean(nearest(name, known))
                        .hint("for example `price = { input = \"3.00\", output = \"15.00\" }`"),
                );
                none
            }
        }
    }
}

fn lacks(key: &str, place: Span, sink: &mut Sink) {
    sink.push(
        Diagnostic::error(Code::KeyMissing, format!("the price has no `{key}`"))
            .at(place, format!("wants `{key}`"))
            .hint("if it is not known, leave out the whole `price`: it is then unknown, and not zero"),
    );
}

fn amount(raw: Option<&At<String>>, sink: &mut Sink) -> Option<PicoPerToken> {
    let at = raw?;
    let parsed = at.value.parse();
    if parsed.is_err() {
        let diagnostic = Diagnostic::error(Code::PriceBad, format!("`{}` is not a price", shown(&at.value)))
            .at(at.span, "wants USD per million tokens");
        let hint = if at.value.contains('$') {
            "leave out the currency: prices are in USD"
        } else if at.value.contains(',') {
            "write a decimal point and no separators: \"1234.50\""
        } else if at.value.starts_with('-') {
            "a price cannot be negative"
        } else {
            "a decimal number with at most 6 decimals, such as \"3.00\""
        };
        sink.push(diagnostic.hint(hint));
    }
    parsed.ok()
}
