//! The plans of all systems, init systems and roles, and the scripts made of them.

use super::*;
use plan::{Input, Plan, plan};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

fn facts(role: Role, system: &'static System, init: &'static Init) -> Facts {
    Facts {
        role,
        system,
        init,
        is_live: true,
        is_packaged: false,
        brought: Vec::new(),
        program: "/tmp/it's here/netrng".into(),
        given: (role == Role::Client).then(|| "/tmp/alice.toml".into()),
        is_configured: false,
        ssh: Vec::new(),
        user: "netrng".into(),
        is_elsewhere: false,
    }
}

/// Systems by their names, and their init systems.
fn named(system: &str, init: &str) -> (&'static System, &'static Init) {
    let system = SYSTEMS.iter().find(|known| known.name == system).unwrap();
    (system, INITS.iter().find(|known| known.name == init).unwrap())
}

/// For every system with each init system that it may have, and every role.
fn each(mut judge: impl FnMut(&Facts, &Plan)) {
    for system in SYSTEMS {
        for name in system.inits {
            let (_, init) = named(system.name, name);
            for role in [Role::Server, Role::Client] {
                let facts = facts(role, system, init);
                judge(&facts, &plan(&facts));
            }
        }
    }
}

fn step<'a>(plan: &'a Plan, word: &str) -> &'a plan::Step {
    let found = plan.steps.iter().find(|step| format!("{}\n{}", step.run, step.why).contains(word));
    found.unwrap_or_else(|| panic!("no step with {word} in {plan:#?}"))
}

fn has(plan: &Plan, word: &str) -> bool {
    plan.steps.iter().any(|step| step.run.contains(word))
}

#[test]
fn the_help_names_what_there_is() {
    let mut command = crate::cli::command();
    let help = command.find_subcommand_mut("setup").unwrap().render_help().to_string();
    let names = SYSTEMS.iter().map(|system| system.name);
    for name in names.chain(INITS.iter().map(|init| init.name)) {
        assert!(help.contains(name), "{name} is not in\n{help}");
    }
    assert_eq!(SYSTEMS[0].config, crate::config::DEFAULT_PATH);
}

#[test]
fn what_is_not_known_is_said_with_what_is() {
    let asked = |role: &str, system: &str, init: &str| Setup {
        role: role.into(),
        system: Some(system.into()),
        init: Some(init.into()),
        ..Setup::default()
    };
    for (asked, words) in [
        (asked("neither", "debian", "systemd"), "found neither; want one of: server, client"),
        (asked("server", "beos", "systemd"), "--system: found beos; want one of: debian, rhel"),
        (asked("server", "debian", "launchd"), "--init: found launchd; want one of: systemd, sysv"),
        (asked("server", "debian", "rcd"), "--init: found rcd; want one of: systemd, sysvinit, op"),
        (asked("client", "openwrt", "systemd"), "--init: found systemd; want one of: procd"),
        (asked("client", "freebsd", "openrc"), "--init: found openrc; want one of: rcd"),
    ] {
        let failure = super::facts(Path::new("/"), &asked, None).unwrap_err();
        assert!(failure.text.starts_with(words), "{failure:?}");
        assert_eq!(failure.exit, Exit::Usage);
    }
}

#[test]
fn every_plan_has_what_its_role_needs() {
    each(|facts, plan| {
        let is_server = facts.role == Role::Server;
        assert!(has(plan, &format!("new 0755 {}", facts.system.program)));
        assert_eq!(step(plan, "Group netrng").run, facts.system.add_group);
        assert_eq!(step(plan, "User netrng").run, facts.system.add_user);
        assert_eq!(has(plan, "genkey"), is_server);
        assert_eq!(has(plan, "clients.toml"), is_server);
        assert_eq!(
            has(plan, "put 0644 /etc/udev"),
            is_server && !["openwrt", "freebsd"].contains(&facts.system.name)
        );
        let rngd = !is_server && facts.system.name != "freebsd";
        assert_eq!(plan.steps.iter().any(|step| step.check == "command -v rngd"), rngd);
        let how = if is_server { "keep 0644" } else { "place 0600" };
        let config = step(plan, &format!("{how} {}", facts.system.config));
        // Both name the user, the client's once it is installed.
        let named =
            matches!(&config.input, Input::Text(text) if text.contains("\nuser = \"netrng\"\n"));
        assert!(if is_server { named } else { config.run.starts_with("name_user | ") });
        for file in facts.init.files {
            assert_eq!(step(plan, file.path).check, format!("seen {}", file.path));
        }
        assert!(has(plan, facts.init.enable));
        assert!(has(plan, facts.init.start));
        let is_seed = !is_server && facts.init.name == "systemd";
        assert_eq!(has(plan, "netrng-seed.service"), is_seed);
        assert_eq!(plan.closing.contains("systemctl enable netrng-seed"), is_seed);
    });
}

