//! The reader: from parsed TOML to values with places, reporting what does not fit and reading on.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::nearest;
use crate::diagnose::{Code, Diagnostic, Sink, Span, looks_secret, shown};

/// A value and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct At<T> {
    pub(crate) span: Span,
    pub(crate) value: T,
}

/// A list of values.
pub(crate) type List<T> = Vec<At<T>>;

/// A table whose keys are names that the user chose, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entries<T>(pub(crate) Vec<(At<String>, T)>);

/// A value that can be read from TOML. `key` is the key that it stands under, for messages; none is returned after a
/// report.
pub(crate) trait Read: Sized {
    fn read(value: &Spanned<DeValue<'_>>, key: &str, sink: &mut Sink) -> Option<Self>;
}

/// The key of a field, as a literal: its name, or what it is written as where that is a word of the language.
macro_rules! raw_key {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}

/// Declares a table with known keys: the struct, its schema, and its reader.
macro_rules! raw_table {
    ($($(#[$meta:meta])* $name:ident {
        $($(#[$field_meta:meta])* $field:ident $(as $key:literal)?: $ty:ty,)*
    })*) => { $(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub(crate) struct $name {
            $($(#[$field_meta])* $(#[schemars(rename = $key)])? pub(crate) $field: Option<At<$ty>>,)*
            /// The keys that the file has, also those whose value could not be read.
            #[schemars(skip)]
            pub(crate) seen: Vec<&'static str>,
        }

        impl $crate::raw::reader::Fields for $name {
            const KEYS: &'static [&'static str] = &[$($crate::raw::reader::raw_key!($field $($key)?)),*];

            fn field(
                &mut self,
                name: &str,
                value: &toml::Spanned<toml::de::DeValue<'_>>,
                sink: &mut $crate::diagnose::Sink,
            ) -> bool {
                match name {
                    $($crate::raw::reader::raw_key!($field $($key)?) => {
                        let key = $crate::raw::reader::raw_key!($field $($key)?);
                        self.seen.push(key);
                        self.$field = $crate::raw::reader::read_at(value, key, sink);
                        true
                    })*
                    _ => false,
                }
            }
        }
    )* };
}

/// Declares a choice of words: the enum, its schema, and its reader.
macro_rules! raw_choice {
    ($($(#[$meta:meta])* $name:ident { $($(#[$word_meta:meta])* $variant:ident $word:literal,)* })*) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, schemars::JsonSchema)]
        pub(crate) enum $name { $($(#[$word_meta])* #[schemars(rename = $word)] $variant,)* }

        impl $crate::raw::reader::Read for $name {
            fn read(
                value: &toml::Spanned<toml::de::DeValue<'_>>,
                key: &str,
                sink: &mut $crate::diagnose::Sink,
            ) -> Option<Self> {
                const WORDS: &[&str] = &[$($word),*];
                let word: String = $crate::raw::reader::Read::read(value, key, sink)?;
                match word.as_str() {
                    $($word => Some(Self::$variant),)*
                    _ => $crate::raw::reader::no_such_word(&word, WORDS, value, key, sink),
                }
            }
        }
    )* };
}

pub(super) use {raw_choice, raw_key, raw_table};

/// The fields of a table with known keys.
pub(crate) trait Fields: Default {
    const KEYS: &'static [&'static str];

    /// Read one field; false if there is none of that name.
    fn field(&mut self, name: &str, value: &Spanned<DeValue<'_>>, sink: &mut Sink) -> bool;
}

/// Read the fields of a table and report the keys that it does not have.
pub(super) fn read_fields<T: Fields>(table: &DeTable<'_>, sink: &mut Sink) -> T {
    let mut out = T::default();
    for (key, value) in in_order(table) {
        if !out.field(key.get_ref(), value, sink) {
            unknown_key(key, value, T::KEYS, sink);
        }
    }
    out
}

pub(crate) fn read_at<T: Read>(value: &Spanned<DeValue<'_>>, key: &str, sink: &mut Sink) -> Option<At<T>> {
    Some(At {
        span: value.span().into(),
        value: T::read(value, key, sink)?,
    })
}

pub(crate) fn no_such_word<T>(
    word: &str,
    words: &[&str],
    value: &Spanned<DeValue<'_>>,
    key: &str,
    sink: &mut Sink,
) -> Option<T> {
    let message = format!("`{key}` cannot be `{}`", shown(word));
    let near = nearest(word, words.iter().copied());
    sink.push(
        Diagnostic::error(Code::ChoiceUnknown, message)
            .at(value.span().into(), format!("one of {}", quoted(words)))
            .did_you_mean(near),
    );
    None
}

pub(super) fn wrong_type<T>(
    value: &Spanned<DeValue<'_>>,
    key: &str,
    wants: &str,
    hint: Option<&str>,
    sink: &mut Sink,
) -> Option<T> {
    let found = kind_of(value.get_ref());
    let mut diagnostic = Diagnostic::error(
        Code::TypeWrong,
        format!("`{}` wants {wants}, not {found}", shown(key)),
    )
    .at(value.span().into(), found);
    if let Some(hint) = hint {
        diagnostic = diagnostic.hint(hint);
    }
    sink.push(diagnostic);
    None
}

/// `a`, `b` and `c`.
pub(crate) fn quoted(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => format!("`{only}`"),
        [init @ .., last] => {
            let init: Vec<_> = init.iter().map(|word| format!("`{word}`")).collect();
            format!("{} or `{last}`", init.join(", "))
        }
    }
}

/// The entries of a table as they stand in the file; the parser sorts them by name.
fn in_order<'a, 'i>(table: &'a DeTable<'i>) -> Vec<(&'a Spanned<Cow<'i, str>>, &'a Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// Keys under which people put secrets.
const SECRET_KEYS: &[&str] = &[
    "api_key",
    "apikey",
    "api-key",
    "key",
    "secret",
    "token",
    "password",
    "bearer",
    "auth",
    "authorization",
];

fn unknown_key(key: &Spanned<Cow<'_, str>>, value: &Spanned<DeValue<'_>>, known: &[&str], sink: &mut Sink) {
    let name = key.get_ref().as_ref();
    let text = value.get_ref().as_str().unwrap_or_default();
    let holds_secret = SECRET_KEYS.contains(&name.to_ascii_lowercase().as_str()) && !text.is_empty();
    if holds_secret || looks_secret(text) {
        sink.push(
            secret_in_file(value.span().into()).note(format!("`{}` is not a key of this table", shown(name))),
        );
        return;
    }
    let near = if sink.is_full() {
        None
    } else {
        nearest(name, known.iter().copied())
    };
    let what = if value.get_ref().is_table() {
        "table"
    } else {
        "key"
    };
    let diagnostic = Diagnostic::error(
        Code::KeyUnknown,
        format!("there is no {what} `{}` here", shown(name)),
    )
    .at(key.span().into(), format!("unknown {what}"));
    let is_rest_of_name = what == "table" && name.starts_with(|c: char| c.is_ascii_digit());
    sink.push(if near.is_some() {
        diagnostic.did_you_mean(near)
    } else if is_rest_of_name {
        diagnostic.hint("a name with dots needs quotes, such as `[models.\"gpt-4.1\"]`")
    } else {
        diagnostic.hint(format!(
            "known here are {}",
            quoted(known).replace(" or ", " and ")
        ))
    });
}

/// A secret where a reference to one belongs.
pub(super) fn secret_in_file(span: Span) -> Diagnostic {
    Diagnostic::error(Code::SecretInFile, "a secret stands in the configuration")
        .at(span, "shown as `*`")
        .secret()
        .hint("set an environment variable and refer to it: `credential = { env = \"NAME\" }`")
        .hint("whoever could read this file may have the secret: replace it")
}

const fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

// === impl Read ===

impl Read for String {
    fn read(value: &Spanned<DeValue<'_>>, key: &str, sink: &mut Sink) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(text) => Some(text.as_ref().to_owned()),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
                wrong_type(value, key, "a string", Some("put it in quotes"), sink)
            }
            DeValue::Array(_) | DeValue::Table(_) => wrong_type(value, key, "a string", None, sink),
        }
    }
}

impl Read for u64 {
    fn read(value: &Spanned<DeValue<'_>>, key: &str, sink: &mut Sink) -> Option<Self> {
        match value.get_ref() {
            DeValue::Integer(integer) => {
                let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
                let number = number.and_then(|n| Self::try_from(n).ok());
                if number.is_none() {
                    let is_negative = integer.as_str().starts_with('-');
                    let what = if is_negative {
                        "be negative"
                    } else {
                        "be that large"
                    };
                    sink.push(
                        Diagnostic::error(Code::OutOfRange, format!("`{key}` cannot {what}"))
                            .at(value.span().into(), "out of range"),
                    );
                }
                number
            }
            DeValue::String(_) => wrong_type(
                value,
                key,
                "an integer",
                Some("write it without quotes, in the unit that the key names"),
                sink,
            ),
            _ => wrong_type(value, key, "an integer", None, sink),
        }
    }
}

impl Read for bool {
    fn read(value: &Spanned<DeValue<'_>>, key: &str, sink: &mut Sink) -> Option<Self> {
        match value.get_ref() {
            DeValue::Boolean(is) => Some(*is),
            _ => wrong_type(value, key, "`true` or `false`", None, sink),
        }
    }
}

impl<T: Read> Read for List<T> {
    fn read(value: &Spanned<DeValue<'_>>, key: &str, sink: &mut Sink) -> Option<Self> {
        match value.get_ref() {
            DeValue::Array(array) => Some(array.iter().filter_map(|item| read_at(item, key, sink)).collect()),
            DeValue::String(_) => wrong_type(
                value,
                key,
                "a list",
                Some("put it in brackets: `[\"...\"]`"),
                sink,
            ),
            _ => wrong_type(value, key, "a list", None, sink),
        }
    }
}

impl<T: Read> Read for Entries<T> {
    fn read(value: &Spanned<DeValue<'_>>, key: &str, sink: &mut Sink) -> Option<Self> {
        let DeValue::Table(table) = value.get_ref() else {
            return wrong_type(value, key, "a table", None, sink);
        };
        let entries = in_order(table).into_iter().filter_map(|(name, entry)| {
            let read = T::read(entry, name.get_ref(), sink)?;
            Some((
                At {
                    span: name.span().into(),
                    value: name.get_ref().as_ref().to_owned(),
                },
                read,
            ))
        });
        Some(Self(entries.collect()))
    }
}

impl<T: Fields> Read for T {
    fn read(value: &Spanned<DeValue<'_>>, key: &str, sink: &mut Sink) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(table) => Some(read_fields(table, sink)),
            _ => wrong_type(value, key, "a table", None, sink),
        }
    }
}

// === impl Entries ===

impl<T> Entries<T> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&At<String>, &T)> {
        self.0.iter().map(|(name, entry)| (name, entry))
    }
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

// === impl JsonSchema ===

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T: JsonSchema> JsonSchema for Entries<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("EntriesOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
    }
}
