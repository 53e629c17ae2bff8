//! One program that cannot outlive its parent.
//!
//! It is the child of a small shell that reads a pipe from this process. When the pipe ends, because it was closed or
//! because this process died, however it died, the shell kills the program.

use crate::{Error, Result};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Starts "$@", writes its process id to $PIDFILE, waits for the end of standard input, then kills it.
const SUPERVISOR: &str = r#"
"$@" </dev/null &
child=$!
echo "$child" > "$PIDFILE.new" && mv "$PIDFILE.new" "$PIDFILE"
cat >/dev/null
kill -KILL "$child" 2>/dev/null
wait "$child" 2>/dev/null
[ -z "$REMOVE" ] || [ -e "$REMOVE/keep" ] || rm -rf "$REMOVE"
"#;

/// A running program.
#[derive(Debug)]
pub(crate) struct Process {
    supervisor: Child,
    pid: u32,
    pub(crate) log: PathBuf,
}

/// What is started.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// A folder to remove when the parent is gone.
    pub(crate) remove: Option<PathBuf>,
}

impl Process {
    /// Starts `spec`; its output is appended to `<folder>/<name>.log`.
    pub(crate) fn start(spec: &Spec, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{}.log", spec.name));
        let pid_file = folder.join(format!("{}.pid", spec.name));
        let _ = fs::remove_file(&pid_file);
        let output = OpenOptions::new().create(true).append(true).open(&log);
        let output = output.map_err(Error::io(format!("open {}", log.display())))?;
        let errors = output.try_clone().map_err(Error::io("clone a file"))?;
        let supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "supervisor"])
            .arg(&spec.program)
            .args(&spec.arguments)
            .envs(spec.environment.iter().cloned())
            .env("PIDFILE", &pid_file)
            .env("REMOVE", spec.remove.as_deref().unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(Error::io(format!("start {}", spec.name)))?;
        let pid = pid(&pid_file)?;
        Ok(Self {
            supervisor,
            pid,
            log,
        })
    }

    /// Whether the program itself still runs.
    pub(crate) fn is_alive(&self) -> bool {
        let state = Command::new("ps")
            .args(["-o", "stat=", "-p", &self.pid.to_string()])
            .output();
        state.is_ok_and(|out| {
            out.status.success() && !out.stdout.trim_ascii_start().starts_with(b"Z")
        })
    }

    /// Sends a signal to the program.
    pub(crate) fn signal(&self, signal: &str) -> Result<()> {
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &self.pid.to_string()])
            .stderr(Stdio::null())
            .status();
        sent.map(drop).map_err(Error::io(format!("kill -{signal}")))
    }

    /// The last lines of its log.
    pub(crate) fn tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        let _ = self.supervisor.wait();
    }
}

fn pid(file: &Path) -> Result<u32> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(pid) = fs::read_to_string(file)
            .ok()
            .and_then(|text| text.trim().parse().ok())
        {
            return Ok(pid);
        }
        if Instant::now() > deadline {
            return Err(Error::Binaries(format!(
                "{} was not written: is there a `sh`?",
                file.display()
            )));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