#[test]
fn a_step_can_be_looked_at_and_ends_where_it_should() {
    each(|_, plan| {
        for step in &plan.steps {
            assert!(!step.check.is_empty() && !step.run.is_empty(), "{step:?}");
            assert!(!step.why.ends_with('.') && !step.why.contains('\n'), "{step:?}");
            if !matches!(step.input, Input::None) {
                assert!(!step.run.contains('\n'), "its input would go to one of many: {step:?}");
            }
            if let Input::Text(text) = &step.input {
                assert!(text.ends_with('\n') && !text.contains("END_OF_FILE"), "{step:?}");
                // A pipe takes it whole, whether anybody reads or not.
                assert!(text.len() < 4096 * 4, "{step:?}");
            }
        }
    });
}

#[test]
fn services_name_the_program_that_was_installed() {
    each(|facts, plan| {
        for step in &plan.steps {
            let Input::Text(text) = &step.input else { continue };
            let packaged = facts.system.program == PACKAGED_PROGRAM;
            assert!(packaged || !text.contains(PACKAGED_PROGRAM), "{text}");
        }
    });
    let debian = Facts { is_packaged: true, ..facts(Role::Server, &SYSTEMS[0], &INITS[0]) };
    assert!(!has(&plan(&debian), "new 0755"), "a package's program is not ours to replace");
    let brought = vec![systems::UDEV.path, INITS[0].files[0].path];
    let plan = plan(&Facts { brought, ..debian });
    assert!(!has(&plan, "put"), "nor are its service and its rule ours to cover");
}

#[test]
fn nothing_is_started_where_nothing_runs_and_without_a_configuration() {
    let image = Facts { is_live: false, ..facts(Role::Server, &SYSTEMS[0], &INITS[0]) };
    let steps = plan(&image);
    assert!(has(&steps, "systemctl enable") && !has(&steps, "restart netrng"));
    assert!(!has(&steps, "chgrp netrng /dev/hwrng"));
    let bare = Facts { given: None, ..facts(Role::Client, &SYSTEMS[0], &INITS[0]) };
    let steps = plan(&bare);
    assert!(!has(&steps, "systemctl enable") && !has(&steps, "check"));
    assert!(steps.closing.contains("netrng enroll NAME"));
    assert!(has(&plan(&Facts { is_configured: true, ..bare }), "restart netrng"));
}

