//! A server with its keys, clients and configs in a directory of its own.

use super::process::{self, Process, Stdout, finish, finish_with_input, netrng};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use tempfile::TempDir;

/// The line by which a server says that the first sample has passed.
pub const READY: &str = "ready: ";

/// A port of 127.0.0.1 that nobody uses.
///
/// Not from the range of which the kernel takes ports for outgoing connections, so that no
/// client of another test gets it before our server does.
///
/// # Panics
/// If there is none.
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Tests run side by side, in processes of their own too: start apart.
    let own = std::process::id().wrapping_mul(61) % COUNT;
    (0..COUNT)
        .find_map(|_| {
            let turn = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
            let port = FIRST + u16::try_from((own + turn) % COUNT).expect("below 20,000");
            TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port)
        })
        .expect("a free port")
}

/// A server's directory: config, private key, clients file; and what its clients need.
pub struct Site {
    dir: TempDir,
    /// Where the server listens.
    pub address: String,
    /// The server's public key.
    pub public_key: String,
    top_lines: Vec<String>,
    server_lines: Vec<String>,
    source_lines: Vec<String>,
    listeners: String,
}

impl Site {
    /// A site whose server reads `device`. Nothing runs yet.
    ///
    /// # Panics
    /// If keys cannot be made.
    pub fn new(device: impl AsRef<Path>) -> Self {
        Self::at(&format!("127.0.0.1:{}", free_port()), device)
    }

    /// The same for a device named relative to the site's own directory.
    pub fn with_fifo(name: &str) -> Self {
        let mut site = Self::new("/nowhere");
        let path = site.path(name);
        site.set_device(&path);
        site
    }

    /// The same at this address.
    pub fn at(address: &str, device: impl AsRef<Path>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let private = finish(&mut netrng(&["genkey"])).success();
        let public = finish_with_input(&mut netrng(&["pubkey"]), private.as_bytes()).success();
        let mut site = Site {
            dir,
            address: address.to_owned(),
            public_key: public.trim().to_owned(),
            top_lines: Vec::new(),
            server_lines: Vec::new(),
            source_lines: Vec::new(),
            listeners: String::new(),
        };
        site.write_secret("server.key", &private);
        site.write_secret("clients.toml", "");
        site.set_device(device.as_ref());
        site
    }

    /// A path in the site's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Sets a key at the top, as in `user = "nobody"`.
    #[must_use]
    pub fn top(mut self, line: &str) -> Self {
        set(&mut self.top_lines, line);
        self.write_config();
        self
    }

    /// Sets a key of `[server]`, as in `max-clients = 2`.
    #[must_use]
    pub fn server(mut self, line: &str) -> Self {
        set(&mut self.server_lines, line);
        self.write_config();
        self
    }

    /// Sets a key of `[source]`.
    #[must_use]
    pub fn source(mut self, line: &str) -> Self {
        set(&mut self.source_lines, line);
        self.write_config();
        self
    }

    /// Adds a table `[[listen]]` with these lines; a relative path is in the site's directory.
    #[must_use]
    pub fn listener(mut self, lines: &str) -> Self {
        self.listeners += &format!("[[listen]]\n{lines}\n");
        self.write_config();
        self
    }

    /// Reads `device` from the next start on.
    pub fn set_device(&mut self, device: &Path) {
        let line = format!("device = {:?}", device.display().to_string());
        set(&mut self.source_lines, &line);
        self.write_config();
    }

    /// Listens at `address` from the next start on.
    pub fn move_to(&mut self, address: &str) {
        address.clone_into(&mut self.address);
        self.write_config();
    }

    fn write_config(&self) {
        fs::write(self.path("server.toml"), self.config_text(&self.source_lines))
            .expect("can write to the site");
        // Enrolling draws from the source; the FIFO of a test shall give its bytes to the
        // server alone.
        let kernel = ["device = \"/dev/urandom\"".to_owned()];
        fs::write(self.path("enroll.toml"), self.config_text(&kernel)).expect("can write");
    }

    fn config_text(&self, source_lines: &[String]) -> String {
        let key_file = self.path("server.key").display().to_string();
        let clients_file = self.path("clients.toml").display().to_string();
        // Not the machine's own.
        let is_set = self.server_lines.iter().any(|line| line.starts_with("tap-socket"));
        let tap_socket = if is_set { "" } else { "tap-socket = \"tap.sock\"" };
        let is_set = self.server_lines.iter().any(|line| line.starts_with("status-socket"));
        let status = if is_set { "" } else { "status-socket = \"server.sock\"" };
        format!(
            "mode = \"server\"\n{}\n[server]\nlisten = [\"{}\"]\nprivate-key-file = {key_file:?}\n\
             clients-file = {clients_file:?}\n{}\n{tap_socket}\n{status}\n\n[source]\n{}\n{}",
            self.top_lines.join("\n"),
            self.address,
            self.server_lines.join("\n"),
            source_lines.join("\n"),
            self.listeners,
        )
    }

