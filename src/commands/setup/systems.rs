//! What differs between systems and between init systems: commands, paths, files. Data only.
//!
//! All commands are POSIX shell; what they share is in `script::PRELUDE`. Those of a check
//! change nothing.

/// A family of systems.
#[derive(Debug)]
pub(super) struct System {
    /// As `--system` has it.
    pub name: &'static str,
    /// Words of ID and ID_LIKE in os-release.
    pub ids: &'static [&'static str],
    /// A file that tells it where there is no os-release.
    pub marker: &'static str,
    /// Installs an rngd; empty: there is none.
    pub install_rngd: &'static str,
    /// The init systems that it may have; the first is the usual one.
    pub inits: &'static [&'static str],
    /// Makes the group, and the user in it.
    pub add_group: &'static str,
    pub add_user: &'static str,
    /// How the group gets the generator's device.
    pub device: Device,
    /// Where the program belongs, in reach of everybody's PATH.
    pub program: &'static str,
    /// Where the service looks for the configuration.
    pub config: &'static str,
    /// Where keys and the list of clients belong.
    pub folder: &'static str,
    /// Whether our files last, and how to have it so: a reason, a check, commands. Empty: they do.
    pub keep: [&'static str; 3],
    /// A command that tells how to let clients of a server in.
    pub let_in: &'static str,
    /// Whether the tests apply the steps on it.
    pub is_tested: bool,
}

/// How a group gets a device for good.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Device {
    /// A rule of udev's.
    Udev,
    /// A line in mdev.conf, and a rule in case udev is there.
    Mdev,
    /// The service opens it as root.
    Service,
    /// There is no /dev/hwrng.
    None,
}

/// Where packages put the program, and where those services expect it that name a path.
pub(super) const PACKAGED_PROGRAM: &str = "/usr/bin/netrng";
const OWN_PROGRAM: &str = "/usr/local/bin/netrng";
const CONFIG: &str = "/etc/netrng.toml";
pub(super) const FOLDER: &str = "/etc/netrng";
const GROUPADD: &str = "groupadd --system netrng";
const LASTS: [&str; 3] = [""; 3];
const FIREWALLD: &str = "\
    if { firewall-cmd --state && ! firewall-cmd --query-port=8989/tcp; } > /dev/null 2>&1; then\n\
    \x20   echo 'firewalld lets no client in yet: firewall-cmd --permanent --add-port=8989/tcp &&'\n\
    \x20   echo 'firewall-cmd --reload'\n\
    fi";
const USERADD: &str = "useradd --system --gid netrng --no-create-home \
                       --home-dir /nonexistent --shell /bin/false netrng";

