//! Running `revisor` processes, what they say of themselves, and waiting for conditions.
//!
//! In: a kubeconfig and flags. Out: a process that ends with the one that started it.

use super::Kind;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A running `revisor run`. Killed when dropped, and when this process ends in whatever way.
pub struct Revisor {
    supervisor: Child,
    pub pid: u32,
    pub admin: u16,
    pub rest: u16,
    log: tempfile::NamedTempFile,
    /// The name under which it stands for election.
    identity: Option<Identity>,
}

/// A name in a cluster that no other process has at the moment. A container that is started again keeps the name of its
/// pod, and with it the Lease; so the lowest free one is taken.
struct Identity {
    cluster: PathBuf,
    number: usize,
}

static IDENTITIES: Mutex<BTreeSet<(PathBuf, usize)>> = Mutex::new(BTreeSet::new());

impl Identity {
    fn take(kubeconfig: &Path) -> Self {
        let cluster = kubeconfig.parent().unwrap_or(kubeconfig).to_owned();
        let mut taken = IDENTITIES.lock().expect("no panic");
        let mut numbers = 0..;
        let number = numbers
            .find(|number| taken.insert((cluster.clone(), *number)))
            .expect("endless");
        Self { cluster, number }
    }

    fn name(&self) -> String {
        format!("revisor-{}", self.number)
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        let mut taken = IDENTITIES.lock().expect("no panic");
        taken.remove(&(self.cluster.clone(), self.number));
    }
}

/// The shell tells the process id, then the exit code, and kills the process when its standard input ends.
const SUPERVISOR: &str = r#"exec 3<&0
"$@" </dev/null & child=$!
echo "$child"
{ cat; kill -KILL "$child"; } <&3 >/dev/null 2>&1 & killer=$!
wait "$child"; code=$?
kill "$killer" 2>/dev/null
echo "$code"
"#;

/// A program `revisor`: that of these sources, or another one.
#[derive(Clone)]
pub struct Binary(PathBuf);

impl From<PathBuf> for Binary {
    fn from(path: PathBuf) -> Self {
        Self(path)
    }
}

impl Binary {
    /// The one that was built together with the tests or benchmarks.
    pub fn present() -> Self {
        Self(env!("CARGO_BIN_EXE_revisor").into())
    }

    /// Starts it without authentication and waits until it is ready.
    pub fn start(&self, kubeconfig: &Path, flags: &[&str]) -> Revisor {
        let revisor = self.launch(kubeconfig, flags);
        revisor.wait_ready();
        revisor
    }

    pub fn launch(&self, kubeconfig: &Path, flags: &[&str]) -> Revisor {
        let flags = [flags, &["--insecure-no-auth"]].concat();
        self.launch_on(kubeconfig, &free_address(), &flags)
    }

    pub fn launch_on(&self, kubeconfig: &Path, admin: &str, flags: &[&str]) -> Revisor {
        let rest = free_port();
        let number = admin
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .expect("a port");
        let log = tempfile::NamedTempFile::new().expect("a log");
        let format: &[&str] = if flags.contains(&"--log-format") {
            &[]
        } else {
            &["--log-format", "text"]
        };
        let mut program = vec![self.0.display().to_string(), "run".to_owned()];
        program.extend(format.iter().map(|flag| (*flag).to_owned()));
        program.extend(["--kubeconfig".to_owned(), kubeconfig.display().to_string()]);
        program.extend(["--admin-listen", admin, "--listen"].map(str::to_owned));
        program.push(format!("127.0.0.1:{rest}"));
        program.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let identity = (!flags.contains(&"--identity")).then(|| Identity::take(kubeconfig));
        if let Some(identity) = &identity {
            program.extend(["--identity".to_owned(), identity.name()]);
        }
        let mut shell = Command::new("sh");
        // As deployed. What is not needed any more is given back at once, so memory can be measured.
        shell.envs([("MIMALLOC_PURGE_DELAY", "0"), ("MIMALLOC_ALLOW_THP", "0")]);
        let mut revisor = Revisor::supervised(shell, &program, log, number, rest);
        revisor.identity = identity;
        revisor
    }
}

