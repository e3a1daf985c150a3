"""A client that asks for what no client asks for. None of it may end more than its own connection. port, known_hosts, alias."""
import asyncio, sys
import asyncssh
from asyncssh.packet import Boolean, Byte, String, UInt32

port, known, alias = int(sys.argv[1]), sys.argv[2], sys.argv[3]
TOUCH = sys.argv[4]


def connect():
    return asyncssh.connect("127.0.0.1", port, host_key_alias=alias, known_hosts=known, username="a;b$(id)" * 20,
                            config=None, client_keys=[], agent_path=None, password=None)


async def alive(conn):
    return (await asyncio.wait_for(conn.run("echo alive"), 20)).stdout == "alive\n"


class Quiet(asyncssh.SSHClientSession):
    """What hears of a channel's end; the library itself fails where nothing hears of it."""

    def __init__(self):
        self.over = asyncio.Event()

    def exit_status_received(self, status):
        self.over.set()

    def connection_lost(self, exc):
        self.over.set()


async def raw_channel(conn):
    """A session channel on which nothing has been asked yet."""
    chan = asyncssh.channel.SSHClientChannel(conn, conn._loop, None, None, "strict", 1 << 20, 1 << 15)
    await asyncio.wait_for(chan._open(b"session"), 20)
    chan._session = Quiet()
    return chan


async def main():
    refused = 0
    # Kinds of channels that a client has no business with, and one that nobody knows.
    for kind, args in [(b"x11", [String("h"), UInt32(1)]), (b"forwarded-tcpip", [String("h"), UInt32(1), String("h"), UInt32(1)]),
                       (b"auth-agent@openssh.com", []), (b"tun@openssh.com", [UInt32(1), UInt32(1)]), (b"no-such-kind", []),
                       (b"forwarded-streamlocal@openssh.com", [String("/x"), String("")])]:
        async with connect() as conn:
            chan = asyncssh.channel.SSHClientChannel(conn, conn._loop, None, None, "strict", 1 << 20, 1 << 15)
            try:
                await asyncio.wait_for(chan._open(kind, *args), 20)
                raise SystemExit(f"{kind} was opened")
            except (asyncssh.Error, OSError):
                refused += 1
            conn.abort()
    async with connect() as conn:
        assert await alive(conn)
        # Requests of the whole connection.
        for name, args in [(b"no-such-request@x", []), (b"hostkeys-prove-00@openssh.com", [String(b"x" * 100)]),
                           (b"cancel-tcpip-forward", [String("nowhere"), UInt32(70000)]), (b"tcpip-forward", [String("x" * 5000), UInt32(70000)]),
                           (b"streamlocal-forward@openssh.com", [String("/" + "x" * 5000)])]:
            pkttype, _ = await asyncio.wait_for(conn._make_global_request(name, *args), 20)
            assert pkttype == 82, (name, pkttype)  # SSH_MSG_REQUEST_FAILURE
        assert await alive(conn)
        # Requests before a program: a terminal without end, variables without end.
        chan = await raw_channel(conn)
        for _ in range(100):
            chan._send_request(b"env", String("LC_" + "x" * 200), String("y" * 3000))
            chan._send_request(b"pty-req", String("t" * 3000), UInt32(0xFFFFFFFF), UInt32(0), UInt32(0), UInt32(0), String(b"\x00"))
        chan._send_request(b"x11-req", Boolean(False), String("x" * 3000), String("x" * 3000), UInt32(0))
        chan._send_request(b"signal", String("KILL"))
        chan._send_request(b"window-change", UInt32(0), UInt32(0), UInt32(0), UInt32(0))
        chan._send_request(b"break", UInt32(1))
        chan._send_request(b"no-such-request")
        chan.close()
        assert await alive(conn)
        # A second program on the same channel does not run.
        for first, second in [(b"exec", b"exec"), (b"exec", b"subsystem"), (b"exec", b"shell")]:
            chan = await raw_channel(conn)
            chan._send_request(first, String("sleep 0.3"))
            chan._send_request(second, *([] if second == b"shell" else [String(f"touch {TOUCH}")]))
            await asyncio.wait_for(chan._session.over.wait(), 20)
            chan.close()
        assert await alive(conn)
        # Names of subsystems and signals, and what is typed at nothing.
        for name in ("sftp\0", "SFTP", "../sftp", "x" * 3000, ""):
            chan = await raw_channel(conn)
            chan._send_request(b"subsystem", String(name))
            chan.close()
        process = await conn.create_process("exec cat")
        for signal in ("NOSUCH", "SIGKILL", "9", "\0", "x" * 1000):
            process.channel._send_request(b"signal", String(signal))
        process.stdin.write("still here\n")
        process.stdin.write_eof()
        assert (await asyncio.wait_for(process.wait(), 20)).stdout == "still here\n"
    # Messages about channels that are none: at most this connection ends.
    for packet in [(94, UInt32(4000) + String("x")), (93, UInt32(0) + UInt32(0xFFFFFFFF)), (98, UInt32(4000) + String("exec") + Boolean(True) + String("id")),
                   (97, UInt32(4000)), (91, UInt32(0) + UInt32(0) + UInt32(0) + UInt32(0)), (80, String("x")), (255, b""), (30, b"x"), (50, b"x"), (60, b"")]:
        async with connect() as conn:
            assert await alive(conn)
            conn.send_packet(packet[0], packet[1])
            try:
                await asyncio.wait_for(conn.run("true"), 10)
            except (asyncssh.Error, OSError, asyncio.TimeoutError):
                pass
            conn.abort()
    async with connect() as conn:
        assert await alive(conn)
    print(refused)


asyncio.run(asyncio.wait_for(main(), 60))
