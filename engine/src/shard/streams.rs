//! What a shard has to do with messages by TCP, which the thread of [`crate::stream`] carries.

use kdht_core::{Now, StreamAsk, StreamRequest};

use super::Shard;
use crate::io::Datapath;
use crate::stream::{StreamAnswer, StreamEnd, StreamMessage};

impl<D: Datapath> Shard<D> {
    pub(super) fn serve_stream(&mut self, now: Now, message: StreamMessage) {
        let StreamMessage { stream, peer, local, bytes, check, mut reply, pooled } = message;
        let request = StreamRequest { stream, peer, local, bytes: &bytes, check: &check };
        let outbox = self.datapath.outbox();
        let served = self.node.handle_stream_request(now, &request, &mut reply, outbox);
        if let Some(link) = &self.streams {
            link.answer(StreamAnswer { stream, served, bytes, reply, pooled });
        }
    }

    pub(super) fn end_stream(&mut self, now: Now, end: StreamEnd) {
        let reply = end.reply.as_ref().map(|(bytes, check)| (&bytes[..], check));
        let outbox = self.datapath.outbox();
        self.node.handle_stream_end(now, &end.endpoint, end.tx_id, reply, outbox);
        if let (Some(link), Some((bytes, _)), true) = (&self.streams, end.reply, end.is_pooled) {
            link.give_back(bytes);
        }
    }

    /// Sends by TCP, or tells the node at once that it cannot.
    pub(super) fn send_stream(&mut self, now: Now, ask: StreamAsk) {
        let (endpoint, tx_id) = (ask.endpoint, ask.tx_id);
        if self.streams.as_ref().is_none_or(|link| !link.ask(ask)) {
            let outbox = self.datapath.outbox();
            self.node.handle_stream_end(now, &endpoint, tx_id, None, outbox);
            self.datapath.flush();
        }
    }

    pub(super) fn reply_by_stream(&mut self, stream: u64, bytes: Vec<u8>) {
        if let Some(link) = &self.streams {
            link.reply(stream, bytes);
        }
    }
}
