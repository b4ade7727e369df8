// SPDX-License-Identifier: Apache-2.0
//! What work on foreign files may take: memory and processor time of the threads that do it.
//!
//! A tokenizer.json or a chat template can make a library work without end or take all memory, in one operation and in
//! ways that nobody has listed. So such work is done on threads with an account: the allocator of this crate counts what
//! a thread holds, and whoever waits for the thread looks at its processor time. A thread that oversteps a bound is given
//! up. An allocator must not unwind, and an abort would take the whole program along: so the thread that asks for too much
//! memory gets no answer and sleeps until the program ends, which it soon does with an error.

use crate::ffi::{panic_message, Result};
use mimalloc::MiMalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long the one who waits sleeps between two looks at the accounts. Work that ends wakes it at once.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Of one job.
#[derive(Clone, Copy)]
pub struct Bounds {
    pub bytes: usize,
    pub cpu: Duration,
}

impl Bounds {
    /// `base` and as much more for every byte of input.
    pub fn relative(base: Bounds, input_bytes: usize, bytes_for_each: usize, cpu_for_each: Duration) -> Bounds {
        let cpu = cpu_for_each.saturating_mul(u32::try_from(input_bytes).unwrap_or(u32::MAX));
        Bounds { bytes: base.bytes.saturating_add(bytes_for_each.saturating_mul(input_bytes)), cpu: base.cpu.saturating_add(cpu) }
    }

    fn cpu(&self) -> Duration {
        match CPU_BOUND_FOR_TESTS.load(Ordering::Relaxed) {
            0 => self.cpu,
            millis => Duration::from_millis(millis),
        }
    }
}

/// See hici_text_set_cpu_bound.
static CPU_BOUND_FOR_TESTS: AtomicU64 = AtomicU64::new(0);

pub fn set_cpu_bound(millis: u64) {
    CPU_BOUND_FOR_TESTS.store(millis, Ordering::Relaxed);
}

// ---- memory ----------------------------------------------------------------------------------------------------

thread_local! {
    /// Bytes that this thread may still take. Outside of a job nobody asks.
    static LEFT: Cell<isize> = const { Cell::new(isize::MAX) };
    /// Told when it takes more; NULL outside of a job.
    static OVERDRAWN: Cell<*const AtomicBool> = const { Cell::new(std::ptr::null()) };
}

/// Encoding makes and drops a small piece of memory for every word, which takes the C library's allocator half of the time.
static MEMORY: MiMalloc = MiMalloc;

extern "C" {
    /// Of mimalloc: with `force` also what its own threads have left, at once.
    fn mi_collect(force: bool);
}

/// See hici_text_release_memory in the header.
pub fn release_memory() {
    // Safety: may be called at any time.
    unsafe { mi_collect(true) };
}

struct CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

// Safety: every call goes to MEMORY as it came, or does not return.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        MEMORY.alloc(layout)
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        MEMORY.alloc_zeroed(layout)
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        give_back(layout.size());
        MEMORY.dealloc(pointer, layout);
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        take(new_size);
        give_back(layout.size());
        MEMORY.realloc(pointer, layout, new_size)
    }
}

#[inline]
fn take(size: usize) {
    LEFT.with(|left| {
        left.set(left.get().saturating_sub_unsigned(size));
        if left.get() < 0 {
            overdrawn();
        }
    });
}

#[inline]
fn give_back(size: usize) {
    LEFT.with(|left| left.set(left.get().saturating_add_unsigned(size)));
}

#[cold]
fn overdrawn() {
    let flag = OVERDRAWN.with(Cell::get);
    if flag.is_null() {
        return; // no job: a thread that frees elsewhere what it took here
    }
    // Safety: the account of the job, which lives as long as the job does.
    unsafe { (*flag).store(true, Ordering::Release) };
    loop {
        unsafe { libc::pause() };
    }
}

// ---- jobs ------------------------------------------------------------------------------------------------------

/// What a job has told of itself.
#[derive(Default)]
struct Account {
    overdrawn: AtomicBool,
    /// Clock of its thread's processor time, and what that showed at the start; none before and after the job.
    clock: Mutex<Option<(libc::clockid_t, Duration)>>,
}

