//! Reading JSON objects without losing sight of what is not read.
//!
//! [`wire_object!`] declares a struct whose fields are all optional, with a hand-made visitor: a key that is named twice
//! is refused, a key that is not known is remembered by name. A reader takes the fields that it carries; `report` then
//! reports every field that is still there. So a field can only disappear by being taken. (serde's own tools would not
//! do: `flatten` and internally tagged enums buffer their input, which breaks raw values.)

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tieline_core::{Code, Problem};

use crate::model::Place;

/// Unknown keys remembered of one object: one more than a loss report holds.
pub(crate) const REST_MAX: usize = crate::model::loss::LOSSES_MAX + 1;

macro_rules! wire_object {
    ($(#[$meta:meta])* $name:ident { $($(#[$note:meta])* $field:ident: $kind:ty = $key:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        pub(crate) struct $name {
            $($(#[$note])* pub(crate) $field: Option<$kind>,)*
            /// Keys that the struct does not know.
            pub(crate) rest: Vec<String>,
        }

        impl $name {
            /// Reports every field that nobody took.
            pub(crate) fn report(&self, at: crate::model::Place, losses: &mut crate::model::Losses) {
                $(if self.$field.is_some() {
                    losses.dropped(at.key($key), "no counterpart");
                })*
                for key in &self.rest {
                    losses.unknown(at, key);
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Fields;

                impl<'de> serde::de::Visitor<'de> for Fields {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        $(let mut $field: Option<Option<$kind>> = None;)*
                        let mut rest = Vec::new();
                        while let Some(key) = map.next_key::<crate::dialect::object::Key<'de>>()? {
                            match &*key.0 {
                                $($key => {
                                    if $field.is_some() {
                                        return Err(serde::de::Error::duplicate_field($key));
                                    }
                                    $field = Some(map.next_value()?);
                                })*
                                _ => {
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                    if rest.len() < crate::dialect::object::REST_MAX {
                                        rest.push(key.0.into_owned());
                                    }
                                }
                            }
                        }
                        Ok($name { $($field: $field.flatten(),)* rest })
                    }
                }

                deserializer.deserialize_map(Fields)
            }
        }
    };
}

pub(crate) use wire_object;

/// A key of an object, borrowed where it holds no escapes.
pub(crate) struct Key<'de>(pub(crate) Cow<'de, str>);

/// A string, or a list or object in its place.
#[derive(Clone, Debug)]
pub(crate) enum StrOr<T> {
    Str(String),
    Other(T),
}

/// A count of tokens in an answer. Channels write them as integers, some as floats; a negative one is no count.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count(pub(crate) u64);

/// What a body that cannot be read is answered with. It says where, and never repeats what stood there.
pub(crate) fn problem(error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let (line, column) = (error.line(), error.column());
    let code = if text.starts_with("duplicate field") {
        Code::KeyTwice
    } else if text.starts_with("recursion limit") {
        Code::BodyTooDeep
    } else if error.is_data() {
        Code::FieldWrong
    } else {
        Code::BodyNotJson
    };
    let at = format!("at line {line}, column {column}");
    // Our own visitors wrote what follows "expected"; what precedes it may quote the document.
    let expected = text
        .rsplit_once(", expected ")
        .map_or("", |(_, tail)| tail.split(" at line").next().unwrap_or(""));
    let says = match code {
        Code::FieldWrong if !expected.is_empty() => {
            format!("A field has a type that the dialect does not allow {at}: expected {expected}.")
        }
        code => format!("{} ({at})", code.title()),
    };
    Problem::new(code, says)
}

/// A field that the dialect requires and the request does not have.
pub(crate) fn missing(at: Place) -> Problem {
    Problem::new(Code::FieldMissing, format!("`{at}` is missing."))
}

/// A field whose value the dialect does not allow.
pub(crate) fn wrong(at: Place, expected: &str) -> Problem {
    Problem::new(Code::FieldWrong, format!("`{at}` must be {expected}."))
}

/// A request that no channel of the other dialect can be asked.
pub(crate) fn impossible(at: Place, why: &str) -> Problem {
    Problem::new(
        Code::TranslationImpossible,
        format!("`{at}` cannot be translated: {why}."),
    )
}

// === impl Key ===

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

// === impl StrOr ===

impl<'de, T: Deserialize<'de>> Deserialize<'de> for StrOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = StrOr<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a list or an object")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<StrOr<T>, E> {
                Ok(StrOr::Str(text.to_owned()))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<StrOr<T>, E> {
                Ok(StrOr::Str(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<StrOr<T>, A::Error> {
                T::deserialize(SeqAccessDeserializer::new(seq)).map(StrOr::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<StrOr<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(StrOr::Other)
            }
        }

        deserializer.deserialize_any(Either(PhantomData))
    }
}

// === impl Count ===

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tokens;

        impl Visitor<'_> for Tokens {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a count")
            }

            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Count, E> {
                Ok(Count(n))
            }

            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Count, E> {
                u64::try_from(n)
                    .map(Count)
                    .map_err(|_| E::custom("a negative count"))
            }

            fn visit_f64<E: de::Error>(self, n: f64) -> Result<Count, E> {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "the range is checked"
                )]
                if (0.0..9.0e15).contains(&n) {
                    Ok(Count(n as u64))
                } else {
                    Err(E::custom("no count"))
                }
            }
        }

        deserializer.deserialize_any(Tokens)
    }
}