/// Every script is a shell's, and says the same words as the steps that are applied.
#[test]
fn every_script_parses_and_holds_every_step() {
    each(|facts, plan| {
        let text = script::script(plan, &[]);
        assert!(text.contains(&script::prelude(plan)));
        for step in &plan.steps {
            for line in step
                .run
                .lines()
                .chain(step.check.lines().take(usize::from(matches!(step.input, Input::None))))
            {
                assert!(text.contains(line), "{line} is not in\n{text}");
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script");
        fs::write(&path, &text).unwrap();
        let ended = Command::new("sh").arg("-n").arg(&path).output().unwrap();
        assert!(ended.status.success() && ended.stderr.is_empty(), "{facts:?}: {ended:?}");
    });
}

#[test]
fn marks_say_what_was_seen() {
    let facts = facts(Role::Client, &SYSTEMS[0], &INITS[0]);
    let text =
        script::script(&plan(&facts), &[State::Done, State::ToDo, State::Yours, State::ToDo]);
    for (line, count) in
        [(" (done already)\n", 1), (" (to do)\n", 2), (" (yours: stays as it is)\n", 1)]
    {
        assert_eq!(text.matches(line).count(), count, "{line:?}");
    }
    assert!(text.contains("< '/tmp/it'\\''s here/netrng' new 0755 /usr/local/bin/netrng"));
}

#[test]
fn systems_are_told_by_os_release() {
    for (text, name) in [
        ("NAME=x\nID=debian\n", "debian"),
        ("ID=ubuntu\nID_LIKE=debian\n", "debian"),
        ("ID=raspbian\nID_LIKE=debian\n", "debian"),
        ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "rhel"),
        ("ID=\"amzn\"\nID_LIKE=\"centos rhel fedora\"\n", "rhel"),
        ("ID=fedora\n", "rhel"),
        ("ID=gentoo\n", "gentoo"),
        ("ID=alpine\n", "alpine"),
        ("ID=\"openwrt\"\nID_LIKE=\"lede openwrt\"\n", "openwrt"),
        ("ID=freebsd\n", "freebsd"),
    ] {
        assert_eq!(system_of(text).map(|system| system.name), Some(name), "{text}");
    }
    assert!(system_of("ID=slackware\n").is_none() && system_of("").is_none());
}

#[test]
fn a_bare_root_is_told_by_its_files() {
    let folder = tempfile::tempdir().unwrap();
    assert!(find_system(folder.path()).is_none());
    for system in SYSTEMS {
        let folder = tempfile::tempdir().unwrap();
        let marker = folder.path().join(system.marker);
        fs::create_dir_all(marker.parent().unwrap()).unwrap();
        fs::write(marker, "").unwrap();
        assert_eq!(find_system(folder.path()).unwrap().name, system.name);
    }
}

/// No path of another system, in steps or last words; and what is not where netrng looks for it
/// is named.
#[test]
fn freebsd_has_its_own_paths() {
    let (system, init) = named("freebsd", "rcd");
    for role in [Role::Server, Role::Client] {
        for given in [None, Some("/tmp/a.toml".into())] {
            let text = script::script(&plan(&Facts { given, ..facts(role, system, init) }), &[]);
            for (at, _) in text.match_indices("/etc/netrng") {
                assert!(text[..at].ends_with("/usr/local"), "{}", &text[at - 40..at + 40]);
            }
            for word in ["/etc/systemd", "/etc/udev", "systemctl", "useradd --system"] {
                assert!(!text.contains(word), "{word} in\n{text}");
            }
        }
    }
    let plan = plan(&facts(Role::Server, system, init));
    let Input::Text(config) = &step(&plan, "keep 0644").input else { panic!() };
    assert!(config.contains("\nclients-file = \"/usr/local/etc/netrng/clients.toml\"\n"));
    assert!(Config::draft(config, Path::new(system.config)).is_ok(), "{config}");
    assert!(plan.closing.contains("netrng enroll NAME -c /usr/local/etc/netrng.toml --address"));
}

#[test]
fn hints_fit_the_system() {
    each(|facts, plan| {
        let bare = super::plan::plan(&Facts { given: None, ..facts.clone() });
        let text = plan.closing.clone() + &bare.closing;
        assert!(!text.contains("enroll") || text.contains("(umask 077; netrng enroll "), "{text}");
        if facts.role == Role::Client {
            assert_eq!(text.contains("--apply"), facts.system.is_tested, "{text}");
            assert!(text.contains("enroll NAME --address SERVER:8989 > NAME.toml"), "{text}");
            let is_kernel = text.contains("with [sink] type = \"kernel\"");
            assert_eq!(is_kernel, facts.system.name == "freebsd", "{text}");
            return;
        }
        let opens = |word: &str| plan.closing.contains(word);
        assert_eq!(opens("from the WAN"), facts.system.name == "openwrt");
        let has_firewalld = ["debian", "rhel", "gentoo"].contains(&facts.system.name);
        assert_eq!(opens("firewall-cmd --permanent --add-port=8989/tcp"), has_firewalld);
    });
}

#[test]
fn what_another_machine_reads_is_beside_the_script() {
    let there = Facts { is_elsewhere: true, ..facts(Role::Client, &SYSTEMS[0], &INITS[0]) };
    let text = script::script(&plan(&there), &[]);
    assert!(text.contains("\n< 'netrng' new 0755 /usr/local/bin/netrng\n"), "{text}");
    assert!(text.contains("\n< 'alice.toml' name_user | place 0600 /etc/netrng.toml "), "{text}");
    assert!(!text.contains("/tmp/"), "{text}");
}

#[test]
fn another_system_is_not_judged_by_this_one() {
    let asked = |system: &str| Setup {
        role: "server".into(),
        system: Some(system.into()),
        ..Setup::default()
    };
    for (system, init) in [("alpine", "openrc"), ("openwrt", "procd"), ("freebsd", "rcd")] {
        let facts = super::facts(Path::new("/"), &asked(system), Some(&SYSTEMS[0])).unwrap();
        assert_eq!(facts.init.name, init);
        assert!(facts.is_elsewhere && facts.is_live && !facts.is_packaged && !facts.is_configured);
    }
}

/// Upstreams as a configuration has them.
fn ssh(lines: &str) -> Vec<Hop> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("given.toml");
    let text = format!("mode = 'client'\n[[upstream]]\nssh = 'rng@board'\n{lines}");
    fs::write(&path, text).unwrap();
    let mut facts = Facts { given: Some(path), ..facts(Role::Client, &SYSTEMS[0], &INITS[0]) };
    read_config(Path::new("/"), &mut facts).unwrap();
    facts.ssh
}

