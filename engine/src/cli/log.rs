//! The log on standard error, and its filter, which can be changed.

use std::io::IsTerminal;

use kdht::settings::log_filter;
use tracing_subscriber::EnvFilter;

/// Changes what is logged.
pub(crate) struct Log(Box<dyn Fn(EnvFilter) -> Result<(), String>>);

impl Log {
    /// Starts to log by `filter`, a setting that was checked.
    pub(crate) fn start(filter: &str) -> Self {
        let filter = log_filter(filter).unwrap_or_default();
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            // A log that cannot be written is lost; saying so would panic.
            .log_internal_errors(false)
            .with_filter_reloading();
        let handle = log.reload_handle();
        // A second start in one process keeps the first's log.
        let _ = log.try_init();
        Self(Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string())))
    }

    /// Logs by `filter` from now on.
    ///
    /// # Errors
    /// Why not; the log goes on as it was.
    pub(crate) fn change(&self, filter: &str) -> Result<(), String> {
        let filter = log_filter(filter)
            .ok_or_else(|| format!("`{filter}` is no level and no list of levels by module"))?;
        (self.0)(filter)
    }
}