    /// Writes a file that only its owner can read.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write_secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("can write to the site");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("can chmod");
        path
    }

    /// `netrng server` on the site's config.
    pub fn server_command(&self) -> Command {
        let mut command = netrng(&["server", "-c"]);
        command.arg(self.path("server.toml"));
        command
    }

    /// Starts the server and returns at once.
    pub fn spawn_server(&self) -> Process {
        Process::start(&mut self.server_command())
    }

    /// Starts the server and waits until it has tested bytes to give.
    pub fn start_server(&self) -> Process {
        let server = self.spawn_server();
        server.wait_for(READY);
        server
    }

    /// Makes keys for a client, as an administrator would, and keeps the printed config.
    ///
    /// # Panics
    /// If `netrng enroll` fails.
    pub fn enroll(&self, name: &str) -> Enrolled {
        self.enroll_at(name, &self.address)
    }

    /// The same for a client that reaches the server at `address`.
    pub fn enroll_at(&self, name: &str, address: &str) -> Enrolled {
        let text = finish(&mut self.enroll_command(name, address)).success();
        Enrolled::new(name, &text)
    }

    /// `netrng enroll` for a client that reaches the server at `address`.
    pub fn enroll_command(&self, name: &str, address: &str) -> Command {
        let mut command = netrng(&["enroll", name, "--address", address, "-c"]);
        command.arg(self.path("enroll.toml"));
        command
    }

    /// Adds a client that is this user of the machine, a name or a number, with these lines.
    pub fn add_local(&self, name: &str, user: &str, lines: &[&str]) {
        let text = fs::read_to_string(self.path("clients.toml")).expect("there is one");
        let lines = lines.join("\n");
        let entry = format!("[[client]]\nname = \"{name}\"\nuser = \"{user}\"\n{lines}\n");
        self.write_secret("clients.toml", &(text + &entry));
    }

    /// Makes these the only lines of a client's rule beside its name and keys. A server that
    /// runs learns of it by SIGHUP.
    ///
    /// # Panics
    /// If there is no such client.
    pub fn set_rule(&self, name: &str, lines: &[&str]) {
        let text = fs::read_to_string(self.path("clients.toml")).expect("there is one");
        let mut found = false;
        let blocks = text.split("[[client]]").map(|block| {
            if !block.contains(&format!("name = \"{name}\"")) {
                return block.to_owned();
            }
            found = true;
            let keys = ["name", "user", "public-key", "psk"].map(|key| format!("{key} = "));
            let kept = block.lines().filter(|line| keys.iter().any(|key| line.starts_with(key)));
            let rule: Vec<&str> = kept.chain(lines.iter().copied()).collect();
            format!("\n{}\n\n", rule.join("\n"))
        });
        let text = blocks.collect::<Vec<_>>().join("[[client]]");
        assert!(found, "no client {name} in\n{text}");
        self.write_secret("clients.toml", &text);
    }

    /// Writes a client's config with this `[sink]`, and returns its path.
    pub fn client_config(&self, client: &Enrolled, sink: &str) -> PathBuf {
        // Not the machine's own socket.
        let socket = format!("[client]\nstatus-socket = \"{}.sock\"", client.name);
        let own = client.config.replacen("[client]", &socket, 1);
        let text = format!("{own}\n[sink]\n{sink}\n");
        self.write_secret(&format!("{}.toml", client.name), &text)
    }

    /// `netrng client` for `client` with this `[sink]`.
    pub fn client_command(&self, client: &Enrolled, sink: &str) -> Command {
        let mut command = netrng(&["client", "-c"]);
        command.arg(self.client_config(client, sink));
        command
    }

    /// Starts a client that writes all it gets to stdout, which is kept.
    pub fn start_client(&self, client: &Enrolled) -> Process {
        Process::start(&mut self.client_command(client, "type = \"stdout\""))
    }

    /// Starts a client whose stdout nobody reads.
    pub fn start_blocked_client(&self, client: &Enrolled) -> Process {
        let mut command = self.client_command(client, "type = \"stdout\"");
        Process::start_with(&mut command, Stdio::null(), Stdout::Blocked)
    }
}

fn set(lines: &mut Vec<String>, line: &str) {
    let key = |line: &str| line.split('=').next().map(|key| key.trim().to_owned());
    lines.retain(|other| key(other) != key(line));
    lines.push(line.to_owned());
}

/// A client of a site, as `netrng enroll` made it.
#[derive(Clone)]
pub struct Enrolled {
    /// As in the clients file.
    pub name: String,
    /// The config that `enroll` printed, without its `[sink]`.
    config: String,
}

impl Enrolled {
    fn new(name: &str, printed: &str) -> Self {
        let end = printed.find("\n[sink]").unwrap_or(printed.len());
        Enrolled { name: name.to_owned(), config: printed[..end].to_owned() }
    }

    /// The text that stands at `key`.
    ///
    /// # Panics
    /// If it is not there.
    pub fn text(&self, key: &str) -> String {
        let start = format!("{key} = \"");
        let line = self.config.lines().find_map(|line| line.strip_prefix(&start));
        let value = line.and_then(|rest| rest.split('"').next());
        value.unwrap_or_else(|| panic!("no {key} in\n{}", self.config)).to_owned()
    }

    /// The same client, which looks for the server by mDNS.
    #[must_use]
    pub fn discovering(&self) -> Self {
        let old = format!("address = \"{}\"", self.text("address"));
        let config = self.config.replace(&old, "discover = true");
        Enrolled { name: self.name.clone(), config }
    }

    /// The same client with a line before all others.
    #[must_use]
    pub fn preceded_by(&self, line: &str) -> Self {
        Enrolled { name: self.name.clone(), config: format!("{line}\n{}", self.config) }
    }

    /// The same client with another text at `key`.
    #[must_use]
    pub fn with(&self, key: &str, text: &str) -> Self {
        let old = format!("{key} = \"{}\"", self.text(key));
        let config = self.config.replace(&old, &format!("{key} = \"{text}\""));
        Enrolled { name: self.name.clone(), config }
    }
}

/// Fresh keys: private, public.
pub fn fresh_keys() -> (String, String) {
    let private = finish(&mut process::netrng(&["genkey"])).success();
    let public = finish_with_input(&mut netrng(&["pubkey"]), private.as_bytes()).success();
    (private.trim().to_owned(), public.trim().to_owned())
}
