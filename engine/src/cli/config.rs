//! The settings, and who set them.

use super::Failure;
use super::args::{ConfigArgs, ConfigCommand};
use super::run::settings_of;
use super::show;

pub(crate) fn config(args: &ConfigArgs) -> Result<(), Failure> {
    let ConfigCommand::Show(args) = &args.command;
    let shown = settings_of(&args.settings)?.shown().map_err(Failure::misuse)?;
    if args.settings.json {
        let json = serde_json::to_string(&shown).map_err(Failure::failed)?;
        show::line(&json);
        return Ok(());
    }
    let width = |of: fn(&kdht::settings::Shown) -> &str| {
        shown.iter().map(|setting| of(setting).chars().count()).max().unwrap_or(0)
    };
    let (keys, values) = (width(|setting| &setting.key), width(|setting| &setting.value).min(24));
    for setting in &shown {
        let kdht::settings::Shown { key, value, unit, range, default, set, reason } = setting;
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        let default = if default.is_empty() { "not set" } else { default };
        let value = if value.is_empty() { "not set" } else { value };
        let set = if set == "default" { String::new() } else { format!(", set {set}") };
        show::line(&format!(
            "{key:keys$}  {value:values$}  {range}{unit}, by default {default}{set}: {reason}"
        ));
    }
    Ok(())
}
