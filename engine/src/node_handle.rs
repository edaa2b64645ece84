//! A running node, as other threads reach it: its shards as one.

mod proxied;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use kdht_core::{Command, CommandError, Report, Spread};
use kdht_wire::{Contact, Endpoint, INLINE_VALUE_LEN_MAX, Id};

use crate::routing::RoutingView;
use crate::runner::{ANSWER_TIMEOUT, CallError, ShardAddress};
use crate::shard::{DrainTally, Drained, JoinNews, ShardRequest, Tuning};
use crate::status::{Members, Status};
use crate::stream::{StreamEnd, StreamLink, StreamMessage};

/// Reaches one node from other threads, whichever of them turn its shards.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    /// In the shards' order.
    shards: Arc<[ShardAddress]>,
    spread: Spread,
    /// What is answered in its stead.
    routing: Arc<RoutingView>,
}

impl NodeHandle {
    pub(crate) fn of_shard(shard: ShardAddress) -> Self {
        Self { shards: Arc::new([shard]), spread: Spread::new(1, 0), routing: Arc::default() }
    }

    /// One node out of its shards, each reached by one of `handles`, in the order in which
    /// `spread` counts them.
    #[must_use]
    pub fn of_shards(handles: &[Self], spread: Spread) -> Self {
        let shards = handles.iter().flat_map(|one| one.shards.iter().cloned()).collect();
        Self { shards, spread, routing: Arc::default() }
    }

    /// Begins a command; its report comes through the receiver, after as long as the
    /// network takes.
    ///
    /// # Errors
    /// [`CallError`] if the node cannot be reached.
    pub fn begin(
        &self,
        command: Command,
    ) -> Result<Receiver<Result<Report, CommandError>>, CallError> {
        if let Command::Put { key, value, .. } = &command
            && value.bytes.len() > INLINE_VALUE_LEN_MAX
            && kdht_store::verify(key, &value.record()).is_err()
        {
            // So long a value is proven here, where it may take its time.
            return Err(CallError::Refused(CommandError::Unproven));
        }
        let (sender, report) = bounded(1);
        let target = match &command {
            Command::FindNode { target } => Some(*target),
            Command::FindValue { key, .. } | Command::Put { key, .. } => Some(*key),
            Command::Ask { .. } => None,
        };
        // Values under a key are held by the shard that is asked for them.
        let shard = target.map_or_else(|| self.first(), |target| self.shard_of(&target))?;
        shard.post(ShardRequest::Begin(Box::new(command), sender))?;
        Ok(report)
    }

