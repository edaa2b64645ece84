//! The host's settings: read, planned, applied, put back. What is wanted and why stands in
//! the crate `kdht-tune`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kdht_tune::{Check, Cpus, Host, Profile, Root, STATE_DIR, Verdict};
use serde_json::json;

use super::Failure;
use super::show;

#[derive(Args)]
pub(crate) struct TuneArgs {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Hold the host against a profile; exit 0 if all that can be read holds, else 1
    Check(LookArgs),
    /// Print what apply would write, what takes a restart and what others have to do
    Plan(LookArgs),
    /// Write what the plan says, with a journal that revert reads
    Apply(ApplyArgs),
    /// Put back, byte for byte, what apply wrote
    Revert(RevertArgs),
}

#[derive(Args)]
struct LookArgs {
    /// latency, throughput, shared or vm
    #[arg(long)]
    profile: Profile,
    /// The node's cores, such as 0-3,8 [default: the isolated ones]
    #[arg(long, value_name = "CPUS")]
    cores: Option<Cpus>,
    /// The node's network interface [default: that of the default route, or the only one that
    /// is hardware]
    #[arg(long, value_name = "NAME")]
    nic: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Directory that stands for /, such as a copy of another host's /proc and /sys
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

#[derive(Args)]
struct ApplyArgs {
    #[command(flatten)]
    look: LookArgs,
    /// Directory of the journal [default: /var/lib/kdht-tune below the root]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

#[derive(Args)]
struct RevertArgs {
    /// Revert only if this profile is the one that is applied
    #[arg(long)]
    profile: Option<Profile>,
    /// Overwrite what somebody else changed since
    #[arg(long)]
    force: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Directory that stands for /
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Directory of the journal [default: /var/lib/kdht-tune below the root]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

pub(crate) fn tune(args: &TuneArgs) -> Result<(), Failure> {
    match &args.task {
        Task::Check(look) => check(look),
        Task::Plan(look) => plan(look),
        Task::Apply(args) => apply(args),
        Task::Revert(args) => revert(args),
    }
}

fn look_at(args: &LookArgs) -> Result<(Host, Check), Failure> {
    let root = Root::new(&args.root);
    if !root.exists("/proc") && !root.exists("/sys") {
        let root = args.root.display();
        return Err(Failure::Misuse(format!("--root {root}: neither /proc nor /sys is there")));
    }
    let host = Host::new(root, args.cores.clone(), args.nic.clone()).map_err(Failure::misuse)?;
    let check = kdht_tune::check(&host, args.profile);
    Ok((host, check))
}

fn check(args: &LookArgs) -> Result<(), Failure> {
    let (_, check) = look_at(args)?;
    if args.json {
        show::line(&serde_json::to_string(&check).map_err(Failure::failed)?);
    } else {
        show::line(&check.text());
    }
    if check.holds {
        return Ok(());
    }
    let missing = check.items.iter().filter(|found| found.verdict != Verdict::Ok);
    let count = missing.filter(|found| !found.elsewhere).count();
    Err(Failure::Failed(format!("{count} of what profile {} wants does not hold", args.profile)))
}

fn plan(args: &LookArgs) -> Result<(), Failure> {
    let (_, check) = look_at(args)?;
    let plan = check.plan();
    if args.json {
        show::line(&serde_json::to_string(&plan).map_err(Failure::failed)?);
        return Ok(());
    }
    for write in &plan.writes {
        show::line(&format!("write   {} {:?} -> {:?}", write.path, write.old, write.new));
    }
    if !plan.reboot.is_empty() {
        show::line(&format!("reboot  with {} on the kernel's command line", plan.reboot.join(" ")));
    }
    plan.elsewhere.iter().for_each(|advice| show::line(&format!("yours   {advice}")));
    show::talk(&format!("{} writes; nothing was written", plan.writes.len()));
    Ok(())
}

fn apply(args: &ApplyArgs) -> Result<(), Failure> {
    let (host, check) = look_at(&args.look)?;
    let plan = check.plan();
    let state = args.state.clone().unwrap_or_else(|| host.root.path(STATE_DIR));
    let applied = kdht_tune::apply(&host.root, &state, check.profile, &plan.writes);
    let applied = applied.map_err(Failure::failed)?;
    let after = kdht_tune::check(&host, args.look.profile);
    if args.look.json {
        let refused = applied
            .refused
            .iter()
            .map(|refused| json!({ "path": refused.path, "why": refused.why }));
        let refused: Vec<_> = refused.collect();
        let object = json!({ "written": applied.written, "refused": refused, "check": after });
        show::line(&object.to_string());
    } else {
        for write in &applied.written {
            show::line(&format!("wrote   {} {:?} -> {:?}", write.path, write.old, write.new));
        }
        for refused in &applied.refused {
            show::line(&format!("refused {} {}", refused.path, refused.why));
        }
        show::line(&after.line());
    }
    if applied.refused.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "{} of {} writes were refused (as which user?); `kdht tune revert` puts the others back",
        applied.refused.len(),
        plan.writes.len()
    )))
}

fn revert(args: &RevertArgs) -> Result<(), Failure> {
    let root = Root::new(&args.root);
    let state = args.state.clone().unwrap_or_else(|| root.path(STATE_DIR));
    let profile = args.profile.map(Profile::name);
    let reverted = kdht_tune::revert(&root, &state, profile, args.force);
    let reverted = reverted.map_err(Failure::failed)?;
    if args.json {
        let file = |(path, outcome): &(String, kdht_tune::Outcome)| json!({ "path": path, "is_old": outcome.is_old(), "outcome": outcome.to_string() });
        let files: Vec<_> = reverted.files.iter().map(file).collect();
        let restarted = reverted.was_restarted;
        show::line(&json!({ "files": files, "was_restarted": restarted }).to_string());
    } else {
        for (path, outcome) in &reverted.files {
            show::line(&format!("{path} {outcome}"));
        }
    }
    if reverted.was_restarted {
        show::talk("the host was restarted since, which put everything back");
    }
    if reverted.is_whole() {
        return Ok(());
    }
    let left = reverted.files.iter().filter(|(_, outcome)| !outcome.is_old()).count();
    Err(Failure::Failed(format!("{left} files do not hold their old values; the journal is kept")))
}
