//! Forwarding in keyed networks: what a hop passes on, what it refuses, and what an origin
//! believes of those that it did not ask.

use kdht_core::{
    Command, Config, Families, Liveness, Outcome, Refusal, ThrottleConfig, Value, ValuePublisher,
};
use kdht_wire::{
    Body, Contact, DATAGRAM_LEN_MAX, EXT_PADDING, Emit, Endpoint, Fault, Filter, Flags, Forward,
    Head, Id, KeyRing, Kind, Message, NetworkKey, Publisher, Record, key_of_string, key_of_value,
};

use crate::common::{
    Conditions, Datagram, Net, Reply, Request, START, Solo, endpoint, is_reply, rng, tx_id_of,
};

const OURS: NetworkKey = NetworkKey { id: 1, secret: [0x11; 16] };
const NEXT: NetworkKey = NetworkKey { id: 2, secret: [0x22; 16] };
const TX_ID: u64 = 0x0123_4567_89ab_cdef;

fn config() -> Config {
    let throttle = ThrottleConfig { slots: 0, ..ThrottleConfig::default() };
    Config { keys: KeyRing::new(OURS, None), accept_plain: true, throttle, ..Config::default() }
}

fn forwarding() -> Config {
    Config { forward: true, ..config() }
}

fn origin() -> Endpoint {
    endpoint("60.0.0.1:5000")
}

/// A request with FORWARD that asks for `target`, as its origin sends it.
fn asked(kind: Kind, target: Id, cookie: u64) -> Request<'static> {
    let request = Request::new(kind, target, Id([0xee; 20]));
    Request { key: Some(OURS), flags: Flags::FORWARD.with(Flags::CLIENT), cookie, ..request }
}

/// What a first hop stamps.
fn stamped(hops: u8) -> Forward {
    stamped_for(origin(), START.unix_s, hops)
}

fn stamped_for(origin: Endpoint, epoch_s: u32, hops: u8) -> Forward {
    let (tx_id, epoch_s) = (TX_ID.into(), epoch_s.into());
    let stamp = Forward::stamp(tx_id, &origin, epoch_s, &OURS).into();
    Forward { tx_id, stamp, origin, hops, reserved: 0, epoch_s }
}

/// A hop before the node that is tested, which knows it already.
fn hop_before(solo: &mut Solo) -> Contact {
    let hop = Contact::new(Id([0xdd; 20]), endpoint("70.0.0.1:4000"));
    solo.befriend(&hop);
    hop
}

fn passed(hop: &Contact, kind: Kind, target: Id, forward: Forward) -> Request<'static> {
    let request = Request::new(kind, target, hop.id);
    Request { key: Some(OURS), flags: Flags::FORWARD, forward: Some(forward), ..request }
}

/// The contacts nearest to `target`, by a full sort.
fn sorted(known: &[Contact], target: &Id) -> Vec<Contact> {
    let mut sorted = known.to_vec();
    sorted.sort_by_key(|contact| contact.id.distance(target));
    sorted
}

fn hold(solo: &mut Solo, bytes: &[u8]) -> Id {
    let key = key_of_value(bytes);
    let record = Record::whole(Publisher::Immutable, 600, bytes).unwrap();
    let from = endpoint("61.0.0.1:5000");
    let cookie = solo.cookie(&from);
    let store = Request::store(key, Id([0xcc; 20]), record, cookie);
    let store = Request { key: Some(OURS), flags: Flags::CLIENT, ..store };
    let held_before = solo.node.usage().values;
    solo.hand(&from, &store.bytes());
    assert_eq!(solo.node.usage().values, held_before + 1);
    key
}

