//! Programs that move files: scp, sftp, rsync, git. Each as it would run without us.

use std::{fs, path::Path, process::Command};

use hoop_recording::Hash;
use hoop_testkit::{Sshd, World, run, run_with_input};
use serde_json::{Value, json};

use super::{done, events, noise, of_kind, with};

/// With `hoop ssh-config` included by a configuration of its own; the folder of that, too.
fn configured(changes: Value) -> (World, Sshd, String) {
    let (world, sshd) = with(changes);
    run(world.hoop(&world.engineer).arg("ssh-config"));
    let config = world.engineer.profile.join("ssh/config").display().to_string();
    (world, sshd, config)
}

fn program(world: &World, name: &str, config: &str) -> Command {
    let mut command = Command::new(name);
    command.args(["-F", config]).env("HOOP_CONFIG_DIR", &world.engineer.profile).env_remove("HTTPS_PROXY");
    command
}

#[test]
fn scp_and_sftp_carry_files_unchanged() {
    let (world, _sshd, config) = configured(json!({}));
    let here = world.folder.path();
    let sent = noise(&here.join("noise"), 20);
    let there = here.join("there");
    fs::create_dir(&there).unwrap();
    let remote = |path: &Path| format!("web:{}", path.display());
    for old in [false, true] {
        let mut scp = program(&world, "scp", &config);
        scp.arg("-q").args(old.then_some("-O")).arg(here.join("noise")).arg(remote(&there));
        run(&mut scp);
        assert!(fs::read(there.join("noise")).unwrap() == sent, "old protocol: {old}");
        let mut scp = program(&world, "scp", &config);
        scp.arg("-q").args(old.then_some("-O")).arg(remote(&there.join("noise"))).arg(here.join("back"));
        run(&mut scp);
        assert!(fs::read(here.join("back")).unwrap() == sent, "old protocol: {old}");
        fs::remove_file(there.join("noise")).unwrap();
    }
    let script = format!(
        "mkdir {0}/made\nput {1}/noise {0}/made/a\nrename {0}/made/a {0}/made/b\nls -l {0}/made\nget {0}/made/b {1}/c\nrm {0}/made/b\nrmdir {0}/made\n",
        there.display(),
        here.display(),
    );
    let mut sftp = program(&world, "sftp", &config);
    let out = run_with_input(sftp.args(["-b", "-", "web"]), &script);
    assert!(out.contains("20971520"), "{out}");
    assert!(fs::read(here.join("c")).unwrap() == sent && fs::read_dir(&there).unwrap().count() == 0);
    let events = events(&world);
    let request = of_kind(&events, "request")[0];
    assert_eq!((&request["form"], &request["text"]), (&"subsystem".into(), &"sftp".into()));
    let completed = *of_kind(&events, "completed").last().unwrap();
    assert!(completed["bytes"].as_u64().unwrap() > 40 << 20, "{completed}");
    assert_eq!(of_kind(&events, "curtailed").len(), 1, "the bytes of files are counted, not kept");
    let told: Vec<String> = of_kind(&events, "request")[1..]
        .iter()
        .map(|request| {
            let short =
                |path: &Value| path.as_str().unwrap_or_default().replace(&there.display().to_string(), "");
            let id = &request["id"];
            let end = events.iter().find(|event| event["kind"] == "completed" && event["id"] == *id).unwrap();
            let form = request["form"].as_str().unwrap();
            let second = short(&request["parameters"][0]);
            format!("{form} {} {second}: {}", short(&request["text"]), end["tag"].as_str().unwrap())
        })
        .filter(|line| !line.starts_with("change_attributes"))
        .collect();
    let content = format!("sha256 {}", Hash::of(&sent));
    let size = 20 << 20;
    assert_eq!(
        told,
        [
            "make_folder /made : done".to_owned(),
            format!("write_file /made/a : closed: {size} bytes written, {content}"),
            "rename_file /made/a /made/b: done".into(),
            "list_folder /made/ : closed".into(),
            format!("read_file /made/b : closed: {size} bytes read, {content}"),
            "remove_file /made/b : done".into(),
            "remove_folder /made : done".into(),
        ]
    );
}

