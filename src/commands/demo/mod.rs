//! `demo`: the main job on one machine, live: a server on the best source here, two clients,
//! the kernel fed as far as privilege allows, and a verdict.
//!
//! Everything is the real thing, in one process: the native protocol over loopback, keys
//! drawn from the source. Only here are samples copied, to be compared.

mod screen;
pub(super) mod verdict;

use super::server::{Parts, assemble, listen, native};
use super::{Exit, Failure, client::make_codec, signals};
use crate::client::{self, Address, Demand, Kind, Location, Upstream};
use crate::config::{ClientDefaults, Clients, LogTo, ServerConfig};
use crate::keys::{PrivateKey, Psk};
use crate::sample::Sample;
use crate::server::{ClientRule, Identity, Limits, core::Server};
use crate::sink::{self, Feed, KernelWrite, Sink};
use crate::source::{Settings, draw::draw, origin::Origin};
use crate::status::words::Grouped;
use crate::status::{SourceHealth, SourceStatus};
use crate::sys::{self, latch::Latch, latch::latch};
use crate::wire::native::public_key;
use crossbeam_channel::{Receiver, Sender, select};
use screen::{Frame, Screen};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use verdict::{Record, duplicates, jain};

const HARDWARE: &str = "/dev/hwrng";
const KERNEL: &str = "/dev/urandom";
const NAMES: [&str; 2] = ["alice", "bob"];
/// Without hardware the source is far too fast for a demo that keeps every byte: each client
/// is held to this.
const SOFTWARE_LIMIT_BYTES_PER_S: u64 = 50_000;
/// Between two pictures.
const FRAME_SPAN: Duration = Duration::from_millis(500);

/// Why the kernel credits nothing.
const NOT_ROOT: &str = "only root may have it credited";
const NO_RNGD: &str = "no rngd: apt install rng-tools-debian";

/// What the demo says on stdout.
macro_rules! say {
    ($($part:tt)*) => {
        writeln!(std::io::stdout().lock(), $($part)*)?
    };
}

/// Runs for `span`, or until Ctrl-C.
///
/// # Errors
/// No source at all, a system that refuses, or a bad verdict.
pub fn demo(span: Duration) -> Result<(), Failure> {
    let stop_signal = signals::stop()?;
    let (settings, is_hardware) = pick_source()?;
    let keys = draw(&settings, 160)?;
    let mut keys = keys.as_bytes().chunks_exact(32).map(|chunk| {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(chunk);
        bytes
    });
    let mut next = || keys.next().expect("160 bytes are five keys of 32");
    let server_key = PrivateKey::new(next());
    let clients = NAMES.map(|name| (name, PrivateKey::new(next()), Psk::new(next())));
    let listener = listen(([127, 0, 0, 1], 0).into())?;
    let port = listener.local_addr()?.port();
    let rules = clients.iter().map(|(name, key, psk)| rule(name, key, psk, is_hardware)).collect();
    let running = Running::start(settings, server_key.clone(), rules, listener)?;
    let (trigger, stop) = latch()?;
    let kernel = Kernel::open(&stop)?;
    say!(
        "netrng demo: a server on 127.0.0.1:{port} reads {}{};\nclients {} and {} draw over netrng/1 \
         with fresh keys, {} s.\n",
        running.source.description(),
        if is_hardware { "" } else { ", which is NOT HARDWARE but the kernel's own generator" },
        NAMES[0],
        NAMES[1],
        span.as_secs()
    );
    let mut drawers = Vec::new();
    for (name, private_key, psk) in clients {
        let upstream = Upstream {
            name: format!("{name}'s server"),
            kind: Kind::Address(Address {
                location: Location::At("127.0.0.1".to_owned(), port),
                server_key: public_key(&server_key),
                private_key,
                psk: Some(psk),
            }),
            min_entropy: None,
        };
        drawers.push(Drawer::start(name, upstream, &stop, kernel.clone())?);
    }
    let (records, seconds, interrupted) =
        watch(span, &stop_signal, &running.source, &drawers, &kernel)?;
    drop(trigger);
    kernel.end();
    let source = Arc::clone(&running.source);
    let server = running.stop()?;
    judge(&Outcome {
        records,
        seconds,
        interrupted,
        source,
        server,
        kernel: kernel.text(),
        is_hardware,
    })
}

