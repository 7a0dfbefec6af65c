//! What the benches of the real binary share: servers, loads and what the kernel says of them.
//!
//! Owns processes: each is ended by its id when its handle goes. Nothing leaves loopback.
#![allow(dead_code, reason = "each bench uses a part")]
#![allow(clippy::print_stdout, reason = "what a bench finds is printed")]
#![allow(clippy::cast_possible_truncation, reason = "a sample's size fits everywhere")]

pub mod floor;
pub mod load;

use load::{Plan, client_keys};
use netrng::keys::{PrivateKey, PublicKey};
use netrng::wire::native::public_key;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Clock ticks of /proc/PID/stat a second: USER_HZ, 100 on every Linux.
const TICKS_PER_S: u64 = 100;

/// Runs the part that a command line names, if it is not the bench itself.
pub fn run_part() -> bool {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((part, rest)) if part == "load" => {
            load::run(&Plan::from_args(rest).expect("the bench wrote this line"));
        }
        Some((part, rest)) if part == "floor" => floor::run(&rest[0]),
        _ => return false,
    }
    true
}

/// What the user may say: `--quick`, and `--binary FILE` for another build than this one.
pub struct Options {
    /// Shorter, and coarser.
    pub quick: bool,
    /// The netrng that is measured.
    pub binary: PathBuf,
    /// Everything else.
    pub rest: Vec<String>,
}

impl Options {
    /// From the command line; cargo adds `--bench`.
    pub fn from_args() -> Self {
        let mut options = Options {
            quick: false,
            binary: PathBuf::from(env!("CARGO_BIN_EXE_netrng")),
            rest: Vec::new(),
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--bench" => {}
                "--quick" => options.quick = true,
                "--binary" => options.binary = args.next().expect("--binary FILE").into(),
                _ => options.rest.push(arg),
            }
        }
        options
    }

    /// What stands behind the option `name`.
    pub fn value(&self, name: &str) -> Option<&str> {
        let at = self.rest.iter().position(|arg| arg == name)?;
        self.rest.get(at + 1).map(String::as_str)
    }
}

/// A process that ends with its handle.
pub struct Process(Child);

impl Process {
    /// Starts a program with as many descriptors as the machine allows.
    fn start(program: &Path, args: &[String], stderr: Stdio) -> Self {
        let child = Command::new("sh")
            .args(["-c", "ulimit -n $(ulimit -Hn); exec \"$@\"", "sh"])
            .arg(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn();
        Process(child.expect("sh and the program start"))
    }

    /// User and system time of all its threads so far.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()));
        let stat = stat.expect("the process lives");
        // Fields 14 and 15 of proc(5); the name before them may hold anything.
        let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 1000 / TICKS_PER_S)
    }

    /// Resident memory, KiB.
    pub fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()));
        let status = status.expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Descriptors that a process may have here.
pub fn descriptors_max() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("Linux has it");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let hard = line.and_then(|rest| rest.split_whitespace().nth(1));
    hard.and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)
}

/// What a netrng server is given.
pub struct Site {
    /// Where its bytes come from.
    pub source: String,
    /// Clients enrolled.
    pub clients: u32,
    /// So many of them, the first, are limited ...
    pub limited: u32,
    /// ... to this.
    pub limit_bytes_per_s: u32,
}

/// A server to be measured.
pub struct Server {
    /// Its process.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its key; `None` for the floor.
    pub key: Option<PublicKey>,
    _folder: Option<TempDir>,
}

impl Server {
    /// Starts netrng and waits until it is ready.
    pub fn netrng(binary: &Path, site: &Site) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let private = PrivateKey::new([0x11; 32]);
        write_private(&folder.path().join("clients.toml"), &clients_file(site));
        let config = folder.path().join("server.toml");
        write_private(&config, &server_file(&private, &site.source));
        let args = ["server".to_owned(), "-c".to_owned(), config.display().to_string()];
        let mut process = Process::start(binary, &args, Stdio::piped());
        let mut lines = BufReader::new(process.0.stderr.take().expect("it is piped")).lines();
        let mut address = None;
        let mut said = String::new();
        loop {
            let Some(Ok(line)) = lines.next() else { panic!("the server is not ready:\n{said}") };
            said = said + &line + "\n";
            if let Some((_, text)) = line.split_once("listening on ") {
                address = text.trim().parse().ok();
            }
            if line.contains("ready") {
                break;
            }
        }
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let address = address.expect("it says where it listens before it is ready");
        Server { process, address, key: Some(public_key(&private)), _folder: Some(folder) }
    }

    /// Starts the floor.
    pub fn floor(source: &str) -> Self {
        let exe = std::env::current_exe().expect("the bench has a path");
        let args = ["floor".to_owned(), source.to_owned()];
        let mut process = Process::start(&exe, &args, Stdio::inherit());
        let mut line = String::new();
        let stdout = process.0.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it says its port");
        let port = line.trim().strip_prefix("port ").and_then(|port| port.parse().ok());
        let address = SocketAddr::from(([127, 0, 0, 1], port.expect("it says its port")));
        Server { process, address, key: None, _folder: None }
    }
}

