"""What programs do with asyncssh: commands, signals, a terminal, trees of files. port, known_hosts, alias, folder."""
import asyncio, os, sys
import asyncssh

port, known, alias, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]


async def main():
    async with asyncssh.connect("127.0.0.1", port, host_key_alias=alias, known_hosts=known, username="anybody",
                                config=None, client_keys=[], agent_path=None, password=None) as conn:
        done = await conn.run("cat; echo err >&2; exit 3", input="typed\n")
        assert (done.stdout, done.stderr, done.exit_status) == ("typed\n", "err\n", 3), done
        many = await asyncio.gather(*(conn.run(f"echo {number}") for number in range(10)))
        assert [int(one.stdout) for one in many] == list(range(10))

        # OpenSSH's server passes no signals on where it runs as root, as a test may have it; the agent's own machine does.
        for signal in ("TERM", "INT", "USR1") if not folder else ():
            process = await conn.create_process("echo ready; exec sleep 600")
            assert await process.stdout.readline() == "ready\n"
            process.send_signal(signal)
            ended = await process.wait()
            assert ended.exit_signal and ended.exit_signal[0] == signal, ended.exit_signal

        died = await conn.run("kill -KILL $$")
        assert died.exit_signal and died.exit_signal[0] == "KILL", died.exit_signal

        process = await conn.create_process(term_type="xterm", term_size=(90, 25))
        process.stdin.write("PS1=; stty -echo; echo re''ady\n")
        await process.stdout.readuntil("ready")
        process.change_terminal_size(100, 30)
        process.stdin.write("while [ \"$(stty size)\" != '30 100' ]; do :; done; echo re''sized; exit 4\n")
        shown = await process.stdout.read()
        assert "resized" in shown, shown
        assert (await process.wait()).exit_status == 4

        if folder:
            tree = os.path.join(folder, "tree")
            os.makedirs(os.path.join(tree, "a", "b"))
            for name in ("one", "a/two", "a/b/three"):
                with open(os.path.join(tree, name), "wb") as file:
                    file.write(os.urandom(300_000))
            async with conn.start_sftp_client() as sftp:
                await sftp.put(tree, f"{folder}/there", recurse=True)
                await sftp.get(f"{folder}/there", f"{folder}/back", recurse=True)
                assert sorted(await sftp.glob(f"{folder}/there/**/t*")) == [f"{folder}/there/a/b/three", f"{folder}/there/a/two"]
            for name in ("one", "a/two", "a/b/three"):
                with open(os.path.join(tree, name), "rb") as sent, open(os.path.join(folder, "back", name), "rb") as back:
                    assert sent.read() == back.read()
            await asyncssh.scp((conn, f"{folder}/there/one"), f"{folder}/by-scp")
            try:
                await conn.open_connection("127.0.0.1", port)
                raise SystemExit("a forward was opened")
            except asyncssh.ChannelOpenError as refused:
                assert refused.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, refused


asyncio.run(asyncio.wait_for(main(), 60))
print("done")
