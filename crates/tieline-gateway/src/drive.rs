//! The drive loop: the only place where a call's effects meet sockets. Poll the core, do the effect, feed back what
//! happened; every choice is the core's.
//!
//! A [`Drive`] runs as the request's future until the core releases an answer or replies, and then, for a stream, as the
//! body of the answer. Dropped in between (the caller went away) it tells the core and records the outcome.
//! Bounds: bytes held before release [`HELD_BYTES_MAX`], a whole answer [`WHOLE_BYTES_MAX`], an error reply
//! [`ERROR_BYTES_MAX`]; every wait ends at the core's deadline.

mod ordered;
mod refusal;
mod reply;
mod resume;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arrayvec::ArrayVec;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use tieline_core::call::{Reply, Step, WakeFor};
use tieline_core::record::{DecisionEntry, Outcome, OutcomeEntry};
use tieline_core::{
    Call, ChannelClaim, Claim, Code, DeskReply, Dialect, Effect, Fault, FaultKind, Input, Mark, Method, Nano,
    Phase, Problem, ROWS_MAX, Span, Tick, Usage,
};
use tieline_wire::resume::Delivered;
use tieline_wire::{Out, Provider};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Sleep;

use crate::answer::Answer;
use crate::connector::{Inbound, NotSent, Outbound};
use crate::http1::Arriving;
use crate::meter::Units;
use crate::orders::Listener;
use crate::outgoing::{self, Near, Reader};
use crate::shared::{Facing, Live, Place, Shared};
use crate::spare;

/// Bytes of an answer held back before its first content: role chunks and pings are under 1 KB, a first chunk with a
/// whole tool call under 64 KB.
const HELD_BYTES_MAX: usize = 1 << 20;

/// A whole (not streamed) answer: 128,000 tokens of text are under 1 MB, with base64 images under 32 MiB.
const WHOLE_BYTES_MAX: usize = 32 << 20;

/// For what a channel says after its answer is whole: usage follows the stop in the same moment, and a terminator that has
/// not come by then does not come.
const AFTER_WHOLE: Span = Span::from_s(2);

/// A channel's error reply; what is longer is cut, for it is only classified and relayed.
const ERROR_BYTES_MAX: usize = 64 << 10;

pub(crate) struct Drive {
    /// The number of the attempt that this task is in.
    attempt: usize,
    armed: Option<Tick>,
    /// Ends once the legal block that the call met is in force.
    block: Option<JoinHandle<()>>,
    call: Box<Call>,
    /// What the channel of the attempt under way was asked for.
    claim: ChannelClaim,
    /// What the caller has of an answer that may be continued.
    delivered: Option<Delivered>,
    dial: Option<Dial>,
    durable: Option<oneshot::Receiver<bool>>,
    /// When the attempt under way has to be over, by an order that lets it drain.
    drained: Option<Tick>,
    /// Whose error replies the attempt under way may bring.
    far: Option<(Provider, Dialect)>,
    /// The count of changes of facts when the key was found.
    facts: u64,
    /// Under which the verdicts on the attempt under way were made.
    generation: u64,
    held: VecDeque<Bytes>,
    held_bytes: usize,
    incoming: Option<Arriving>,
    /// The stream said how it stopped: what its connection does from here on takes nothing back.
    is_whole: bool,
    /// Until when a whole answer is waited on for more.
    whole_until: Option<Tick>,
    listener: Listener,
    live: Arc<Live>,
    near: Near,
    /// Read once each time the task wakes: what happens in one go happens at one instant.
    now: Tick,
    out: Out,
    /// Reads the answer of the attempt under way.
    reader: Option<Reader>,
    /// Given back after the call's last record.
    _place: Place,
    relay: Option<Relayed>,
    released: bool,
    reply: Option<Reply>,
    reply_headers: HeaderMap,
    /// That of the attempt under way.
    row: Option<u8>,
    shared: Arc<Shared>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Of the hold that the call was refused with.
    ticket: Option<HeaderValue>,
    units: Units,
    /// Why the last candidate could not be asked.
    unprepared: Option<Problem>,
    unreadable: Option<Problem>,
}

/// An attempt that the core wants.
#[derive(Clone, Copy, Debug)]
struct Dial {
    method: Option<Method>,
    row: u8,
}

