//! `cargo run -p devcluster -- up|down|env|build`: clusters for people.

use clap::{Args, Parser, Subcommand};
use devcluster::{Cluster, Error, Operator, Options, Result, binaries};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

/// A real Kubernetes control plane on loopback, with fake GPU nodes.
#[derive(Parser)]
#[command(name = "devcluster", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start a cluster that lives on in the background; says so when it is up already
    Up(Up),
    /// Stop a cluster and remove all that is left of it
    Down(Name),
    /// Print how to reach a cluster: eval "$(cargo run -q -p devcluster -- env)"
    Env(Name),
    /// Find or build the programs, and print where they are
    Build,
    /// Find or build the operators, and print where they are
    BuildOperators,
}

#[derive(Args)]
struct Name {
    /// Name of the cluster
    #[arg(long, default_value = "dev")]
    name: String,
}

#[derive(Args)]
struct Up {
    #[command(flatten)]
    name: Name,
    /// Only etcd and the API server
    #[arg(long)]
    minimal: bool,
    /// How many API servers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    api_servers: u8,
    /// Seconds between compactions of history (300 by default)
    #[arg(long)]
    compaction_seconds: Option<u64>,
    /// Stay in the foreground; the cluster ends with this process
    #[arg(long)]
    foreground: bool,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Verb::Up(up) if up.foreground => foreground(&up),
        Verb::Up(up) => background(&up),
        Verb::Down(name) => down(&name.name),
        Verb::Env(name) => print_env(&name.name),
        Verb::Build => build(),
        Verb::BuildOperators => build_operators(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("devcluster: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Where a named cluster leaves its marks: a kubeconfig and a process id.
fn state(name: &str) -> PathBuf {
    let base = env::var_os("XDG_RUNTIME_DIR").map_or_else(env::temp_dir, PathBuf::from);
    base.join(format!("devcluster-{name}.state"))
}

fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    move |error| Error::Io {
        what: what.to_owned(),
        error,
    }
}

fn options(up: &Up) -> Options {
    let base = if up.minimal {
        Options::minimal()
    } else {
        Options::full()
    };
    let compaction_interval = up.compaction_seconds.map(Duration::from_secs);
    Options {
        api_servers: up.api_servers.into(),
        compaction_interval,
        ..base
    }
}

fn foreground(up: &Up) -> Result<()> {
    let cluster = Cluster::start(&options(up))?;
    let state = state(&up.name.name);
    let text = format!(
        "{}\n{}\n",
        cluster.kubeconfig().display(),
        std::process::id()
    );
    let partial = state.with_extension("new");
    fs::write(&partial, text)
        .and_then(|()| fs::rename(&partial, &state))
        .map_err(io("write the state"))?;
    println!("export KUBECONFIG={}", cluster.kubeconfig().display());
    loop {
        thread::park();
    }
}

/// Kubeconfig and process id of a cluster that is up.
fn running(name: &str) -> Option<(String, String)> {
    let text = fs::read_to_string(state(name)).ok()?;
    let mut lines = text.lines().map(str::to_owned);
    let kubeconfig = lines.next()?;
    let pid = lines.next()?;
    is_alive(&pid).then_some((kubeconfig, pid))
}

fn is_alive(pid: &str) -> bool {
    Command::new("kill")
        .args(["-0", pid])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn background(up: &Up) -> Result<()> {
    let name = &up.name.name;
    if running(name).is_some() {
        eprintln!("devcluster: {name} is up already");
        return print_env(name);
    }
    // Builds here, where its progress is seen.
    binaries()?;
    let log = state(name).with_extension("log");
    let output = fs::File::create(&log).map_err(io("create the log"))?;
    let mut child = Command::new(env::current_exe().map_err(io("find this program"))?)
        .args(env::args_os().skip(1))
        .arg("--foreground")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output)
        .process_group(0)
        .spawn()
        .map_err(io("start in the background"))?;
    while running(name).is_none() {
        if child
            .try_wait()
            .map_err(io("wait for the cluster"))?
            .is_some()
        {
            return Err(Error::Binaries(
                fs::read_to_string(&log).unwrap_or_default(),
            ));
        }
        thread::sleep(Duration::from_millis(100));
    }
    print_env(name)
}

fn print_env(name: &str) -> Result<()> {
    let up = running(name);
    let (kubeconfig, _) = up
        .ok_or_else(|| Error::Binaries(format!("{name} is not up: devcluster up --name {name}")))?;
    println!("export KUBECONFIG={kubeconfig}");
    Ok(())
}

fn down(name: &str) -> Result<()> {
    let Some((kubeconfig, pid)) = running(name) else {
        eprintln!("devcluster: {name} is not up");
        return Ok(());
    };
    Command::new("kill")
        .arg(&pid)
        .status()
        .map_err(io("stop the cluster"))?;
    let folder = PathBuf::from(kubeconfig);
    let folder = folder.parent().map(PathBuf::from).unwrap_or_default();
    for _ in 0..100 {
        if !is_alive(&pid) && !folder.exists() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    fs::remove_file(state(name)).map_err(io("remove the state"))
}

fn build_operators() -> Result<()> {
    for operator in Operator::ALL {
        println!("{}", operator.files()?.program.display());
    }
    Ok(())
}

fn build() -> Result<()> {
    let binaries = binaries()?;
    for program in devcluster::Program::ALL {
        println!("{:24} {}", program.name(), binaries.path(program).display());
    }
    Ok(())
}
