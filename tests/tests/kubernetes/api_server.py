# An API server that does what none should. Arguments: certificate, key. Prints its port.
import socket, ssl, sys, threading

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
accepted, sent, piece = 0, 0, b"a line of a log that has no end, 64 bytes long, again and again\n" * 1024
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: %s\r\n\r\n"
POD = b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web"}}'


def serve(plain):
    global sent
    try:
        stream = context.wrap_socket(plain, server_side=True)
        head = b""
        while b"\r\n\r\n" not in head:
            more = stream.recv(65536)
            if not more:
                return
            head += more
        path = head.split(b" ")[1]
        if b"/log" in path:
            stream.sendall(HEAD % b"text/plain")
            while True:
                stream.sendall(piece)
                sent += len(piece)
        elif b"watch=" in path:
            event = b'{"type":"ADDED","object":' + POD + b"}\n"
            stream.sendall(HEAD % b"application/json" + event)
            stream.recv(1)
        elif path.endswith(b"/sent"):
            stream.sendall(HEAD % b"application/json" + b"%d" % sent)
        elif path.endswith(b"/accepted"):
            stream.sendall(HEAD % b"application/json" + b"%d" % accepted)
        elif path.endswith(b"/noise"):
            stream.sendall(b"\x00\xff" * 1000 + b"\r\n\r\n")
        elif path.endswith(b"/long-head"):
            stream.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                stream.sendall(b"X-A: " + b"x" * 65000 + b"\r\n")
        elif path.endswith(b"/cut"):
            stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
        elif path.endswith(b"/switch"):
            stream.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        elif b"/exec" in path:
            stream.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
                           b"X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n" + b"\xff" * 4096)
            stream.recv(1)
        else:
            stream.sendall(HEAD % b"application/json" + POD)
        stream.close()
    except OSError:
        pass


while True:
    connection, _ = listener.accept()
    accepted += 1
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