pub(super) const SYSTEMS: &[System] = &[
    System {
        name: "debian",
        ids: &["debian", "ubuntu"],
        marker: "etc/debian_version",
        install_rngd: "apt-get update\n\
                       export DEBIAN_FRONTEND=noninteractive\n\
                       apt-get install -y --no-install-recommends rng-tools-debian ||\n\
                       \x20   apt-get install -y --no-install-recommends rng-tools",
        inits: &["systemd", "sysvinit", "openrc", "runit", "upstart"],
        add_group: GROUPADD,
        add_user: USERADD,
        device: Device::Udev,
        program: OWN_PROGRAM,
        config: CONFIG,
        folder: FOLDER,
        keep: LASTS,
        let_in: FIREWALLD,
        is_tested: true,
    },
    System {
        name: "rhel",
        ids: &["rhel", "fedora", "centos"],
        marker: "etc/redhat-release",
        install_rngd: "if command -v dnf > /dev/null; then dnf -y install rng-tools\n\
                       else yum -y install rng-tools; fi",
        inits: &["systemd", "upstart"],
        add_group: GROUPADD,
        add_user: USERADD,
        device: Device::Udev,
        program: OWN_PROGRAM,
        config: CONFIG,
        folder: FOLDER,
        keep: LASTS,
        let_in: FIREWALLD,
        is_tested: false,
    },
    System {
        name: "gentoo",
        ids: &["gentoo"],
        marker: "etc/gentoo-release",
        install_rngd: "emerge --noreplace sys-apps/rng-tools",
        inits: &["openrc", "systemd", "runit"],
        add_group: GROUPADD,
        add_user: USERADD,
        device: Device::Udev,
        program: OWN_PROGRAM,
        config: CONFIG,
        folder: FOLDER,
        keep: LASTS,
        let_in: FIREWALLD,
        is_tested: false,
    },
    System {
        name: "alpine",
        ids: &["alpine"],
        marker: "etc/alpine-release",
        install_rngd: "apk add rng-tools",
        inits: &["openrc", "runit"],
        add_group: "addgroup -S netrng",
        add_user: "adduser -S -D -H -h /nonexistent -s /bin/false -G netrng netrng",
        device: Device::Mdev,
        program: OWN_PROGRAM,
        config: CONFIG,
        folder: FOLDER,
        keep: [
            "lbu keeps it where the system runs from memory",
            "! grep -E '^LBU_(MEDIA|BACKUPDIR)=.' /etc/lbu/lbu.conf || [ -z \"$(lbu status)\" ]",
            // Of /etc, it leaves out the files in init.d.
            "lbu include /usr/local/bin/netrng /etc/init.d/netrng\nlbu commit",
        ],
        let_in: "",
        is_tested: false,
    },
    System {
        name: "openwrt",
        ids: &["openwrt"],
        marker: "etc/openwrt_release",
        install_rngd: "if command -v apk > /dev/null; then apk add rng-tools\n\
                       else opkg update && opkg install rng-tools; fi",
        inits: &["procd"],
        add_group: "# OpenWrt has no command for it. The number is that of our port: nobody else's.\n\
                    echo 'netrng:x:8989:' >> /etc/group",
        add_user: "echo 'netrng:*:8989:8989:netrng:/var:/bin/false' >> /etc/passwd",
        device: Device::Service,
        program: PACKAGED_PROGRAM,
        config: CONFIG,
        folder: FOLDER,
        keep: [
            "An upgrade of the system keeps all of it, but not packages, as rng-tools",
            "grep -x /usr/bin/netrng /etc/sysupgrade.conf",
            // Users, groups and /etc/config stay by themselves.
            "printf '%s\\n' /etc/netrng/ /etc/netrng.toml /etc/init.d/netrng '/etc/rc.d/*netrng' \\\n\
             \x20   /usr/bin/netrng >> /etc/sysupgrade.conf",
        ],
        let_in: "echo 'Clients from the WAN want a rule in /etc/config/firewall: src wan, proto tcp, \
                 dest_port 8989, target ACCEPT; then /etc/init.d/firewall reload'",
        is_tested: false,
    },
    System {
        name: "freebsd",
        ids: &["freebsd"],
        marker: "bin/freebsd-version",
        install_rngd: "",
        inits: &["rcd"],
        add_group: "pw groupadd netrng",
        add_user: "pw useradd netrng -g netrng -d /nonexistent -s /usr/sbin/nologin",
        device: Device::None,
        program: OWN_PROGRAM,
        config: "/usr/local/etc/netrng.toml",
        folder: "/usr/local/etc/netrng",
        keep: LASTS,
        let_in: "",
        is_tested: false,
    },
];

/// A file that comes with netrng.
#[derive(Debug)]
pub(super) struct Shipped {
    pub path: &'static str,
    pub mode: &'static str,
    pub text: &'static str,
}

/// A program that starts services.
#[derive(Debug)]
pub(super) struct Init {
    /// As `--init` has it.
    pub name: &'static str,
    /// One of these is there while it runs.
    pub running: &'static [&'static str],
    /// One of these is there where it is installed.
    pub installed: &'static [&'static str],
    /// The service, and files for its options, which are the admin's.
    pub files: &'static [Shipped],
    pub options: &'static [Shipped],
    /// Whether it starts at boot, and how to have it so.
    pub is_enabled: &'static str,
    pub enable: &'static str,
    /// Whether it runs, and how to start it, or start it anew if it runs.
    pub is_started: &'static str,
    pub start: &'static str,
}

/// The rule of udev's.
pub(super) const UDEV: Shipped = Shipped {
    path: "/etc/udev/rules.d/60-netrng.rules",
    mode: "0644",
    text: include_str!("../../../init/udev/60-netrng.rules"),
};

/// For clients with systemd, if the admin wants it.
pub(super) const SEED: Shipped = Shipped {
    path: "/etc/systemd/system/netrng-seed.service",
    mode: "0644",
    text: include_str!("../../../init/systemd/netrng-seed.service"),
};

