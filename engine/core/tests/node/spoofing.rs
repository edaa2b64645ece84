//! Replies that nobody was asked for, and askers who are not who they say.

use kdht_core::{Command, Config, Outcome, Refusal, Request as Ask};
use kdht_wire::{Contact, Id, Kind, Message};

use crate::common::{Datagram, Reply, Request, Solo, address, endpoint, is_reply, rng};

#[test]
fn a_reply_of_a_wrong_port_address_id_transaction_or_kind_changes_nothing() {
    let (mut solo, known) = Solo::with_contacts(1, Config::default(), 30);
    let (asked, target) = (known[3], Id([0x33; 20]));
    let command = Command::Ask {
        endpoint: asked.endpoint,
        id: Some(asked.id),
        request: Ask::FindNode { target },
        recurse: false,
    };
    solo.node.begin(solo.now, command, &mut solo.tray).unwrap();
    let mut sent = Vec::new();
    solo.tray.drain(|_, bytes| sent.push(bytes.to_vec()));
    let request = sent.remove(0);
    let named = [Contact::new(Id([9; 20]), endpoint("40.0.0.1:4000"))];
    let reply = Reply { contacts: &named, total: 1, cookie: 99, ..Reply::default() };
    let truth = reply.bytes(&request, asked.id, asked.endpoint);

    let mut wrong_port = asked.endpoint;
    wrong_port.port = 4_001.into();
    let mut spoofs = vec![
        ("port", wrong_port, truth.clone()),
        ("address", address(5_000), truth.clone()),
        ("id", asked.endpoint, reply.bytes(&request, known[4].id, asked.endpoint)),
    ];
    for kind in [Kind::Ping, Kind::FindValue] {
        let bytes = Reply::default().bytes_as(kind, &request, asked.id, asked.endpoint);
        spoofs.push(("kind", asked.endpoint, bytes));
    }
    for byte in 16..24 {
        for bit in 0..8 {
            let mut bytes = truth.clone();
            bytes[byte] ^= 1 << bit;
            spoofs.push(("transaction", asked.endpoint, bytes));
        }
    }
    let fingerprint = |solo: &Solo| {
        let members: Vec<String> = solo.node.members().map(|peer| format!("{peer:?}")).collect();
        (members, solo.node.poll_timeout(), solo.node.operations())
    };
    while solo.node.poll_event().is_some() {}
    let before = fingerprint(&solo);
    solo.now.mono = solo.now.mono.plus_ms(30);
    for (count, (what, from, bytes)) in spoofs.iter().enumerate() {
        assert!(solo.hand(from, bytes).is_empty(), "{what}");
        assert_eq!(fingerprint(&solo), before, "{what}");
        let unmatched = solo.node.counters().refused(Refusal::Unmatched);
        assert_eq!(unmatched, count as u64 + 1, "{what}");
    }
    assert!(solo.node.poll_event().is_none());
    solo.hand(&asked.endpoint, &truth);
    let Some(kdht_core::Event::Done(report)) = solo.node.poll_event() else { panic!() };
    assert!(matches!(report.outcome, Outcome::Reply { bytes, .. } if bytes == truth));
    solo.hand(&asked.endpoint, &truth);
    let unmatched = solo.node.counters().refused(Refusal::Unmatched);
    assert_eq!(unmatched, spoofs.len() as u64 + 1, "a reply counts once");
}

#[test]
fn requests_in_a_victims_name_draw_few_probes() {
    let (mut solo, _) = Solo::with_contacts(2, Config::default(), 60);
    let victim = endpoint("40.0.0.1:4000");
    let mut rng = rng(22);
    let mut probes = 0;
    let mut count = |sent: &[Datagram]| {
        probes += sent.iter().filter(|s| s.to == victim && !is_reply(&s.bytes)).count();
    };
    for round in 0..10_000 {
        let id = rng.id();
        count(&solo.hand(&victim, &Request::hello(id).bytes()));
        if round % 10 == 0 {
            count(&solo.wait_ms(10));
        }
    }
    for _ in 0..5_000 {
        count(&solo.wait_ms(10));
    }
    // One in flight at a time, for a second and a half each, during a minute.
    assert!((2..=40).contains(&probes), "{probes} probes");
}

#[test]
fn an_asker_at_an_address_that_names_no_host_is_not_inserted() {
    let mut solo = Solo::new(3, Config::default());
    for from in ["80.0.0.1:0", "0.0.0.0:4000", "224.0.0.1:4000", "255.255.255.255:4000"] {
        let id = Id([0x44; 20]);
        solo.hand(&endpoint(from), &Request::hello(id).bytes());
        assert_eq!(solo.node.members().count(), 0, "{from}");
    }
}

#[test]
fn neither_clients_nor_the_own_id_are_inserted_or_told_to_others() {
    let (mut solo, _) = Solo::with_contacts(4, Config::default(), 5);
    let own = solo.node.id();
    let from = endpoint("40.0.0.1:4000");
    let client = Id([0x55; 20]);
    let mut request = Request::new(Kind::FindNode, own, client);
    request.flags = kdht_wire::Flags::CLIENT;
    request.len_min = 300;
    let sent = solo.hand(&from, &request.bytes());
    assert_eq!(sent.len(), 1, "served, and not probed");
    let Message { body: kdht_wire::Body::Contacts { contacts, .. }, .. } =
        Message::parse(&sent[0].bytes).unwrap()
    else {
        panic!()
    };
    assert_eq!(contacts.len(), 5);
    assert!(contacts.iter().all(|contact| contact.id != own && contact.id != client));
    assert!(solo.hand(&from, &Request::new(Kind::Ping, own, own).bytes()).is_empty());
    assert_eq!(solo.node.counters().refused(Refusal::OwnId), 1);
    assert_eq!(solo.node.members().count(), 5);
}

#[test]
fn the_asker_is_never_told_of_itself() {
    let (mut solo, known) = Solo::with_contacts(5, Config::default(), 19);
    for asker in &known {
        let request = Request { len_min: 400, ..Request::new(Kind::FindNode, asker.id, asker.id) };
        let sent = solo.hand(&asker.endpoint, &request.bytes());
        let reply = sent.iter().find(|sent| is_reply(&sent.bytes)).unwrap();
        let kdht_wire::Body::Contacts { contacts, .. } = Message::parse(&reply.bytes).unwrap().body
        else {
            panic!()
        };
        let mut told: Vec<Id> = contacts.iter().map(|contact| contact.id).collect();
        let mut others: Vec<Id> = known.iter().map(|c| c.id).filter(|id| *id != asker.id).collect();
        told.sort_unstable();
        others.sort_unstable();
        assert_eq!(told, others, "all others, each once");
        assert_eq!(told.len(), 18);
    }
}