impl Revisor {
    /// Has `shell` start `program` and look after it; the ports are those that it was told.
    pub fn supervised(
        mut shell: Command,
        program: &[String],
        log: tempfile::NamedTempFile,
        admin: u16,
        rest: u16,
    ) -> Self {
        let mut supervisor = shell
            .args(["-c", SUPERVISOR, "supervisor"])
            .args(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.reopen().expect("a log"))
            .spawn()
            .expect("sh");
        let mut line = String::new();
        let stdout = supervisor.stdout.as_mut().expect("a pipe");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)
            .expect("a process id");
        Self {
            supervisor,
            pid: line.trim().parse().expect("a number"),
            admin,
            rest,
            log,
            identity: None,
        }
    }

    /// Starts it and waits until it is ready.
    pub fn start(kubeconfig: &Path, flags: &[&str]) -> Self {
        Binary::present().start(kubeconfig, flags)
    }

    pub fn launch(kubeconfig: &Path, flags: &[&str]) -> Self {
        Binary::present().launch(kubeconfig, flags)
    }

    /// With TLS and authentication, as in production; the admin port is still open to everybody on loopback.
    pub fn start_secure(kubeconfig: &Path, flags: &[&str]) -> Self {
        let revisor = Self::launch_secure(kubeconfig, flags);
        revisor.wait_ready();
        revisor
    }

    pub fn launch_secure(kubeconfig: &Path, flags: &[&str]) -> Self {
        Self::launch_on(kubeconfig, &free_address(), flags)
    }

    /// With the admin port at `admin`; it is not waited for.
    pub fn launch_on(kubeconfig: &Path, admin: &str, flags: &[&str]) -> Self {
        Binary::present().launch_on(kubeconfig, admin, flags)
    }

    pub fn wait_ready(&self) {
        self.wait_ready_within(Duration::from_secs(40));
    }

    pub fn wait_ready_within(&self, limit: Duration) {
        let ready = || get(self.admin, "/readyz").is_some_and(|(code, _)| code == 200);
        assert!(eventually(limit, ready), "not ready:\n{}", self.log());
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).expect("a log")
    }

    pub fn is_alive(&self) -> bool {
        let out = Command::new("ps")
            .args(["-o", "stat=", "-p", &self.pid.to_string()])
            .output()
            .expect("ps");
        out.status.success() && !out.stdout.trim_ascii_start().starts_with(b"Z")
    }

    /// Waits for the end, and returns its exit code.
    pub fn exit_code(&mut self) -> i32 {
        let mut code = String::new();
        let mut output = self.supervisor.stdout.take().expect("asked once");
        output.read_to_string(&mut code).expect("an exit code");
        code.trim().parse().expect("a number")
    }

    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &self.pid.to_string()])
            .status();
        assert!(sent.expect("kill").success());
    }

    /// The sum of all samples of a metric whose line contains `labels`.
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        let (_, text) = get(self.admin, "/metrics").expect("metrics");
        let samples = text.lines().filter(|l| {
            l.starts_with(name) && l[name.len()..].starts_with([' ', '{']) && l.contains(labels)
        });
        samples
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> usize {
        self.memory("VmRSS")
    }

    /// The most resident memory so far, in bytes.
    #[allow(dead_code)] // Only benchmarks ask for it.
    pub fn most_resident(&self) -> usize {
        self.memory("VmHWM")
    }

    /// A size in the status that the kernel keeps of the process, in bytes.
    fn memory(&self, field: &str) -> usize {
        let path = format!("/proc/{}/status", self.pid);
        let status = std::fs::read_to_string(path).expect("a process");
        let mut lines = status.lines();
        let size = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kb = size.and_then(|kb| kb.trim().strip_suffix(" kB"));
        kb.and_then(|kb| kb.parse::<usize>().ok()).expect("a size") << 10
    }

    /// No generation is lost, and none differs from its Revision.
    pub fn assert_nothing_lost(&self) {
        for metric in [
            "revisor_generations_lost_total",
            "revisor_revisions_drift_total",
        ] {
            let count = self.metric(metric, "");
            assert!(count.abs() < 0.5, "{metric}:\n{}", self.log());
        }
    }

    /// Waits until everything of `kind` up to `resource_version` is durable, as long as more and more of it is.
    pub fn wait_recorded(&self, kind: Kind, resource_version: u64) {
        let label = format!("kind=\"{}\"", kind.kind);
        let progress = || {
            [
                "revisor_recorded_resource_version",
                "revisor_revisions_recorded_total",
                "revisor_revisions_present_total",
            ]
            .map(|metric| self.metric(metric, &label))
        };
        let mut before = progress();
        let mut moved = Instant::now();
        #[allow(clippy::cast_precision_loss)]
        while before[0] < resource_version as f64 {
            assert!(
                moved.elapsed() < Duration::from_secs(60),
                "{label} did not reach {resource_version}, and has stopped:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
            let now = progress();
            if now.map(f64::to_bits) != before.map(f64::to_bits) {
                moved = Instant::now();
            }
            before = now;
        }
    }
}

impl Drop for Revisor {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        let _ = self.supervisor.wait();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address")
        .port()
}

fn free_address() -> String {
    format!("127.0.0.1:{}", free_port())
}

/// GET on loopback, without TLS.
pub fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// Whether `condition` comes true in time.
pub fn eventually(limit: Duration, condition: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    condition()
}