    /// Carries out a command and waits for its report.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn call(&self, command: Command, timeout: Duration) -> Result<Report, CallError> {
        let report = self.begin(command)?;
        let report = report.recv_timeout(timeout).map_err(|_| CallError::Late)?;
        report.map_err(CallError::Refused)
    }

    /// Enters the network through `bootstrap`; news of it come through the receiver.
    ///
    /// # Errors
    /// [`CallError`] if the node cannot be reached.
    pub fn join(&self, bootstrap: Vec<Endpoint>) -> Result<Receiver<JoinNews>, CallError> {
        let (sender, news) = bounded(16);
        self.first()?.post(ShardRequest::Join(bootstrap, sender))?;
        Ok(news)
    }

    /// Leaves the network: stores nothing more, hands every value to the nodes closest to
    /// its key, and tells when that is done. The node still answers; stop it then.
    ///
    /// # Errors
    /// [`CallError`] if the node cannot be reached.
    pub fn drain(&self) -> Result<Receiver<Drained>, CallError> {
        let (sender, drained) = bounded(1);
        let tally = DrainTally::new(self.shards.len(), sender);
        self.shards.iter().try_for_each(|shard| shard.post(ShardRequest::Drain(tally.clone())))?;
        Ok(drained)
    }

    /// How the node is.
    ///
    /// # Errors
    /// [`CallError`] if the node cannot be reached.
    pub fn status(&self) -> Result<Box<Status>, CallError> {
        let mut status = Status::sum(self.ask_each(ShardRequest::Status)?);
        self.routing.add_to(&mut status);
        Ok(status)
    }

    /// The contacts that may be told to others.
    ///
    /// # Errors
    /// [`CallError`] if the node cannot be reached.
    pub fn contacts(&self) -> Result<Vec<Contact>, CallError> {
        Ok(self.ask_each(ShardRequest::Contacts)?.into_iter().flatten().collect())
    }

    /// Every member of the routing tables.
    ///
    /// # Errors
    /// [`CallError`] if the node cannot be reached.
    pub fn members(&self) -> Result<Box<Members>, CallError> {
        if let Some(members) = self.routing.members() {
            return Ok(members);
        }
        Ok(Members::join(self.ask_each(ShardRequest::Members)?))
    }

    /// Lets the node work by other settings, from before this returns.
    ///
    /// # Errors
    /// [`CallError`] if the node cannot be reached.
    pub fn tune(&self, tuning: Tuning) -> Result<(), CallError> {
        self.ask_each(|sender| ShardRequest::Tune(Box::new(tuning), sender)).map(drop)
    }

    /// Ends the node and closes its sockets, without a word to anybody, and returns its
    /// last status.
    ///
    /// # Errors
    /// [`CallError`] if a thread has ended or does not answer.
    pub fn remove(&self) -> Result<Box<Status>, CallError> {
        let removed: Vec<Receiver<Box<Status>>> =
            self.shards.iter().map(ShardAddress::remove).collect::<Result<_, _>>()?;
        Ok(Status::sum(receive_all(&removed)?))
    }

    /// Lets every shard send and answer by TCP through `link`.
    ///
    /// # Errors
    /// [`CallError`] if the node cannot be reached.
    pub(crate) fn link_streams(&self, link: &StreamLink) -> Result<(), CallError> {
        self.shards.iter().try_for_each(|shard| shard.post(ShardRequest::Streams(link.clone())))
    }

    /// Hands a message for `target` that came by TCP to the shard that owns it; the answer
    /// comes through the link.
    ///
    /// # Errors
    /// [`CallError`] if the node cannot be reached; then the message is lost.
    pub(crate) fn serve_stream(
        &self,
        target: &Id,
        message: StreamMessage,
    ) -> Result<(), CallError> {
        self.shard_of(target)?.post(ShardRequest::Stream(Box::new(message)))
    }

    /// Hands what came of a request by TCP to the shard that asked, which the top byte of
    /// its transaction names.
    ///
    /// # Errors
    /// [`CallError`] if the node cannot be reached; then the request fails by its timeout.
    pub(crate) fn end_stream(&self, end: StreamEnd) -> Result<(), CallError> {
        let [.., shard] = end.tx_id.to_le_bytes();
        let shard = self.shards.get(usize::from(shard)).ok_or(CallError::Stopped)?;
        shard.post(ShardRequest::StreamEnd(Box::new(end)))
    }

    /// What is answered in its stead.
    pub(crate) fn routing(&self) -> &RoutingView {
        &self.routing
    }

    fn first(&self) -> Result<&ShardAddress, CallError> {
        self.shards.first().ok_or(CallError::Stopped)
    }

    fn shard_of(&self, target: &Id) -> Result<&ShardAddress, CallError> {
        self.shards.get(usize::from(self.spread.of(target))).ok_or(CallError::Stopped)
    }

    /// Asks every shard the same and waits for all answers, in the shards' order.
    fn ask_each<T>(
        &self,
        mut ask: impl FnMut(Sender<T>) -> ShardRequest,
    ) -> Result<Vec<T>, CallError> {
        let mut answers = Vec::with_capacity(self.shards.len());
        for shard in self.shards.iter() {
            let (sender, answer) = bounded(1);
            shard.post(ask(sender))?;
            answers.push(answer);
        }
        receive_all(&answers)
    }
}

fn receive_all<T>(receivers: &[Receiver<T>]) -> Result<Vec<T>, CallError> {
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let receive = |from: &Receiver<T>| from.recv_deadline(deadline).map_err(|_| CallError::Late);
    receivers.iter().map(receive).collect()
}