#[test]
fn ssh_gets_a_key_and_says_what_is_to_be_done_by_hand() {
    let with = |lines: &str| {
        plan(&Facts { ssh: ssh(lines), ..facts(Role::Client, &SYSTEMS[0], &INITS[0]) })
    };
    let files = "ssh-port = 2222\nidentity-file = '/k/id'\nknown-hosts-file = '/k/known'\n";
    let ready = with(files);
    let key = step(&ready, "ssh-keygen -q -t ed25519 -N '' -f '/k/id'");
    assert!(key.run.contains("\nchgrp \"$(id -gn netrng)\" '/k/id'.new\nchmod 0640 '/k/id'.new\n"));
    assert!(key.run.ends_with("\nmv '/k/id'.new '/k/id'"), "all of it or nothing: {key:?}");
    let order = |word| ready.steps.iter().position(|step| step.run.contains(word)).unwrap();
    assert!(order("ssh-keygen") < order("place "), "what it names is there before it is judged");
    assert_eq!(step(&ready, ": > '/k/known'").check, "[ -e '/k/known' ]");
    for part in [
        "useradd --system --create-home --home-dir /var/lib/rng --shell /bin/sh --password '*' rng\n",
        "restrict,command=\"netrng tap --name NAME\" $(cat '/k/id'.pub)\n",
        "user = \"rng\"\n",
        "ssh-keyscan -t ed25519 -p 2222 board |",
        ">> '/k/known'\n",
    ] {
        assert!(ready.closing.contains(part), "{part} is not in\n{}", ready.closing);
    }
    let bare = with("");
    assert!(!has(&bare, "ssh-keygen"));
    assert!(bare.closing.contains("    identity-file = \"/etc/netrng/id_ed25519\"\n"));
    assert!(bare.closing.contains("    known-hosts-file = \"/etc/netrng/known_hosts\"\n"));
    let raw = with(&format!("{files}raw = 'cat /dev/hwrng'\n"));
    assert!(raw.closing.contains("\nrestrict $(cat '/k/id'.pub)\n"), "{}", raw.closing);
    assert!(!raw.closing.contains("[[client]]"));
    for plan in [ready, bare, raw] {
        let mut shell = Command::new("sh");
        let ended = shell.args(["-n", "-c", &plan.closing]).output().unwrap();
        assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    }
}

