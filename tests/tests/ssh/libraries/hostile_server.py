"""A host whose sftp names what is not in the folder that was asked for. port, host key, folder."""
import asyncio, os, sys
import asyncssh

port, key, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
NAMES = [b"../escaped", b"/etc/cron.d/absolute", b"..", b".", b"a\nb", b"\x1b[31mred", b"x" * 3000, b"", b"a/../../b", b"plain"]


class Liar(asyncssh.SFTPServer):
    def __init__(self, chan):
        super().__init__(chan, chroot=folder)

    async def scandir(self, path):
        for name in NAMES:
            yield asyncssh.SFTPName(name, b"-rw-r--r-- 1 root root 7 Jan 1 00:00 " + name, asyncssh.SFTPAttrs(size=7, permissions=0o100644))

    def realpath(self, path):
        return b"/somewhere/../else"

    def readlink(self, path):
        return b"/etc/shadow"


class Server(asyncssh.SSHServer):
    def password_auth_supported(self):
        return True

    def validate_password(self, username, password):
        return True


def program(process):
    process.stdout.write("from a hostile host\n")
    process.exit(0)


async def main():
    await asyncssh.create_server(Server, "127.0.0.1", port, server_host_keys=[key], sftp_factory=Liar, process_factory=program,
                                 gss_host=None)
    print("listening", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
