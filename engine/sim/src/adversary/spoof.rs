//! Replies that nobody asked these hosts for.

use kdht_wire::{Contact, Endpoint, Flags, Kind, Message};

use crate::adversary::{Group, NAMED};
use crate::letter::Letter;
use crate::random::below;
use crate::world::{Occupant, World};

impl Group {
    /// A reply that nobody asked for, or one to a transaction that was guessed, in the name
    /// of a random node.
    pub(super) fn spoof(&mut self, world: &mut World, to: Endpoint, time_s: u32) {
        if self.plan.informed {
            return self.spoof_answer(world);
        }
        let Some(named) = world.random_live() else { return };
        let (id, from) = {
            let place = &world.places[named as usize];
            (place.id, place.endpoint)
        };
        let lie: Vec<Contact> =
            (0..NAMED).map(|_| Contact::new(self.rng.id(), self.invented())).collect();
        let kind = [Kind::Ping, Kind::FindNode, Kind::Fault][below(&mut self.rng, 3)];
        let tx_id = self.rng.next_u64() & 0x00ff_ffff_ffff_0003;
        let target = self.rng.id();
        let contacts = if kind == Kind::FindNode { &lie[..] } else { &[] };
        let sender = if below(&mut self.rng, 2) == 0 { id } else { self.rng.id() };
        let letter = Letter {
            flags: Flags::REPLY,
            cookie: self.rng.next_u64(),
            observed: to,
            contacts,
            ..Letter::request(kind, tx_id, target, sender, time_s)
        };
        self.send(world, from, to, letter.bytes());
    }

    /// An answer to the last request that was sent, as it should be but for one thing: it comes
    /// from another port or address, or with another id or transaction. It is there before the
    /// true one.
    fn spoof_answer(&mut self, world: &mut World) {
        let Some(heard) = world.overheard_last(Kind::FindNode) else { return };
        let (asker, asked) = (heard.datagram.from, heard.datagram.to);
        let Some(Occupant::Node(at)) = world.occupant(&asked) else { return };
        let Ok(message) = Message::parse(&heard.datagram.bytes) else { return };
        let true_id = world.places[at as usize].id;
        let other_port = Endpoint { port: asked.port.get().wrapping_add(1).into(), ..asked };
        let true_tx = message.head.tx_id.get();
        let (from, id, tx_id) = match below(&mut self.rng, 4) {
            0 => (other_port, true_id, true_tx),
            1 => (self.host(0).endpoint, true_id, true_tx),
            2 => (asked, self.rng.id(), true_tx),
            // One of the random bits.
            _ => (asked, true_id, true_tx ^ 1 << 32),
        };
        let target = message.head.target;
        let lie: Vec<Contact> =
            (0..NAMED).map(|_| Contact::new(self.near(&target), self.invented())).collect();
        let reply = Letter::reply(message.head, Kind::FindNode, id, asker);
        self.send(world, from, asker, Letter { tx_id, contacts: &lie, ..reply }.bytes());
    }
}
