//! Server-sent events (WHATWG HTML, section 9.2), cut into frames and read one at a time.
//!
//! A frame is the bytes of one event up to and with the blank line that ends it; the frames of a stream, and the rest
//! that [`Frames::rest`] holds, are the stream, byte for byte. Lines end with LF, CR or CRLF. A frame that lies within
//! one chunk is a range of it; one that spans chunks is joined, in a buffer of at most [`EVENT_BYTES_MAX`].

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

/// The longest event that is put together from several chunks. The largest real ones are images in base64 (about 3 MB
/// for 2048 by 2048 pixels); 1,000 streams in such an event at once are 8 GiB, which is what the limit on calls is for.
pub const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What cutting a chunk yields.
#[derive(Debug, PartialEq, Eq)]
pub enum Cut {
    /// A whole event that began in an earlier chunk.
    Joined(Bytes),
    /// An event is longer than [`EVENT_BYTES_MAX`]; the buffer was given up.
    Oversize,
    /// A whole event, which is this range of the chunk.
    Within(Range<usize>),
}

impl Cut {
    /// The frame, if it is one of `chunk`'s feeding.
    pub fn bytes<'c>(&'c self, chunk: &'c [u8]) -> Option<&'c [u8]> {
        match self {
            Self::Joined(frame) => Some(frame),
            Self::Oversize => None,
            Self::Within(range) => chunk.get(range.clone()),
        }
    }

    /// The frame as bytes of its own; empty for one that is oversize.
    pub fn into_bytes(self, chunk: &Bytes) -> Bytes {
        match self {
            Self::Joined(frame) => frame,
            Self::Oversize => Bytes::new(),
            Self::Within(range) => chunk.slice(range),
        }
    }
}

/// Cuts a stream into frames.
#[derive(Debug)]
pub struct Frames {
    /// The last line ended with CR at the end of what was seen: an LF that follows belongs to it.
    after_cr: bool,
    /// The current line is empty so far.
    blank: bool,
    carry: Vec<u8>,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            after_cr: false,
            blank: true,
            carry: Vec::new(),
        }
    }
}

impl Frames {
    /// Takes a chunk; `sink` gets each frame that it completes, and returns whether to go on.
    pub fn feed(&mut self, chunk: &[u8], mut sink: impl FnMut(Cut) -> bool) {
        let mut start = 0;
        // The second half of a CRLF whose first half ended a frame is a frame of its own: the event is long handed on.
        if self.after_cr && self.carry.is_empty() && chunk.first() == Some(&b'\n') {
            self.after_cr = false;
            start = 1;
            if !sink(Cut::Within(0..1)) {
                return;
            }
        }
        while let Some(rest) = chunk.get(start..).filter(|r| !r.is_empty()) {
            let Some(len) = self.boundary(rest) else {
                if self.carry.len() + rest.len() > EVENT_BYTES_MAX {
                    self.carry = Vec::new();
                    sink(Cut::Oversize);
                } else {
                    self.carry.extend_from_slice(rest);
                }
                return;
            };
            let cut = if self.carry.is_empty() {
                Cut::Within(start..start + len)
            } else {
                self.carry.extend_from_slice(rest.get(..len).unwrap_or_default());
                Cut::Joined(Bytes::from(std::mem::take(&mut self.carry)))
            };
            start += len;
            if !sink(cut) {
                return;
            }
        }
    }

    /// The bytes of the event that has not ended.
    pub fn rest(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.carry))
    }

    /// The length of the current frame's remainder within `bytes`, if it ends there.
    fn boundary(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        if self.after_cr {
            self.after_cr = false;
            at = usize::from(bytes.first() == Some(&b'\n'));
        }
        while let Some(rest) = bytes.get(at..).filter(|r| !r.is_empty()) {
            let Some(line_len) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.blank = false;
                return None;
            };
            let ends = self.blank && line_len == 0;
            at += line_len + 1;
            self.blank = true;
            if rest.get(line_len) == Some(&b'\r') {
                match bytes.get(at) {
                    Some(b'\n') => at += 1,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            if ends {
                return Some(at);
            }
        }
        None
    }
}

/// One event as read from its frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The lines of `data`, joined with LF.
    pub data: Cow<'a, [u8]>,
    /// The last `event` field, if there was one that is not empty.
    pub name: Option<&'a [u8]>,
}

/// Reads a frame. `None` if it carries no data: comments, keep-alives, stray blank lines. A byte order mark may open the
/// first frame of a stream and no other.
pub fn event(frame: &[u8], is_first: bool) -> Option<Event<'_>> {
    let mut data: Option<Cow<'_, [u8]>> = None;
    let mut name = None;
    let mut rest = frame;
    if is_first {
        rest = frame.strip_prefix(b"\xef\xbb\xbf").unwrap_or(frame);
    }
    while !rest.is_empty() {
        let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let (line, tail) = rest.split_at(end);
        rest = tail.get(1..).unwrap_or_default();
        if let Some(value) = field(line, b"data") {
            data = Some(match data {
                None => Cow::Borrowed(value),
                Some(lines) => {
                    let mut lines = lines.into_owned();
                    lines.push(b'\n');
                    lines.extend_from_slice(value);
                    Cow::Owned(lines)
                }
            });
        } else if let Some(value) = field(line, b"event") {
            name = (!value.is_empty()).then_some(value);
        }
    }
    data.map(|data| Event { data, name })
}

/// The value of `line` if its field is `name`: what follows the colon, less one leading space.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(name)? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}
