//! From an act and a request to the writes and pauses that the socket sees. Pure.
//!
//! Contract: what an act asks for is what the plan holds, byte for byte; an edit that names a frame that is not
//! there turns the whole answer into a 500 that says so.
//! Bounds: an act that makes acts is followed [`DEPTH_MAX`] deep.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::act::{Act, Cut, Edit, Framing, Source, Step, Wire, split};
use crate::gate::Gate;
use crate::seen::Seen;

/// The writes and pauses of one answer.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) status: Option<u16>,
    pub(crate) ops: Vec<Op>,
    /// Whether the connection can serve another request afterwards.
    pub(crate) keep_alive: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Write { bytes: Bytes, is_head: bool },
    Wait(Duration),
    Gate(Gate),
    Cut(Cut),
}

pub(crate) fn plan(act: &Act, seen: &Seen) -> Plan {
    match resolve(act, seen, 0) {
        Ok((steps, wire)) => finish(steps, &wire),
        Err(complaint) => finish(complain(&complaint), &[]),
    }
}

type Resolved = (Vec<Step>, Vec<Wire>);

fn resolve(act: &Act, seen: &Seen, depth: usize) -> Result<Resolved, String> {
    if depth > DEPTH_MAX {
        return Err(format!("an act that makes acts more than {DEPTH_MAX} deep"));
    }
    let (mut steps, mut wire) = match &act.source {
        Source::Steps(steps) => (steps.clone(), Vec::new()),
        Source::Call(answer) => resolve(&answer(seen), seen, depth + 1)?,
    };
    steps = edit(steps, &act.edits)?;
    for step in &mut steps {
        if let Step::Head { status, headers, .. } = step {
            *status = act.status.unwrap_or(*status);
            act.headers.iter().for_each(|header| set_header(headers, header));
        }
    }
    steps.splice(0..0, act.before_head.iter().cloned());
    wire.extend(act.wire.iter().cloned());
    Ok((steps, wire))
}

fn complain(complaint: &str) -> Vec<Step> {
    let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
    vec![
        Step::Head {
            status: 500,
            headers,
            framing: Framing::Length,
        },
        Step::Frame(Bytes::from(format!(
            "scripted channel: the script asks for {complaint}\n"
        ))),
    ]
}

fn set_header(headers: &mut Vec<(String, String)>, (name, value): &(String, String)) {
    headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    headers.push((name.clone(), value.clone()));
}

// === edits ===

/// Applies each edit at its frame, where frames are counted in `steps` as they came.
fn edit(steps: Vec<Step>, edits: &[Edit]) -> Result<Vec<Step>, String> {
    if edits.is_empty() {
        return Ok(steps);
    }
    let frames = steps.iter().filter(|step| matches!(step, Step::Frame(_))).count();
    if let Some(missing) = edits.iter().map(Edit::frame).find(|frame| {
        // usize::MAX stands for "at the end", `frames` for "after the last one".
        *frame > frames && *frame != usize::MAX
    }) {
        return Err(format!("frame {missing} of an answer with {frames}"));
    }
    let mut out = Vec::with_capacity(steps.len() + edits.len());
    let mut frame = 0;
    for step in steps {
        if let Step::Frame(bytes) = step {
            edit_frame(&mut out, bytes, edits.iter().filter(|edit| edit.frame() == frame));
            frame += 1;
        } else {
            out.push(step);
        }
    }
    for edit in edits.iter().filter(|edit| edit.frame() >= frames) {
        match edit {
            Edit::Before(_, step) => out.push(step.clone()),
            _ => return Err(format!("frame {frames} of an answer with {frames}")),
        }
    }
    Ok(out)
}

fn edit_frame<'a>(out: &mut Vec<Step>, bytes: Bytes, edits: impl Iterator<Item = &'a Edit>) {
    let mut frames = vec![bytes];
    let mut then = None;
    for edit in edits {
        match edit {
            Edit::Before(_, step) => out.push(step.clone()),
            Edit::Duplicate(_) => frames.extend(frames.clone()),
            Edit::Drop(_) => frames.clear(),
            Edit::Malform(_) => change(&mut frames, malform),
            Edit::Pad(_, pad_bytes) => change(&mut frames, |frame| oversize(frame, *pad_bytes)),
            Edit::Half(_, cut) => {
                change(&mut frames, |frame| frame.slice(..frame.len() / 2));
                then = Some(cut.step());
            }
        }
    }
    out.extend(frames.into_iter().map(Step::Frame));
    out.extend(then);
}

