//! The command line: what there is, and the help that teaches it. Parsing alone; nothing is done here.

mod audit;
mod exec;
mod holds;
mod kube;
mod people;
mod policy;
mod recording_keys;
mod sealed_codes;
mod services;
mod ssh;
mod statement;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use hoop_model::{
    AgentName, CapabilityId, ConnectionName, LoginId, RequestId, SessionId, Timestamp, UserName,
};

pub(crate) use self::audit::{
    Audit, AuditConsistency, AuditExport, AuditLs, AuditProve, AuditSearch, AuditVerify, AuditWitnesses,
    LedgerFormat,
};
pub(crate) use self::exec::Exec;
pub(crate) use self::holds::Holds;
pub(crate) use self::kube::{Kube, KubeLogin, KubeLogout, KubeTunnel, TUNNEL_REASON};
pub(crate) use self::people::{AddUser, EndSignIns, OneUser, SetUser, Users};
pub(crate) use self::policy::{
    Bundle, BundleKeygen, CheckPolicy, ExplainPolicy, FactArgs, InitPolicy, MakeBundle, Policy, Profile,
    VerifyBundle,
};
pub(crate) use self::recording_keys::{Decrypt, DecryptForm, Keygen, RecordingKeysCommand};
pub(crate) use self::sealed_codes::SealedCodes;
pub(crate) use self::services::{
    AddApiToken, AddServiceAccount, ApiTokens, OneServiceAccount, RevokeApiToken, ServiceAccounts,
};
pub(crate) use self::ssh::{SshArgs, SshConfig};
pub(crate) use self::statement::OneStatement;
use crate::{output::Format, replay};

/// Exit codes, as the help shows them.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  this command or this machine failed
  2  the arguments make no sense
  3  not allowed, or not there (the two look alike on purpose)
  4  not signed in
  5  the gateway, the agent or the target is out of reach
  6  a verification found something
  With `hoop connect NAME -- COMMAND` the code is COMMAND's own.";

const OVERVIEW: &str = "\
Examples:
  hoop login https://hoop.example.org        sign in, once a day
  hoop ls                                    what you may open
  hoop connect pg-prod                       a local port, with ready-to-paste commands
  hoop connect pg-prod -- psql               psql right away
  hoop ssh web-1                             a shell on a host
  hoop kube login k8s-prod                   then kubectl get pods, helm, any client
  hoop exec k8s-prod web-7f9c                a shell in a pod
  hoop sessions replay ses_...               what somebody did, and saw

Environment:
  HOOP_CONFIG_DIR  folder of the profile (default: $XDG_CONFIG_HOME/hoop)
  HOOP_GATEWAY     gateway that `hoop login` signs in at, and that HOOP_TOKEN is for
  HOOP_TOKEN       API token of a service account, in place of a sign-in; programs that hoop runs do not get it
  HOOP_TOKEN_FILE  a file with that token
  HOOP_CA          PEM file of the gateway's CA, with HOOP_TOKEN, if the system does not trust it
  HTTPS_PROXY      proxy on the way to the gateway
  NO_COLOR         no colours";

/// Opens databases, hosts and clusters in private networks by who you are: no VPN, no password of theirs, everything recorded.
#[derive(Debug, Parser)]
#[command(name = "hoop", version, after_help = format!("{OVERVIEW}\n\n{EXIT_CODES}"), arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    form: Form,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// In which form data is printed.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Form {
    /// Form of the output; the fields of `json` are kept stable
    #[arg(short, long, value_name = "FORM")]
    output: Option<Format>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sign in at a gateway
    Login(Login),
    /// Sign out: the tokens are void at once
    Logout(Logout),
    /// Show who is signed in
    Whoami(Form),
    /// Prove your second factor again, before something that wants it fresh
    StepUp(StepUp),
    /// Look at where you are signed in, and end what you do not know
    #[command(subcommand)]
    Devices(Devices),
    /// Codes for the day when your authenticator is lost
    #[command(subcommand)]
    RecoveryCodes(RecoveryCodes),
    /// Show the gateway, the sign-in, and your live sessions
    Status(Form),
    /// List the connections that you may open
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// Open a connection: a local port, a program, or stdin and stdout
    Connect(Connect),
    /// Run ssh over a connection
    Ssh(SshArgs),
    /// Write a configuration with which plain ssh, scp, sftp, rsync, git and ansible use hoop
    SshConfig(SshConfig),
    /// Let kubectl, helm and other clients use a connection to Kubernetes
    #[command(subcommand)]
    Kube(Kube),
    /// Run a command or a shell in a pod, without kubectl
    Exec(Exec),
    /// Ask for access that others must approve
    Request(Ask),
    /// Requests that concern you: yours, those you may decide, emergencies to review
    Requests {
        #[command(flatten)]
        list: RequestsList,
        #[command(subcommand)]
        command: Option<Requests>,
    },
    /// Open a connection now, in an emergency: everybody in charge is told, and somebody else reviews it
    BreakGlass(BreakGlassArgs),
    /// Look at sessions, replay, end, export and verify them
    #[command(subcommand, visible_alias = "session")]
    Sessions(Sessions),
    /// Read, export and verify the ledger of everything that happened
    #[command(subcommand)]
    Audit(Audit),
    /// Check, test and explain access rules without a gateway
    #[command(subcommand)]
    Policy(Policy),
    /// Manage people, agents and connections
    #[command(subcommand)]
    Admin(Admin),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  hoop completion bash > ~/.local/share/bash-completion/completions/hoop"
    )]
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