impl Account {
    /// Runs `work` in the name of this account.
    fn run<T>(&self, bytes: usize, work: impl FnOnce() -> T) -> T {
        let clock = own_clock();
        *self.clock.lock().unwrap_or_else(|e| e.into_inner()) = Some((clock, read_clock(clock)));
        OVERDRAWN.with(|flag| flag.set(&self.overdrawn));
        LEFT.with(|left| left.set(isize::try_from(bytes).unwrap_or(isize::MAX)));
        let result = work();
        LEFT.with(|left| left.set(isize::MAX));
        OVERDRAWN.with(|flag| flag.set(std::ptr::null()));
        *self.clock.lock().unwrap_or_else(|e| e.into_inner()) = None;
        result
    }

    fn cpu_time(&self) -> Duration {
        let clock = self.clock.lock().unwrap_or_else(|e| e.into_inner());
        clock.map_or(Duration::ZERO, |(clock, start)| read_clock(clock).saturating_sub(start))
    }
}

fn own_clock() -> libc::clockid_t {
    let mut clock = libc::CLOCK_THREAD_CPUTIME_ID;
    // Safety: both are this thread's own; where it fails, `clock` keeps a clock that gives no more than the reader's time.
    unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut clock) };
    clock
}

fn read_clock(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // Safety: `time` is a plain value that the call fills in.
    match unsafe { libc::clock_gettime(clock, &mut time) } {
        0 => Duration::new(time.tv_sec as u64, time.tv_nsec as u32),
        _ => Duration::ZERO,
    }
}

pub type Task = Box<dyn FnOnce() + Send>;

/// Why there are no results.
pub enum Failure {
    /// What a job says itself, or that it broke down.
    Job(String),
    /// A bound was overstepped: a job may still hold whatever it has taken, locks too. What it worked on is of no use any more.
    Bound(String),
}

impl Failure {
    /// With what to do where a bound was met.
    pub fn told(self, way_out: &str) -> String {
        match self {
            Failure::Job(message) => message,
            Failure::Bound(message) => format!("{message}; {way_out}"),
        }
    }
}

/// Runs all jobs, each on a thread that `start` finds for it, and returns their results in order.
pub fn run_all<T, J>(jobs: Vec<(J, Bounds)>, start: impl Fn(Task) -> Result<()>) -> std::result::Result<Vec<T>, Failure>
where
    T: Send + 'static,
    J: FnOnce() -> Result<T> + Send + 'static,
{
    let (sender, receiver) = channel();
    let mut results: Vec<Option<T>> = Vec::new();
    let mut accounts: Vec<(Arc<Account>, Bounds)> = Vec::new();
    for (i, (job, bounds)) in jobs.into_iter().enumerate() {
        let (sender, account) = (sender.clone(), Arc::new(Account::default()));
        accounts.push((account.clone(), bounds));
        results.push(None);
        let task = move || {
            let caught = account.run(bounds.bytes, || catch_unwind(AssertUnwindSafe(job)));
            // Nobody listens any more when another job has failed.
            let _ = sender.send((i, caught.unwrap_or_else(|payload| Err(panic_message(payload.as_ref())))));
        };
        start(Box::new(task)).map_err(Failure::Job)?;
    }
    drop(sender);
    for _ in 0..results.len() {
        let (i, result) = loop {
            match receiver.recv_timeout(LOOK_EVERY) {
                Ok(received) => break received,
                Err(RecvTimeoutError::Timeout) => accounts.iter().try_for_each(|(account, bounds)| check(account, bounds))?,
                Err(RecvTimeoutError::Disconnected) => return Err(Failure::Job("a thread has ended early".into())),
            }
        };
        results[i] = Some(result.map_err(Failure::Job)?);
    }
    Ok(results.into_iter().flatten().collect())
}

fn check(account: &Account, bounds: &Bounds) -> std::result::Result<(), Failure> {
    if account.overdrawn.load(Ordering::Acquire) {
        return Err(Failure::Bound(format!("takes more than {} MiB of memory", bounds.bytes >> 20)));
    }
    if account.cpu_time() > bounds.cpu() {
        return Err(Failure::Bound(format!("takes more than {:.1} s of processor time", bounds.cpu().as_secs_f32())));
    }
    Ok(())
}

/// Runs one job on a thread of its own, with a stack for work that goes deep.
pub fn run_apart<T, J>(bounds: Bounds, stack_bytes: usize, job: J) -> std::result::Result<T, Failure>
where
    T: Send + 'static,
    J: FnOnce() -> Result<T> + Send + 'static,
{
    let start = |task: Task| match std::thread::Builder::new().stack_size(stack_bytes).spawn(task) {
        Ok(_) => Ok(()),
        Err(e) => Err(format!("cannot start a thread: {e}")),
    };
    run_all(vec![(job, bounds)], start)?.pop().ok_or_else(|| Failure::Job("no result".into()))
}
