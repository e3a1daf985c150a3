//! What can go wrong here, as a person is told it.

use hoop_model::{Blame, Fault};

/// The connection's settings do not offer this.
pub(crate) fn not_offered(what: &str) -> Fault {
    Fault::new("HOOP-2043", Blame::Policy, format!("this connection does not offer {what}"))
        .with_hint("an admin says in its settings, under `allow`, what it is for")
}

/// The connection runs one command, which no client chooses.
pub(crate) fn fixed() -> Fault {
    Fault::new("HOOP-2043", Blame::Policy, "this connection runs a command of its own, and no other")
        .with_hint("leave the command out: `hoop ssh NAME` runs what the connection is for")
}

/// The agent's own machine forwards nothing.
pub(crate) fn no_forwards() -> Fault {
    Fault::new("HOOP-5045", Blame::Policy, "nothing is forwarded to or from the agent's own machine")
        .with_hint("what is reached from there can be a connection of its own")
}

/// The connection's settings do not list this for forwarding.
pub(crate) fn not_registered() -> Fault {
    Fault::new("HOOP-2044", Blame::Policy, "this is not registered for forwarding over this connection")
        .with_hint("an admin lists what may be reached, and listened on, in its settings, under `forwarding`")
}

/// The credential is no private key.
pub(crate) fn not_a_key() -> Fault {
    Fault::new("HOOP-4240", Blame::System, "what the agent finds as this connection's private key is none")
        .with_hint("it must be an OpenSSH or PKCS#8 key in PEM, without a passphrase")
}

/// A name that a certificate cannot carry.
pub(crate) fn name() -> Fault {
    Fault::new("HOOP-5040", Blame::Policy, "a certificate for the host cannot carry this person's name")
        .with_hint(
            "names of letters, digits and . _ - @ + can stand in it; an admin gives the person such a name",
        )
}

/// The authority's key signs nothing.
pub(crate) fn no_certificate() -> Fault {
    Fault::new("HOOP-5041", Blame::System, "the agent could not make a certificate for the host")
        .with_hint("the authority's key must be Ed25519, ECDSA or RSA; the agent's log says more")
}

/// No handshake with the host.
pub(crate) fn handshake(what: &str) -> Fault {
    Fault::new("HOOP-5030", Blame::Target, format!("no SSH with the host: {what}"))
        .with_hint("is it an SSH server, and of this century? its log says more")
}

/// Another key than the pinned one.
pub(crate) fn host_key(what: &str) -> Fault {
    Fault::new(
        Fault::OTHER_HOST_KEY,
        Blame::Target,
        format!("THE HOST'S KEY IS NOT THE ONE THAT IS KNOWN: {what}"),
    )
    .with_hint(
        "somebody may stand between the agent and the host; if it was set up anew, an admin pins its new key",
    )
}

/// No key is pinned yet.
pub(crate) fn no_host_key(what: &str) -> Fault {
    Fault::new(
        "HOOP-5042",
        Blame::System,
        format!("no key of the host is pinned yet, and none is trusted unseen: {what}"),
    )
    .with_hint("an admin compares that key by another way, and puts it into `host_keys` of the connection")
}

/// The host does not let the connection's user in.
pub(crate) fn login(what: &str) -> Fault {
    Fault::new("HOOP-5032", Blame::Target, format!("the host did not let hoop in: {what}"))
        .with_hint("an admin looks at the connection's user and credential")
}

/// The host refuses a channel or what was asked on it.
pub(crate) fn refused(what: &str) -> Fault {
    Fault::new("HOOP-5033", Blame::Target, format!("the host refused {what}"))
        .with_hint("its own settings may forbid it: sshd_config, the user's shell, the number of sessions")
}

/// The connection to the host broke.
pub(crate) fn lost() -> Fault {
    Fault::new("HOOP-5034", Blame::Target, "the connection to the host broke")
        .with_hint("the host closed it, or the network between the agent and it failed")
}

/// The client does what no client does.
pub(crate) fn client(what: &str) -> Fault {
    Fault::new("HOOP-5035", Blame::Caller, format!("the SSH client {what}"))
        .with_hint("`hoop ssh` runs the system's OpenSSH client with the right options")
}

/// What the host answers a transfer of files is none.
pub(crate) fn no_files(protocol: &str) -> Fault {
    let what = format!("what the host answers to a transfer of files is not {protocol}");
    Fault::new("HOOP-5036", Blame::Target, what).with_hint(
        "a shell that greets (in .bashrc) is in the way of every transfer; else look at the host's Subsystem",
    )
}

/// Too much waits for a program that reads nothing, and other channels of the connection wait with it.
pub(crate) fn unread() -> Fault {
    Fault::new("HOOP-5037", Blame::Target, "the program on the host does not read what is sent to it")
        .with_hint("give it a connection of its own: `ssh -o ControlPath=none`")
}

/// Whether it is more than one channel's own end: a recording that is broken, and whatever else is not known to be less.
pub(crate) fn ends_stream(fault: &Fault) -> bool {
    !matches!(fault.code.as_str(), "HOOP-5034" | "HOOP-5035" | "HOOP-5036" | "HOOP-5037")
}