impl Cli {
    /// The form that was asked for, before or after the subcommand.
    pub(crate) fn format(&self) -> Format {
        self.command.form().and_then(|form| form.output).or(self.form.output).unwrap_or_default()
    }
}

impl Command {
    fn form(&self) -> Option<Form> {
        match self {
            Self::Login(login) => Some(login.form),
            Self::Logout(logout) => Some(logout.form),
            Self::StepUp(step_up) => Some(step_up.form),
            Self::Devices(Devices::Ls(form)) => Some(*form),
            Self::Devices(Devices::Revoke(revoke)) => Some(revoke.form),
            Self::RecoveryCodes(RecoveryCodes::Left(form) | RecoveryCodes::New(form)) => Some(*form),
            Self::Whoami(form) | Self::Status(form) => Some(*form),
            Self::Ls(ls) => Some(ls.form),
            Self::Connect(connect) => Some(connect.form),
            Self::Ssh(_) | Self::Exec(_) => None,
            Self::Kube(kube) => kube.form(),
            Self::SshConfig(config) => Some(config.form),
            Self::Request(ask) => Some(ask.form),
            Self::Requests { list, command } => command.as_ref().map_or(Some(list.form), Requests::form),
            Self::BreakGlass(args) => Some(args.form),
            Self::Sessions(sessions) => sessions.form(),
            Self::Audit(audit) => audit.form(),
            Self::Policy(policy) => Some(policy.form()),
            Self::Admin(admin) => admin.form(),
            Self::Completion { .. } => None,
        }
    }
}

/// `hoop login`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hoop login https://hoop.example.org            in the browser
  hoop login --device                            on a machine without a browser
  hoop login --password --user ada               built-in account: password and second factor
  hoop login --sealed-codes --user ada           the identity provider is away, and it is an emergency
  hoop login URL --ca-fingerprint 3f:9a:...      a gateway with its own CA, as its start-up printed it
  printf '%s\\n%s\\n' \"$PASSWORD\" \"$CODE\" | hoop login URL --password --user ada")]
pub(crate) struct Login {
    /// Address of the gateway; remembered
    #[arg(env = "HOOP_GATEWAY")]
    pub(crate) url: Option<String>,
    /// Show a code to type into a browser elsewhere
    #[arg(long, conflicts_with = "by_name")]
    pub(crate) device: bool,
    /// Sign in with password and code; from a pipe: one a line
    #[arg(long, group = "by_name")]
    pub(crate) password: bool,
    /// The identity provider is away: sign in with sealed codes of several holders, for an emergency alone
    #[arg(long, group = "by_name")]
    pub(crate) sealed_codes: bool,
    /// Your name, with --password or --sealed-codes
    #[arg(long, value_name = "NAME", requires = "by_name")]
    pub(crate) user: Option<UserName>,
    /// Trust the certificates in this PEM file and no others
    #[arg(long, value_name = "FILE", conflicts_with = "ca_fingerprint")]
    pub(crate) ca: Option<PathBuf>,
    /// Trust the gateway's own CA if its SHA-256 is this
    #[arg(long, value_name = "SHA256")]
    pub(crate) ca_fingerprint: Option<String>,
    /// Print the address to open instead of opening it
    #[arg(long)]
    pub(crate) no_browser: bool,
    #[command(flatten)]
    form: Form,
}

/// `hoop logout`
#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// End every sign-in of yours, in browsers too, and every live session
    #[arg(long)]
    pub(crate) everywhere: bool,
    #[command(flatten)]
    form: Form,
}

