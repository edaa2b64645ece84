//! JSON datagrams for people with a terminal (FORMAT.md §12).
//!
//! A request becomes the native bytes that it says, the node handles these, and its reply
//! is caught on the way to the datapath and leaves as JSON. Allocates for each datagram; a
//! node that was not asked to serve JSON comes by here never.

use kdht_core::{Home, NS_PER_S, Nanos, Now, Outbox, Route};
use kdht_wire::json::{from_json, to_json};
use kdht_wire::{
    BODY_LEN_OFFSET, Body, DATAGRAM_LEN_MAX, EXT_HEAD_LEN, EXT_PADDING, EXTENSIONS_MAX, Emit,
    Endpoint, Flags, HEAD_LEN, Message, Outline, UNPROVEN_FACTOR,
};

use crate::record::Recorded;

/// Requests whose answer may come later, since a lookup is done for them; one more takes
/// the place of the oldest.
const AWAITED_MAX: usize = 64;
/// How long such an answer may take, in nanoseconds: FORMAT.md §8.2 has it in 10 s.
const AWAITED_NS: u64 = 15 * NS_PER_S;
/// Where the low byte of the flags stands in a head.
const FLAGS_OFFSET: usize = 4;

/// What is known of JSON datagrams that are being answered.
#[derive(Debug)]
pub(crate) struct JsonDebug {
    /// In the order of their coming.
    awaited: Vec<Awaited>,
    refused: u64,
    /// Where the node lays what leaves, until it is known what it is.
    draft: Box<[u8; DATAGRAM_LEN_MAX]>,
}

/// A request in JSON that was not answered yet.
#[derive(Clone, Copy, Debug)]
struct Awaited {
    peer: Endpoint,
    tx_id: u64,
    /// The cookie that it came with.
    cookie: u64,
    /// Bytes that it came in.
    len: usize,
    /// A lookup is done for it, so that its cookie was found to be good.
    is_late: bool,
    since: Nanos,
}

/// An outbox in which replies to JSON datagrams become JSON.
pub(crate) struct JsonOutbox<'a> {
    json: &'a mut JsonDebug,
    out: &'a mut dyn Outbox,
    route: Route,
}

impl Default for JsonDebug {
    fn default() -> Self {
        Self { awaited: Vec::new(), refused: 0, draft: Box::new([0; DATAGRAM_LEN_MAX]) }
    }
}

impl JsonDebug {
    /// JSON datagrams that were not served, or not answered for want of room.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    /// What leaves by `out` passes here first.
    pub(crate) fn outbox<'a>(&'a mut self, out: &'a mut dyn Outbox) -> JsonOutbox<'a> {
        JsonOutbox { json: self, out, route: Route::default() }
    }

    /// Takes one datagram that begins with `{`.
    ///
    /// Cost: a few passes over at most 1232 bytes, and at most eight over the reply.
    pub(crate) fn handle(
        &mut self,
        node: &mut Recorded,
        now: Now,
        route: &Route,
        bytes: &[u8],
        out: &mut dyn Outbox,
    ) {
        if node.config().keys.is_keyed() || bytes.len() > DATAGRAM_LEN_MAX {
            self.refused += 1;
            return;
        }
        let request = Request::read(bytes);
        let (tx_id, cookie) = match &request {
            Ok(request) => (request.outline.tx_id, request.cookie),
            Err(Malformed { tx_id }) => {
                self.refused += 1;
                let Some(tx_id) = *tx_id else { return };
                (tx_id, 0)
            }
        };
        let (peer, len, since) = (route.peer, bytes.len(), now.mono);
        self.awaited.retain(|other| since.since(other.since) < AWAITED_NS);
        if self.awaited.len() == AWAITED_MAX {
            self.awaited.remove(0);
        }
        self.awaited.push(Awaited { peer, tx_id, cookie, len, is_late: false, since });
        let mut out = self.outbox(out);
        let mut waits = false;
        match request {
            Ok(request) => {
                node.handle_datagram(now, route, &request.bytes, &mut out);
                waits = request.recurses;
            }
            Err(_) => node.answer_malformed(now, route, tx_id, len, &mut out),
        }
        // Whatever was not answered at once never will be, but for a lookup's asker.
        match self.place_of(&peer, tx_id) {
            Some(at) if waits => self.awaited[at].is_late = true,
            Some(at) => drop(self.awaited.remove(at)),
            None => {}
        }
    }

