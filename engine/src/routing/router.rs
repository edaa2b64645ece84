//! Giving a node's sockets to the module, and taking them back.

use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};
use kdht_kmod::{Control, Settings};

use super::attachment::settings_of;
use super::errands::Errands;
use super::link::{ERRANDS_MAX, Errand};
use super::upkeep::Upkeep;
use super::{Attachment, Routing, RoutingChoice, RoutingError, sightings};
use crate::node_handle::NodeHandle;
use crate::shard::Tuning;

/// Decides who routes for one node. Dropping it leaves the node to the engine.
#[derive(Debug)]
pub struct Router {
    attachment: Attachment,
    node: NodeHandle,
    live: Option<Live>,
    is_listening: bool,
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
    pub fn new(attachment: Attachment, node: NodeHandle) -> Self {
        Self { attachment, node, live: None, is_listening: false }
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
            Routing::User => self.end(),
            Routing::Kernel if self.live.is_some() => Ok(()),
            Routing::Kernel => {
                self.attachment.check()?;
                let control = Control::open()?;
                let (errands, waiting) = bounded(ERRANDS_MAX);
                // From here on nothing is acknowledged that the module should know first.
                self.node.begin_proxy(&errands)?;
                let begun = self.begin(&control, tuning, waiting);
                match begun {
                    Ok((over, threads)) => {
                        self.live = Some(Live { control, errands, over, threads });
                        tracing::info!(sockets = self.attachment.sockets.len(), "kernel routing");
                        Ok(())
                    }
                    Err(error) => {
                        // As far as it came.
                        let _ = control.detach(&self.attachment.id, None);
                        self.node.routing().end();
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
        waiting: crossbeam_channel::Receiver<Errand>,
    ) -> Result<(Sender<()>, [JoinHandle<()>; 2]), RoutingError> {
        let id = self.attachment.id;
        self.attachment.attach(control, tuning)?;
        if !self.is_listening {
            sightings::begin(control, id, self.node.clone())?;
            self.is_listening = true;
        }
        self.node.routing().begin(Control::open()?, id);
        let (over, is_over) = bounded(0);
        let attachment = self.attachment.clone();
        let mut upkeep = Upkeep::new(attachment, Control::open()?, self.node.clone(), is_over);
        upkeep.tell_contacts()?;
        let errands = Errands::new(id, Control::open()?, self.node.clone(), waiting);
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.into()).spawn(work);
            thread.map_err(RoutingError::Thread)
        };
        let threads = [
            spawn("kdht-errands", Box::new(move || errands.run()))?,
            spawn("kdht-upkeep", Box::new(move || upkeep.run()))?,
        ];
        control.set(&id, &Settings { answer: Some(true), ..Settings::default() })?;
        Ok((over, threads))
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

    fn end(&mut self) -> Result<(), RoutingError> {
        let Some(Live { control, errands, over, threads }) = self.live.take() else {
            return Ok(());
        };
        let id = &self.attachment.id;
        // While it passes all on, what it counted is read.
        let silent = control.set(id, &Settings { answer: Some(false), ..Settings::default() });
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
        Ok(())
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(%error, "the module was not told that the node ends");
        }
    }
}