/// In this order they are looked for: more than one may be there, and systemd and OpenRC have
/// what sysvinit has.
pub(super) const INITS: &[Init] = &[
    Init {
        name: "systemd",
        running: &["run/systemd/system"],
        installed: &["lib/systemd/systemd", "usr/lib/systemd/systemd"],
        files: &[Shipped {
            path: "/etc/systemd/system/netrng.service",
            mode: "0644",
            text: include_str!("../../../init/systemd/netrng.service"),
        }],
        options: &[],
        is_enabled: "systemctl is-enabled -q netrng.service",
        enable: "systemctl enable netrng.service",
        // A server whose source gives nothing yet is starting until it does; one that is started
        // again and again ("auto-restart") is not.
        is_started: "systemctl show -p SubState netrng.service | grep -E '=(running|start|reload)'",
        start: "systemctl daemon-reload\n\
                systemctl --no-block restart netrng.service\n\
                for _ in 1 2 3 4 5; do\n\
                \x20   sleep 1\n\
                \x20   if systemctl is-active -q netrng.service; then break; fi\n\
                done\n\
                if [ \"$(systemctl is-active netrng.service)\" = activating ]; then\n\
                \x20   echo 'netrng is starting: it waits for the source'\n\
                fi",
    },
    Init {
        name: "procd",
        running: &["sbin/procd"],
        installed: &[],
        files: &[Shipped {
            path: "/etc/init.d/netrng",
            mode: "0755",
            text: include_str!("../../../init/openwrt/netrng.init"),
        }],
        options: &[Shipped {
            path: "/etc/config/netrng",
            mode: "0644",
            text: include_str!("../../../init/openwrt/netrng.config"),
        }],
        is_enabled: "/etc/init.d/netrng enabled",
        enable: "/etc/init.d/netrng enable",
        is_started: "/etc/init.d/netrng running",
        start: "/etc/init.d/netrng restart",
    },
    Init {
        name: "openrc",
        running: &["run/openrc", "lib/rc/init.d/softlevel"],
        installed: &["sbin/openrc-run", "sbin/rc-service"],
        files: &[Shipped {
            path: "/etc/init.d/netrng",
            mode: "0755",
            text: include_str!("../../../init/openrc/netrng"),
        }],
        options: &[Shipped {
            path: "/etc/conf.d/netrng",
            mode: "0644",
            text: include_str!("../../../init/openrc/netrng.confd"),
        }],
        is_enabled: "[ -e /etc/runlevels/default/netrng ]",
        enable: "rc-update add netrng default",
        is_started: "rc-service netrng status",
        start: "rc-service netrng restart",
    },
    Init {
        name: "runit",
        running: &["run/runit.stopit", "run/runit/supervise"],
        installed: &["sbin/runit-init", "sbin/runit", "usr/bin/runit", "usr/bin/runsvdir"],
        files: &[
            Shipped {
                path: "/etc/sv/netrng/run",
                mode: "0755",
                text: include_str!("../../../init/runit/run"),
            },
            Shipped {
                path: "/etc/sv/netrng/log/run",
                mode: "0755",
                text: include_str!("../../../init/runit/log/run"),
            },
        ],
        options: &[],
        is_enabled: "[ -n \"$(ls -d /etc/runit/runsvdir/default/netrng /etc/service/netrng \\\n\
                     \x20   /service/netrng)\" ]",
        enable: "for services in /etc/runit/runsvdir/default /etc/service /service; do\n\
                 \x20   if [ -d \"$services\" ]; then break; fi\n\
                 done\n\
                 ln -s /etc/sv/netrng \"$services/netrng\"",
        is_started: "sv status netrng | grep ^run:",
        // It is not known before its link is seen, which takes up to five seconds; and what ends as
        // soon as it was started rests for a second.
        start: "for _ in 1 2 3 4 5 6 7 8 9 10; do\n\
                \x20   if sv restart netrng; then break; fi\n\
                \x20   sleep 1\n\
                done\n\
                for _ in 1 2 3 4 5; do\n\
                \x20   sleep 1\n\
                \x20   if sv status netrng | grep ^run:; then break; fi\n\
                done",
    },
    Init {
        name: "upstart",
        running: &[],
        installed: &["etc/init/rc-sysinit.conf"],
        files: &[Shipped {
            path: "/etc/init/netrng.conf",
            mode: "0644",
            text: include_str!("../../../init/upstart/netrng.conf"),
        }],
        options: &[],
        // Upstart starts what is in /etc/init.
        is_enabled: "",
        enable: "",
        is_started: "initctl status netrng | grep start/running",
        start: "initctl stop netrng || true\n\
                initctl start netrng",
    },
    Init {
        name: "rcd",
        running: &[],
        installed: &["etc/rc.subr"],
        files: &[Shipped {
            path: "/usr/local/etc/rc.d/netrng",
            mode: "0755",
            text: include_str!("../../../init/freebsd/netrng"),
        }],
        options: &[],
        is_enabled: "service netrng enabled",
        enable: "sysrc netrng_enable=YES",
        is_started: "service netrng status",
        start: "service netrng stop || true\n\
                service netrng start",
    },
    Init {
        name: "sysvinit",
        running: &["run/initctl", "dev/initctl"],
        installed: &["etc/inittab", "etc/init.d"],
        files: &[Shipped {
            path: "/etc/init.d/netrng",
            mode: "0755",
            text: include_str!("../../../init/sysvinit/netrng"),
        }],
        options: &[],
        is_enabled: "ls /etc/rc2.d/S*netrng",
        // A package has installed it switched off, which `defaults` leaves as it is.
        enable: "if command -v update-rc.d > /dev/null; then\n\
                 \x20   update-rc.d netrng defaults\n\
                 \x20   update-rc.d netrng enable\n\
                 else chkconfig --add netrng; fi",
        is_started: "/etc/init.d/netrng status",
        // It goes to the background before it is what the script looks for.
        start: "/etc/init.d/netrng restart\n\
                for _ in 1 2 3 4 5; do\n\
                \x20   if /etc/init.d/netrng status; then break; fi\n\
                \x20   sleep 1\n\
                done",
    },
];