/// What is given, and what is there, as (exit code, words); `None`: all is well.
#[test]
fn a_given_configuration_is_checked_before_anything_is_installed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("given.toml");
    let judge = |role: Role, text: &str, there: Option<&str>| {
        fs::write(&path, text).unwrap();
        let facts = facts(role, &SYSTEMS[0], &INITS[0]);
        let failure = read_given(&facts, &path, there).err()?;
        assert!(failure.text.contains(path.to_str().unwrap()), "{failure:?}");
        Some((failure.exit, failure.text))
    };
    let client = "mode = \"client\"\n[[upstream]]\ncommand = [\"a\"]\n";
    let installed = client.replacen('\n', "\nuser = \"netrng\"\n", 1);
    let ghost = installed.replace("netrng", "nobody-here");
    let server = "mode = \"server\"\n[server]\nprivate-key-file = \"/nowhere/server.key\"\n";
    for there in [None, Some(client), Some(&installed)] {
        assert_eq!(judge(Role::Client, client, there), None, "{there:?}");
    }
    assert_eq!(judge(Role::Server, server, None), None, "its key is made by a step");
    for (role, text, there, part) in [
        (Role::Client, " \n", None, "the file is empty; look what `netrng enroll` said"),
        (Role::Client, server, None, "mode: found \"server\", want \"client\""),
        (Role::Server, client, None, "mode: found \"client\", want \"server\""),
        (Role::Client, &ghost, None, "user = \"nobody-here\": this machine has no such user"),
        (Role::Client, "mode = 'client'\nx = 1", None, ":2: x: unknown key at the top"),
        (
            Role::Client,
            client,
            Some("mode = \"client\"\n"),
            "compare them with `diff -u /etc/netrng",
        ),
        (Role::Server, server, Some("mode = \"server\"\n"), "stays as it is: compare"),
    ] {
        let (exit, said) = judge(role, text, there).unwrap();
        assert!(said.contains(part), "{said}");
        assert_eq!(exit, Exit::Config);
    }
    let psk =
        format!("{}psk-file = '/no/psk'\n", client.replace("command = [\"a\"]", "address = 'a'"));
    let psk = format!("{psk}public-key = '+OXF4EQY4ZYNYtgy28MIOx4ysfIA1WtWx43AxuDA01w='\n")
        + "private-key = '+OXF4EQY4ZYNYtgy28MIOx4ysfIA1WtWx43AxuDA01w='\n";
    let (_, said) = judge(Role::Client, &psk, None).unwrap();
    assert!(said.contains("given.toml:4: psk-file: /no/psk: no such file"), "{said}");
}

#[test]
fn what_changed_is_started_anew() {
    each(|facts, plan| {
        let start = step(plan, "The service runs");
        assert!(start.check.starts_with("[ ! -e \"$changed\" ] && "), "{start:?}");
        assert!(start.run.ends_with("\nrm -f \"$changed\""), "{start:?}");
        assert!(script::prelude(plan).contains("\nchanged=/var/run/netrng.changed\n"));
        let image = Facts { is_live: false, ..facts.clone() };
        assert!(script::prelude(&super::plan::plan(&image)).contains("\nchanged=/dev/null\n"));
    });
}

/// Runs commands with what all steps share; answers whether all went well.
fn run(commands: &str, input: &str) -> (bool, String) {
    let facts = facts(Role::Client, &SYSTEMS[0], &INITS[0]);
    let image = plan(&Facts { is_live: false, ..facts });
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{}{commands}", script::prelude(&image)));
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    // What fails early reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let ended = child.wait_with_output().unwrap();
    (ended.status.success(), String::from_utf8(ended.stdout).unwrap())
}

/// The user's line is added once, below `mode`, where there is none.
#[test]
fn the_user_is_named_however_mode_is_written() {
    let line = "user = \"netrng\"\n";
    for mode in
        ["mode = 'client'\n", "  mode='client'\n", "\t\"mode\" = 'client'\n", "'mode' = 'a'\n"]
    {
        let table = "[[listen]]\nmode = \"0666\"\nuser = 'other'\n";
        assert_eq!(run("name_user", &format!("{mode}{table}")).1, format!("{mode}{line}{table}"));
    }
    for named in ["user = 'me'\n", " user= 'me'\n", "\"user\" = 'me'\n"] {
        for text in
            [format!("{named}mode = 'client'\n"), format!("mode = 'client'\n{named}[sink]\n")]
        {
            assert_eq!(run("name_user", &text).1, text);
        }
    }
    let commented = "# user = 'me'\nmode = 'a'\n";
    assert_eq!(run("name_user", commented).1, format!("{commented}{line}"));
}

#[test]
fn a_configuration_with_a_mistake_is_not_installed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, program) = (folder.path().join("netrng.toml"), folder.path().join("program"));
    fs::write(&program, "#!/bin/sh\ngrep good \"$3\"\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let place = |text: &str| {
        let (path, program) = (path.display(), program.display());
        run(&format!("cat | place 0600 {path} {program}"), text).0
    };
    assert!(!place("bad\n") && !path.exists());
    assert!(place("good\n") && place("good\n") && !place("good too\n"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "good\n");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "a file of its own is left");
}