#[test]
fn a_first_hop_passes_a_request_on_to_its_closest_contact_or_answers_as_the_closest_itself() {
    let (mut solo, known) = Solo::with_contacts(1, config(), 60);
    let members: Vec<Contact> = solo.node.good_contacts().collect();
    assert!(members.len() > 30 && members.len() <= known.len());
    let cookie = solo.cookie(&origin());
    let mut rng = rng(1);
    let (mut passed_count, mut answered_count) = (0, 0);
    for round in 0..200 {
        let target = match round % 4 {
            // Next to the node itself.
            0 => solo.node.id().with_bit(159, round % 8 == 0),
            _ => rng.id(),
        };
        let kind = if round % 2 == 0 { Kind::FindValue } else { Kind::FindNode };
        let request = asked(kind, target, cookie);
        let request = Request { flags: request.flags.with(Flags::WANT6), ..request };
        let sent = solo.hand(&origin(), &request.bytes());
        assert_eq!(sent.len(), 1, "round {round}");
        let nearest = sorted(&members, &target)[0];
        let message = Message::parse(&sent[0].bytes).unwrap();
        let head = message.head;
        if nearest.id.distance(&target) >= solo.node.id().distance(&target) {
            answered_count += 1;
            assert!(head.is_reply() && sent[0].to == origin(), "round {round}");
            continue;
        }
        passed_count += 1;
        assert_eq!(sent[0].to, nearest.endpoint, "round {round}");
        solo.node.config().keys.verify(&sent[0].bytes, START.unix_s).unwrap();
        assert_eq!((message.kind, head.target, head.tx_id.get()), (kind, target, TX_ID));
        assert_eq!((head.sender, head.cookie.get()), (solo.node.id(), 0));
        assert_eq!(head.flags(), Flags::FORWARD.with(Flags::WANT6).with(Flags::KEYED));
        assert_eq!(message.extensions.forward(), Some(&stamped(Forward::HOPS_MAX)));
    }
    assert!(passed_count > 100 && answered_count > 20, "{passed_count}, {answered_count}");
    assert_eq!(solo.node.counters().forwarded, passed_count);
}

#[test]
fn a_request_is_never_passed_to_whom_it_came_from() {
    let (mut solo, known) = Solo::with_contacts(2, config(), 10);
    let nearest = sorted(&known, &known[3].id);
    assert_eq!(nearest[0].id, known[3].id);
    let from = known[3].endpoint;
    let cookie = solo.cookie(&from);
    // As the origin with the id that the table has, and with another one.
    for sender in [known[3].id, Id([0xee; 20])] {
        let request = Request { sender, ..asked(Kind::FindNode, known[3].id, cookie) };
        let sent = solo.hand(&from, &request.bytes());
        let is_closer = nearest[1].id.distance(&known[3].id);
        let wanted = match is_closer < solo.node.id().distance(&known[3].id) {
            true => nearest[1].endpoint,
            false => from,
        };
        assert_eq!(sent.iter().map(|sent| sent.to).collect::<Vec<_>>(), [wanted]);
        assert_eq!(is_reply(&sent[0].bytes), wanted == from);
    }
}

#[test]
fn a_first_hop_answers_itself_what_it_holds_and_what_may_not_go_on() {
    let (mut solo, known) = Solo::with_contacts(3, config(), 40);
    let key = hold(&mut solo, b"held here");
    let cookie = solo.cookie(&origin());
    let far = known[7].id;
    let recursive = Flags::FORWARD.with(Flags::RECURSE).with(Flags::CLIENT);
    let base = asked(Kind::FindNode, far, cookie);
    let padded = |len_min| Request { len_min, ..base.clone() };
    let room = DATAGRAM_LEN_MAX - 44;
    for (is_passed, request, why) in [
        (true, base.clone(), "nothing keeps it"),
        (true, padded(room), "it just fits"),
        (false, padded(room + 1), "it does not fit"),
        (false, Request { cookie: 0, ..base.clone() }, "no cookie"),
        (false, Request { cookie: cookie ^ 2, ..base.clone() }, "another cookie"),
        (false, Request { flags: Flags::CLIENT, ..base.clone() }, "no FORWARD"),
        (false, asked(Kind::FindValue, key, cookie), "it is held here"),
        (false, asked(Kind::Ping, far, cookie), "a PING is for whom it is sent to"),
    ] {
        let sent = solo.hand(&origin(), &request.bytes());
        assert_eq!(sent.len(), 1, "{why}");
        assert_eq!(!is_reply(&sent[0].bytes), is_passed, "{why}");
        assert_eq!(sent[0].to == origin(), !is_passed, "{why}");
    }
    // As many extensions as there may be.
    for (count, is_passed) in [(7, true), (8, false)] {
        let mut buf = [0; DATAGRAM_LEN_MAX];
        let mut head = Head::request(Kind::FindNode, TX_ID, far, Id([0xee; 20]));
        (head.flags, head.cookie) = (Flags::FORWARD.with(Flags::CLIENT).0.into(), cookie.into());
        head.time_s = START.unix_s.into();
        let mut emit = Emit::datagram(&mut buf, head, Some(&OURS), usize::MAX).unwrap();
        for at in 0..count {
            emit.extension(if at == 0 { 77 } else { EXT_PADDING }, &[0; 3]).unwrap();
        }
        let len = emit.finish();
        let sent = solo.hand(&origin(), &buf[..len]);
        assert_eq!((sent.len(), !is_reply(&sent[0].bytes)), (1, is_passed), "{count}");
        if is_passed {
            let message = Message::parse(&sent[0].bytes).unwrap();
            let kinds: Vec<u16> = message.extensions.iter().map(|e| e.kind).collect();
            assert_eq!(kinds, [77, 0, 0, 0, 0, 0, 0, 1]);
        }
    }
    // A whole lookup is more than passing on.
    let request = Request { flags: recursive, ..base };
    let sent = solo.hand(&origin(), &request.bytes());
    assert!(!sent.is_empty() && sent.iter().all(|sent| tx_id_of(&sent.bytes) != TX_ID));
}