/// The hardware generator if it can be read, else the kernel's.
fn pick_source() -> Result<(Settings, bool), Failure> {
    let settings = |path: &str| Settings {
        origin: Origin::Path(path.into()),
        min_entropy: None,
        sample_size: 2048,
        stock: 16,
        stall_timeout: Duration::from_secs(10),
    };
    if let Err(error) = draw(&settings(HARDWARE), 1) {
        say!("{error}.\nThe demo takes the kernel's generator instead; it is not hardware.\n");
        return Ok((settings(KERNEL), false));
    }
    Ok((settings(HARDWARE), true))
}

fn rule(name: &str, key: &PrivateKey, psk: &Psk, is_hardware: bool) -> ClientRule {
    ClientRule {
        name: name.to_owned(),
        identity: Identity::Key { key: public_key(key), psk: Some(psk.clone()) },
        weight: 1,
        guarantee_bytes_per_s: 0,
        limit_bytes_per_s: (!is_hardware).then_some(SOFTWARE_LIMIT_BYTES_PER_S),
        max_sessions: 1,
        allowed: Vec::new(),
    }
}

/// The server, in a thread of its own.
struct Running {
    thread: JoinHandle<std::io::Result<Server>>,
    stop: UnixStream,
    /// Kept open: the loop takes its end for a signal.
    _reload: UnixStream,
    source: Arc<SourceStatus>,
}

impl Running {
    fn start(
        source: Settings,
        private_key: PrivateKey,
        rules: Vec<ClientRule>,
        listener: std::net::TcpListener,
    ) -> Result<Self, Failure> {
        let (stop, loop_stop) = UnixStream::pair()?;
        let (reload, loop_reload) = UnixStream::pair()?;
        let (ready, is_ready) = crossbeam_channel::bounded(1);
        let patience = source.stall_timeout;
        let parts = Parts {
            stop: loop_stop,
            reload: loop_reload,
            on_reload: Box::new(|| None),
            on_ready: Box::new(move || {
                let _ = ready.try_send(());
            }),
        };
        let config = ServerConfig {
            log_to: LogTo::Stderr,
            listen: Vec::new(),
            announce: false,
            listeners: Vec::new(),
            tap_socket: None,
            status_socket: None,
            private_key,
            clients_file: PathBuf::new(),
            clients: Clients { rules, missing: None },
            defaults: ClientDefaults::default(),
            limits: Limits::default(),
            source,
            user: None,
        };
        let (event_loop, reader, source) = assemble(config, vec![native(listener)], parts)?;
        sys::thread::spawn("reader", Box::new(move || reader.run()))?;
        let thread =
            std::thread::Builder::new().name("server".into()).spawn(move || event_loop.run())?;
        if is_ready.recv_timeout(patience).is_err() {
            return Err(Failure::new(
                Exit::Source,
                format_args!("the source gave no sample in {} s", patience.as_secs()),
            ));
        }
        Ok(Running { thread, stop, _reload: reload, source })
    }

    fn stop(mut self) -> Result<Server, Failure> {
        self.stop.write_all(&[1])?;
        let ended = self.thread.join();
        Ok(ended.map_err(|_| Failure::new(Exit::System, "the server died; this is a bug"))??)
    }
}

/// A client that keeps what it draws.
struct Drawer {
    name: &'static str,
    record: Arc<Mutex<Record>>,
}

impl Drawer {
    fn start(
        name: &'static str,
        upstream: Upstream,
        stop: &Latch,
        kernel: Kernel,
    ) -> Result<Self, Failure> {
        let (samples, received) = crossbeam_channel::bounded(0);
        let demand = Demand { request_size: 2048, is_even: false };
        client::start(vec![upstream], demand, &samples, stop, make_codec, sys::random::jitter)?;
        let record = Arc::new(Mutex::new(Record::default()));
        let (kept, stop) = (Arc::clone(&record), stop.clone());
        std::thread::Builder::new()
            .name("drawer".into())
            .spawn(move || keep(&received, &stop, &kept, &kernel))?;
        Ok(Drawer { name, record })
    }

    fn record(&self) -> Record {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn bytes(&self) -> u64 {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).bytes()
    }
}

