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
    /// Makes group and user.
    pub add_user: &'static str,
    /// How the group gets the generator's device.
    pub device: Device,
    /// Where the program belongs, in reach of everybody's PATH.
    pub program: &'static str,
    /// Where the service looks for the configuration.
    pub config: &'static str,
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
    /// The service sees to it, or there is no such device.
    None,
}

/// Where packages put the program, and where those services expect it that name a path.
pub(super) const PACKAGED_PROGRAM: &str = "/usr/bin/netrng";
const OWN_PROGRAM: &str = "/usr/local/bin/netrng";
const CONFIG: &str = "/etc/netrng.toml";
const USERADD: &str = "useradd --system --user-group --no-create-home \
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
        add_user: USERADD,
        device: Device::Udev,
        program: OWN_PROGRAM,
        config: CONFIG,
        is_tested: true,
    },
    System {
        name: "rhel",
        ids: &["rhel", "fedora", "centos"],
        marker: "etc/redhat-release",
        install_rngd: "if command -v dnf; then dnf -y install rng-tools\n\
                       else yum -y install rng-tools; fi",
        add_user: USERADD,
        device: Device::Udev,
        program: OWN_PROGRAM,
        config: CONFIG,
        is_tested: false,
    },
    System {
        name: "gentoo",
        ids: &["gentoo"],
        marker: "etc/gentoo-release",
        install_rngd: "emerge --noreplace sys-apps/rng-tools",
        add_user: USERADD,
        device: Device::Udev,
        program: OWN_PROGRAM,
        config: CONFIG,
        is_tested: false,
    },
    System {
        name: "alpine",
        ids: &["alpine"],
        marker: "etc/alpine-release",
        install_rngd: "apk add rng-tools",
        add_user: "addgroup -S netrng\n\
                   adduser -S -D -H -h /nonexistent -s /bin/false -G netrng netrng",
        device: Device::Mdev,
        program: OWN_PROGRAM,
        config: CONFIG,
        is_tested: false,
    },
    System {
        name: "openwrt",
        ids: &["openwrt"],
        marker: "etc/openwrt_release",
        install_rngd: "if command -v apk; then apk add rng-tools\n\
                       else opkg update && opkg install rng-tools; fi",
        add_user: "# OpenWrt has no command for it. The number is that of our port: nobody else's.\n\
                   echo 'netrng:x:8989:' >> /etc/group\n\
                   echo 'netrng:*:8989:8989:netrng:/var:/bin/false' >> /etc/passwd",
        device: Device::None,
        program: PACKAGED_PROGRAM,
        config: CONFIG,
        is_tested: false,
    },
    System {
        name: "freebsd",
        ids: &["freebsd"],
        marker: "bin/freebsd-version",
        install_rngd: "",
        add_user: "pw groupadd netrng\n\
                   pw useradd netrng -g netrng -d /nonexistent -s /usr/sbin/nologin",
        device: Device::None,
        program: OWN_PROGRAM,
        config: "/usr/local/etc/netrng.toml",
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
    /// Whether it runs, and how to start it now; empty: enabling does that.
    pub is_started: &'static str,
    pub start: &'static str,
}

/// The rule of udev's.
pub(super) const UDEV: Shipped = Shipped {
    path: "/etc/udev/rules.d/60-netrng.rules",
    mode: "0644",
    text: include_str!("../../../init/udev/60-netrng.rules"),
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
        is_started: "systemctl is-active -q netrng.service",
        start: "systemctl daemon-reload\n\
                systemctl start netrng.service",
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
        is_started: "pidof netrng",
        start: "/etc/init.d/netrng start",
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
        start: "rc-service netrng start",
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
        is_started: "",
        start: "",
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
        start: "initctl start netrng",
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
        start: "service netrng start",
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
        enable: "if command -v update-rc.d; then update-rc.d netrng defaults\n\
                 else chkconfig --add netrng; fi",
        is_started: "/etc/init.d/netrng status",
        // It goes to the background before it is what the script looks for.
        start: "/etc/init.d/netrng start\n\
                for _ in 1 2 3 4 5; do\n\
                \x20   if /etc/init.d/netrng status; then break; fi\n\
                \x20   sleep 1\n\
                done",
    },
];