/// `hoop step-up`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hoop step-up                          asks for the code, or opens the browser
  hoop step-up --browser                in the browser
  printf '%s\\n' \"$CODE\" | hoop step-up   the code from a pipe")]
pub(crate) struct StepUp {
    /// In the browser, whatever the account
    #[arg(long)]
    pub(crate) browser: bool,
    #[command(flatten)]
    form: Form,
}

/// `hoop devices`
#[derive(Debug, Subcommand)]
pub(crate) enum Devices {
    /// List your sign-ins, newest first
    Ls(Form),
    /// End one of them
    Revoke(RevokeDevice),
}

/// `hoop devices revoke`
#[derive(Debug, Args)]
pub(crate) struct RevokeDevice {
    /// Which one (see `hoop devices ls`)
    pub(crate) id: LoginId,
    #[command(flatten)]
    form: Form,
}

/// `hoop recovery-codes`
#[derive(Debug, Subcommand)]
pub(crate) enum RecoveryCodes {
    /// Show how many are left
    Left(Form),
    /// Make new ones: those made before are void
    New(Form),
}

/// `hoop ls`
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// All connections, with what defines them (admins and auditors)
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    form: Form,
}

/// `hoop request`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hoop request pg-prod --for 2h --reason 'INC-42: slow reports'
  hoop connect pg-prod                       waits until it is approved, then opens

One statement, which those who approve read word by word:
  hoop request pg-prod --statement @fix.sql --reason 'INC-42: free bed 7'
  hoop connect pg-prod --statement @fix.sql -- sh -c 'psql -X -c \"$HOOP_STATEMENT\"'")]
pub(crate) struct Ask {
    /// To which connection
    pub(crate) name: ConnectionName,
    /// For how long, from the approval on: 90s, 30m, 2h, 1d
    #[arg(long = "for", value_name = "TIME", value_parser = period, default_value = "1h")]
    pub(crate) duration: Duration,
    /// Why: those who approve read it
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) only: OneStatement,
    #[command(flatten)]
    form: Form,
}

fn period(text: &str) -> Result<Duration, hoop_policy::rules::WordError> {
    text.parse::<hoop_policy::rules::Period>().map(hoop_policy::rules::Period::duration)
}

/// `hoop break-glass`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  hoop break-glass pg-prod --reason 'wards cannot see lab results' --incident INC-42")]
pub(crate) struct BreakGlassArgs {
    /// To which connection
    pub(crate) name: ConnectionName,
    /// Why: everybody in charge reads it
    #[arg(long)]
    pub(crate) reason: String,
    /// Number or link of the incident
    #[arg(long)]
    pub(crate) incident: String,
    #[command(flatten)]
    form: Form,
}

/// `hoop requests` without a subcommand
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct RequestsList {
    /// Only your own
    #[arg(long)]
    pub(crate) mine: bool,
    /// Emergencies that wait for their review
    #[arg(long, conflicts_with = "mine")]
    pub(crate) reviews: bool,
    #[command(flatten)]
    form: Form,
}

/// `hoop requests`
#[derive(Debug, Subcommand)]
pub(crate) enum Requests {
    /// Show one
    Show(OneRequest),
    /// Say yes
    Approve(Verdict),
    /// Say no
    Deny(Verdict),
    /// Withdraw or revoke: sessions that rest on it end
    End(EndOne),
    /// Let somebody else's emergency go on
    Extend(ExtendOne),
    /// Close the review of somebody else's emergency
    Review(ReviewOne),
}

impl Requests {
    const fn form(&self) -> Option<Form> {
        match self {
            Self::Show(args) => Some(args.form),
            Self::Approve(args) | Self::Deny(args) => Some(args.form),
            Self::End(args) => Some(args.form),
            Self::Extend(args) => Some(args.form),
            Self::Review(args) => Some(args.form),
        }
    }
}

/// A request.
#[derive(Debug, Args)]
pub(crate) struct OneRequest {
    /// Its id
    pub(crate) id: RequestId,
    #[command(flatten)]
    form: Form,
}

/// `hoop requests approve|deny`
#[derive(Debug, Args)]
pub(crate) struct Verdict {
    /// Its id
    pub(crate) id: RequestId,
    /// In your words
    #[arg(long)]
    pub(crate) note: Option<String>,
    #[command(flatten)]
    form: Form,
}

