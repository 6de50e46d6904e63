//! One connection of the scripted channel: reads requests, performs plans, keeps count of every byte.
//!
//! Contract: the socket sees one `write` per write of the plan (more only when its buffer is full), pauses and gates
//! between them; while the channel waits it watches for the client's leaving. After a FIN or a refusal the client's
//! bytes are read and dropped for a while, as a socket closed with unread bytes would send RST.
//! Bounds: [`PIPELINE_BYTES_MAX`] of further requests are read during an answer, and [`LINGER`] limits the farewell.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::{Accept, Life, Shared};
use crate::act::{Act, Cut};
use crate::plan::{Op, Plan, plan};
use crate::request::{Refusal, Request, RequestReader};
use crate::seen::{End, Seen};

pub(super) async fn serve(
    mut stream: TcpStream,
    (number, greeting): (u64, Accept),
    shared: Arc<Shared>,
    mut life: watch::Receiver<Life>,
) {
    // A script decides where a segment ends; Nagle's algorithm would join them.
    let _ = stream.set_nodelay(true);
    let born = *life.borrow_and_update();
    match greeting {
        Accept::Serve => {}
        Accept::Reset => return reset(stream),
        Accept::Silence => {
            let _ = life.wait_for(|life| life.stops > born.stops).await;
            return;
        }
    }
    let mut reader = RequestReader::new(shared.limits);
    loop {
        let request = match read(&mut stream, &mut reader, &mut life, born).await {
            Read::Call(request) => request,
            Read::Refuse(refusal) => return refuse(stream, refusal, number).await,
            Read::Killed => return reset(stream),
            Read::Gone => return,
        };
        let keep_alive = request.keep_alive;
        let (index, plan) = shared.arrive(number, request);
        let (end, sent_bytes) = perform(&mut stream, &mut reader, &plan, &mut life, born).await;
        if matches!(end, End::Reset | End::Killed) {
            reset(stream);
            return shared.end(index, end, sent_bytes);
        }
        shared.end(index, end, sent_bytes);
        match end {
            End::Complete if keep_alive && plan.keep_alive => {}
            End::Complete | End::Close => return farewell(stream).await,
            _ => return,
        }
    }
}

// === reading ===

enum Read {
    Call(Request),
    Refuse(Refusal),
    Gone,
    Killed,
}

async fn read(
    stream: &mut TcpStream,
    reader: &mut RequestReader,
    life: &mut watch::Receiver<Life>,
    born: Life,
) -> Read {
    loop {
        match reader.next_request() {
            Ok(Some(request)) => return Read::Call(request),
            Ok(None) => {}
            Err(refusal) => return Read::Refuse(refusal),
        }
        if reader.take_continue() && stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err() {
            return Read::Gone;
        }
        let is_idle = reader.is_idle();
        let over = |life: &Life| life.kills > born.kills || (is_idle && life.stops > born.stops);
        tokio::select! {
            biased;
            ended = life.wait_for(over) => {
                let is_killed = ended.is_ok_and(|life| life.kills > born.kills);
                return if is_killed { Read::Killed } else { Read::Gone };
            }
            count = stream.read_buf(reader.room()) => {
                if !matches!(count, Ok(1..)) {
                    return Read::Gone;
                }
            }
        }
    }
}

/// Ends when the client has closed or reset; keeps what it sends meanwhile for the next request.
async fn client_gone(half: &mut ReadHalf<'_>, reader: &mut RequestReader) {
    loop {
        if reader.held_bytes() > PIPELINE_BYTES_MAX {
            return std::future::pending().await;
        }
        if !matches!(half.read_buf(reader.room()).await, Ok(1..)) {
            return;
        }
    }
}

// === writing ===

async fn perform(
    stream: &mut TcpStream,
    reader: &mut RequestReader,
    plan: &Plan,
    life: &mut watch::Receiver<Life>,
    born: Life,
) -> (End, u64) {
    let (mut read_half, mut write_half) = stream.split();
    let mut sent_bytes = 0;
    for op in &plan.ops {
        let end = tokio::select! {
            biased;
            // An error says that the channel itself is gone.
            _ = life.wait_for(|life| life.kills > born.kills) => Some(End::Killed),
            end = step(&mut write_half, op, &mut sent_bytes) => end,
            () = client_gone(&mut read_half, reader) => Some(End::ClientGone),
        };
        if let Some(end) = end {
            return (end, sent_bytes);
        }
    }
    (End::Complete, sent_bytes)
}

/// Does one thing; says how the answer ended, if that was the end.
async fn step(half: &mut WriteHalf<'_>, op: &Op, sent_bytes: &mut u64) -> Option<End> {
    match op {
        Op::Write { bytes, .. } => {
            let mut left = bytes.as_ref();
            while !left.is_empty() {
                let Ok(count @ 1..) = half.write(left).await else {
                    return Some(End::ClientGone);
                };
                *sent_bytes += count as u64;
                left = left.get(count..).unwrap_or_default();
            }
        }
        Op::Wait(time) => tokio::time::sleep(*time).await,
        Op::Gate(gate) => gate.pass().await,
        Op::Cut(Cut::Reset) => return Some(End::Reset),
        Op::Cut(Cut::Close) => return Some(End::Close),
        Op::Cut(Cut::Silence) => std::future::pending().await,
    }
    None
}

// === endings ===

fn reset(stream: TcpStream) {
    // With a linger time of zero, close() sends RST and forgets what is unsent.
    let _ = stream.set_zero_linger();
    drop(stream);
}

async fn refuse(mut stream: TcpStream, refusal: Refusal, number: u64) {
    let body = format!("{{\"error\":{{\"message\":\"{refusal}\",\"type\":\"invalid_request_error\"}}}}");
    let act = Act::status(refusal.status())
        .header("connection", "close")
        .body(body);
    let nobody = Request {
        method: String::new(),
        target: String::new(),
        headers: Vec::new(),
        body: bytes::Bytes::new(),
        keep_alive: false,
    };
    let nothing_seen = Seen::new(0, number, nobody, std::time::Instant::now());
    for op in plan(&act, &nothing_seen).ops {
        if let Op::Write { bytes, .. } = op
            && stream.write_all(&bytes).await.is_err()
        {
            return;
        }
    }
    farewell(stream).await;
}

/// FIN, then read and drop until the client closes, too.
async fn farewell(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut waste = Vec::with_capacity(WASTE_BYTES);
    let drain = async {
        while let Ok(1..) = stream.read_buf(&mut waste).await {
            waste.clear();
        }
    };
    let _ = tokio::time::timeout(LINGER, drain).await;
}

/// 1 MiB: a few pipelined requests; more stays in the kernel until the answer is done.
const PIPELINE_BYTES_MAX: usize = 1024 * 1024;
const WASTE_BYTES: usize = 64 * 1024;
/// Two seconds at loopback speed are gigabytes: any client that reads its answer gets it.
const LINGER: Duration = Duration::from_secs(2);