fn keep(received: &Receiver<Sample>, stop: &Latch, record: &Mutex<Record>, kernel: &Kernel) {
    loop {
        let sample = select! {
            recv(received) -> sample => sample,
            recv(stop.receiver()) -> _ => return,
        };
        let Ok(sample) = sample else { return };
        let copy = sample.as_bytes().to_vec();
        record.lock().unwrap_or_else(PoisonError::into_inner).samples.push(copy);
        kernel.feed(sample);
    }
}

/// The kernel's pool, by the best way there is.
#[derive(Clone)]
struct Kernel {
    way: Arc<Way>,
}

enum Way {
    /// Credited: rngd tests and hands over what the kernel wants.
    Rngd { samples: Sender<Sample>, feed: Feed },
    /// Mixed in, credited nothing.
    Write { pool: Mutex<KernelWrite>, bytes: std::sync::atomic::AtomicU64, why: &'static str },
}

impl Kernel {
    fn open(stop: &Latch) -> Result<Self, Failure> {
        let mut why = NOT_ROOT;
        if sys::harden::is_root() {
            why = NO_RNGD;
            let (samples, received) = crossbeam_channel::bounded(0);
            let rngd = Sink::Rngd { command: None };
            if let Ok(feed) = sink::start(&rngd, received, stop, sys::random::jitter) {
                return Ok(Kernel { way: Arc::new(Way::Rngd { samples, feed }) });
            }
        }
        let pool = Mutex::new(KernelWrite::open()?);
        Ok(Kernel { way: Arc::new(Way::Write { pool, bytes: Default::default(), why }) })
    }

    /// Gives the sample to the kernel if that wants it now; else it is wiped.
    fn feed(&self, sample: Sample) {
        match &*self.way {
            Way::Rngd { samples, .. } => drop(samples.try_send(sample)),
            Way::Write { pool, bytes, .. } => {
                let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
                if let Ok(count) = pool.feed(sample) {
                    bytes.fetch_add(count as u64, std::sync::atomic::Ordering::Relaxed);
                }
            }
        }
    }

    fn text(&self) -> String {
        let load = |bytes: &std::sync::atomic::AtomicU64| {
            Grouped(bytes.load(std::sync::atomic::Ordering::Relaxed))
        };
        match &*self.way {
            Way::Rngd { feed, .. } => {
                format!(
                    "{} bytes to rngd, which credits what the kernel wants",
                    load(&feed.status.bytes)
                )
            }
            Way::Write { bytes, why, .. } => {
                format!("{} bytes, not credited: {why}", load(bytes))
            }
        }
    }

    /// Waits until rngd is gone.
    fn end(&self) {
        if let Way::Rngd { feed, .. } = &*self.way {
            let _ = feed.ended.recv_timeout(Duration::from_secs(5));
        }
    }
}

/// Shows what flows until it is time; what was recorded then, after how long, and whether
/// Ctrl-C came first.
fn watch(
    span: Duration,
    stop_signal: &UnixStream,
    source: &SourceStatus,
    drawers: &[Drawer],
    kernel: &Kernel,
) -> Result<(Vec<Record>, f64, bool), Failure> {
    let (signalled, signal) = crossbeam_channel::bounded(1);
    let stop_signal = stop_signal.try_clone()?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        signals::wait(&stop_signal);
        let _ = signalled.send(());
    })?;
    let mut screen = Screen::new();
    let start = sys::now();
    let (mut read_before, mut at_before) = (source.read_so_far().0, start);
    loop {
        let left = (start + span).since(sys::now());
        let interrupted = signal.recv_timeout(left.min(FRAME_SPAN)).is_ok();
        let now = sys::now();
        let read_bytes = source.read_so_far().0;
        let fips = source.fips();
        let health = match source.health() {
            SourceHealth::Good => "health tests: passed".to_owned(),
            SourceHealth::Starting => "health tests: starting".to_owned(),
            SourceHealth::Failed { text, .. } => format!("FAILED: {text}"),
        };
        let clients: Vec<_> = drawers.iter().map(|drawer| (drawer.name, drawer.bytes())).collect();
        screen.show(&Frame {
            seconds: (now - start).as_secs_f64(),
            rate_bytes_per_s: rate(read_bytes - read_before, now - at_before),
            read_bytes,
            health: &health,
            fips_passed: fips.passed,
            fips_failed: fips.failed,
            clients: &clients,
            kernel: &kernel.text(),
        })?;
        (read_before, at_before) = (read_bytes, now);
        if interrupted || now >= start + span {
            let records = drawers.iter().map(Drawer::record).collect();
            return Ok((records, (now - start).as_secs_f64(), interrupted));
        }
    }
}

