//! Calls in any order, and the same seed twice.

use kdht_core::{
    Command, Config, Families, Nanos, Node, Now, Request as Ask, Rng, Route, ThrottleConfig, Value,
    ValuePublisher,
};
use kdht_wire::{Contact, Endpoint, Filter, Id, Kind, Message, key_of_value};

use crate::common::{
    Conditions, Datagram, Net, Reply, START, Tray, address, digest, is_reply, rng,
};

/// Traffic of a real network, to begin mutations from.
fn recorded() -> Vec<Vec<u8>> {
    let mut net = Net::new(77, Conditions::CALM);
    net.log = Some(Vec::new());
    for at in 0..8 {
        net.add(Config::default());
        if at > 0 {
            net.join(at, &[0]);
            net.run_for(3_000);
        }
    }
    for byte in 0..4 {
        let (key, value) = value(byte);
        net.run(0, Command::Put { key, value, cas: None });
        net.run(5, Command::FindValue { key, filter: Filter::Any, values_max: 4, holders: 1 });
    }
    let log = net.log.take().unwrap();
    log.into_iter().step_by(7).map(|datagram| datagram.bytes).collect()
}

fn value(byte: u8) -> (Id, Value) {
    let bytes = vec![byte; 40];
    let publisher = ValuePublisher::Immutable;
    (key_of_value(&bytes), Value { publisher, remaining_s: 60, bytes })
}

fn pick(rng: &mut Rng, bound: usize) -> usize {
    usize::try_from(rng.below(bound as u64)).unwrap()
}

fn command(rng: &mut Rng) -> Command {
    let byte = u8::try_from(rng.below(6)).unwrap();
    let (key, value) = value(byte);
    let endpoint = address(pick(rng, 12));
    match rng.below(6) {
        0 => Command::FindNode { target: rng.id() },
        1 => {
            Command::FindValue { key, filter: Filter::Any, values_max: u16::from(byte), holders: 1 }
        }
        2 => Command::Put { key, value, cas: (byte == 3).then_some(7) },
        3 => Command::Ask { endpoint, id: None, request: Ask::Ping, recurse: false },
        4 => {
            let request = Ask::Store { key, value, cas: None };
            Command::Ask { endpoint, id: Some(rng.id()), request, recurse: byte % 2 == 0 }
        }
        _ => {
            let request = Ask::FindNode { target: rng.id() };
            Command::Ask { endpoint, id: None, request, recurse: true }
        }
    }
}

fn config(rng: &mut Rng) -> Config {
    Config {
        k: u8::try_from(1 + rng.below(20)).unwrap(),
        alpha: u8::try_from(1 + rng.below(8)).unwrap(),
        families: Families { v4: true, v6: rng.below(2) == 0 },
        contacts_max: [0, 1, 20, 2_048, 2_048, 2_048][pick(rng, 6)],
        pending_max: [0, 1, 8, 1_024, 1_024, 1_024][pick(rng, 6)],
        operations_max: [0, 1, 5, 64, 64][pick(rng, 5)],
        recursions_max: [0, 2, 64][pick(rng, 3)],
        client: rng.below(8) == 0,
        paths: [1, 1, 2, 8][pick(rng, 4)],
        b: u8::try_from(1 + rng.below(5)).unwrap(),
        refresh_s: [0, 1, 30, 3_600][pick(rng, 4)],
        republish_s: [0, 1, 30, 3_600][pick(rng, 4)],
        throttle: ThrottleConfig { slots: 64, ..ThrottleConfig::default() },
        ..Config::default()
    }
}

