//! The story of one lookup: who asked whom, and what came back.

use std::fmt::Write;

use kdht_core::{Command, NS_PER_MS, Report, Standing};
use kdht_wire::{Body, Id, Kind, Message};

use crate::world::Datagram;

/// Lines of one story, at most.
const LINES_MAX: usize = 4_096;

/// Listens to one node until its lookup is done.
#[derive(Debug)]
pub(crate) struct Trace {
    node: u32,
    target: Id,
    began_ns: u64,
    is_done: bool,
    pub(crate) lines: Vec<String>,
}

impl Trace {
    /// Begins the story of node `node`, which is about to look for `target`.
    pub(crate) fn new(node: u32, id: &Id, target: Id, now_ns: u64) -> Self {
        let near = shared(id, &target);
        let lines = vec![
            format!("node {} looks for {target}, sharing {near} bits with it", short(id)),
            "  ms    ".to_owned() + "what happens; (n) is how many leading bits an id shares",
        ];
        Self { node, target, began_ns: now_ns, is_done: false, lines }
    }

    pub(crate) fn sent(&mut self, node: u32, now_ns: u64, datagram: &Datagram) {
        let Some(message) = self.of_ours(node, &datagram.bytes) else { return };
        if !message.head.is_reply() {
            let kind = message.kind.name();
            self.tell(now_ns, &format!("asks {} ({kind})", datagram.to));
        }
    }

    pub(crate) fn arrived(&mut self, node: u32, now_ns: u64, datagram: &Datagram) {
        let Some(message) = self.of_ours(node, &datagram.bytes) else { return };
        if !message.head.is_reply() {
            return;
        }
        let sender = &message.head.sender;
        let who = format!("{} at {}", self.named(sender), datagram.from);
        let what = match &message.body {
            Body::Contacts { contacts, .. } => {
                let nearest = contacts.first().map_or_else(String::new, |contact| {
                    format!(", the nearest {}", self.named(&contact.id))
                });
                format!("{who} names {} contacts{nearest}", contacts.len())
            }
            Body::Values { .. } => format!("{who} has the value"),
            Body::Fault(fault, _) => format!("{who} refuses: {fault:?}"),
            _ => format!("{who} answers"),
        };
        self.tell(now_ns, &what);
    }

    pub(crate) fn done(&mut self, node: u32, now_ns: u64, report: &Report, truth: &[Id]) {
        if self.is_done || node != self.node || report.target != self.target {
            return;
        }
        let answered = report.path.iter().filter(|c| c.standing == Standing::Answered).count();
        let summary = format!(
            "done: {answered} answered, {} requests, {} hops",
            report.messages, report.hops
        );
        self.tell(now_ns, &summary);
        for (rank, id) in truth.iter().enumerate() {
            let found = report.path.iter().find(|candidate| candidate.id == *id);
            let how = match found {
                Some(c) => format!("{:?}, hop {}", c.standing, c.hop).to_lowercase(),
                None => "never heard of".to_owned(),
            };
            self.lines.push(format!("  truly closest {:>2}: {}: {how}", rank + 1, self.named(id)));
        }
        self.is_done = true;
    }

    fn of_ours<'b>(&self, node: u32, bytes: &'b [u8]) -> Option<Message<'b>> {
        if self.is_done || node != self.node || self.lines.len() >= LINES_MAX {
            return None;
        }
        let message = Message::parse(bytes).ok()?;
        let is_find = matches!(message.kind, Kind::FindNode | Kind::FindValue);
        (is_find && message.head.target == self.target).then_some(message)
    }

    fn named(&self, id: &Id) -> String {
        format!("{} ({})", short(id), shared(id, &self.target))
    }

    fn tell(&mut self, now_ns: u64, what: &str) {
        let ms = (now_ns - self.began_ns) as f64 / NS_PER_MS as f64;
        self.lines.push(format!("{ms:>7.1}  {what}"));
    }
}

/// The target of a command that a story can be told of.
pub(crate) fn target_of(command: &Command) -> Option<Id> {
    match command {
        Command::FindNode { target } => Some(*target),
        _ => None,
    }
}

fn shared(id: &Id, target: &Id) -> u8 {
    id.shared_prefix(target)
}

fn short(id: &Id) -> String {
    id.0[..4].iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