/// `hoop requests end`
#[derive(Debug, Args)]
pub(crate) struct EndOne {
    /// Its id
    pub(crate) id: RequestId,
    /// Why
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    form: Form,
}

/// `hoop requests extend`
#[derive(Debug, Args)]
pub(crate) struct ExtendOne {
    /// Its id
    pub(crate) id: RequestId,
    /// By how much: 30m, 1h
    #[arg(long, value_name = "TIME", value_parser = period)]
    pub(crate) by: Duration,
    #[command(flatten)]
    form: Form,
}

/// `hoop requests review`
#[derive(Debug, Args)]
pub(crate) struct ReviewOne {
    /// Its id
    pub(crate) id: RequestId,
    /// What you found
    #[arg(long)]
    pub(crate) finding: String,
    #[command(flatten)]
    form: Form,
}

/// `hoop connect`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hoop connect pg-prod                       local port 5432, or a free one if that is taken
  hoop connect pg-prod --port 6000           exactly this port
  hoop connect pg-prod pg-stage              two at once
  hoop connect pg-prod -- psql clinic        run a program with PGHOST, PGPORT, PGUSER set; its exit code is ours
  hoop connect pg-prod -- pg_dump -t visits  the same
  hoop connect k8s-prod -- kubectl get pods  run it with KUBECONFIG set; helm and python do as well
  hoop connect pg-prod --socket              a Unix socket besides the port
  hoop connect pg-prod --stdio               one stream over stdin and stdout
  hoop connect pg-prod --statement @fix.sql -- sh -c 'psql -X -c \"$HOOP_STATEMENT\"'
                                             this statement alone, as it was approved

The port takes connections of your own user only. Nobody needs the target's password: the agent has it.")]
pub(crate) struct Connect {
    /// Connections to open (see `hoop ls`)
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<ConnectionName>,
    /// Listen on this local port, or fail
    #[arg(short, long)]
    pub(crate) port: Option<u16>,
    /// Listen on a Unix socket as well
    #[arg(long)]
    pub(crate) socket: bool,
    /// Carry one stream over stdin and stdout instead of a port
    #[arg(long, conflicts_with_all = ["port", "socket", "command"])]
    pub(crate) stdio: bool,
    /// Why, for the ledger
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// How session data travels to the gateway
    #[arg(long, value_enum, default_value_t)]
    pub(crate) transport: Transport,
    /// Let other users of this machine use the port
    #[arg(long)]
    pub(crate) allow_local_users: bool,
    #[command(flatten)]
    pub(crate) only: OneStatement,
    #[command(flatten)]
    form: Form,
    /// Program to run with the connection in its environment
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// How session data travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Transport {
    /// Straight to the gateway's port
    #[default]
    Tcp,
    /// In a WebSocket, where a proxy or load balancer terminates TLS
    Websocket,
}

/// `hoop sessions`
#[derive(Debug, Subcommand)]
pub(crate) enum Sessions {
    /// List sessions, newest first: your own, or all for admins and auditors
    Ls(SessionsLs),
    /// Show one session
    Show(OneSession),
    /// Play what somebody did and saw, statement by statement; a shell as its terminal showed it
    #[command(after_help = "\
Examples:
  hoop sessions replay ses_...                          in its own time, pauses cut to two seconds
  hoop sessions replay ses_... --speed 4 --from 12:30   four times as fast, from there on
  hoop sessions replay ses_... --no-wait | less         all at once
  hoop sessions replay ses_... --key auditor.pem        where the gateway cannot decrypt
  hoop sessions replay --file a.hoopr --key org.pem     offline, from an exported recording")]
    Replay(Replay),
    /// Look for personal data in what a recording shows: kinds and counts by statement and column, no values
    #[command(after_help = "\
Examples:
  hoop sessions findings ses_...                        with hoop's own detectors
  hoop sessions findings ses_... --detector http://127.0.0.1:5002
                                                        and with Presidio's analyzer on this machine
  hoop sessions findings --file a.hoopr --key org.pem   offline, from an exported recording

Texts that were shown go to the detector that is named, and nowhere else. Exit code 6 if anything was found.")]
    Findings(Findings),
    /// Follow a live session
    Tail(OneSession),
    /// End a session now
    Kill(Kill),
    /// Write a recording to a file
    #[command(after_help = "\
Examples:
  hoop sessions export ses_... -f sql                   the statements, as SQL, to stdout
  hoop sessions export ses_... -f raw -o a.hoopr        the encrypted recording, for offline use")]
    Export(Export),
    /// Check that a recording is whole and unaltered
    #[command(after_help = "\
Examples:
  hoop sessions verify ses_...              the gateway's own check, and ours on the downloaded recording
  hoop sessions verify --file a.hoopr       offline, without a key

Exit code 6 if anything was found.")]
    Verify(VerifySession),
}

