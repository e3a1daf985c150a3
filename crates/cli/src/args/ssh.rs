//! `hoop ssh` and `hoop ssh-config`.

use std::ffi::OsString;

use clap::Args;

use super::Form;

/// `hoop ssh`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hoop ssh web-1                                   a shell
  hoop ssh web-1 uptime                            one command; its exit code is ours
  hoop ssh -t web-1 top                            options are those of ssh
  hoop ssh --reason 'INC-42: full disk' web-1      where a reason is asked for
  rsync -e 'hoop ssh' -a site/ web-1:/srv/site/
  GIT_SSH_COMMAND='hoop ssh' git clone web-1:/srv/git/app.git

With `hoop ssh-config`, ssh, scp, sftp and ansible need no hoop in front.
The user on the host is the connection's; no key and no password of it is needed here. Forwards (-L, -R, -D,
-W, -A, -X) work where the access rule and the connection allow them.")]
pub(crate) struct SshArgs {
    /// Why, where the access rule asks for it
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Options of ssh, the connection, and the command to run there
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true,
        value_name = "[OPTIONS] NAME [COMMAND]"
    )]
    pub(crate) words: Vec<OsString>,
}

/// `hoop ssh-config`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  hoop ssh-config                      writes the file, and says which line of ~/.ssh/config includes it
  hoop ssh-config --print              prints it instead")]
pub(crate) struct SshConfig {
    /// Print the file instead of writing it
    #[arg(long)]
    pub(crate) print: bool,
    #[command(flatten)]
    pub(super) form: Form,
}
