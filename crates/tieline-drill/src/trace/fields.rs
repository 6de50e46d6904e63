//! The fields of one line of a CSV file (RFC 4180): quoted or not, with their places. A record whose quotes do not end
//! on its line goes on with the next one.

use std::borrow::Cow;

/// Where a field lies in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    start: usize,
    end: usize,
    is_quoted: bool,
}

/// The fields of a record; the buffer is used again for the next.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// Where the field begins whose quote has not ended, and from where on its end is looked for: what was looked at once
    /// is not looked at again.
    open: Option<(usize, usize)>,
    places: Vec<Place>,
}

/// Why a record has no fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoFields {
    /// At this byte something follows a quote that ended a field.
    Stray(usize),
    /// The quote that begins at this byte does not end; more of the record may follow.
    Open(usize),
}

impl Fields {
    pub(super) fn split(&mut self, record: &[u8]) -> Result<(), NoFields> {
        self.places.clear();
        self.open = None;
        self.go_on(record)
    }

    /// Split a record that was open, and is longer now.
    pub(super) fn go_on(&mut self, record: &[u8]) -> Result<(), NoFields> {
        let (mut at, mut from) = self.open.take().unwrap_or_default();
        loop {
            let rest = record.get(at..).unwrap_or_default();
            let place = if rest.first() == Some(&b'"') {
                let Some(place) = quoted(record, at, from) else {
                    self.open = Some((at, record.len()));
                    return Err(NoFields::Open(at));
                };
                place
            } else {
                let end = memchr::memchr(b',', rest).map_or(record.len(), |len| at + len);
                Place {
                    start: at,
                    end,
                    is_quoted: false,
                }
            };
            self.places.push(place);
            // Behind the field, and the quote that ends it.
            let end = place.end + usize::from(place.is_quoted);
            match record.get(end) {
                None => return Ok(()),
                Some(b',') => at = end + 1,
                Some(_) => return Err(NoFields::Stray(end)),
            }
            from = at;
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.places.len()
    }

    /// A field as text, trimmed; what is no UTF-8 is shown as such and matches nothing.
    pub(super) fn text<'r>(&self, record: &'r [u8], ix: usize) -> Cow<'r, str> {
        let Some(place) = self.places.get(ix) else {
            return Cow::Borrowed("");
        };
        let bytes = record.get(place.start..place.end).unwrap_or_default();
        let text = String::from_utf8_lossy(bytes);
        let text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        };
        if place.is_quoted && text.contains("\"\"") {
            return Cow::Owned(text.replace("\"\"", "\""));
        }
        text
    }

    /// The byte at which a field begins.
    pub(super) fn start(&self, ix: usize) -> usize {
        self.places.get(ix).map_or(0, |place| place.start)
    }
}

/// The field that begins with a quote at a byte, as far as the one that ends it; two quotes are one of the text.
fn quoted(record: &[u8], at: usize, from: usize) -> Option<Place> {
    let start = at + 1;
    let mut from = from.max(start);
    loop {
        let end = from + memchr::memchr(b'"', record.get(from..)?)?;
        if record.get(end + 1) != Some(&b'"') {
            return Some(Place {
                start,
                end,
                is_quoted: true,
            });
        }
        from = end + 2;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(record: &str, expected: Result<&[&str], NoFields>) {
        let mut fields = Fields::default();
        let split = fields.split(record.as_bytes());
        let texts: Vec<String> = (0..fields.len())
            .map(|ix| fields.text(record.as_bytes(), ix).into_owned())
            .collect();
        match (split, expected) {
            (Ok(()), Ok(expected)) => assert_eq!(texts, expected, "{record}"),
            (split, expected) => assert_eq!(split, expected.map(|_| ()), "{record}"),
        }
    }

    #[test]
    fn records_are_split() {
        check("", Ok(&[""]));
        check("a,b", Ok(&["a", "b"]));
        check(" a , b ,", Ok(&["a", "b", ""]));
        check(r#""a,b",c"#, Ok(&["a,b", "c"]));
        check(r#""say ""hi""",c"#, Ok(&[r#"say "hi""#, "c"]));
        check("\"a\nb\",c", Ok(&["a\nb", "c"]));
        check(r#"5" disk,c"#, Ok(&[r#"5" disk"#, "c"]));
        check(r#"a,"b"x,c"#, Err(NoFields::Stray(5)));
        check(r#"a,"b,c"#, Err(NoFields::Open(2)));
        check(r#"a,"b"""#, Err(NoFields::Open(2)));
    }

    proptest! {
        #[test]
        fn a_record_that_grows_is_split_like_one_that_was_whole(record in "[a\"\n,]{0,24}", at in 0_usize..24) {
            let (mut whole, mut grown) = (Fields::default(), Fields::default());
            let expected = whole.split(record.as_bytes());
            let part = record.as_bytes().get(..at).unwrap_or(record.as_bytes());
            // A quote at the end may be the first of two: lines end elsewhere.
            let is_open = matches!(grown.split(part), Err(NoFields::Open(_))) && !part.ends_with(b"\"");
            if is_open {
                prop_assert_eq!(grown.go_on(record.as_bytes()), expected);
                prop_assert_eq!(&grown.places, &whole.places);
            }
        }
    }
}