    fn place_of(&self, peer: &Endpoint, tx_id: u64) -> Option<usize> {
        self.awaited.iter().rposition(|other| other.peer == *peer && other.tx_id == tx_id)
    }

    /// Who asked in JSON for the reply of `len` bytes that lies in the draft.
    fn asker_of(&mut self, peer: &Endpoint, len: usize) -> Option<Awaited> {
        let outline = Outline::parse(&self.draft[..len]).ok().filter(|it| it.is_reply)?;
        let at = self.place_of(peer, outline.tx_id)?;
        Some(self.awaited.remove(at))
    }
}

impl Outbox for JsonOutbox<'_> {
    fn slot(&mut self, route: &Route) -> Option<&mut [u8]> {
        // The core counts what has no room when it asks for it, not when it is done.
        self.out.slot(route)?;
        self.route = *route;
        Some(&mut self.json.draft[..])
    }

    fn commit(&mut self, len: usize) {
        let asker = self.json.asker_of(&self.route.peer, len);
        let draft = &self.json.draft[..len];
        let text = asker.map(|asker| asker.reply_text(draft));
        let bytes = match &text {
            None => draft,
            Some(Some(text)) => text.as_bytes(),
            Some(None) => {
                self.json.refused += 1;
                return;
            }
        };
        if let Some(slot) = self.out.slot(&self.route) {
            slot[..bytes.len()].copy_from_slice(bytes);
            self.out.commit(bytes.len());
        }
    }
}

impl Awaited {
    /// The reply as JSON in one datagram that it may draw, cut where it must be.
    fn reply_text(&self, reply: &[u8]) -> Option<String> {
        let message = Message::parse(reply).ok()?;
        // A cookie that is the fresh one was found to be good. One of the epoch before may
        // have been, too: such an asker gets a little less, and the fresh one with it.
        let is_proven = self.is_late || self.cookie == message.head.cookie.get();
        let paid = if is_proven { usize::MAX } else { self.len * UNPROVEN_FACTOR };
        let len_max = paid.min(DATAGRAM_LEN_MAX);
        let fits = |text: &String| text.len() <= len_max;
        let whole = to_json(reply).ok()?;
        if fits(&whole) {
            return Some(whole);
        }
        let (mut low, mut high) = (0, usize::from(item_count(&message)));
        let mut best = None;
        while low < high {
            let count = usize::midpoint(low, high);
            match cut(&message, count, false).filter(fits) {
                Some(text) => {
                    best = Some(text);
                    low = count + 1;
                }
                None => high = count,
            }
        }
        // No datagram holds the next value as JSON: asking again would bring no more.
        if is_proven && low <= 1 && matches!(message.body, Body::Values { .. }) {
            best = cut(&message, 1, true).filter(fits).or(best);
        }
        best
    }
}

/// Which shard is to handle a JSON datagram. Reads it all, as whoever handles it does again.
pub(crate) fn home(node: &Recorded, bytes: &[u8]) -> Home {
    Request::read(bytes).map_or(Home::Any, |request| node.home(&request.bytes))
}

/// The same of one that another shard handed over.
pub(crate) fn home_of_handed(node: &Recorded, bytes: &[u8]) -> Home {
    Request::read(bytes).map_or(Home::Any, |request| node.home_of_handed(&request.bytes))
}

/// A request, and the native bytes that it says.
struct Request {
    bytes: Vec<u8>,
    outline: Outline,
    cookie: u64,
    recurses: bool,
}

