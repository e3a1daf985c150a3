"""Lists what a hostile host names, byte for byte. port, known_hosts, alias."""
import asyncio, sys
import asyncssh

port, known, alias = int(sys.argv[1]), sys.argv[2], sys.argv[3]


async def main():
    async with asyncssh.connect("127.0.0.1", port, host_key_alias=alias, known_hosts=known, username="anybody",
                                config=None, client_keys=[], agent_path=None, password=None) as conn:
        assert (await conn.run("anything")).stdout == "from a hostile host\n"
        async with conn.start_sftp_client(path_encoding=None) as sftp:
            names = [entry.filename async for entry in sftp.scandir(b"/listed")]
            assert b"../escaped" in names and b"/etc/cron.d/absolute" in names and len(names) == 10, names
            async with sftp.open(b"plain", "rb") as file:
                assert await file.read() == b"content"
        assert (await conn.run("again")).stdout == "from a hostile host\n"


asyncio.run(asyncio.wait_for(main(), 60))
print("done")