struct Run {
    rng: Rng,
    node: Node,
    config: Config,
    now: Now,
    tray: Tray,
    /// Requests that the node sent, to be answered some time.
    asked: Vec<(Endpoint, Vec<u8>)>,
    log: Vec<Datagram>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = rng(seed);
        let config = config(&mut rng);
        let node = Node::new(rng.id(), config.clone(), rng.secret(), START);
        let (asked, log) = (Vec::new(), Vec::new());
        // Some have no room to send.
        let tray = Tray::new([0, 3, 600, 600, 600, 600][pick(&mut rng, 6)]);
        Self { rng, node, config, now: START, tray, asked, log }
    }

    /// Forwards by a little, by much, or back.
    fn move_time(&mut self) {
        let ms = match self.rng.below(20) {
            0 => self.rng.below(10_000_000),
            1..4 => self.rng.below(5_000),
            4..10 => self.rng.below(50),
            10 => {
                self.now.mono = Nanos(self.rng.below(self.now.mono.0));
                0
            }
            _ => 0,
        };
        self.now.mono = self.now.mono.plus_ms(ms);
        if self.rng.below(2_000) == 0 {
            self.now.mono = Nanos(u64::MAX - self.rng.below(1_000));
        } else if self.rng.below(500) == 0 {
            self.now.mono = Nanos(self.rng.below(3));
        }
        self.now.unix_s = self.now.unix_s.wrapping_add(u32::try_from(ms / 1_000).unwrap());
    }

    fn step(&mut self, traffic: &[Vec<u8>]) {
        self.move_time();
        let Self { rng, node, tray, now, .. } = self;
        match rng.below(10) {
            0 => node.handle_timeout(*now, tray),
            1 => {
                let command = command(rng);
                let _ = node.begin(*now, command, tray);
            }
            2 if rng.below(20) == 0 => {
                let bootstrap: Vec<Endpoint> = (0..rng.below(5)).map(|_| address(3)).collect();
                node.join(*now, &bootstrap, tray);
            }
            3 if rng.below(50) == 0 => node.drain(*now, tray),
            4..7 if !self.asked.is_empty() => {
                let at = pick(rng, self.asked.len());
                let (from, request) = self.asked.swap_remove(at);
                let reply = answer(rng, &request, from);
                node.handle_datagram(*now, &Route::to(from), &reply, tray);
            }
            _ => {
                let mut bytes = traffic[pick(rng, traffic.len())].clone();
                for _ in 0..rng.below(4) {
                    let at = pick(rng, bytes.len());
                    bytes[at] = rng.next_u64().to_le_bytes()[0];
                }
                let from = address(pick(rng, 12));
                node.handle_datagram(*now, &Route::to(from), &bytes, tray);
            }
        }
        if self.rng.below(3) == 0 {
            while self.node.poll_event().is_some() {}
        }
        let (log, asked) = (&mut self.log, &mut self.asked);
        self.tray.drain(|route, bytes| {
            let (from, to, bytes) = (Endpoint::NONE, route.peer, bytes.to_vec());
            if !is_reply(&bytes) {
                asked.push((to, bytes.clone()));
            }
            log.push(Datagram { from, to, bytes });
        });
        self.asked.truncate(200);
    }

    fn check(&self, context: &str) {
        let operations_max = usize::from(self.config.operations_max);
        // A join's own lookup comes on top.
        assert!(self.node.operations() <= operations_max + 1, "{context}");
        let held: usize = self.node.fill().iter().map(|f| f.good + f.unverified + f.doubtful).sum();
        assert!(held <= 2 * usize::from(self.config.contacts_max), "{context}");
        assert!(self.node.usage().bytes <= self.config.store.bytes_max, "{context}");
    }
}

/// What some node might answer; it names a few others.
fn answer(rng: &mut Rng, request: &[u8], observed: Endpoint) -> Vec<u8> {
    let kind = Message::parse(request).unwrap().kind;
    let named: Vec<Contact> =
        (0..rng.below(21)).map(|_| Contact::new(rng.id(), address(pick(rng, 12)))).collect();
    let contacts = if matches!(kind, Kind::FindNode | Kind::FindValue) { &named[..] } else { &[] };
    let arg = u8::from(kind == Kind::Store);
    let reply = Reply { contacts, arg, cookie: rng.next_u64(), ..Reply::default() };
    if rng.below(6) == 0 {
        let code = u8::try_from(1 + rng.below(17)).unwrap();
        let fault = Reply { arg: code, cookie: 5, ..Reply::default() };
        return fault.bytes_as(Kind::Fault, request, Id([1; 20]), observed);
    }
    let sender = if rng.below(3) == 0 { rng.id() } else { Id([1; 20]) };
    reply.bytes(request, sender, observed)
}

#[test]
fn any_order_of_calls_is_legal_and_the_same_seed_sends_the_same_bytes() {
    let traffic = recorded();
    let mut sent = 0;
    for seed in 0..150 {
        let run = || {
            let mut run = Run::new(seed);
            for step in 0..500 {
                run.step(&traffic);
                run.check(&format!("seed {seed}, step {step}"));
            }
            (digest(&run.log), run.log.len())
        };
        let (first, second) = (run(), run());
        assert_eq!(first, second, "seed {seed}");
        sent += first.1;
    }
    assert!(sent > 10_000, "{sent} datagrams: the calls led nowhere");
}

#[test]
fn a_timeout_that_was_handled_is_not_due_again_at_the_same_time() {
    let traffic = recorded();
    for seed in 1_000..1_100 {
        let mut run = Run::new(seed);
        for step in 0..400 {
            // Time stands or moves on here.
            let before = run.now;
            run.step(&traffic);
            if run.now.mono < before.mono {
                run.now = before;
            }
            if run.now.mono.0 > u64::MAX / 2 {
                // At the end of time everything is due for ever.
                break;
            }
            let mut turns = 0;
            while run.node.poll_timeout().is_some_and(|at| at <= run.now.mono) {
                run.node.handle_timeout(run.now, &mut run.tray);
                run.tray.clear();
                turns += 1;
                let due = run.node.poll_timeout();
                let context = format!("seed {seed}, step {step}, {:?}", run.now);
                assert!(turns < 50, "{context}: due again at {due:?}");
            }
        }
    }
}

#[test]
fn a_whole_network_repeats_itself_byte_for_byte() {
    let run = |seed| {
        let mut net = Net::new(seed, Conditions::ROUGH);
        net.log = Some(Vec::new());
        for at in 0..25 {
            net.add(Config::default());
            if at > 0 {
                net.join(at, &[at - 1]);
                net.run_for(2_000);
            }
        }
        for byte in 0..4 {
            let (key, value) = value(byte);
            net.begin(usize::from(byte), Command::Put { key, value, cas: None });
        }
        net.run_for(30_000);
        let log = net.log.take().unwrap();
        (digest(&log), log.len())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}
