//! Giving a node's sockets to the module, and taking them back.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use kdht_core::{Nanos, Peer};
use kdht_kmod::{Control, Settings};
use kdht_wire::Endpoint;

use super::attachment::settings_of;
use super::errands::Errands;
use super::link::{ERRANDS_MAX, Errand};
use super::table::{own_members, reclaimed, seeds, seen_of};
use super::upkeep::Upkeep;
use super::{Attachment, Routing, RoutingChoice, RoutingError, events};
use crate::io::Moment;
use crate::node_handle::NodeHandle;
use crate::shard::{JoinNews, Tuning};

/// News of joining that wait at most.
const JOIN_NEWS_MAX: usize = 16;

/// Decides who routes for one node. Dropping it leaves the node to the engine.
#[derive(Debug)]
pub struct Router {
    attachment: Attachment,
    node: NodeHandle,
    live: Option<Live>,
    /// Where to enter the network.
    bootstrap: Vec<Endpoint>,
    /// How the module's joining goes.
    joined: (Sender<JoinNews>, Receiver<JoinNews>),
    is_listening: bool,
    /// Something happened to the module's table.
    is_news: Arc<AtomicBool>,
}

/// The module routes.
#[derive(Debug)]
struct Live {
    control: Control,
    errands: Sender<Errand>,
    /// Closes when the upkeep is over.
    over: Sender<()>,
    threads: [JoinHandle<()>; 2],
}

impl Router {
    /// The engine routes, as yet.
    #[must_use]
    pub fn new(attachment: Attachment, node: NodeHandle, bootstrap: Vec<Endpoint>) -> Self {
        let (joined, is_news) = (bounded(JOIN_NEWS_MAX), Arc::default());
        Self { attachment, node, live: None, bootstrap, joined, is_listening: false, is_news }
    }

    /// How joining goes where the module joins.
    #[must_use]
    pub fn news(&self) -> Receiver<JoinNews> {
        self.joined.1.clone()
    }

    /// Who routes.
    #[must_use]
    pub fn routing(&self) -> Routing {
        if self.live.is_some() { Routing::Kernel } else { Routing::User }
    }

    /// Begins as an operator chose; where that leaves it open, a module that cannot be used is
    /// logged.
    ///
    /// # Errors
    /// [`RoutingError`], and the engine routes.
    pub fn choose(&mut self, choice: RoutingChoice, tuning: &Tuning) -> Result<(), RoutingError> {
        let why = match choice {
            RoutingChoice::User => return Ok(()),
            RoutingChoice::Kernel => return self.switch(Routing::Kernel, tuning),
            RoutingChoice::Auto => self.switch(Routing::Kernel, tuning).err(),
        };
        if let Some(why) = why {
            tracing::info!(%why, "routing in the engine");
        }
        Ok(())
    }

    /// Lets the engine or the module route from now on. No datagram is lost: what the one no
    /// longer takes, the other gets.
    ///
    /// # Errors
    /// [`RoutingError`]; the module does not route then.
    pub fn switch(&mut self, to: Routing, tuning: &Tuning) -> Result<(), RoutingError> {
        match to {
            Routing::User => self.end(false),
            Routing::Kernel if self.live.is_some() => Ok(()),
            Routing::Kernel => {
                self.attachment.check()?;
                let control = Control::open()?;
                let (errands, waiting) = bounded(ERRANDS_MAX);
                // From here on nothing is acknowledged that the module should know first.
                self.node.begin_proxy(&errands)?;
                let mut members = Vec::new();
                match self.begin(&control, tuning, waiting, &mut members) {
                    Ok((over, threads)) => {
                        self.live = Some(Live { control, errands, over, threads });
                        tracing::info!(sockets = self.attachment.sockets.len(), "kernel routing");
                        Ok(())
                    }
                    Err(error) => {
                        // As far as it came.
                        let _ = control.detach(&self.attachment.id, None);
                        self.node.routing().end();
                        let now = Nanos(Moment::now().monotonic_ns);
                        self.node.reclaim_table(&own_members(&members, now).into())?;
                        self.node.end_proxy()?;
                        Err(error)
                    }
                }
            }
        }
    }

    fn begin(
        &mut self,
        control: &Control,
        tuning: &Tuning,
        waiting: Receiver<Errand>,
        members: &mut Vec<Peer>,
    ) -> Result<(Sender<()>, [JoinHandle<()>; 2]), RoutingError> {
        let id = self.attachment.id;
        self.attachment.attach(control, tuning)?;
        if !self.is_listening {
            let (node, news) = (self.node.clone(), (self.joined.0.clone(), self.bootstrap.len()));
            events::begin(control, id, node, news, self.is_news.clone())?;
            self.is_listening = true;
        }
        *members = self.node.cede_table()?;
        control.seen(&id, &seen_of(members, Nanos(Moment::now().monotonic_ns)))?;
        self.node.routing().begin(Control::open()?, id);
        let (over, is_over) = bounded(0);
        let (attachment, node) = (self.attachment.clone(), self.node.clone());
        let upkeep = Upkeep::new(attachment, Control::open()?, node, is_over, self.is_news.clone());
        upkeep.copy_table()?;
        let errands = Errands::new(id, Control::open()?, self.node.clone(), waiting);
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.into()).spawn(work);
            thread.map_err(RoutingError::Host)
        };
        let threads = [
            spawn("kdht-errands", Box::new(move || errands.run()))?,
            spawn("kdht-upkeep", Box::new(move || upkeep.run()))?,
        ];
        control.set(&id, &Settings { answer: Some(true), ..Settings::default() })?;
        control.join(&id, &seeds(&self.bootstrap, members))?;
        Ok((over, threads))
    }

    /// Lets the engine keep the contacts again, those that the module has.
    fn reclaim(&self, control: &Control) -> Result<(), RoutingError> {
        let entries = control.table(&self.attachment.id).unwrap_or_default();
        self.node.reclaim_table(&reclaimed(&entries).into())?;
        if entries.is_empty() && !self.bootstrap.is_empty() {
            // The module had not entered the network yet.
            self.node.join(self.bootstrap.clone())?;
        }
        Ok(())
    }

    /// Tells the module, too, what a running node works by from now on.
    ///
    /// # Errors
    /// [`RoutingError::Module`].
    pub fn tune(&self, tuning: &Tuning) -> Result<(), RoutingError> {
        if let Some(live) = &self.live {
            live.control.set(&self.attachment.id, &settings_of(tuning))?;
        }
        Ok(())
    }

    /// Ends kernel routing; where the node `is_over`, too, nobody needs its contacts.
    fn end(&mut self, is_over: bool) -> Result<(), RoutingError> {
        let Some(Live { control, errands, over, threads }) = self.live.take() else {
            return Ok(());
        };
        let id = &self.attachment.id;
        // While it passes all on, what it counted is read.
        let silent = control.set(id, &Settings { answer: Some(false), ..Settings::default() });
        let reclaimed = if is_over { Ok(()) } else { self.reclaim(&control) };
        self.node.routing().end();
        let detached = control.detach(id, None);
        drop(over);
        let _ = errands.send(Errand::End);
        for thread in threads {
            let _ = thread.join();
        }
        // Nobody else answers: whoever waited for that is answered.
        self.node.end_proxy()?;
        tracing::info!("routing in the engine");
        silent.and(detached)?;
        reclaimed
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        if let Err(error) = self.end(true) {
            tracing::warn!(%error, "the module was not told that the node ends");
        }
    }
}