impl Sessions {
    const fn form(&self) -> Option<Form> {
        match self {
            Self::Ls(args) => Some(args.form),
            Self::Show(args) | Self::Tail(args) => Some(args.form),
            Self::Replay(args) => Some(args.form),
            Self::Findings(args) => Some(args.form),
            Self::Kill(args) => Some(args.form),
            Self::Export(_) => None,
            Self::Verify(args) => Some(args.form),
        }
    }
}

/// `hoop sessions ls`
#[derive(Debug, Args)]
pub(crate) struct SessionsLs {
    /// Live ones only
    #[arg(long, conflicts_with = "past")]
    pub(crate) live: bool,
    /// Past ones only
    #[arg(long)]
    pub(crate) past: bool,
    /// Of this person
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<UserName>,
    /// On this connection
    #[arg(long, value_name = "NAME")]
    pub(crate) connection: Option<ConnectionName>,
    #[command(flatten)]
    pub(crate) span: Span,
    #[command(flatten)]
    form: Form,
}

/// A span of time and a number of items.
#[derive(Debug, Args)]
pub(crate) struct Span {
    /// From then on (2026-11-22T09:00:00Z)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Timestamp>,
    /// Until then
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Timestamp>,
    /// At most so many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
}

/// A session's id.
#[derive(Debug, Args)]
pub(crate) struct OneSession {
    /// The session (ses_...)
    pub(crate) id: SessionId,
    #[command(flatten)]
    form: Form,
}

/// `hoop sessions replay`
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The session (ses_...)
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub(crate) id: Option<SessionId>,
    /// Play this recording instead
    #[arg(long, requires = "key")]
    pub(crate) file: Option<PathBuf>,
    /// Private half of the recording key, PEM: the recording is fetched encrypted, and decrypted here
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// So many times as fast
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    pub(crate) speed: f64,
    /// Begin there: 90, 1:30 or 1:02:03 since the session's start
    #[arg(long, default_value = "0", value_name = "TIME", value_parser = replay::place)]
    pub(crate) from: Duration,
    /// Cut pauses to so many seconds
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS")]
    pub(crate) idle_limit: f64,
    /// All at once, and terminals as text
    #[arg(long)]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    form: Form,
}

/// `hoop sessions findings`
#[derive(Debug, Args)]
pub(crate) struct Findings {
    /// The session (ses_...)
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub(crate) id: Option<SessionId>,
    /// Look through this recording instead
    #[arg(long, requires = "key")]
    pub(crate) file: Option<PathBuf>,
    /// Private half of the recording key, PEM: the recording is fetched encrypted, and decrypted here
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Ask this detector too, as Presidio's analyzer is asked (POST /analyze): https://, or http:// on this machine
    #[arg(long, value_name = "URL")]
    pub(crate) detector: Option<String>,
    /// Trust the certificates in this PEM file for it, and no others
    #[arg(long, value_name = "FILE", requires = "detector")]
    pub(crate) detector_ca: Option<PathBuf>,
    /// The language that texts are said to be in
    #[arg(long, default_value = "en", requires = "detector")]
    pub(crate) language: String,
    /// What the detector is less certain of is no finding (0 to 1)
    #[arg(long, default_value_t = 0.5, value_name = "SCORE", requires = "detector")]
    pub(crate) least_score: f64,
    #[command(flatten)]
    form: Form,
}

/// `hoop sessions kill`
#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// The session (ses_...)
    pub(crate) id: SessionId,
    /// Told to the person, written to the ledger
    #[arg(short, long, default_value = "", value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    form: Form,
}

/// `hoop sessions export`
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The session (ses_...)
    pub(crate) id: SessionId,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) format: ExportForm,
    /// Where to; stdout if left away
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Instead, the copies of files that it has: into this folder, new or empty
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["format", "out"])]
    pub(crate) files: Option<PathBuf>,
}

/// Forms of an exported recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ExportForm {
    /// One JSON object a line
    #[default]
    Jsonl,
    /// SQL text
    Sql,
    /// asciicast v3, for players of terminal sessions
    Asciicast,
    /// The encrypted recording itself
    Raw,
}