fn change(frames: &mut [Bytes], with: impl Fn(&Bytes) -> Bytes) {
    for frame in frames {
        *frame = with(frame);
    }
}

impl Edit {
    fn frame(&self) -> usize {
        match self {
            Self::Before(frame, _)
            | Self::Duplicate(frame)
            | Self::Half(frame, _)
            | Self::Malform(frame)
            | Self::Pad(frame, _)
            | Self::Drop(frame) => *frame,
        }
    }
}

/// Takes the last byte of the event's text away: the closing brace of its JSON.
fn malform(frame: &Bytes) -> Bytes {
    let text = frame.trim_ascii_end();
    let kept = text.len().saturating_sub(1);
    let mut out = BytesMut::with_capacity(frame.len());
    out.extend_from_slice(text.get(..kept).unwrap_or_default());
    out.extend_from_slice(frame.get(text.len()..).unwrap_or_default());
    out.freeze()
}

/// Adds a member to the JSON object that ends the frame; an SSE comment before it where there is none.
fn oversize(frame: &Bytes, pad_bytes: usize) -> Bytes {
    let text = frame.trim_ascii_end();
    let mut out = BytesMut::with_capacity(frame.len() + pad_bytes + 16);
    if let Some(open) = text.strip_suffix(b"}") {
        out.extend_from_slice(open);
        out.extend_from_slice(br#","padding":""#);
        out.put_bytes(b'x', pad_bytes);
        out.extend_from_slice(b"\"}");
        out.extend_from_slice(frame.get(text.len()..).unwrap_or_default());
    } else {
        out.extend_from_slice(b": ");
        out.put_bytes(b'x', pad_bytes);
        out.extend_from_slice(b"\n\n");
        out.extend_from_slice(frame);
    }
    out.freeze()
}

// === steps to writes ===

fn finish(steps: Vec<Step>, wire: &[Wire]) -> Plan {
    let head = steps.iter().find_map(|step| match step {
        Step::Head {
            status,
            headers,
            framing,
        } => Some((*status, headers, *framing)),
        _ => None,
    });
    let status = head.map(|(status, _, _)| status);
    let framing = head.map_or(Framing::UntilClose, |(_, _, framing)| framing);
    let says_close = head.is_some_and(|(_, headers, _)| {
        headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close")
        })
    });
    let length = steps
        .iter()
        .map(|step| {
            if let Step::Frame(body) = step {
                body.len()
            } else {
                0
            }
        })
        .sum();
    let mut ops: Vec<Op> = Vec::with_capacity(steps.len() + 1);
    for step in steps {
        ops.extend(op(step, framing, length));
    }
    let is_cut = ops.iter().any(|op| matches!(op, Op::Cut(_)));
    if framing == Framing::Chunked && !is_cut {
        ops.push(write(Bytes::from_static(b"0\r\n\r\n")));
    }
    let ops = wire.iter().fold(ops, bend);
    let keep_alive = framing != Framing::UntilClose && !says_close;
    Plan {
        status,
        ops,
        keep_alive,
    }
}

fn op(step: Step, framing: Framing, length: usize) -> Option<Op> {
    Some(match step {
        Step::Head {
            status,
            headers,
            framing,
        } => Op::Write {
            bytes: head(status, &headers, framing, length),
            is_head: true,
        },
        // An empty chunk would end the body, an empty write is none.
        Step::Frame(body) if body.is_empty() => return None,
        Step::Frame(body) if framing == Framing::Chunked => write(chunk(&body)),
        Step::Frame(bytes) | Step::Raw(bytes) => write(bytes),
        Step::Wait(time) => Op::Wait(time),
        Step::Gate(gate) => Op::Gate(gate),
        Step::Reset => Op::Cut(Cut::Reset),
        Step::Close => Op::Cut(Cut::Close),
        Step::Silence => Op::Cut(Cut::Silence),
    })
}

