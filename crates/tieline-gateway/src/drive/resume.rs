//! Going on with an answer that broke off: the core says whether, with which candidate and how; here what the caller has is
//! kept, and the stream of the next attempt is read so that only what is new goes out.

use bytes::Bytes;
use tieline_core::grid::{Candidate, Resume};
use tieline_core::{Call, Fault, FaultKind, Phase, Snapshot};
use tieline_wire::resume::{Announce, Delivered, Splice};

use super::Drive;
use crate::outgoing::Reader;

impl Drive {
    /// The attempt that goes on with a stream of which the caller has a part.
    pub(crate) async fn go_on(mut self: Box<Self>) -> Box<Self> {
        self.wake();
        if let Some(dial) = self.dial.take() {
            self.attempt(dial).await;
        }
        self
    }

    /// Nothing of an answer was delivered: what is kept begins anew, where the pool wants it at all.
    pub(super) fn deliver_anew(&mut self) {
        let wants = self.call.settings().resume != Resume::Off && self.near.stream;
        let head = self.near.head.as_ref().filter(|_| wants);
        self.delivered = head.map(|head| Delivered::new(self.near.dialect, head));
    }

    /// Read a piece of the channel's stream, or its end.
    pub(super) fn read(&mut self, data: Option<Bytes>) {
        let out = &mut self.out;
        match (&mut self.reader, data) {
            (Some(Reader::Exchange(exchange)), Some(data)) => exchange.feed(data, out),
            (Some(Reader::Exchange(exchange)), None) => exchange.end(out),
            (Some(Reader::Continuation(rest)), data) => {
                let Some(delivered) = &self.delivered else { return };
                match data {
                    Some(data) => rest.feed(&data, delivered, out),
                    None => rest.end(delivered, out),
                }
                // What came is another answer; that says nothing of the channel.
                if rest.splice() == Splice::Abandoned && out.fault.is_some() {
                    out.fault = Some(Fault::new(FaultKind::Differs, Phase::Body));
                }
            }
            (None, _) => {}
        }
        if let Some(delivered) = &mut self.delivered {
            delivered.note(&self.out);
        }
    }
}

/// How an answer says that another model goes on with it; the same model needs no word.
pub(super) fn announce<'s>(
    snapshot: &'s Snapshot,
    call: &Call,
    candidate: Candidate,
) -> Option<Announce<'s>> {
    let first = call.answered_by()?;
    let model = snapshot.model(candidate.model)?;
    (candidate.model != first.model).then_some(Announce {
        channel: &snapshot.channel(candidate.channel)?.name,
        model: &model.name,
    })
}