/// What comes next of a released stream.
#[derive(Debug)]
pub(crate) enum Next {
    Bytes(Bytes),
    /// Another attempt, which is to go on with the answer: [`Drive::go_on`].
    Dial,
    End,
}

/// A channel's own error, in its dialect, for the core to have it relayed.
enum Relayed {
    /// The event of a stream.
    Event(Bytes, Dialect),
    Reply(StatusCode, Bytes, Dialect),
}

impl Drive {
    /// A call to be driven. `facts` is the count of changes before its key was found; `unreadable` says why its request
    /// could not be read, in more words than its record keeps.
    pub(crate) fn new(
        place: Place,
        live: Arc<Live>,
        call: (Box<Call>, u64),
        near: Near,
        unreadable: Option<Problem>,
    ) -> Self {
        let shared = place.shared.clone();
        let (call, facts) = call;
        shared.metrics.call_began();
        let now = shared.now();
        let units = Units::new(shared.meter.clone());
        Self {
            attempt: 0,
            armed: None,
            block: None,
            call,
            claim: ChannelClaim::default(),
            delivered: None,
            dial: None,
            drained: None,
            durable: None,
            facts,
            far: None,
            generation: shared.orders.generation(),
            held: VecDeque::new(),
            held_bytes: 0,
            incoming: None,
            is_whole: false,
            listener: Listener::default(),
            live,
            near,
            now,
            out: Out::default(),
            reader: None,
            _place: place,
            relay: None,
            released: false,
            reply: None,
            reply_headers: HeaderMap::new(),
            row: None,
            shared,
            sleep: None,
            ticket: None,
            units,
            unprepared: None,
            unreadable,
            whole_until: None,
        }
    }

    /// Drive the call until there is something to answer with.
    pub(crate) async fn run(mut self: Box<Self>) -> Response<Answer> {
        loop {
            self.drain();
            if self.released && self.near.stream && self.incoming.is_some() {
                return self.streaming();
            }
            if let Some(reply) = self.reply.take() {
                if let Some(block) = self.block.take() {
                    let _ = block.await;
                }
                let response = self.respond(reply);
                drop(self);
                leave_together().await;
                return response;
            }
            match self.dial.take() {
                Some(dial) => self.attempt(dial).await,
                None => std::future::poll_fn(|cx| self.poll_progress(cx)).await,
            }
            self.wake();
        }
    }

