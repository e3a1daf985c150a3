"""What programs do with paramiko: commands, a shell, files, and a forward that is refused. port, known_hosts, alias, folder."""
import hashlib, io, os, sys, time
import paramiko

port, known, alias, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
client = paramiko.SSHClient()
client.load_host_keys(known)
client.set_missing_host_key_policy(paramiko.RejectPolicy())
# The key is looked up under the name that hoop gave it.
import socket
client.connect(alias, sock=socket.create_connection(("127.0.0.1", port)),
               auth_strategy=type("None_", (paramiko.auth_strategy.AuthStrategy,), {
                   "get_sources": lambda self: iter([paramiko.auth_strategy.NoneAuth("anybody")]),
               })(client._ssh_config if hasattr(client, "_ssh_config") else paramiko.SSHConfig()))

stdin, stdout, stderr = client.exec_command("cat; echo err >&2; exit 3")
stdin.write("typed\n")
stdin.channel.shutdown_write()
assert (stdout.read(), stderr.read()) == (b"typed\n", b"err\n")
assert stdout.channel.recv_exit_status() == 3

shell = client.invoke_shell("xterm", 90, 25)
shell.settimeout(20)
shell.send(b"PS1=; stty -echo; echo re''ady; stty size; exit 4\n")
shown = b""
while True:
    piece = shell.recv(4096)
    if not piece:
        break
    shown += piece
assert b"ready" in shown and b"25 90" in shown, shown
assert shell.recv_exit_status() == 4

content = os.urandom(3 << 20)
sftp = client.open_sftp()
sftp.putfo(io.BytesIO(content), f"{folder}/there")
back = io.BytesIO()
sftp.getfo(f"{folder}/there", back)  # reads ahead, in pieces that come in any order
assert back.getvalue() == content
with sftp.open(f"{folder}/there", "r+b") as file:
    file.seek(1 << 20)
    file.write(b"in the middle")
assert [entry.filename for entry in sftp.listdir_attr(folder)] == ["there"]
try:
    sftp.stat(f"{folder}/none")
    raise SystemExit("what is not there was found")
except FileNotFoundError:
    pass
sftp.close()

transport = client.get_transport()
try:
    transport.open_channel("direct-tcpip", ("127.0.0.1", port), ("127.0.0.1", 1))
    raise SystemExit("a forward was opened")
except paramiko.ChannelException as refused:
    assert refused.code == 1, refused
try:
    transport.request_port_forward("127.0.0.1", 0)
    raise SystemExit("it listens")
except paramiko.SSHException:
    pass
transport.send_ignore(2000)
transport.renegotiate_keys()
# Channels beside each other, many at once.
running = [client.exec_command(f"echo {number}")[1] for number in range(10)]
assert [int(out.read()) for out in running] == list(range(10))
client.close()
print(hashlib.sha256(content).hexdigest())
