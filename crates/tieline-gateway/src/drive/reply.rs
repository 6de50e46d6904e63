//! What the caller gets: the head of a stream, a whole answer, a problem in the caller's dialect, or a channel's own error.

use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use tieline_core::call::Reply;
use tieline_core::{Ask, Code, Problem};

use super::{Drive, Next, Relayed};
use crate::answer::Answer;
use crate::outgoing;

static CALL: HeaderName = HeaderName::from_static("x-tieline-call");
static CHANNEL: HeaderName = HeaderName::from_static("x-tieline-channel");
static MODEL: HeaderName = HeaderName::from_static("x-tieline-model");

impl Drive {
    pub(super) fn streaming(mut self: Box<Self>) -> Response<Answer> {
        let mut response = Response::new(Answer::Whole(None));
        *response.headers_mut() = std::mem::take(&mut self.reply_headers);
        self.stamp(response.headers_mut());
        response.headers_mut().insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        );
        response
            .headers_mut()
            .insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let (call, limit, near) = (self.call.intake().call, self.call.limit(), self.near.dialect);
        let shared = self.shared.clone();
        let stream = shared.streams.watch(Answer::Stream(self), call, near, limit);
        *response.body_mut() = Answer::Watched(stream);
        response
    }

    pub(crate) fn is_over(&self) -> bool {
        self.call.is_over()
    }

    /// What the caller of a stream has still to get, once the call is over and there is nothing to wait for.
    pub(crate) fn rest(mut self: Box<Self>) -> Bytes {
        let mut rest = BytesMut::new();
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Next::Bytes(bytes)) = self.poll_next(&mut cx) {
            rest.extend_from_slice(&bytes);
        }
        rest.freeze()
    }

    pub(super) fn respond(&mut self, reply: Reply) -> Response<Answer> {
        match reply {
            Reply::Finish if self.near.stream => self.finished_stream(),
            Reply::Finish => {
                let body = self.held.pop_front().unwrap_or_default();
                let mut response = Response::new(Answer::whole(body));
                *response.headers_mut() = std::mem::take(&mut self.reply_headers);
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(http::header::CONTENT_TYPE, json);
                self.stamp(response.headers_mut());
                response
            }
            // It broke before the first piece was handed on, but content is content.
            Reply::Break(problem) if self.near.stream => {
                let problem = self.ticketed(problem);
                let call = self.call.intake().call;
                let event = tieline_wire::render_in_stream(self.near.dialect, &problem, call);
                self.held.push_back(event);
                self.finished_stream()
            }
            Reply::Refuse(problem) | Reply::Break(problem) => {
                let problem = self.in_full(problem);
                self.problem(&problem)
            }
            Reply::Relay => self.relay(),
        }
    }

    /// A stream that was whole before anything of it left.
    fn finished_stream(&mut self) -> Response<Answer> {
        let mut whole = BytesMut::new();
        for bytes in self.held.drain(..) {
            whole.extend_from_slice(&bytes);
        }
        let mut response = Response::new(Answer::whole(whole.freeze()));
        *response.headers_mut() = std::mem::take(&mut self.reply_headers);
        response.headers_mut().insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        );
        self.stamp(response.headers_mut());
        response
    }

    fn problem(&self, problem: &Problem) -> Response<Answer> {
        let rendered = tieline_wire::render(self.near.dialect, problem, self.call.intake().call);
        let mut response = outgoing::rendered(rendered);
        self.stamp(response.headers_mut());
        response
    }

    /// The channel's own error, in the caller's dialect.
    fn relay(&mut self) -> Response<Answer> {
        let (near, call) = (self.near.dialect, self.call.intake().call);
        let rendered = match self.relay.take() {
            Some(Relayed::Reply(status, body, far)) => {
                tieline_wire::relay_error(near, far, status.as_u16(), &body, call)
            }
            Some(Relayed::Event(frame, far)) => tieline_wire::relay_error_event(near, far, &frame, call),
            None => return self.problem(&Problem::plain(Code::AnswerUnreadable)),
        };
        let mut response = outgoing::rendered(rendered);
        self.stamp(response.headers_mut());
        response
    }

    /// What is left to those who pay for the call, where anything is limited.
    fn stamp_rooms(&self, headers: &mut HeaderMap) {
        let intake = self.call.intake();
        let subject = &intake.subject;
        let is_free = subject.limits.is_none() && subject.party_limits.is_none();
        if is_free && !matches!(intake.ask, Ask::Pool(_)) {
            return;
        }
        let rooms = self.shared.board().rooms(&self.live.snapshot, intake, self.now);
        outgoing::room_headers(self.near.dialect, &rooms, self.now, headers);
    }

    /// Every answer names its call; one that a channel gave names channel and model.
    fn stamp(&self, headers: &mut HeaderMap) {
        headers.reserve(outgoing::STAMPS_MAX);
        let text = self.call.intake().call.text();
        if let Ok(value) = HeaderValue::from_bytes(&text) {
            headers.insert(CALL.clone(), value);
        }
        self.stamp_rooms(headers);
        if let Some(ticket) = &self.ticket {
            headers.insert(HeaderName::from_static("x-tieline-ticket"), ticket.clone());
        }
        if let Some(candidate) = self.call.answered_by() {
            let names = &self.live.names;
            if let Some(Some(channel)) = names.channels.get(usize::from(candidate.channel.0)) {
                headers.insert(CHANNEL.clone(), channel.clone());
            }
            if let Some(Some(model)) = names.models.get(usize::from(candidate.model.0)) {
                headers.insert(MODEL.clone(), model.clone());
            }
        }
    }
}