    /// What comes next of a released stream.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        self.wake();
        loop {
            self.drain();
            if let Some(bytes) = self.held.pop_front() {
                return Poll::Ready(Next::Bytes(bytes));
            }
            if self.dial.is_some() {
                return Poll::Ready(Next::Dial);
            }
            if let Some(block) = &mut self.block {
                let _ = ready!(Pin::new(block).poll(cx));
                self.block = None;
            }
            match self.reply.take() {
                Some(Reply::Break(problem)) => {
                    let problem = self.ticketed(problem);
                    let call = self.call.intake().call;
                    self.held
                        .push_back(tieline_wire::render_in_stream(self.near.dialect, &problem, call));
                    continue;
                }
                Some(Reply::Finish | Reply::Refuse(_) | Reply::Relay) => return Poll::Ready(Next::End),
                None if self.call.is_over() => return Poll::Ready(Next::End),
                None => {}
            }
            ready!(self.poll_progress(cx));
        }
    }

    // === effects ===

    /// Do every effect that needs no waiting.
    fn drain(&mut self) {
        while let Some(effect) = self.call.poll() {
            match effect {
                Effect::Judge { rows } => self.judge(rows),
                Effect::Look => self.look(),
                Effect::ReserveKey { claim } => self.reserve_key(claim),
                Effect::ReserveChannel { row, .. } => self.reserve_channel(row),
                Effect::Record { strict } => self.record(strict),
                Effect::Dial { method, row, .. } => {
                    self.units.keep(row);
                    self.dial = Some(Dial { method, row });
                }
                Effect::Release => self.released = true,
                Effect::Cancel { .. } => self.incoming = None,
                Effect::Observe(observation) => {
                    self.shared
                        .board()
                        .observe(&self.live.snapshot, observation, self.now);
                }
                Effect::SettleChannel { row, used, .. } => self.settle_channel(row, used.as_ref()),
                Effect::SettleKey { charged, claim, used } => self.settle_key(&claim, charged, used.as_ref()),
                Effect::Reply(reply) => {
                    self.block_if_told();
                    self.reply = Some(reply);
                }
                Effect::Close => self.close(),
            }
        }
    }

    fn feed(&mut self, input: Input) {
        self.call.handle(input, self.now);
    }

    fn wake(&mut self) {
        self.now = self.shared.now();
    }

    /// Each attempt is judged under the epoch current at this moment, whichever the call began under.
    fn judge(&mut self, rows: u8) {
        let now = self.now;
        self.generation = self.shared.orders.generation();
        let current = self.shared.live.load();
        let facing = Facing::call(&self.shared, &self.live, self.call.intake(), self.facts, now);
        let mut verdicts = ArrayVec::<_, ROWS_MAX>::new();
        for (candidate, row) in self.call.candidates().iter().zip(0_u8..) {
            if rows & (1 << row) != 0 {
                let units = (&mut self.units, row);
                let _ = verdicts.try_push(current.covered(*candidate, &facing, units));
            }
        }
        self.feed(Input::Verdicts(verdicts));
    }

    fn look(&mut self) {
        let now = self.now;
        let view = self
            .shared
            .board()
            .view(&self.live.snapshot, self.call.candidates(), now);
        let view = self.call.place(view);
        self.feed(Input::View(view));
    }

    fn reserve_key(&mut self, claim: Claim) {
        let (of, intake) = (&self.live.snapshot, self.call.intake());
        let reply = self.shared.board().reserve_for(of, intake, &claim);
        self.feed(Input::Desk(reply));
    }

    fn reserve_channel(&mut self, row: u8) {
        let (now, asker, of) = (self.now, self.call.asker(), &self.live.snapshot);
        let reply = match self.call.candidate(row) {
            Some(candidate) => {
                let mut board = self.shared.board();
                self.claim = board.estimated(of, candidate, asker.party, self.call.channel_claim());
                board.reserve(of, candidate, asker, &self.claim, now)
            }
            None => DeskReply::Granted,
        };
        self.feed(Input::Desk(reply));
    }

    fn settle_channel(&self, row: u8, used: Option<&Usage>) {
        let Some(candidate) = self.call.candidate(row) else {
            return;
        };
        let (now, asker) = (self.now, self.call.asker());
        self.shared
            .board()
            .settle(&self.live.snapshot, candidate, asker, &self.claim, used, now);
    }

    /// What a channel says is left replaces what was counted here.
    fn told(&self, headers: &HeaderMap) {
        let candidate = self.row.and_then(|row| self.call.candidate(row));
        if let Some((candidate, left)) = candidate.zip(outgoing::remaining(headers)) {
            self.shared
                .board()
                .told(&self.live.snapshot, candidate, &left, self.now);
        }
    }

    fn settle_key(&self, claim: &Claim, charged: Nano, used: Option<&Usage>) {
        let (of, intake) = (&self.live.snapshot, self.call.intake());
        let now = self.now;
        self.shared
            .board()
            .settle_for(of, intake, claim, charged, used, now);
    }

    fn record(&mut self, strict: bool) {
        let entry: DecisionEntry<&[Step]> = self.call.decision_entry();
        let done = strict.then(|| {
            let (send, receive) = oneshot::channel();
            self.durable = Some(receive);
            let done: tieline_ledger::Done = Box::new(move |result| {
                let _ = send.send(result.is_ok());
            });
            done
        });
        let taken = self.shared.recorder.decision(&entry, done);
        self.feed(Input::Recorded { taken });
    }

    fn close(&self) {
        let entry: OutcomeEntry<&[Step]> = self.call.outcome_entry();
        self.shared
            .metrics
            .outcome(self.near.dialect.name(), self.near.began, &entry);
        self.shared.recorder.outcome(&entry);
        if entry.result != Outcome::Served {
            // One line for each call that was not served, at its end.
            tracing::info!(call = %entry.id, result = ?entry.result, code = entry.code.map(Code::name), "call not served");
        }
    }

    // === an attempt ===

    async fn attempt(&mut self, dial: Dial) {
        let row = dial.row;
        self.attempt = self.call.attempts().saturating_sub(1);
        self.incoming = None;
        self.reader = None;
        self.is_whole = false;
        self.whole_until = None;
        if !self.released {
            self.held.clear();
            self.held_bytes = 0;
            self.deliver_anew();
        }
        self.relay = None;
        self.reply_headers.clear();
        self.row = Some(row);
        self.drained = None;
        loop {
            let (request, channel) = match self.outgoing(dial) {
                Ok(outgoing) => outgoing,
                Err(fault) => return self.feed(Input::Fault(fault)),
            };
            match self.send(channel, request).await {
                Some(Ok(response)) => return self.answered(response).await,
                Some(Err(NotSent::Fault(fault))) => return self.feed(Input::Fault(fault)),
                Some(Err(NotSent::Superseded)) if self.is_still_allowed(row) => {}
                None | Some(Err(NotSent::Superseded)) => return,
            }
        }
    }

    /// Send the request, unless something changed since it was judged; `None` if the core ended the attempt meanwhile.
    async fn send(&mut self, channel: u16, request: Outbound) -> Option<Result<Inbound, NotSent>> {
        leave_together().await;
        let live = self.live.clone();
        let connect = Duration::from_millis(self.call.settings().connect_ms.into());
        let gate = self.shared.orders.gate(self.generation);
        let mut sending = std::pin::pin!(live.connector.send(channel, request, connect, gate));
        loop {
            let step = std::future::poll_fn(|cx| match sending.as_mut().poll(cx) {
                Poll::Ready(response) => Poll::Ready(Some(response)),
                Poll::Pending => self.poll_waits(cx).map(|()| None),
            });
            let response = step.await;
            self.wake();
            if response.is_some() {
                return response;
            }
            self.drain();
            if !self.is_attempting() {
                return None;
            }
        }
    }

    /// The request for the candidate of `row`, and the channel's index.
    fn outgoing(&mut self, dial: Dial) -> Result<(Outbound, u16), Fault> {
        let incapable = Fault::new(FaultKind::Incapable, Phase::Connect);
        let candidate = self.call.candidate(dial.row).ok_or(incapable)?;
        let served = self.live.snapshot.served(candidate).ok_or(incapable)?;
        let wiring = self
            .live
            .wirings
            .get(usize::from(candidate.channel.0))
            .ok_or(incapable)?;
        self.far = Some((wiring.provider, wiring.dialect));
        let limit = self.call.output_tokens_injected();
        let prepared = match (dial.method, &mut self.delivered) {
            (None, _) => self.near.outgoing(wiring, &served.name, limit),
            (Some(method), Some(delivered)) => {
                let announce = resume::announce(&self.live.snapshot, &self.call, candidate);
                self.near
                    .going_on(wiring, &served.name, limit, (method, delivered, announce))
            }
            (Some(_), None) => return Err(incapable),
        };
        let (request, reader, loss) = prepared.map_err(|problem| {
            self.unprepared = Some(problem);
            incapable
        })?;
        self.reader = Some(reader);
        if !loss.is_empty() {
            outgoing::loss_header(&loss, &mut self.reply_headers);
            self.feed(Input::Loss(outgoing::losses(&loss)));
        }
        Ok((request, candidate.channel.0))
    }

    async fn answered(&mut self, response: Inbound) {
        let Inbound {
            body,
            headers,
            status,
        } = response;
        self.told(&headers);
        if !status.is_success() {
            return self.failed(status, &headers, body).await;
        }
        self.feed(Input::Opened {
            status: status.as_u16(),
        });
        outgoing::keep_headers(&headers, &mut self.reply_headers);
        let is_stream = outgoing::is_event_stream(&headers);
        // A stream is asked for uncompressed, and read as it passes.
        if is_stream != self.near.stream || (is_stream && outgoing::is_encoded(&headers)) {
            return self.feed(Input::Fault(Fault::new(FaultKind::Garbage, Phase::Head)));
        }
        if is_stream {
            self.incoming = Some(body);
            return;
        }
        match self.collect(body, WHOLE_BYTES_MAX).await {
            Some(Ok(bytes)) => self.whole(&bytes),
            Some(Err((kind, _))) => self.feed(Input::Fault(Fault::new(kind, Phase::Body))),
            None => {}
        }
    }

    /// A whole answer: translate, tell the core what was in it, and end.
    fn whole(&mut self, bytes: &Bytes) {
        let Some(Reader::Exchange(exchange)) = &mut self.reader else {
            return;
        };
        match exchange.buffered(bytes) {
            Err(kind) => self.feed(Input::Fault(Fault::new(kind, Phase::Body))),
            Ok(buffered) => {
                if !buffered.loss.is_empty() {
                    outgoing::loss_header(&buffered.loss, &mut self.reply_headers);
                    self.feed(Input::Loss(outgoing::losses(&buffered.loss)));
                }
                for mark in buffered.marks {
                    self.feed(Input::Mark(mark));
                    self.drain();
                }
                self.held.push_back(buffered.body);
                self.feed(Input::End { complete: true });
            }
        }
    }

    async fn failed(&mut self, status: StatusCode, headers: &HeaderMap, body: Arriving) {
        let body = match self.collect(body, ERROR_BYTES_MAX).await {
            Some(Ok(body)) => body,
            Some(Err((_, part))) => part,
            None => return,
        };
        let Some((provider, dialect)) = self.far else {
            return;
        };
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let fault = tieline_wire::classify(
            provider.into(),
            Phase::Head,
            Some(status.as_u16()),
            &header,
            &body,
        );
        self.relay = Some(Relayed::Reply(status, body, dialect));
        self.feed(Input::Fault(fault));
    }

    /// A whole body, or what is wrong with it and its first bytes, at most `limit`; `None` if the core ended the attempt
    /// meanwhile.
    async fn collect(
        &mut self,
        mut body: Arriving,
        limit: usize,
    ) -> Option<Result<Bytes, (FaultKind, Bytes)>> {
        let mut first: Option<Bytes> = None;
        let mut rest = BytesMut::new();
        let broken = loop {
            let step = std::future::poll_fn(|cx| match body.poll_data(cx) {
                Poll::Ready(frame) => Poll::Ready(Some(frame)),
                Poll::Pending => self.poll_waits(cx).map(|()| None),
            });
            let step = step.await;
            self.wake();
            match step {
                None => {
                    self.drain();
                    if !self.is_attempting() {
                        return None;
                    }
                }
                Some(None) => break None,
                Some(Some(Err(_))) => break Some(FaultKind::Reset),
                Some(Some(Ok(mut data))) => {
                    let room = limit - first.as_ref().map_or(0, Bytes::len) - rest.len();
                    let is_over = data.len() > room;
                    data.truncate(room);
                    match &first {
                        None => first = Some(data),
                        Some(_) => rest.extend_from_slice(&data),
                    }
                    if is_over {
                        break Some(FaultKind::Garbage);
                    }
                }
            }
        };
        let mut whole = first.unwrap_or_default();
        if !rest.is_empty() {
            let mut joined = BytesMut::with_capacity(whole.len() + rest.len());
            joined.extend_from_slice(&whole);
            joined.extend_from_slice(&rest);
            whole = joined.freeze();
        }
        Some(match broken {
            None => Ok(whole),
            Some(kind) => Err((kind, whole)),
        })
    }

    // === waiting ===

    /// Whether the attempt that this task is in is still wanted.
    fn is_attempting(&self) -> bool {
        self.call.attempt_under_way() == Some(self.attempt) && self.dial.is_none() && self.reply.is_none()
    }

    /// Wait for the next fact of any kind, and feed it.
    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_stopped(cx) {
            return Poll::Ready(());
        }
        let Some(incoming) = &mut self.incoming else {
            return self.poll_waits(cx);
        };
        match incoming.poll_data(cx) {
            Poll::Pending => self.poll_waits(cx),
            Poll::Ready(Some(Ok(data))) => {
                self.piece(data);
                Poll::Ready(())
            }
            Poll::Ready(Some(Err(_)) | None) => {
                self.incoming = None;
                self.stream_end();
                Poll::Ready(())
            }
        }
    }

    /// Durability, orders and the deadline.
    fn poll_waits(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(durable) = &mut self.durable
            && let Poll::Ready(result) = Pin::new(durable).poll(cx)
        {
            self.durable = None;
            self.wake();
            self.feed(match result {
                Ok(true) => Input::Durable,
                Ok(false) | Err(_) => Input::NotDurable,
            });
            return Poll::Ready(());
        }
        if self.poll_orders(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some((deadline, why)) = self.call.deadline() else {
            return Poll::Pending;
        };
        let (deadline, why) = match self.whole_until {
            Some(until) if until < deadline => (until, WakeFor::Idle),
            _ => (deadline, why),
        };
        let (deadline, why) = match self.drained {
            Some(drained) if drained < deadline => (drained, None),
            _ => (deadline, Some(why)),
        };
        let wake = tokio::time::Instant::from_std(self.shared.clock.instant(deadline));
        let is_new = self.sleep.is_none();
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(wake)));
        // A deadline that moved away is met when the armed one fires; only one that came nearer needs the timer now.
        if self.armed.is_none_or(|armed| deadline < armed) {
            if !is_new {
                sleep.as_mut().reset(wake);
            }
            self.armed = Some(deadline);
        }
        ready!(sleep.as_mut().poll(cx));
        self.armed = None;
        self.wake();
        if self.now >= deadline {
            match why {
                None => self.drain_is_over(),
                Some(WakeFor::Idle) if self.is_whole => {
                    self.incoming = None;
                    self.stream_end();
                }
                Some(_) => self.feed(Input::Timer),
            }
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    // === a stream ===

    fn piece(&mut self, data: Bytes) {
        self.read(Some(data));
        self.take_out();
    }

    /// The channel's stream ended. The exchange says whether the answer was whole; a connection that breaks after the
    /// terminator broke nothing.
    fn stream_end(&mut self) {
        self.whole_until = None;
        if self.reader.is_none() {
            return;
        }
        self.read(None);
        let complete = self.out.complete;
        self.take_out();
        if self.is_attempting() {
            self.feed(Input::End { complete });
        }
    }

    /// Take what the exchange made of a piece: bytes for the caller, marks for the core.
    ///
    /// A piece that brings a fault while nothing has left yet is no part of an answer: its content is not told, for the
    /// core would release it, and whether another channel may be asked would hang on how the network cut the bytes.
    fn take_out(&mut self) {
        let mut marks = std::mem::take(&mut self.out.marks);
        let fault = self.out.fault.take();
        if fault.is_some() && !self.released {
            marks.retain(|mark| matches!(mark, Mark::Usage(_)));
            self.held.clear();
            let error = std::mem::take(&mut self.out.error);
            if let (false, Some((_, dialect))) = (error.is_empty(), self.far) {
                self.relay = Some(Relayed::Event(error, dialect));
            }
        } else {
            self.hold();
        }
        if self.out.complete && !self.is_whole {
            self.is_whole = true;
            self.whole_until = Some(self.now.plus(AFTER_WHOLE));
        }
        for mark in marks.drain(..) {
            self.feed(Input::Mark(mark));
            self.drain();
        }
        self.out.marks = marks;
        if !self.out.loss.is_empty() {
            let loss = std::mem::take(&mut self.out.loss);
            self.feed(Input::Loss(outgoing::losses(&loss)));
        }
        let too_much = !self.released && self.held_bytes > HELD_BYTES_MAX;
        let fault = fault.or(too_much.then(|| Fault::new(FaultKind::Garbage, Phase::Body)));
        if let Some(fault) = fault
            && self.is_attempting()
        {
            self.incoming = None;
            self.feed(Input::Fault(fault));
        }
        self.out.clear();
    }

    fn hold(&mut self) {
        for bytes in self.out.bytes.drain(..) {
            self.held_bytes = if self.released {
                0
            } else {
                self.held_bytes + bytes.len()
            };
            self.held.push_back(bytes);
        }
    }
}

/// Lets what else is ready come as far before what is written here leaves. Whoever waits at the other end of a connection
/// is woken by what arrives, and waking a core that rests costs more than a write does: what leaves in one go wakes it
/// once. A process that has nothing else to do looks for news once, which takes a microsecond.
async fn leave_together() {
    tokio::task::yield_now().await;
}

impl Drop for Drive {
    /// The caller went away, or the process does: the call ends here, and its records say so.
    fn drop(&mut self) {
        self.wake();
        self.drain();
        // Callers leave at the terminator, without waiting for the end of the body's framing.
        if self.is_whole && self.released && self.held.is_empty() && !self.call.is_over() {
            self.stream_end();
            self.drain();
        }
        if !self.call.is_over() && self.call.limit() <= self.now {
            self.feed(Input::Timer);
            self.drain();
        }
        if !self.call.is_over() {
            self.feed(Input::ClientGone);
            self.drain();
        }
        self.shared.metrics.call_ended();
        spare::keep(self.call.take_buffers());
    }
}

impl std::fmt::Debug for Drive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drive")
            .field("call", &self.call.intake().call)
            .finish_non_exhaustive()
    }
}