#[expect(clippy::cast_precision_loss)]
fn rate(bytes: u64, span: Duration) -> f64 {
    bytes as f64 / span.as_secs_f64().max(0.001)
}

struct Outcome {
    records: Vec<Record>,
    seconds: f64,
    /// Ctrl-C came before the time was up.
    interrupted: bool,
    source: Arc<SourceStatus>,
    server: Server,
    kernel: String,
    is_hardware: bool,
}

/// Prints the verdict; a bad one is a failure.
fn judge(outcome: &Outcome) -> Result<(), Failure> {
    let shares: Vec<u64> = outcome.records.iter().map(Record::bytes).collect();
    let count: usize = outcome.records.iter().map(|record| record.samples.len()).sum();
    let repeated = duplicates(&outcome.records);
    let apart = shares[0].abs_diff(shares[1]);
    let failures: u64 = outcome.source.failures().values().sum();
    let fips = outcome.source.fips();
    let unique = repeated == 0 && count > 0;
    // Served at most one sample apart; one more may be on its way.
    let fair = apart <= 2 * 2048 && shares.iter().all(|&share| share > 0);
    let tested = failures == 0;
    let word = |good: bool| if good { "yes" } else { "NO " };
    say!("\nVerdict after {:.1} s:", outcome.seconds);
    if shares.contains(&0) && outcome.interrupted {
        say!("  too early to tell: not every client had its first sample yet");
        return Ok(());
    }
    say!(
        "  unique  {}  {} samples compared at every offset: {repeated} duplicates",
        word(unique),
        count
    );
    say!(
        "  fair    {}  {} {} bytes, {} {} bytes; Jain's index {:.4}",
        word(fair),
        NAMES[0],
        Grouped(shares[0]),
        NAMES[1],
        Grouped(shares[1]),
        jain(&shares)
    );
    say!(
        "  tested  {}  start-up and continuous tests (SP 800-90B): {failures} failures;\n\
         \x20              FIPS 140-2: {} of {} blocks failed, chance alone 1 in 1,250",
        word(tested),
        fips.failed,
        fips.passed + fips.failed
    );
    let (read, _) = outcome.source.read_so_far();
    say!(
        "  bytes        {} read, of them 1,024 for the start-up test;\n\
         \x20              {} given to clients, {} received when time was up",
        Grouped(read),
        Grouped(outcome.server.counters().given_bytes),
        Grouped(shares.iter().sum())
    );
    say!("  kernel       {}", outcome.kernel);
    next_steps(outcome.is_hardware)?;
    if unique && fair && tested {
        return Ok(());
    }
    Err(Failure::new(Exit::Verdict, "the demo's verdict is bad: see the lines marked NO"))
}

fn next_steps(is_hardware: bool) -> std::io::Result<()> {
    say!("\nNext, for real:");
    if !is_hardware {
        let why = if Path::new(HARDWARE).exists() {
            "run as root to read"
        } else {
            "load the module behind"
        };
        say!("  {why} {HARDWARE}: this run proves nothing about hardware");
    }
    say!(
        "  on the machine with the generator, as root, where this program is:\n\
         \x20   ./netrng setup server --apply\n\
         \x20   (umask 077; netrng enroll NAME --address THIS_HOST:8989 > NAME.toml)\n\
         \x20 on each machine that needs bytes, as root, where this program and NAME.toml are:\n\
         \x20   ./netrng setup client --config NAME.toml --apply\n\
         \x20 without --apply it prints the steps, also for other systems than Debian and its kin",
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_lacks_is_not_cut_off() {
        for why in [NOT_ROOT, NO_RNGD] {
            let pool = Mutex::new(KernelWrite::open().unwrap());
            let way = Way::Write { pool, bytes: 12_345_678.into(), why };
            let text = Kernel { way: Arc::new(way) }.text();
            assert!(text.ends_with(why), "{text}");
            let line = screen::kernel_line(&text);
            assert_eq!(screen::cut(&line), line);
        }
    }
}
