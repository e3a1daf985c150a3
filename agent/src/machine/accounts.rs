//! Accounts of the machine, as its own files have them: `/etc/passwd` and `/etc/group`.

use std::{fs::File, io::Read as _, path::Path};

use hoop_model::{Blame, Fault};

use super::wire::Account;

/// Longest file that is read, bytes.
const LONGEST: u64 = 4 << 20;
/// Groups that one account may be in.
const MOST_GROUPS: usize = 1000;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) name: String,
    pub(super) numbers: Account,
    pub(super) home: String,
    pub(super) shell: String,
}

/// Finds an account by its name.
///
/// # Errors
/// There is none, or the files cannot be read.
pub(super) fn find(name: &str) -> Result<Person, Fault> {
    let unknown = |what: String| {
        Fault::new("HOOP-4249", Blame::System, what)
            .with_hint("it must be an account of that machine itself, in its /etc/passwd")
    };
    let read = |path: &str| {
        text(Path::new(path))
            .map_err(|error| unknown(format!("the agent cannot read {path}: {}", error.kind())))
    };
    in_files(name, &read("/etc/passwd")?, &read("/etc/group")?)
        .ok_or_else(|| unknown(format!("the agent's machine has no account {name}")))
}

fn text(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn in_files(name: &str, accounts: &str, groups: &str) -> Option<Person> {
    let mut fields = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(fields)
    })?;
    let (_, uid, gid) = (fields.next()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let (_, home, shell) = (fields.next()?, fields.next()?, fields.next()?);
    let mut member_of = vec![gid];
    for line in groups.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, number, members] = fields[..] else { continue };
        let Ok(number) = number.parse() else { continue };
        if members.split(',').any(|member| member == name) && !member_of.contains(&number) {
            member_of.push(number);
        }
    }
    member_of.truncate(MOST_GROUPS);
    Some(Person {
        name: name.to_owned(),
        numbers: Account { uid, gid, groups: member_of },
        home: if home.is_empty() { "/" } else { home }.to_owned(),
        shell: if shell.is_empty() { "/bin/sh" } else { shell }.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNTS: &str = "root:x:0:0:root:/root:/bin/bash\ndeploy:x:1001:1002::/home/deploy:\nbad:x:many:1::/:/bin/sh\n\
                            +::::::\nshort:x:5\n";
    const GROUPS: &str =
        "root:x:0:\ndeploy:x:1002:\ndocker:x:998:ada,deploy\nadm:x:4:deployer,ada\nbroken\nno:x:n:deploy\n";

    #[test]
    fn an_account_has_its_numbers_and_groups_and_no_others() {
        let deploy = in_files("deploy", ACCOUNTS, GROUPS).unwrap();
        assert_eq!(deploy.numbers, Account { uid: 1001, gid: 1002, groups: vec![1002, 998] });
        assert_eq!((deploy.home.as_str(), deploy.shell.as_str()), ("/home/deploy", "/bin/sh"));
        assert_eq!(in_files("root", ACCOUNTS, GROUPS).unwrap().numbers.uid, 0);
    }

    #[test]
    fn what_is_no_account_is_not_found() {
        for name in ["", "x", "bad", "short", "dep", "deploy:x", "DEPLOY", "1001", "+"] {
            assert_eq!(in_files(name, ACCOUNTS, GROUPS), None, "{name:?}");
        }
    }
}