/// What a command says of where a program is, nobody wants to read.
#[test]
fn no_step_says_where_a_program_is() {
    each(|_, plan| {
        for step in &plan.steps {
            for line in step.run.lines().filter(|line| line.contains("command -v")) {
                assert!(line.contains(" > /dev/null"), "{step:?}");
            }
        }
    });
}

#[test]
fn what_a_system_would_lose_it_is_told_to_keep() {
    each(|facts, plan| {
        let last = plan.steps.last().unwrap();
        let files = facts.init.files.iter().chain(facts.init.options).map(|file| file.path);
        let ours = files.chain([facts.system.program, facts.system.config, "/etc/netrng/"]);
        // Of what is ours, what does not stay by itself.
        let stays = |path: &str| match facts.system.name {
            "openwrt" => path.starts_with("/etc/config/"),
            "alpine" => path.starts_with("/etc/") && !path.starts_with("/etc/init.d/"),
            _ => true,
        };
        for path in ours.filter(|path| !stays(path)) {
            assert!(last.run.contains(path), "{path} is not in {last:?}");
        }
        assert_eq!(last.run.contains("sysupgrade.conf"), facts.system.name == "openwrt");
        assert_eq!(last.run.contains("lbu commit"), facts.system.name == "alpine");
    });
}

/// Nothing is installed that could not run there.
#[test]
fn freebsd_has_no_rngd_and_no_generator_of_its_kernel() {
    let (system, init) = named("freebsd", "rcd");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("given.toml");
    let judge = |sink: &str| {
        let text = format!("mode = 'client'\n[[upstream]]\ncommand = ['a']\n[sink]\n{sink}");
        fs::write(&path, text).unwrap();
        let mut facts = facts(Role::Client, system, init);
        (facts.given, facts.is_elsewhere) = (Some(path.clone()), true);
        read_config(Path::new("/"), &mut facts).err().map(|failure| failure.text)
    };
    let said = judge("type = 'rngd'").unwrap();
    assert!(
        said.ends_with("given.toml: [sink]: there is no rngd for freebsd; want type = \"kernel\"")
    );
    assert_eq!(judge("type = 'kernel'"), None);
    assert_eq!(judge("rngd-command = ['mine']"), None);

    let facts = facts(Role::Server, system, init);
    let plan = plan(&facts);
    let order = |word: &str| plan.steps.iter().position(|step| step.run.contains(word)).unwrap();
    let generator = order("[source] with a device");
    assert!(order(" check -c ") < generator && generator < order(init.enable));
    let (check, program) = (&plan.steps[generator].check, facts.system.program);
    for (device, is_well) in [("/dev/hwrng", false), ("/dev/cuaU0", true)] {
        let says = format!("printf '[source]\\ndevice = \"{device}\"\\n'");
        let check = check.replace(&format!("{program} check -c {}", system.config), &says);
        assert_eq!(run(&check, "").0, is_well, "{check}");
    }
}

/// Whoever took the advice to move the file away would end what runs.
#[test]
fn what_a_machine_is_already_it_stays() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    let given = root.path().join("given.toml");
    fs::write(&given, "mode = 'server'\n[server]\nprivate-key-file = '/k'\n").unwrap();
    let judge = |role: Role, there: &str, given: Option<&Path>| {
        fs::write(root.path().join("etc/netrng.toml"), there).unwrap();
        let mut facts = facts(role, &SYSTEMS[0], &INITS[0]);
        (facts.given, facts.is_configured) = (given.map(Path::to_owned), true);
        read_config(root.path(), &mut facts).err().map(|failure| (failure.exit, failure.text))
    };
    let client = "mode = 'client'\n[[upstream]]\ncommand = ['a']\n";
    for given in [None, Some(given.as_path())] {
        let (exit, said) = judge(Role::Server, client, given).unwrap();
        assert_eq!(exit, Exit::Config);
        assert!(said.contains("makes this machine a client; to have it be a server"), "{said}");
        assert!(!said.contains("away"), "{said}");
        let docs = include_str!("../../../docs/init.md");
        let heading = said.split('"').nth(1).unwrap();
        assert!(docs.contains(&format!("\n## {heading}\n")), "{heading}");
    }
    assert_eq!(judge(Role::Client, client, None), None);
    assert_eq!(judge(Role::Server, "mode =", None), None, "a step says that it is broken");
}
