//! What keeps a running node: signals, operators' tasks, contacts to save, the end.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, after, never, select, tick};
use kdht::control::{Asked, Reply, Task};
use kdht::routing::Router;
use kdht::settings::{InEffect, Settings};
use kdht::state::StateDir;
use kdht::{Drained, JoinNews, NodeHandle};
use signal_hook::consts::{SIGHUP, SIGTERM};

use super::Failure;
use super::log::Log;
use super::notify::{STOPPING, notify};

/// How often contacts are kept, if they changed.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);

/// A running node and what it is run by.
pub(crate) struct Keeper<'a> {
    pub(crate) node: NodeHandle,
    pub(crate) in_effect: InEffect,
    /// Reads the settings anew, from all their sources.
    pub(crate) read_settings: &'a dyn Fn() -> Result<Settings, Failure>,
    pub(crate) log: Log,
    pub(crate) state: Option<StateDir>,
    /// Who routes.
    pub(crate) router: Router,
    /// Told once the node has joined.
    pub(crate) joined: Sender<()>,
}

/// Where news come from.
pub(crate) struct News {
    pub(crate) join: Receiver<JoinNews>,
    /// The same where the kernel module joins.
    pub(crate) routed: Receiver<JoinNews>,
    pub(crate) signals: Receiver<i32>,
    pub(crate) tasks: Receiver<Asked>,
    /// How the node's own shell ended; never, where there is none.
    pub(crate) shell: Receiver<Result<(), Failure>>,
}

/// A node that hands over its values before it stops.
struct Leaving {
    drained: Receiver<Drained>,
    deadline: Instant,
    askers: Vec<Asked>,
}

/// How handing over went.
struct Handed {
    handed: u32,
    kept: u32,
    finished: bool,
}

