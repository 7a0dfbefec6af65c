//! Real SSH servers on loopback, with throwaway keys: OpenSSH's and dropbear's. Whoever runs
//! the tests logs in as himself. As root, or sshd takes no one else's word for who he is.

use super::process::{Process, command, finish};
use super::site::free_port;
use super::wait;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A host that is reached by ssh.
pub struct Host {
    dir: TempDir,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    kind: Kind,
    daemon: Option<Process>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    OpenSsh,
    Dropbear,
}

impl Host {
    /// OpenSSH's sshd, which takes our key and knows no other.
    pub fn openssh() -> Self {
        // Where it shuts its unprivileged half in.
        fs::create_dir_all("/run/sshd").expect("sshd runs as root here");
        let host = Self::new(Kind::OpenSsh);
        let lines = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\n\
             KbdInteractiveAuthentication no\nMaxStartups 100\nPermitRootLogin prohibit-password\nLogLevel INFO\n",
            host.port,
            host.path("host_key").display(),
            host.path("authorized_keys").display(),
        );
        fs::write(host.path("sshd_config"), lines).expect("can write");
        host.up()
    }

    /// dropbear, the server of small routers.
    pub fn dropbear() -> Self {
        Self::new(Kind::Dropbear).up()
    }

    fn new(kind: Kind) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let host = Host { dir, port: free_port(), kind, daemon: None };
        host.make_key("id");
        host.new_host_key();
        host.know_host();
        host.authorize("");
        host
    }

    /// A path in the host's directory, where its keys and ours are.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A pair of keys at `name` and `name.pub`.
    pub fn make_key(&self, name: &str) {
        let path = self.path(name);
        let _ = fs::remove_file(&path);
        finish(command("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path))
            .success();
    }

    /// Another key for the host; it shows it after [`Host::restart`].
    pub fn new_host_key(&self) {
        self.make_key("host_key");
        if self.kind == Kind::Dropbear {
            let _ = fs::remove_file(self.path("dropbear_key"));
            let mut convert = command("dropbearconvert");
            convert.args(["openssh", "dropbear"]);
            finish(convert.arg(self.path("host_key")).arg(self.path("dropbear_key"))).success();
        }
    }

    /// Notes the host's present key in `known_hosts`.
    pub fn know_host(&self) {
        let key = fs::read_to_string(self.path("host_key.pub")).expect("a key");
        let line = format!("[127.0.0.1]:{} {key}", self.port);
        fs::write(self.path("known_hosts"), line).expect("can write");
    }

    /// Lets our key in, with these options (`command="…"`).
    pub fn authorize(&self, options: &str) {
        let key = fs::read_to_string(self.path("id.pub")).expect("a key");
        let folder = self.path(".ssh");
        fs::create_dir_all(&folder).expect("can write");
        for path in [self.path("authorized_keys"), folder.join("authorized_keys")] {
            fs::write(&path, format!("{options} {key}").trim_start()).expect("can write");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("can chmod");
        }
    }

    /// Lets nobody in.
    pub fn authorize_nobody(&self) {
        fs::write(self.path("authorized_keys"), "").expect("can write");
    }

    /// Lets these keys of ours in (see [`Host::make_key`]) with these options, as whatever user.
    /// sshd reads the file as that user.
    pub fn authorize_all<'a>(&self, keys: impl IntoIterator<Item = (&'a str, String)>) {
        let line = |(name, options): (&str, String)| {
            let key = fs::read_to_string(self.path(&format!("{name}.pub"))).expect("a key");
            format!("{options} {key}")
        };
        let lines = keys.into_iter().map(line).collect::<String>();
        for path in [self.path("authorized_keys"), self.path(".ssh/authorized_keys")] {
            fs::write(&path, &lines).expect("can write");
            open_to_all(&path, 0o644);
        }
        open_to_all(self.dir.path(), 0o711);
    }

    /// Ends it and all its sessions.
    pub fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            for pid in descendants(daemon.pid()) {
                kill(pid);
            }
            daemon.kill();
        }
    }

    /// Ends it and starts it again.
    pub fn restart(mut self) -> Self {
        self.stop();
        self.up()
    }

    /// Kills the server's end of every session.
    pub fn cut(&self) {
        let daemon = self.daemon.as_ref().expect("it runs");
        for pid in descendants(daemon.pid()) {
            kill(pid);
        }
    }

    fn up(mut self) -> Self {
        let port = self.port.to_string();
        let mut daemon = match self.kind {
            Kind::OpenSsh => {
                let mut daemon = command("/usr/sbin/sshd");
                daemon.args(["-D", "-e", "-f"]).arg(self.path("sshd_config"));
                daemon
            }
            Kind::Dropbear => {
                let mut daemon = command("dropbear");
                daemon.args(["-F", "-E", "-s", "-p", &format!("127.0.0.1:{port}"), "-r"]);
                daemon.arg(self.path("dropbear_key"));
                daemon
            }
        };
        self.daemon = Some(Process::start(&mut daemon));
        wait::until_true("the SSH server listens", || {
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
        self
    }

    /// The lines of an `[[upstream]]` for this host.
    pub fn upstream(&self, more: &str) -> String {
        self.upstream_as("root", "id", more)
    }

    /// The same for another user and another key.
    pub fn upstream_as(&self, user: &str, key: &str, more: &str) -> String {
        format!(
            "[[upstream]]\nssh = \"{user}@127.0.0.1\"\nssh-port = {}\nidentity-file = {:?}\n\
             known-hosts-file = {:?}\nname = \"board\"\n{more}\n",
            self.port,
            self.path(key),
            self.path("known_hosts"),
        )
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Lets every user at a file or through a folder.
pub fn open_to_all(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("can chmod");
}

/// A user of this machine, gone with the test, that may log in and nothing else.
pub struct LocalUser {
    /// How it is called.
    pub name: &'static str,
}

impl LocalUser {
    /// One user at a time: the tests that need it run one by one.
    pub fn new(home: &Path) -> Self {
        let user = LocalUser { name: "netrng-tap-test" };
        // What a killed test left.
        user.remove();
        // `*`: no password will do; `!` would lock it for keys as well.
        let mut add = command("useradd");
        add.args(["--system", "--shell", "/bin/sh", "--password", "*", "--home-dir"]);
        finish(add.arg(home).arg(user.name)).success();
        user
    }

    fn remove(&self) {
        let _ = finish(command("userdel").args(["--force", self.name]));
    }
}

impl Drop for LocalUser {
    fn drop(&mut self) {
        self.remove();
    }
}

/// `netrng client` with these upstreams and this sink; its configuration lies in `dir`.
pub fn client(dir: &Path, upstreams: &str, sink: &str) -> Command {
    client_at(&dir.join("client.toml"), upstreams, sink)
}

/// The same with this configuration file.
pub fn client_at(path: &Path, upstreams: &str, sink: &str) -> Command {
    fs::write(path, format!("mode = \"client\"\n{upstreams}\n[sink]\n{sink}\n")).expect("write");
    let mut command = super::process::netrng(&["client", "-c"]);
    command.arg(path);
    command
}

/// The children of a process, by all its threads.
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Its children, and theirs, from the top down: sshd has one process as root and one as the user
/// for each session.
fn descendants(pid: u32) -> Vec<u32> {
    let mut found = children(pid);
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        found.extend(children(pid));
        next += 1;
    }
    found
}

/// `kill -9`; one that is gone already is as well.
fn kill(pid: u32) {
    let _ = finish(command("kill").args(["-KILL", &pid.to_string()]));
}