#[test]
fn copies_of_files_are_kept_up_to_a_limit_and_written_out_under_harmless_names() {
    let limit = 3 << 20;
    let (world, _sshd, config) = configured(json!({"settings": {"recording": {"file_copies": limit}}}));
    let here = world.folder.path();
    let (small, large) = (noise(&here.join("small"), 2), noise(&here.join("large"), 5));
    fs::write(here.join("\u{1b}[31m name"), "hello").unwrap();
    let script =
        format!("put {0}/small {0}/there\nget {0}/large {0}/back\nget {0}/*name {0}/other\n", here.display());
    run_with_input(program(&world, "sftp", &config).args(["-b", "-", "web"]), &script);
    let session = world.ended_session();
    let id = session["id"].as_str().unwrap();
    let folder = here.join("copies");
    let table = run(world.hoop(&world.admin).args(["sessions", "export", id, "--files"]).arg(&folder));
    let copy = |name: &str| fs::read(folder.join(name)).unwrap();
    assert!(copy("0001-written-there") == small && copy("0002-read-large") == large[..limit], "{table}");
    assert_eq!(copy("0003-read-__31m_name"), b"hello");
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[1].contains(&Hash::of(&small).to_string()) && lines[1].ends_with("all of it, as recorded"));
    assert!(lines[2].ends_with("not all of it") && !table.contains('\u{1b}'), "{table}");
    let events = events(&world);
    assert_eq!(of_kind(&events, "curtailed").iter().filter(|event| event["limit"] == limit).count(), 1);
}

/// A line for each request about files, with how it ended.
fn told(events: &[Value]) -> Vec<String> {
    let requests = of_kind(events, "request").into_iter().filter(|request| request["form"] != "command");
    requests
        .map(|request| {
            let end = events.iter().find(|event| {
                event["id"] == request["id"] && (event["kind"] == "completed" || event["kind"] == "failed")
            });
            let end = end.map(|end| end["tag"].as_str().or(end["message"].as_str()).unwrap_or_default());
            let second = request["parameters"][0].as_str().unwrap_or_default();
            format!("{} {second}: {}", request["form"].as_str().unwrap(), end.unwrap_or("no end"))
        })
        .collect()
}

#[test]
fn scp_of_the_old_kind_is_read_as_files_and_allowed_where_files_are() {
    let (world, _sshd, config) = configured(json!({"settings": {"allow": ["files"]}}));
    let here = world.folder.path();
    let (site, there) = (here.join("site"), here.join("there"));
    fs::create_dir_all(site.join("deep")).unwrap();
    fs::create_dir(&there).unwrap();
    fs::write(site.join("deep/a b"), "hello").unwrap();
    fs::write(site.join("empty"), "").unwrap();
    let big = noise(&site.join("noise"), 3);
    let remote = format!("web:{}", there.display());
    let scp = |from: &str, to: &str| {
        let mut scp = program(&world, "scp", &config);
        done(scp.args(["-O", "-q", "-r", "-p", from, to]))
    };
    assert_eq!(scp(&site.display().to_string(), &remote), (String::new(), String::new(), Some(0)));
    run(Command::new("diff").arg("-r").arg(&site).arg(there.join("site")));
    let mut put = told(&events(&world));
    put.sort();
    let sum = |bytes: &[u8]| format!("{} bytes written, sha256 {}", bytes.len(), Hash::of(bytes));
    assert_eq!(
        put,
        [
            "make_folder site/deep: done".to_owned(),
            "make_folder site: done".into(),
            format!("write_file site/deep/a b: done: {}", sum(b"hello")),
            format!("write_file site/empty: done: {}", sum(b"")),
            format!("write_file site/noise: done: {}", sum(&big)),
        ]
    );

    assert_eq!(scp(&format!("{remote}/site"), &here.join("back").display().to_string()).2, Some(0));
    run(Command::new("diff").arg("-r").arg(&site).arg(here.join("back")));
    let got = told(&events(&world));
    assert!(
        got.contains(&format!("read_file site/noise: done: {}", sum(&big).replace("written", "read"))),
        "{got:?}"
    );

    let (_, err, code) = scp(&format!("{remote}/nowhere"), "back");
    assert!(err.contains("No such file") && code == Some(1), "{err}");
    assert!(told(&events(&world))[0].contains("No such file"));
    // What a shell would read otherwise is a command, and this connection has none.
    let (_, err, _) = done(&mut world.ssh(&["web", "scp -t /tmp/x;id"]));
    assert!(err.contains("HOOP-2043"), "{err}");
    let mut raw = super::Running::start(&mut world.ssh(&["web", "scp -t /tmp"]));
    std::io::Write::write_all(raw.0.stdin.as_mut().unwrap(), b"C0644 5 ../../x\nhello").unwrap();
    let mut err = String::new();
    std::io::Read::read_to_string(raw.0.stderr.as_mut().unwrap(), &mut err).unwrap();
    assert!(err.contains("HOOP-5035") && err.contains("no scp"), "{err}");
}