/// `hoop sessions verify`
#[derive(Debug, Args)]
pub(crate) struct VerifySession {
    /// The session (ses_...)
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub(crate) id: Option<SessionId>,
    /// Check this recording, without asking anybody
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
}

/// `hoop admin`
#[derive(Debug, Subcommand)]
pub(crate) enum Admin {
    /// People
    #[command(subcommand, visible_alias = "user")]
    Users(Users),
    /// Service accounts: programs that open connections or read evidence
    #[command(subcommand, visible_alias = "service-account")]
    ServiceAccounts(ServiceAccounts),
    /// Sealed codes: a way in while the identity provider is away
    #[command(subcommand)]
    SealedCodes(SealedCodes),
    /// Recording keys: which is in force, rotate it
    #[command(subcommand)]
    Keys(RecordingKeysCommand),
    /// API tokens of service accounts
    #[command(subcommand, visible_alias = "token")]
    Tokens(ApiTokens),
    /// Agents
    #[command(subcommand, visible_alias = "agent")]
    Agents(Agents),
    /// Make a one-use token with which an agent enrols
    JoinToken(JoinToken),
    /// Connections
    #[command(subcommand, visible_alias = "connection")]
    Connections(Connections),
    /// Ways in while the gateway is down, made beforehand
    #[command(subcommand)]
    Emergency(Emergency),
    /// Legal holds: recordings that must not be deleted
    #[command(subcommand, visible_alias = "hold")]
    Holds(Holds),
    /// Put access rules in force from a file
    #[command(after_help = "\
The whole file replaces what is in force; the same file again changes nothing. Sessions that the new rules do not
allow end within two seconds. A small file:
  version: 1
  rules:
    - name: clinic-engineers
      subjects: {groups: [engineers]}
      connections: {labels: {app: [clinic]}}
      conditions: {mfa: {max_age: 12h}, reason: true}
      limits: {duration: 8h, idle: 30m}

  hoop admin apply -f access.yaml --dry-run
  hoop admin apply -f access.yaml --note 'night shift'")]
    Apply(Apply),
    /// Print the access rules in force, as `hoop admin apply` reads them
    Export(ExportRules),
    /// Versions of the access rules, and who reaches what
    #[command(subcommand)]
    Rules(RulesCommand),
}

/// `hoop admin apply`
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// Rules, YAML, or a bundle of `hoop policy bundle make`; `-` for stdin
    #[arg(short, long)]
    pub(crate) file: PathBuf,
    /// Only show what would change
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Change only if this version is in force
    #[arg(long, value_name = "N")]
    pub(crate) if_version: Option<u64>,
    /// Why, for those who read the history
    #[arg(long)]
    pub(crate) note: Option<String>,
    #[command(flatten)]
    form: Form,
}

/// `hoop admin export`
#[derive(Debug, Args)]
pub(crate) struct ExportRules {
    /// This version instead of the one in force
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<u64>,
    #[command(flatten)]
    form: Form,
}

/// `hoop admin rules`
#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// All versions: when, by whom, why
    Ls(Form),
    /// Who reaches a connection, or what a person reaches
    Reach(ReachArgs),
}

/// `hoop admin rules reach`
#[derive(Debug, Args)]
#[group(required = true, multiple = false, id = "whom")]
pub(crate) struct ReachArgs {
    /// Who reaches this connection?
    #[arg(long, value_name = "NAME", group = "whom")]
    pub(crate) connection: Option<ConnectionName>,
    /// What does this person reach?
    #[arg(long, value_name = "NAME", group = "whom")]
    pub(crate) person: Option<UserName>,
    #[command(flatten)]
    form: Form,
}

/// `hoop admin emergency`
#[derive(Debug, Subcommand)]
pub(crate) enum Emergency {
    /// Make one: a text for the agent's host and a code for its holder
    #[command(after_help = "\
The holder must be somebody whom an emergency rule (break_glass) lets into the connection. While the gateway is down they
open it on the agent's host: hoop-agent break-glass open --help. The session is recorded there and told of afterwards;
somebody else reviews it.

  hoop admin emergency make pg-prod --holder ada --valid-for 30d --session 1h --out ada.cap")]
    Make(MakeCapability),
    /// List them, with what was heard of their use
    Ls(Form),
    /// Take one back: its agent hears of it now, or when it is back
    Revoke(OneCapability),
}

