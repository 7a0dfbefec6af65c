//! The whole way: the release binary on loopback, beside the plainest server there is.
//!
//! For every source and number of clients it measures MB/s, the server's CPU seconds per GB
//! delivered and Jain's index of what each client got, of netrng (encrypted, tested, fair)
//! and of the floor (blocking, plaintext, a thread a client). Cells are measured in turn,
//! several rounds of them; the best of each counts, the same for both servers.
//!
//!     cargo bench --bench end_to_end [-- OPTIONS]
//!
//!     --quick             one short round
//!     --window SAMPLES    what each client keeps outstanding, instead of 8
//!     --source FILE       only this source
//!     --clients COUNT     only this many clients
//!     --binary FILE       another netrng than this one, to compare builds
#![allow(clippy::print_stdout, reason = "what a bench finds is printed")]

mod rig;

use rig::load::{Plan, SAMPLE, Then};
use rig::{Load, Measured, Options, Server, Site};
use std::process::ExitCode;
use std::time::Duration;

const SOURCES: [&str; 2] = ["/dev/zero", "/dev/urandom"];
const CLIENTS: [u32; 4] = [1, 10, 100, 1000];
/// CPU per GB, netrng to the floor, at most.
const RATIO_MAX: f64 = 1.5;
/// Jain's index at 1,000 clients, at least.
const JAIN_MIN: f64 = 0.999;
/// Samples that each client keeps outstanding, unless `--window` says otherwise.
const WINDOW: u32 = 8;
/// A cell goes on, up to four times its span, until it has moved this much ...
const BYTES_MIN: u64 = 100_000_000;
/// ... and so many samples a client: where in its window each client stands when the clock
/// starts and stops is chance, and must not look like unfairness.
const SAMPLES_MIN: u64 = 300;

fn main() -> ExitCode {
    if rig::run_part() {
        return ExitCode::SUCCESS;
    }
    let options = Options::from_args();
    let window = options.value("--window").map_or(WINDOW, |text| text.parse().expect("samples"));
    let source = options.value("--source");
    let sources = source.map_or(SOURCES.to_vec(), |source| vec![source]);
    let clients = options.value("--clients").map(|text| text.parse().expect("a count"));
    let counts = clients.map_or(CLIENTS.to_vec(), |count| vec![count]);
    let (rounds, span) =
        if options.quick { (1, Duration::from_secs(1)) } else { (3, Duration::from_secs(2)) };
    println!("{window} samples of {SAMPLE} bytes outstanding a client; CPU is the server's\n");
    println!("                      --------- netrng ---------   --------- floor ----------");
    println!(
        "source       clients    MB/s  CPU s/GB     Jain      MB/s  CPU s/GB     Jain   ratio"
    );
    let mut holds = true;
    for source in sources {
        for &clients in &counts {
            let (mut ours, mut floor) = (Cell::default(), Cell::default());
            for _ in 0..rounds {
                let site =
                    Site { source: source.to_owned(), clients, limited: 0, limit_bytes_per_s: 0 };
                ours.take(&Server::netrng(&options.binary, &site), clients, window, span);
                floor.take(&Server::floor(source), clients, window, span);
            }
            let ratio = ours.cpu_s_per_gb / floor.cpu_s_per_gb;
            println!("{source:<12} {clients:>7} {ours} {floor} {ratio:>7.2}");
            holds &= ratio <= RATIO_MAX && (clients < 1000 || ours.jain >= JAIN_MIN);
        }
    }
    println!(
        "\nCPU per GB within {RATIO_MAX} of the floor at every count, and Jain >= {JAIN_MIN} at \
         1000: {}",
        if holds { "holds" } else { "DOES NOT HOLD" }
    );
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The best of some rounds; of Jain's index the worst.
struct Cell {
    mb_per_s: f64,
    cpu_s_per_gb: f64,
    jain: f64,
}

impl Default for Cell {
    fn default() -> Self {
        Cell { mb_per_s: 0.0, cpu_s_per_gb: f64::INFINITY, jain: 1.0 }
    }
}

impl Cell {
    fn take(&mut self, server: &Server, clients: u32, window: u32, span: Duration) {
        let warm_up = Duration::from_millis(300);
        let bytes_min = BYTES_MIN.max(u64::from(clients) * SAMPLES_MIN * u64::from(SAMPLE));
        let mut load = Load::arm(&Plan {
            address: server.address,
            server_key: server.key,
            first: 0,
            count: clients,
            keys: clients,
            window: window * SAMPLE,
            connecting_max: 64,
            then: Then::Measure { warm_up, span, bytes_min },
        });
        load.go();
        load.begin();
        let before = server.process.cpu();
        let measured = load.end();
        let cpu = server.process.cpu() - before;
        assert_eq!(measured.closed, 0, "every client stays");
        self.keep_best(measured, cpu);
    }

    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    fn keep_best(&mut self, measured: Measured, cpu: Duration) {
        let bytes = measured.bytes as f64;
        self.mb_per_s = self.mb_per_s.max(bytes / 1e6 / measured.span.as_secs_f64());
        self.cpu_s_per_gb = self.cpu_s_per_gb.min(cpu.as_secs_f64() / (bytes / 1e9));
        self.jain = self.jain.min(measured.jain);
    }
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>7.0} {:>9.2} {:>8.5}  ", self.mb_per_s, self.cpu_s_per_gb, self.jain)
    }
}
