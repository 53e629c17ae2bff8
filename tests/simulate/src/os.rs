//! The clock and the randomness of the process, and a process for each history.
//!
//! The standard library and every crate read wall-clock time and random bytes through two functions of libc. Both are
//! defined here, and the linker prefers them: wall-clock time is that of the simulated world, and random bytes (the
//! seeds of hash maps, and tokio's lots) follow from the seed. A history runs in a forked process, because tokio counts
//! its runtimes, and the number is part of its lots.

use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::time::Instant;

/// 2026-01-01T00:00:00Z, when every history begins.
pub const EPOCH: i64 = 1_767_225_600;

/// The state of the random bytes. Before the first history it has this value, in every process.
static RANDOM: AtomicU64 = AtomicU64::new(0x9e37_79b9_7f4a_7c15);

thread_local! {
    static START: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// From now on the wall clock of this thread shows the simulated time, and random bytes follow from `seed`.
pub fn begin(seed: u64) {
    RANDOM.store(seed, Ordering::Relaxed);
}

/// The simulated clock starts, in a runtime whose time is paused.
pub fn start_clock() {
    START.set(Some(Instant::now()));
}

/// splitmix64.
fn random() -> u64 {
    let mut z = RANDOM
        .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Fills a buffer with bytes that follow from the seed.
///
/// # Safety
/// As that of libc: `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(
    buffer: *mut libc::c_void,
    length: libc::size_t,
    _flags: libc::c_uint,
) -> libc::ssize_t {
    // SAFETY: the caller promises it.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&random().to_le_bytes()[..chunk.len()]);
    }
    length.cast_signed()
}

/// The simulated wall clock where there is one, else the kernel's clock.
///
/// # Safety
/// As that of libc: `time` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(
    clock: libc::clockid_t,
    time: *mut libc::timespec,
) -> libc::c_int {
    let start = (clock == libc::CLOCK_REALTIME)
        .then(|| START.try_with(Cell::get).ok().flatten())
        .flatten();
    let Some(start) = start else {
        // SAFETY: the arguments are passed on as they are.
        let failed = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
        return i32::try_from(failed).unwrap_or(-1);
    };
    let elapsed = start.elapsed();
    let now = libc::timespec {
        tv_sec: EPOCH + elapsed.as_secs().cast_signed(),
        tv_nsec: elapsed.subsec_nanos().into(),
    };
    // SAFETY: the caller promises it.
    unsafe { time.write(now) };
    0
}

/// A process that runs a function, and what it sends back.
pub struct Child {
    pid: libc::pid_t,
    output: File,
}

/// Runs `work` in a process of its own, on a thread of its own. No other thread may be running.
///
/// # Panics
/// When the system has no process or no pipe left.
pub fn fork(work: impl FnOnce() -> Vec<u8> + Send + 'static) -> Child {
    let mut ends = [0; 2];
    // SAFETY: it writes two descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0, "no pipe");
    // SAFETY: this process has one thread, so the child's memory is consistent.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "no process");
    // SAFETY: each end is owned once in each process.
    let [read, write] = ends.map(|end| unsafe { File::from_raw_fd(end) });
    if pid > 0 {
        return Child { pid, output: read };
    }
    let done = on_a_thread(work);
    let code = match done {
        Some(bytes) => i32::from((&write).write_all(&bytes).is_err()),
        None => 101,
    };
    // SAFETY: nothing of this process is needed any more, and nothing of its parent's may run twice.
    unsafe { libc::_exit(code) }
}

/// Runs `work` on a new thread with a large stack; none when it panics.
pub fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    std::thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(work)
        .ok()?
        .join()
        .ok()
}

impl Child {
    /// Waits for its end. None when it failed.
    pub fn wait(mut self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.output.read_to_end(&mut bytes);
        let mut status = 0;
        // SAFETY: the status is written to.
        let ended = unsafe { libc::waitpid(self.pid, &raw mut status, 0) };
        (read.is_ok() && ended == self.pid && status == 0).then_some(bytes)
    }
}

/// The most memory that this process has had, in KiB.
pub fn peak_memory() -> i64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the structure is written to, and zeros are valid in it.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    usage.ru_maxrss
}