#[test]
fn an_open_network_forwards_nothing() {
    let open = Config { keys: KeyRing::OPEN, ..config() };
    let (mut solo, known) = Solo::with_contacts(4, open, 40);
    let cookie = solo.cookie(&origin());
    let request = Request { key: None, ..asked(Kind::FindNode, known[7].id, cookie) };
    let sent = solo.hand(&origin(), &request.bytes());
    assert!(sent.len() == 1 && sent[0].to == origin() && is_reply(&sent[0].bytes));
    let hop = hop_before(&mut solo);
    let request = Request { key: None, ..passed(&hop, Kind::FindNode, known[7].id, stamped(8)) };
    assert!(solo.hand(&hop.endpoint, &request.bytes()).is_empty());
    assert_eq!(solo.node.counters().refused(Refusal::Forward), 1);
}

#[test]
fn a_later_hop_passes_on_with_one_hop_less_and_answers_the_origin_when_none_is_left() {
    let (mut solo, _) = Solo::with_contacts(5, config(), 40);
    let hop = hop_before(&mut solo);
    let members: Vec<Contact> = solo.node.good_contacts().collect();
    for (target, kind) in members.iter().map(|c| c.id).zip([Kind::FindNode, Kind::FindValue]) {
        for hops in 0..=Forward::HOPS_MAX {
            let request = passed(&hop, kind, target, stamped(hops));
            let sent = solo.hand(&hop.endpoint, &request.bytes());
            assert_eq!(sent.len(), 1);
            let message = Message::parse(&sent[0].bytes).unwrap();
            if hops == 0 {
                assert_eq!(sent[0].to, origin());
                assert!(message.head.is_reply() && message.head.tx_id.get() == TX_ID);
                // Twenty contacts, though the request was short.
                let Body::Contacts { reply, contacts } = message.body else { panic!() };
                assert_eq!((reply.observed, contacts.len()), (origin(), 20));
                continue;
            }
            let forward = Forward { hops: hops - 1, ..stamped(hops) };
            assert_eq!(message.extensions.forward(), Some(&forward));
            assert_eq!(message.head.sender, solo.node.id());
        }
    }
}

#[test]
fn a_holder_answers_the_origin_by_the_transaction_that_it_waits_for() {
    let mut solo = Solo::new(6, config());
    let hop = hop_before(&mut solo);
    let value = [7; 1_000];
    let key = hold(&mut solo, &value);
    let request = Request { tx_id: 99, ..passed(&hop, Kind::FindValue, key, stamped(3)) };
    let sent = solo.hand(&hop.endpoint, &request.bytes());
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].to, tx_id_of(&sent[0].bytes)), (origin(), TX_ID));
    let message = Message::parse(&sent[0].bytes).unwrap();
    let Body::Values { records, .. } = message.body else { panic!("{:?}", message.body) };
    assert_eq!(records.iter().next().unwrap().value, value);
    // The cookie is the origin's, so that it asks for more by itself.
    let cookie = message.head.cookie.get();
    let more = Request { cookie, ..asked(Kind::FindValue, key, cookie) };
    let sent = solo.hand(&origin(), &more.bytes());
    assert!(sent[0].bytes.len() > 3 * more.bytes().len());
}