#[test]
fn what_is_no_sftp_ends_the_transfer_and_nothing_else() {
    let (world, _sshd) = with(json!({}));
    let mut raw = super::Running::start(&mut world.ssh(&["-s", "web", "sftp"]));
    std::io::Write::write_all(raw.0.stdin.as_mut().unwrap(), &[0, 0, 0, 0, 1, 2, 3]).unwrap();
    let mut err = String::new();
    std::io::Read::read_to_string(raw.0.stderr.as_mut().unwrap(), &mut err).unwrap();
    assert!(err.contains("HOOP-5035") && raw.0.wait().unwrap().code() == Some(255), "{err}");
    let failed = events(&world);
    assert_eq!(of_kind(&failed, "failed")[0]["code"], "HOOP-5035");
}

#[test]
fn rsync_and_git_run_over_hoop_ssh() {
    let (world, _sshd) = with(json!({}));
    let here = world.folder.path();
    let (site, there) = (here.join("site"), here.join("there"));
    fs::create_dir_all(site.join("deep/er")).unwrap();
    for number in 0..200 {
        fs::write(site.join(format!("deep/er/{number}")), number.to_string().repeat(100)).unwrap();
    }
    noise(&site.join("noise"), 3);
    let hoop = format!("{} ssh", hoop_testkit::binary("hoop").display());
    let with_profile = |command: &mut Command| {
        command.env("HOOP_CONFIG_DIR", &world.engineer.profile).env_remove("HTTPS_PROXY");
    };
    let mut rsync = Command::new("rsync");
    with_profile(&mut rsync);
    rsync
        .args(["-a", "-e", &hoop])
        .arg(format!("{}/", site.display()))
        .arg(format!("web:{}/", there.display()));
    run(&mut rsync);
    run(Command::new("diff").arg("-r").arg(&site).arg(&there));

    let bare = here.join("app.git");
    run(Command::new("git").args(["init", "-q", "--bare", "-b", "main"]).arg(&bare));
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        with_profile(&mut git);
        git.env("GIT_SSH_COMMAND", &hoop).current_dir(here).args(words);
        run(&mut git)
    };
    git(&["clone", "-q", &format!("web:{}", bare.display()), "app"]);
    fs::write(here.join("app/file"), "hello\n").unwrap();
    git(&["-C", "app", "add", "file"]);
    git(&["-C", "app", "-c", "user.name=ada", "-c", "user.email=ada@example.org", "commit", "-q", "-m", "x"]);
    git(&["-C", "app", "push", "-q", "origin", "HEAD:main"]);
    git(&["clone", "-q", &format!("ssh://git@web{}", bare.display()), "again"]);
    assert_eq!(fs::read_to_string(here.join("again/file")).unwrap(), "hello\n");
}

#[test]
fn a_connection_for_commands_alone_is_no_shell_and_moves_no_files() {
    let (world, _sshd) = with(json!({"settings": {"allow": ["command"]}}));
    assert_eq!(done(&mut world.ssh(&["web", "echo fine"])), ("fine\n".into(), String::new(), Some(0)));
    for words in [&["-tt", "web"][..], &["web"], &["-s", "web", "sftp"]] {
        let (_, err, code) = done(&mut world.ssh(words));
        assert!(err.contains("HOOP-2043") && code == Some(255), "{words:?}: {err} {code:?}");
        let events = events(&world);
        assert_eq!(of_kind(&events, "denied")[0]["code"], "HOOP-2043");
    }
    let (_, err, _) = done(&mut world.ssh(&["-s", "web", "netconf"]));
    assert!(err.contains("HOOP-2043"), "{err}");
}
