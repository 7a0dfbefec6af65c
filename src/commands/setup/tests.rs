//! The plans of all systems, init systems and roles, and the scripts made of them.

use super::*;
use plan::{Input, Plan, plan};
use std::process::Command;

fn facts(role: Role, system: &'static System, init: &'static Init) -> Facts {
    Facts {
        role,
        system,
        init,
        is_live: true,
        is_packaged: false,
        brought: Vec::new(),
        program: "/tmp/it's here/netrng".into(),
        client_config: (role == Role::Client).then(|| "/tmp/alice.toml".into()),
        is_configured: false,
    }
}

/// For every system, init system and role.
fn each(mut judge: impl FnMut(&Facts, &Plan)) {
    for system in SYSTEMS {
        for init in INITS {
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
        (asked("server", "debian", "launchd"), "--init: found launchd; want one of: systemd, pro"),
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
        assert_eq!(step(plan, "User and group").run, facts.system.add_user);
        assert_eq!(has(plan, "genkey"), is_server);
        assert_eq!(has(plan, "clients.toml"), is_server);
        assert_eq!(
            has(plan, "put 0644 /etc/udev"),
            is_server && facts.system.device != systems::Device::None
        );
        let rngd = !is_server && facts.system.name != "freebsd";
        assert_eq!(plan.steps.iter().any(|step| step.check == "command -v rngd"), rngd);
        let mode = if is_server { "0644" } else { "0600" };
        let config = step(plan, facts.system.config);
        assert!(config.run.ends_with(&format!("keep {mode} {}", facts.system.config)));
        // Both name the user, the client's once it is installed.
        let named =
            matches!(&config.input, Input::Text(text) if text.contains("\nuser = \"netrng\"\n"));
        assert!(if is_server { named } else { config.run.starts_with("name_user | ") });
        for file in facts.init.files {
            assert_eq!(step(plan, file.path).check, format!("look {}", file.path));
        }
        assert!(has(plan, facts.init.enable));
        assert!(facts.init.start.is_empty() || has(plan, facts.init.start));
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
    assert!(has(&steps, "systemctl enable") && !has(&steps, "systemctl start"));
    assert!(!has(&steps, "chgrp netrng /dev/hwrng"));
    let bare = Facts { client_config: None, ..facts(Role::Client, &SYSTEMS[0], &INITS[0]) };
    let steps = plan(&bare);
    assert!(!has(&steps, "systemctl") && !has(&steps, "check"));
    assert!(steps.closing.contains("netrng enroll NAME"));
    assert!(has(&plan(&Facts { is_configured: true, ..bare }), "systemctl start"));
}

/// Every script is a shell's, and says the same words as the steps that are applied.
#[test]
fn every_script_parses_and_holds_every_step() {
    each(|facts, plan| {
        let text = script::script(plan, &[]);
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
    let text = script::script(&plan(&facts), &[State::Done, State::ToDo, State::Yours]);
    for line in [" (done already)\n", " (to do)\n", " (yours: stays as it is)\n"] {
        assert_eq!(text.matches(line).count(), 1, "{line:?}");
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