#[test]
fn a_forged_stamp_forwards_nothing_and_answers_nobody() {
    let (mut solo, known) = Solo::with_contacts(7, config(), 40);
    let hop = hop_before(&mut solo);
    let key = hold(&mut solo, b"held here");
    let mut refused = 0;
    for target in [key, known[3].id] {
        for byte in 0..40 {
            // How many hops are left is nobody's vouching; what is reserved does not parse.
            if [34, 35].contains(&byte) {
                continue;
            }
            for bit in [1, 0x80] {
                let mut bytes: [u8; 40] = zerocopy::transmute!(stamped(4));
                bytes[byte] ^= bit;
                let forward: Forward = zerocopy::transmute!(bytes);
                let request = passed(&hop, Kind::FindValue, target, forward);
                assert!(solo.hand(&hop.endpoint, &request.bytes()).is_empty(), "byte {byte}");
                refused += 1;
                assert_eq!(solo.node.counters().refused(Refusal::Forward), refused);
            }
        }
    }
    assert_eq!(solo.node.counters().forwarded, 0);
}

#[test]
fn a_stamp_is_worth_nothing_after_two_minutes_or_before_them() {
    let (mut solo, known) = Solo::with_contacts(8, config(), 40);
    let hop = hop_before(&mut solo);
    for (skew_s, is_good) in [(0, true), (120, true), (-120, true), (121, false), (-121, false)] {
        let epoch_s = START.unix_s.wrapping_add_signed(skew_s);
        let forward = stamped_for(origin(), epoch_s, 4);
        let request = passed(&hop, Kind::FindNode, known[3].id, forward);
        let sent = solo.hand(&hop.endpoint, &request.bytes());
        assert_eq!(sent.len(), usize::from(is_good), "{skew_s} s");
    }
    assert_eq!(solo.node.counters().refused(Refusal::Forward), 2);
}

#[test]
fn no_request_is_forwarded_for_an_origin_that_nobody_may_answer() {
    let own = endpoint("80.0.0.1:4000");
    let families = Families { v4: true, v6: true };
    let config = Config { advertise: [Some(own), None], families, ..config() };
    let (mut solo, known) = Solo::with_contacts(9, config, 40);
    let hop = hop_before(&mut solo);
    let key = hold(&mut solo, b"held here");
    for (is_good, text) in [
        (true, "60.0.0.2:1"),
        (true, "10.0.0.1:1"),
        (false, "60.0.0.2:0"),
        (false, "224.0.0.1:53"),
        (false, "255.255.255.255:53"),
        (false, "0.0.0.0:53"),
        (false, "169.254.1.1:53"),
        (false, "127.0.0.1:53"),
        (false, "[2001:db8::1]:4000"),
        (false, "[::1]:4000"),
        (false, "80.0.0.1:4000"),
    ] {
        for target in [key, known[3].id] {
            let forward = stamped_for(endpoint(text), START.unix_s, 4);
            let request = passed(&hop, Kind::FindValue, target, forward);
            let sent = solo.hand(&hop.endpoint, &request.bytes());
            assert_eq!(sent.len(), usize::from(is_good), "{text}");
        }
    }
}

#[test]
fn a_flood_of_forwarded_requests_is_charged_to_whom_it_comes_from() {
    let throttle = ThrottleConfig { rate_per_s: 10, burst: 20, ..ThrottleConfig::default() };
    let (mut solo, known) = Solo::with_contacts(10, Config { throttle, ..config() }, 20);
    let hop = hop_before(&mut solo);
    let mut sent = 0;
    for at in 0..1_000_u32 {
        // Another origin each time.
        let [a, b, c, d] = (0x3c00_0001 + at).to_be_bytes();
        let forward = stamped_for(endpoint(&format!("{a}.{b}.{c}.{d}:4000")), START.unix_s, 8);
        let request = passed(&hop, Kind::FindNode, known[3].id, forward);
        sent += solo.hand(&hop.endpoint, &request.bytes()).len();
    }
    assert!(sent <= 20, "{sent}");
}