/// A datagram that is no request.
struct Malformed {
    /// Its transaction, if it is to be told so.
    tx_id: Option<u64>,
}

impl Request {
    fn read(json: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(json).map_err(|_| Malformed { tx_id: None })?;
        let malformed = |_| Malformed { tx_id: tx_id_of(text) };
        let mut bytes = from_json(text).map_err(malformed)?;
        let Ok(message) = Message::parse_stream(&bytes) else {
            return Err(Malformed { tx_id: None });
        };
        // No request of ours leaves as JSON, so that a reply in JSON answers none.
        if message.head.is_reply() {
            return Err(Malformed { tx_id: None });
        }
        let has_room = message.mac.is_none() && message.extensions.iter().count() < EXTENSIONS_MAX;
        let cookie = message.head.cookie.get();
        let recurses = message.head.flags().has(Flags::RECURSE);
        // Nobody could answer a native ping by JSON: whoever speaks it serves nobody.
        bytes[FLAGS_OFFSET] |= Flags::CLIENT.0.to_le_bytes()[0];
        if has_room {
            pad(&mut bytes, json.len());
        }
        match Outline::parse(&bytes) {
            Ok(outline) => Ok(Self { bytes, outline, cookie, recurses }),
            Err(_) => Err(Malformed { tx_id: None }),
        }
    }
}

/// Pads a native request to `len` bytes, so that it draws what its JSON may draw.
fn pad(bytes: &mut Vec<u8>, len: usize) {
    let Some(zeros) = len.checked_sub(bytes.len() + EXT_HEAD_LEN) else { return };
    let (Ok(zeros_len), Ok(body_len)) = (u16::try_from(zeros), u32::try_from(len - HEAD_LEN))
    else {
        return;
    };
    bytes.extend_from_slice(&EXT_PADDING.to_le_bytes());
    bytes.extend_from_slice(&zeros_len.to_le_bytes());
    bytes.resize(len, 0);
    bytes[BODY_LEN_OFFSET..BODY_LEN_OFFSET + 4].copy_from_slice(&body_len.to_le_bytes());
}

/// The transaction of a request that is JSON, but not of a message; nothing if it may be a
/// reply, to which nothing is sent.
fn tx_id_of(text: &str) -> Option<u64> {
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    let is_request = match &json["flags"] {
        serde_json::Value::Null => true,
        serde_json::Value::Array(flags) => {
            flags.iter().all(|flag| flag.as_str().is_some_and(|name| name != "reply"))
        }
        _ => false,
    };
    let digits = json["tx_id"].as_str().filter(|digits| is_request && digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

/// Contacts or records in a reply.
fn item_count(message: &Message<'_>) -> u8 {
    match message.body {
        Body::Contacts { .. } | Body::Values { .. } => message.head.arg,
        _ => 0,
    }
}

/// A FIND reply as JSON with its first `count` items only, and MORE where that is not all;
/// `announced`: without the values' bytes.
fn cut(message: &Message<'_>, count: usize, announced: bool) -> Option<String> {
    let mut head = *message.head;
    if count < usize::from(head.arg) {
        head.flags = head.flags().with(Flags::MORE).0.into();
    }
    head.arg = 0;
    let mut bytes = [0; DATAGRAM_LEN_MAX];
    let mut emit = Emit::datagram(&mut bytes, head, None, usize::MAX).ok()?;
    match message.body {
        Body::Contacts { reply, contacts } => {
            emit.body(reply).ok()?;
            for contact in contacts.iter().take(count) {
                emit.contact(contact).ok()?;
            }
        }
        Body::Values { reply, records } => {
            emit.body(reply).ok()?;
            for record in records.iter().take(count) {
                let record = if announced { record.announced() } else { record };
                emit.record(&record).ok()?;
            }
        }
        _ => return None,
    }
    let len = emit.finish();
    to_json(&bytes[..len]).ok()
}