/// `hoop admin emergency make`
#[derive(Debug, Args)]
pub(crate) struct MakeCapability {
    /// To which connection: good at its agent alone
    pub(crate) connection: ConnectionName,
    /// For whom
    #[arg(long, value_name = "NAME")]
    pub(crate) holder: UserName,
    /// Good for so long, at most 90d
    #[arg(long, value_name = "TIME", value_parser = period, default_value = "30d")]
    pub(crate) valid_for: Duration,
    /// Longest session; the rule may allow less
    #[arg(long, value_name = "TIME", value_parser = period, default_value = "1h")]
    pub(crate) session: Duration,
    /// How often, at most 10
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub(crate) uses: u32,
    /// Write the text to this file, which must not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
}

/// A capability.
#[derive(Debug, Args)]
pub(crate) struct OneCapability {
    /// Its id: cap_…
    pub(crate) id: CapabilityId,
    #[command(flatten)]
    form: Form,
}

impl Admin {
    const fn form(&self) -> Option<Form> {
        match self {
            Self::Users(command) => Some(command.form()),
            Self::Agents(Agents::Ls(form)) => Some(*form),
            Self::ServiceAccounts(command) => Some(match command {
                ServiceAccounts::Ls(form) => *form,
                ServiceAccounts::Add(AddServiceAccount { form, .. }) => *form,
                ServiceAccounts::Lock(one) | ServiceAccounts::Unlock(one) | ServiceAccounts::Rm(one) => {
                    one.form
                }
            }),
            Self::SealedCodes(command) => Some(command.form()),
            Self::Keys(command) => Some(command.form()),
            Self::Tokens(command) => Some(match command {
                ApiTokens::Ls(OneServiceAccount { form, .. })
                | ApiTokens::Add(AddApiToken { form, .. })
                | ApiTokens::Revoke(RevokeApiToken { form, .. }) => *form,
            }),
            Self::Agents(Agents::Remove(args)) => Some(args.form),
            Self::Agents(Agents::JoinToken(args)) | Self::JoinToken(args) => Some(args.form),
            Self::Connections(Connections::Ls(form)) => Some(*form),
            Self::Connections(
                Connections::Show(args)
                | Connections::Test(args)
                | Connections::Scan(args)
                | Connections::Delete(args),
            ) => Some(args.form),
            Self::Connections(Connections::Put(args)) => Some(args.form),
            Self::Connections(Connections::Seal(args)) => Some(args.form),
            Self::Emergency(Emergency::Make(args)) => Some(args.form),
            Self::Emergency(Emergency::Ls(form)) => Some(*form),
            Self::Holds(command) => Some(command.form()),
            Self::Emergency(Emergency::Revoke(args)) => Some(args.form),
            Self::Apply(args) => Some(args.form),
            Self::Export(args) => Some(args.form),
            Self::Rules(RulesCommand::Ls(form)) => Some(*form),
            Self::Rules(RulesCommand::Reach(args)) => Some(args.form),
        }
    }
}

/// `hoop admin agents`
#[derive(Debug, Subcommand)]
pub(crate) enum Agents {
    /// List agents
    Ls(Form),
    /// Remove an agent: its certificate is void, its sessions end
    Remove(OneAgent),
    /// Make a one-use token with which an agent enrols
    JoinToken(JoinToken),
}

/// An agent.
#[derive(Debug, Args)]
pub(crate) struct OneAgent {
    /// Its name
    pub(crate) name: AgentName,
    #[command(flatten)]
    form: Form,
}

/// `hoop admin join-token`
#[derive(Debug, Args)]
pub(crate) struct JoinToken {
    /// The only agent name that it is good for
    pub(crate) agent: AgentName,
    /// Seconds that it is good for, at most a day
    #[arg(long, default_value_t = 3600, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub(crate) ttl: u64,
    #[command(flatten)]
    form: Form,
}

/// `hoop admin connections`
#[derive(Debug, Subcommand)]
pub(crate) enum Connections {
    /// List all connections
    Ls(Form),
    /// Show one, as `put` takes it
    Show(OneConnection),
    /// Make or replace one
    #[command(after_help = "\
Example, as pg-prod.toml:
  agent = \"dc1\"
  protocol = \"postgres\"
  description = \"Production\"
  [labels]
  env = \"prod\"
  [settings]
  host = \"10.0.0.5\"

  hoop admin connections put pg-prod --file pg-prod.toml")]
    Put(PutConnection),
    /// Let its agent log in at the target once, and say what came of it
    Test(OneConnection),
    /// Let its agent look for columns that seem to hold personal data
    #[command(after_help = "\
The agent reads a few values of each column, and tells column, kind and how many values said so; no value leaves it.
It ends with a part of a rule file, to be read, corrected and put in force with `hoop admin apply`.