#[test]
fn a_hop_that_signs_by_another_key_stamps_anew() {
    let rotating = Config { keys: KeyRing::new(NEXT, Some(OURS)), ..config() };
    let mut solo = Solo::new(11, rotating);
    let next = Contact::new(key_of_string("next"), endpoint("20.0.1.1:4000"));
    solo.befriend(&next);
    let hop = Contact::new(Id([0xdd; 20]), endpoint("70.0.0.1:4000"));
    let target = next.id.with_bit(159, !next.id.bit(159));
    let request = passed(&hop, Kind::FindNode, target, stamped(4));
    let request = Request { flags: request.flags.with(Flags::CLIENT), ..request };
    let sent = solo.hand(&hop.endpoint, &request.bytes());
    assert_eq!((sent.len(), sent[0].to), (1, next.endpoint));
    let mut after = Solo::new(12, Config { keys: KeyRing::new(NEXT, None), ..config() });
    let answers = after.hand(&endpoint("20.0.2.1:4000"), &sent[0].bytes);
    assert!(answers.iter().any(|answer| answer.to == origin() && is_reply(&answer.bytes)));
}

fn value_of(bytes: &[u8]) -> (Id, Value) {
    let bytes = bytes.to_vec();
    (key_of_value(&bytes), Value { publisher: ValuePublisher::Immutable, remaining_s: 600, bytes })
}

fn get(key: Id) -> Command {
    get_some(key, 1)
}

fn get_some(key: Id, values_max: u16) -> Command {
    Command::FindValue { key, filter: Filter::Any, values_max, holders: 1 }
}

#[test]
fn forwarded_gets_find_what_lookups_find_and_each_hop_is_strictly_closer() {
    for seed in 0..4 {
        let mut net = Net::joined(seed, Conditions::CALM, 80, &Config { k: 4, ..forwarding() });
        net.log = Some(Vec::new());
        let mut sent_so = 0;
        for round in 0..20_u8 {
            let (key, value) = value_of(&[round; 40]);
            let from = net.below(80);
            net.run(from, Command::Put { key, value, cas: None });
            let at = net.below(80);
            let report = net.run(at, get(key));
            assert!(matches!(report.outcome, Outcome::Values { .. }), "seed {seed}, {round}");
            // And one that nobody holds.
            let report = net.run(at, get(net.id(at).with_bit(7, true)));
            assert!(matches!(report.outcome, Outcome::NotFound), "seed {seed}, {round}");
        }
        for sent in net.log.take().unwrap() {
            let message = Message::parse(&sent.bytes).unwrap();
            if message.extensions.forward().is_some() {
                sent_so += 1;
                let to = net.id(net.at_endpoint(&sent.to).unwrap());
                let distance = |id: &Id| id.distance(&message.head.target);
                assert!(distance(&to) < distance(&message.head.sender), "seed {seed}");
            }
        }
        assert!(sent_so > 0, "seed {seed}");
        let of = |count: fn(&kdht_core::Counters) -> u64| -> u64 {
            (0..80).map(|at| count(net.node(at).counters())).sum()
        };
        assert_eq!(of(|counters| counters.forwarded), sent_so, "seed {seed}");
        assert_eq!(of(|counters| counters.refused(Refusal::Forward)), 0);
    }
}

/// An origin that knows one first hop, and the request that it sent there.
fn origin_that_asked(seed: u64, command: Command) -> (Solo, Contact, Datagram) {
    let mut solo = Solo::new(seed, forwarding());
    let first = Contact::new(Id([0x33; 20]), endpoint("20.0.1.1:4000"));
    // The ping that it gets is answered with a cookie.
    let ping = Request { key: Some(OURS), ..Request::hello(first.id) }.bytes();
    for sent in solo.hand(&first.endpoint, &ping) {
        if !is_reply(&sent.bytes) {
            let reply = Reply { key: Some(OURS), cookie: 5, ..Reply::default() };
            let pong = reply.bytes(&sent.bytes, first.id, endpoint("9.9.9.9:9"));
            solo.hand(&first.endpoint, &pong);
        }
    }
    solo.node.begin(solo.now, command, &mut solo.tray).unwrap();
    let sent = solo.wait_ms(0);
    assert_eq!(sent.len(), 1);
    let head = Message::parse(&sent[0].bytes).unwrap().head;
    assert!(head.flags().has(Flags::FORWARD) && head.cookie.get() == 5);
    (solo, first, sent[0].clone())
}