fn write(bytes: Bytes) -> Op {
    Op::Write {
        bytes,
        is_head: false,
    }
}

fn head(status: u16, headers: &[(String, String)], framing: Framing, length: usize) -> Bytes {
    let reason = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|code| code.canonical_reason());
    let mut text = format!("HTTP/1.1 {status} {}\r\n", reason.unwrap_or("Unassigned"));
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    let has = |wanted: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let ending = match framing {
        Framing::Length if !has("content-length") => format!("content-length: {length}\r\n"),
        Framing::Chunked if !has("transfer-encoding") => "transfer-encoding: chunked\r\n".to_owned(),
        Framing::UntilClose if !has("connection") => "connection: close\r\n".to_owned(),
        _ => String::new(),
    };
    text.push_str(&ending);
    text.push_str("\r\n");
    Bytes::from(text)
}

fn chunk(body: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(body.len() + 12);
    out.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n");
    out.freeze()
}

// === wire faults ===

fn bend(ops: Vec<Op>, wire: &Wire) -> Vec<Op> {
    match wire {
        Wire::CutAt { byte, cut } => cut_at(ops, *byte, *cut),
        Wire::CutBodyAt { byte, cut } => {
            let head_bytes: usize = ops.iter().map(Op::head_bytes).sum();
            cut_at(ops, head_bytes.saturating_add(*byte), *cut)
        }
        Wire::Split { points, pause } => split_at(ops, points, *pause),
        Wire::Drip { bytes, every } => drip(ops, *bytes, *every),
    }
}

fn cut_at(ops: Vec<Op>, byte: usize, cut: Cut) -> Vec<Op> {
    let mut left = byte;
    let mut out = Vec::with_capacity(ops.len() + 1);
    for op in ops {
        match op {
            Op::Write { mut bytes, is_head } if bytes.len() >= left => {
                bytes.truncate(left);
                if !bytes.is_empty() {
                    out.push(Op::Write { bytes, is_head });
                }
                break;
            }
            Op::Write { bytes, is_head } => {
                left -= bytes.len();
                out.push(Op::Write { bytes, is_head });
            }
            Op::Cut(_) => break,
            Op::Wait(_) | Op::Gate(_) => out.push(op),
        }
    }
    out.push(Op::Cut(cut));
    out
}

fn split_at(ops: Vec<Op>, points: &[usize], pause: Option<Duration>) -> Vec<Op> {
    let mut start = 0;
    let mut out = Vec::with_capacity(ops.len() + 2 * points.len());
    for op in ops {
        let Op::Write { bytes, is_head } = op else {
            out.push(op);
            continue;
        };
        // A point on the seam of two writes breaks nothing, but its pause is due all the same.
        if start > 0 && points.contains(&start) {
            out.extend(pause.map(Op::Wait));
        }
        let inside: Vec<usize> = points
            .iter()
            .filter_map(|point| point.checked_sub(start))
            .collect();
        start += bytes.len();
        for (place, piece) in split(bytes, &inside).into_iter().enumerate() {
            out.extend(pause.filter(|_| place > 0).map(Op::Wait));
            out.push(Op::Write {
                bytes: piece,
                is_head,
            });
        }
    }
    out
}

fn drip(ops: Vec<Op>, drip_bytes: usize, every: Duration) -> Vec<Op> {
    // A timer rounds up to its next millisecond, so no pause is not a pause of zero.
    let pause = (!every.is_zero()).then_some(Op::Wait(every));
    let mut out = Vec::with_capacity(ops.len());
    for op in ops {
        match op {
            Op::Write {
                mut bytes,
                is_head: false,
            } => {
                while !bytes.is_empty() {
                    let piece = bytes.split_to(drip_bytes.min(bytes.len()));
                    out.push(write(piece));
                    out.extend(pause.clone());
                }
            }
            op => out.push(op),
        }
    }
    out
}

impl Op {
    fn head_bytes(&self) -> usize {
        match self {
            Self::Write { bytes, is_head: true } => bytes.len(),
            _ => 0,
        }
    }
}

/// A script may wrap the default act once or twice; four is already odd.
const DEPTH_MAX: usize = 4;