/// Limits far above what the benches need, so that what is measured is the way of the bytes.
fn server_file(private: &PrivateKey, source: &str) -> String {
    format!(
        "mode = \"server\"\n[server]\nlisten = [\"127.0.0.1:0\"]\nprivate-key = \"{}\"\n\
         clients-file = \"clients.toml\"\ntap-socket = \"none\"\nmax-clients = 20000\nmax-waiting = 20000\n\
         max-handshakes = 20000\nmax-handshakes-per-address = 20000\n\
         handshakes-per-s = 10000\nhandshakes-per-s-per-address = 10000\n\
         handshake-timeout = \"60 s\"\n[defaults]\nmax-sessions = 1000\n\
         [source]\ndevice = \"{source}\"\nsample-size = 2048\nmin-entropy = 0\n",
        private.to_text().as_str()
    )
}

fn clients_file(site: &Site) -> String {
    let mut text = String::new();
    for number in 0..site.clients {
        let (private, psk) = client_keys(number);
        let (key, psk) = (public_key(&private), psk.to_text());
        let psk = psk.as_str();
        let entry =
            format!("[[client]]\nname = \"c{number}\"\npublic-key = \"{key}\"\npsk = \"{psk}\"\n");
        text += &entry;
        if number < site.limited {
            text += &format!("limit = \"{} B/s\"\n", site.limit_bytes_per_s);
        }
    }
    text
}

fn write_private(path: &Path, text: &str) {
    let file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("the folder is writable");
}

/// A load process.
pub struct Load {
    process: Process,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

/// What a load measured.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Bytes received by all clients.
    pub bytes: u64,
    /// In how long.
    pub span: Duration,
    /// Jain's index of the bytes of each.
    pub jain: f64,
    /// Connections that ended.
    pub closed: usize,
}

impl Load {
    /// Starts the process; its clients connect with [`Load::go`].
    pub fn arm(plan: &Plan) -> Self {
        let exe = std::env::current_exe().expect("the bench has a path");
        let mut process = Process::start(&exe, &plan.to_args(), Stdio::inherit());
        let stdin = process.0.stdin.take();
        let stdout = BufReader::new(process.0.stdout.take().expect("it is piped"));
        let mut load = Load { process, stdin, stdout };
        load.hear("armed");
        load
    }

    /// Connects; returns once all clients were served.
    pub fn go(&mut self) -> Duration {
        let stdin = self.stdin.as_mut().expect("it was not told to stop");
        stdin.write_all(b"\n").expect("it listens");
        Duration::from_secs_f64(self.hear("served").parse().expect("seconds"))
    }

    /// Waits until it begins to measure.
    pub fn begin(&mut self) {
        self.hear("begin");
    }

    /// Waits until it has measured.
    pub fn end(&mut self) -> Measured {
        let line = self.hear("end");
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [bytes, nanos, jain, closed] = fields[..] else { panic!("found {line:?}") };
        Measured {
            bytes: bytes.parse().expect("bytes"),
            span: Duration::from_nanos(nanos.parse().expect("nanoseconds")),
            jain: jain.parse().expect("an index"),
            closed: closed.parse().expect("a count"),
        }
    }

    /// Ends it at once: its connections break off.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Tells a load without a span to end, and waits for its report.
    pub fn stop(&mut self) -> Measured {
        drop(self.stdin.take());
        self.end()
    }

    fn hear(&mut self, word: &str) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("it writes text");
        let rest = line.strip_prefix(word);
        rest.unwrap_or_else(|| panic!("wanted {word:?}, found {line:?}")).trim().to_owned()
    }
}