fn done(solo: &mut Solo) -> Option<Outcome> {
    std::iter::from_fn(|| solo.node.poll_event()).find_map(|event| match event {
        kdht_core::Event::Done(report) => Some(report.outcome),
        _ => None,
    })
}

#[test]
fn a_reply_of_one_who_was_not_asked_is_taken_once_and_verifies_nobody() {
    let (key, value) = value_of(b"from afar");
    let (mut solo, first, sent) = origin_that_asked(20, get(key));
    let stranger = Contact::new(Id([0x44; 20]), endpoint("90.0.0.1:4000"));
    let named = Contact::new(Id([0x45; 20]), endpoint("91.0.0.1:4000"));
    let before = solo.node.members().next().copied_peer();
    let records = [value.record()];
    let reply = Reply { total: 1, records: &records, key: Some(OURS), ..Reply::default() };
    let bytes = reply.bytes(&sent.bytes, stranger.id, endpoint("9.9.9.9:9"));
    // By no other key, of no other kind or transaction.
    let other = Reply { key: None, ..reply.clone() };
    let other_kind = Reply { key: Some(OURS), contacts: &[named], ..Reply::default() };
    for refused in [
        other.bytes(&sent.bytes, stranger.id, endpoint("9.9.9.9:9")),
        other_kind.bytes_as(Kind::FindNode, &sent.bytes, stranger.id, endpoint("9.9.9.9:9")),
    ] {
        assert!(solo.hand(&stranger.endpoint, &refused).is_empty());
        assert!(done(&mut solo).is_none());
    }
    solo.now.mono = solo.now.mono.plus_ms(3);
    assert!(solo.hand(&stranger.endpoint, &bytes).is_empty());
    let Some(Outcome::Values { values, holder, .. }) = done(&mut solo) else { panic!() };
    assert_eq!(values[0].bytes, b"from afar");
    assert_eq!(holder, Some((stranger.id, stranger.endpoint)));
    let unmatched = solo.node.counters().refused(Refusal::Unmatched);
    assert!(solo.hand(&stranger.endpoint, &bytes).is_empty());
    assert_eq!(solo.node.counters().refused(Refusal::Unmatched), unmatched + 1);
    assert_eq!(solo.node.members().count(), 1, "only the first hop");
    assert_eq!(solo.node.members().next().copied_peer(), before, "as it was");
    assert_eq!(solo.node.members().next().unwrap().id, first.id);
}

#[test]
fn further_pages_are_asked_of_the_holder_itself_and_verify_it() {
    let (key, publishers) = (key_of_string("many"), [Id([1; 20]), Id([2; 20])]);
    let (mut solo, _, sent) = origin_that_asked(23, get_some(key, 2));
    let stranger = Contact::new(Id([0x44; 20]), endpoint("90.0.0.1:4000"));
    let page = |at: usize| {
        let record = Record::whole(Publisher::Plain(&publishers[at]), 60, b"a page").unwrap();
        [Record { cursor: u16::try_from(at).unwrap(), ..record }]
    };
    let seen = endpoint("9.9.9.9:9");
    let reply = Reply { total: 2, key: Some(OURS), cookie: 77, ..Reply::default() };
    let first = Reply { records: &page(0), flags: Flags::MORE, ..reply.clone() };
    let asked = solo.hand(&stranger.endpoint, &first.bytes(&sent.bytes, stranger.id, seen));
    assert_eq!(asked.iter().map(|asked| asked.to).collect::<Vec<_>>(), [stranger.endpoint]);
    let message = Message::parse(&asked[0].bytes).unwrap();
    let Body::FindValue(body) = message.body else { panic!() };
    assert_eq!((message.head.cookie.get(), body.cursor.get()), (77, 1));
    assert!(!message.head.flags().has(Flags::FORWARD));
    // From elsewhere it is no answer.
    let second = Reply { records: &page(1), ..reply };
    let bytes = second.bytes(&asked[0].bytes, stranger.id, seen);
    solo.hand(&endpoint("90.0.0.2:4000"), &bytes);
    assert!(done(&mut solo).is_none() && solo.node.members().count() == 1);
    solo.hand(&stranger.endpoint, &bytes);
    let Some(Outcome::Values { values, total: 2, .. }) = done(&mut solo) else { panic!() };
    assert_eq!(values.len(), 2);
    assert!(solo.node.good_contacts().any(|contact| contact.id == stranger.id));
}

