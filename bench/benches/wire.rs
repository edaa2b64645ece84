//! Bytes: parse and emit of every kind, in ns and bytes of the datagram.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kdht_bench::draw::Draw;
use kdht_wire::{
    Contact, DATAGRAM_LEN_MAX, Emit, Endpoint, Fault, FaultDetail, Filter, FindValueBody, Flags,
    Head, Id, Kind, Message, Publisher, Record, ReplyBody, SignedTail, StoreBody,
};
use std::hint::black_box;

use common::row;

/// What one message is made of.
struct Sample {
    name: &'static str,
    head: Head,
    body: Part,
    contacts: Vec<Contact>,
    value: Option<(Option<SignedTail>, Vec<u8>)>,
}

enum Part {
    Empty,
    Reply(ReplyBody),
    FindValue(FindValueBody),
    Store(StoreBody),
}

impl Sample {
    fn emit(&self, out: &mut [u8]) -> usize {
        let mut emit = Emit::datagram(out, self.head, None, DATAGRAM_LEN_MAX).unwrap();
        match &self.body {
            Part::Empty => {}
            Part::Reply(body) => emit.body(body).unwrap(),
            Part::FindValue(body) => emit.body(body).unwrap(),
            Part::Store(body) => emit.body(body).unwrap(),
        }
        self.contacts.iter().for_each(|contact| emit.contact(contact).unwrap());
        if let Some((tail, value)) = &self.value {
            let publisher = tail.as_ref().map_or(Publisher::Immutable, Publisher::Signed);
            let record = Record::whole(publisher, 600, value).unwrap();
            match self.body {
                Part::Store(_) => emit.store_record(&record).unwrap(),
                _ => emit.record(&record).unwrap(),
            }
        }
        emit.finish()
    }
}

fn samples() -> Vec<Sample> {
    let mut draw = Draw::new(1);
    let (target, sender) = (draw.id(), draw.id());
    let contacts: Vec<Contact> =
        (0..20).map(|number| Contact::new(draw.id(), common::endpoint(number))).collect();
    let tail =
        SignedTail { sequence: 7.into(), public_key: [1; 32], signature: [2; 64], salt: [0; 16] };
    let head = |kind, is_reply: bool| {
        let mut head = Head::request(kind, 7, target, sender);
        head.flags = if is_reply { Flags::REPLY.0 } else { 0 }.into();
        head
    };
    let reply =
        |total: u16| Part::Reply(ReplyBody { observed: Endpoint::NONE, total: total.into() });
    let sample = |name, head, body| Sample { name, head, body, contacts: Vec::new(), value: None };
    let mut store_reply = head(Kind::Store, true);
    store_reply.arg = 1;
    let mut fault = head(Kind::Fault, true);
    fault.arg = Fault::Busy as u8;
    fault.target = FaultDetail::from_target(Id::ZERO).to_target();
    let find_value = || Part::FindValue(FindValueBody::new(&Filter::Any, 0));
    let store = || Part::Store(StoreBody { cas: StoreBody::UNCONDITIONAL.into() });
    let value = || vec![5; 100];
    vec![
        sample("ping", head(Kind::Ping, false), Part::Empty),
        sample("ping_reply", head(Kind::Ping, true), reply(0)),
        sample("find_node", head(Kind::FindNode, false), Part::Empty),
        Sample {
            contacts: contacts.clone(),
            ..sample("find_node_reply_20", head(Kind::FindNode, true), reply(20))
        },
        sample("find_value", head(Kind::FindValue, false), find_value()),
        Sample {
            contacts,
            ..sample("find_value_reply_miss_20", head(Kind::FindValue, true), reply(0))
        },
        Sample {
            value: Some((Some(tail), value())),
            ..sample("find_value_reply_signed_100", head(Kind::FindValue, true), reply(1))
        },
        Sample {
            value: Some((None, value())),
            ..sample("store_immutable_100", head(Kind::Store, false), store())
        },
        Sample {
            value: Some((Some(tail), value())),
            ..sample("store_signed_100", head(Kind::Store, false), store())
        },
        sample("store_reply", store_reply, reply(1)),
        sample("fault", fault, Part::Empty),
    ]
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    for sample in samples() {
        let mut out = [0; DATAGRAM_LEN_MAX];
        let len = sample.emit(&mut out);
        let bytes = &out[..len];
        Message::parse(bytes).unwrap();
        group.throughput(Throughput::Bytes(len as u64));
        row(&mut group, sample.name, || Message::parse(black_box(bytes)).is_ok());
    }
    group.finish();
}

fn emit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("emit");
    for sample in samples() {
        let mut out = [0; DATAGRAM_LEN_MAX];
        group.throughput(Throughput::Bytes(sample.emit(&mut out) as u64));
        row(&mut group, sample.name, || black_box(&sample).emit(black_box(&mut out)));
    }
    group.finish();
}

criterion_group! { name = suites; config = common::settings(); targets = parse, emit }
criterion_main!(suites);