impl Keeper<'_> {
    /// Does what signals and operators want, until one of them ends it.
    ///
    /// # Errors
    /// [`Failure`] if the node's thread ended, or its shell did so with one.
    pub(crate) fn keep(&mut self, news: &News) -> Result<(), Failure> {
        let save = tick(SAVE_INTERVAL);
        let mut leaving: Option<Leaving> = None;
        let mut shell = news.shell.clone();
        let mut said = Ok(());
        loop {
            let (drained, too_late) = match &leaving {
                Some(leaving) => {
                    let left = leaving.deadline.saturating_duration_since(Instant::now());
                    (leaving.drained.clone(), after(left))
                }
                None => (never(), never()),
            };
            select! {
                recv(news.signals) -> signal => match signal {
                    Ok(SIGHUP) => self.reload_by_signal(),
                    Ok(SIGTERM) if leaving.is_none() => {
                        leaving = self.leave(self.time_to_drain(), "SIGTERM")?;
                        if leaving.is_none() {
                            break;
                        }
                    }
                    _ => {
                        tracing::info!("stopping at once");
                        break;
                    }
                },
                recv(news.tasks) -> asked => match asked {
                    Ok(asked) => self.carry_out(asked, &mut leaving)?,
                    Err(_) => return Err(Failure::failed("the control socket has ended")),
                },
                recv(drained) -> drained => {
                    let handed = drained.map(|Drained { handed, kept }| {
                        Handed { handed, kept, finished: true }
                    });
                    self.end_leaving(leaving.take(), handed.unwrap_or_else(|_| self.unfinished()));
                    break;
                }
                recv(too_late) -> _ => {
                    self.end_leaving(leaving.take(), self.unfinished());
                    break;
                }
                recv(shell) -> ended => {
                    said = ended.unwrap_or_else(|_| Err(Failure::failed("the shell has ended")));
                    shell = never();
                    if leaving.is_none() {
                        leaving = self.leave(self.time_to_drain(), "the shell's end")?;
                    }
                    if leaving.is_none() {
                        break;
                    }
                }
                recv(news.routed) -> joined => if let Ok(joined) = joined {
                    self.note_joining(joined);
                },
                recv(news.join) -> joined => match joined {
                    Ok(joined) => self.note_joining(joined),
                    Err(_) => return Err(Failure::failed("the node's thread has ended")),
                },
                recv(save) -> _ => self.save_contacts(),
            }
        }
        notify(STOPPING);
        self.save_contacts();
        said
    }

    fn note_joining(&mut self, news: JoinNews) {
        match news {
            JoinNews::Joined { contacts } => {
                tracing::info!(contacts, "joined");
                let _ = self.joined.try_send(());
                self.save_contacts();
            }
            JoinNews::Failed { tried, retry_ms } => {
                tracing::warn!(tried, retry_ms, "nobody answered; trying again");
            }
        }
    }

    fn carry_out(&mut self, asked: Asked, leaving: &mut Option<Leaving>) -> Result<(), Failure> {
        match &asked.task {
            Task::Drain(timeout) => {
                let deadline = Instant::now() + *timeout;
                if leaving.is_none() {
                    *leaving = Some(self.begin_leaving(deadline, "an operator")?);
                }
                if let Some(leaving) = leaving {
                    leaving.deadline = leaving.deadline.min(deadline);
                    leaving.askers.push(asked);
                }
            }
            Task::Reload => {
                let reply = self.reload().unwrap_or_else(Reply::Error);
                asked.answer(reply);
            }
            Task::Routing(to) => {
                let before = self.router.routing();
                let reply = match self.router.switch(*to, &self.in_effect.tuning()) {
                    Ok(()) => Reply::Routed { before },
                    Err(error) => Reply::Error(format!("no change of routing: {error}")),
                };
                asked.answer(reply);
            }
            Task::Log(filter) => {
                let reply = match self.log.change(filter) {
                    Ok(()) => {
                        let filter = filter.clone();
                        let log = &mut self.in_effect.settings.log;
                        Reply::Log { before: std::mem::replace(log, filter) }
                    }
                    Err(why) => Reply::Error(why),
                };
                asked.answer(reply);
            }
        }
        Ok(())
    }

    fn reload_by_signal(&mut self) {
        match self.reload() {
            Ok(Reply::Reloaded { applied, restart }) => {
                tracing::info!(?applied, ?restart, "reloaded; `restart` waits for a restart");
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "nothing was changed"),
        }
    }

    /// Applies what is different and may be. Everything is read and checked before
    /// anything is changed.
    fn reload(&mut self) -> Result<Reply, String> {
        let settings = (self.read_settings)().map_err(Failure::into_text)?;
        let wanted = InEffect::new(settings).map_err(|error| error.to_string())?;
        let changes = self.in_effect.changes_to(&wanted);
        let before = self.in_effect.clone();
        self.in_effect.take_live(&wanted);
        if self.in_effect.tuning() != before.tuning()
            && let Err(error) = self.node.tune(self.in_effect.tuning())
        {
            self.in_effect = before;
            return Err(error.to_string());
        }
        self.router.tune(&self.in_effect.tuning()).map_err(|error| error.to_string())?;
        if self.in_effect.settings.log != before.settings.log {
            self.log.change(&self.in_effect.settings.log)?;
        }
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Ok(Reply::Reloaded { applied: owned(&changes.live), restart: owned(&changes.restart) })
    }

    fn time_to_drain(&self) -> Duration {
        Duration::from_secs(self.in_effect.settings.drain_s.into())
    }

    /// Begins to hand over, unless there is no time for it.
    fn leave(&self, time: Duration, why: &str) -> Result<Option<Leaving>, Failure> {
        if time.is_zero() {
            tracing::info!(why, "stopping at once");
            return Ok(None);
        }
        self.begin_leaving(Instant::now() + time, why).map(Some)
    }

    fn begin_leaving(&self, deadline: Instant, why: &str) -> Result<Leaving, Failure> {
        tracing::info!(why, "stopping: handing values over");
        let drained = self.node.drain().map_err(Failure::failed)?;
        Ok(Leaving { drained, deadline, askers: Vec::new() })
    }

    /// What had been handed over when time was up.
    fn unfinished(&self) -> Handed {
        let Ok(status) = self.node.status() else {
            return Handed { handed: 0, kept: 0, finished: false };
        };
        let handed = status.drain.handed;
        Handed { handed, kept: status.store.values.saturating_sub(handed), finished: false }
    }

    fn end_leaving(&self, leaving: Option<Leaving>, how: Handed) {
        let Handed { handed, kept, finished } = how;
        tracing::info!(handed, kept, finished, "values handed over");
        for asker in leaving.into_iter().flat_map(|leaving| leaving.askers) {
            asker.answer_last(Reply::Drained { handed, kept, finished });
        }
    }

    fn save_contacts(&mut self) {
        let Some(state) = &mut self.state else { return };
        match self.node.contacts() {
            Ok(contacts) => {
                if let Err(error) = state.save_contacts(&contacts) {
                    tracing::error!(%error, "contacts were not kept");
                }
            }
            Err(error) => tracing::error!(%error, "contacts were not read"),
        }
    }
}