/// What an answer changes of a contact.
trait CopiedPeer {
    fn copied_peer(self) -> Option<(Id, Liveness, u32, u32)>;
}

impl CopiedPeer for Option<kdht_core::Peer> {
    fn copied_peer(self) -> Option<(Id, Liveness, u32, u32)> {
        self.map(|peer| (peer.id, peer.liveness(), peer.rtt_us, peer.rtt_deviation_us))
    }
}

#[test]
fn a_reply_from_an_unasked_endpoint_to_a_request_not_sent_so_is_dropped() {
    let (key, value) = value_of(b"from afar");
    let mut solo = Solo::new(21, config());
    let first = Contact::new(Id([0x33; 20]), endpoint("20.0.1.1:4000"));
    solo.befriend(&first);
    solo.node.begin(solo.now, get(key), &mut solo.tray).unwrap();
    let sent = solo.wait_ms(0);
    assert!(!Message::parse(&sent[0].bytes).unwrap().head.flags().has(Flags::FORWARD));
    let records = [value.record()];
    let reply = Reply { total: 1, records: &records, key: Some(OURS), ..Reply::default() };
    let from = endpoint("90.0.0.1:4000");
    for sender in [first.id, Id([0x44; 20])] {
        solo.hand(&from, &reply.bytes(&sent[0].bytes, sender, endpoint("9.9.9.9:9")));
    }
    assert_eq!(solo.node.counters().refused(Refusal::Unmatched), 2);
    assert!(done(&mut solo).is_none());
}

#[test]
fn what_brings_no_value_falls_back_to_the_iterative_lookup() {
    let (key, _) = value_of(b"nowhere");
    let stranger = Contact::new(Id([0x44; 20]), endpoint("90.0.0.1:4000"));
    let named = Contact::new(Id([0x45; 20]), endpoint("91.0.0.1:4000"));
    let seen = endpoint("9.9.9.9:9");
    for case in ["silence", "fault", "contacts", "false value", "the first hop's own contacts"] {
        let (mut solo, first, sent) = origin_that_asked(22, get(key));
        let reply = Reply { key: Some(OURS), ..Reply::default() };
        let false_value = [Record::whole(Publisher::Immutable, 60, b"false").unwrap()];
        let contacts = Reply { contacts: &[named], ..reply.clone() };
        let asked = match case {
            "silence" => {
                let mut asked = solo.wait_ms(700);
                asked.extend(solo.wait_ms(10_000));
                asked
            }
            "fault" => {
                let fault = Reply { arg: Fault::Busy as u8, ..reply };
                let bytes = fault.bytes_as(Kind::Fault, &sent.bytes, stranger.id, seen);
                solo.hand(&stranger.endpoint, &bytes)
            }
            "contacts" => {
                let bytes = contacts.bytes(&sent.bytes, stranger.id, seen);
                solo.hand(&stranger.endpoint, &bytes)
            }
            "false value" => {
                let lie = Reply { total: 1, records: &false_value, ..reply };
                solo.hand(&stranger.endpoint, &lie.bytes(&sent.bytes, stranger.id, seen))
            }
            _ => solo.hand(&first.endpoint, &contacts.bytes(&sent.bytes, first.id, seen)),
        };
        let mut to: Vec<Endpoint> = asked.iter().map(|asked| asked.to).collect();
        to.sort();
        to.dedup();
        let mut wanted = match case {
            "silence" => vec![first.endpoint],
            "fault" | "false value" => vec![first.endpoint, stranger.endpoint],
            "contacts" => vec![first.endpoint, stranger.endpoint, named.endpoint],
            _ => vec![named.endpoint],
        };
        wanted.sort();
        assert_eq!(to, wanted, "{case}");
        for asked in &asked {
            let head = Message::parse(&asked.bytes).unwrap().head;
            assert!(!head.flags().has(Flags::FORWARD), "{case}");
        }
        let failures = solo.node.members().next().unwrap().failures;
        assert!(case == "silence" || failures == 0, "{case}");
        assert_eq!(done(&mut solo).is_some(), case == "silence", "{case}");
    }
}