  hoop admin connections scan pg-prod
  hoop admin connections scan pg-prod -o json")]
    Scan(OneConnection),
    /// Remove one: its sessions end
    Delete(OneConnection),
    /// Seal a credential, so that only the connection's agent can read it
    #[command(after_help = "\
Reads the credential from the terminal, or the first line of stdin, and prints what to put into the settings.
The gateway stores it, and cannot read it.")]
    Seal(Seal),
}

/// A connection.
#[derive(Debug, Args)]
pub(crate) struct OneConnection {
    /// Its name
    pub(crate) name: ConnectionName,
    #[command(flatten)]
    form: Form,
}

/// `hoop admin connections put`
#[derive(Debug, Args)]
pub(crate) struct PutConnection {
    /// Its name
    pub(crate) name: ConnectionName,
    /// Definition, TOML or JSON; `-` for stdin
    #[arg(short, long)]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    form: Form,
}

/// `hoop admin connections seal`
#[derive(Debug, Args)]
pub(crate) struct Seal {
    /// The connection that it is for: it opens for no other
    pub(crate) connection: ConnectionName,
    /// The agent that shall read it; the connection's, if that exists already
    #[arg(long)]
    pub(crate) agent: Option<AgentName>,
    #[command(flatten)]
    form: Form,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does() {
        fn walk(command: &clap::Command) {
            for sub in command.get_subcommands() {
                assert!(sub.get_about().is_some(), "{} has no description", sub.get_name());
                for arg in sub.get_arguments().filter(|arg| !arg.is_hide_set()) {
                    assert!(arg.get_help().is_some(), "{} {} has no help", sub.get_name(), arg.get_id());
                }
                walk(sub);
            }
        }
        walk(&Cli::command());
    }

    #[test]
    fn the_form_may_stand_before_or_after() {
        for line in [
            "hoop ls -o json",
            "hoop -o json ls",
            "hoop admin users ls --output json",
            "hoop -o table ls -o json",
        ] {
            assert_eq!(parse(line).unwrap().format(), Format::Json, "{line}");
        }
        assert_eq!(parse("hoop ls").unwrap().format(), Format::Table);
    }

    #[test]
    fn a_program_follows_two_dashes() {
        let Command::Connect(connect) = parse("hoop connect pg -- psql -c select").unwrap().command else {
            panic!()
        };
        assert_eq!(connect.command, ["psql", "-c", "select"]);
    }

    #[test]
    fn what_runs_in_a_pod_follows_two_dashes_and_the_last_word_about_the_terminal_counts() {
        let Command::Exec(exec) = parse("hoop exec k8s web -t -T -n shop -- ls -l --x").unwrap().command
        else {
            panic!()
        };
        assert_eq!((exec.tty, exec.no_tty, exec.namespace.as_str()), (false, true, "shop"));
        assert_eq!(exec.command, ["ls", "-l", "--x"]);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "hoop",
            "hoop connect",
            "hoop connect Pg",
            "hoop connect pg --stdio --port 1",
            "hoop connect pg --stdio -- psql",
            "hoop connect ../x",
            "hoop kube",
            "hoop kube login",
            "hoop kube login ../x",
            "hoop kube logout",
            "hoop kube logout k8s --all",
            "hoop kube credentials",
            "hoop exec k8s",
            "hoop exec k8s pod ls",
            "hoop sessions show usr_aaaa",
            "hoop sessions replay",
            "hoop sessions replay --file a",
            "hoop sessions findings",
            "hoop sessions findings --file a",
            "hoop sessions findings ses_aaaaaaaaaaaaaaaaaaaaaaaaaa --language de",
            "hoop login --device --password",
            "hoop login --user ada",
            "hoop sessions verify",
            "hoop admin users set ada",
            "hoop admin users set ada -g a --no-groups",
            "hoop admin join-token a --ttl 0",
            "hoop admin service-accounts add ci --role admin",
            "hoop admin tokens add ci",
            "hoop admin tokens add ci --name x --scope admin",
            "hoop admin tokens add ci --name x --token hoop_sa_x",
            "hoop admin tokens revoke ci",
            "hoop admin tokens revoke ci tok_aaaaaaaaaaaaaaaaaaaaaaaaaa --all",
            "hoop connect pg --token hoop_sa_x",
            "hoop audit verify --older x",
            "hoop connect pg --port 65536",
            "hoop ls -o yaml",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
