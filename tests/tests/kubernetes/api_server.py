# An API server that does what none should. Arguments: certificate, key. Prints its port.
import gzip, socket, ssl, sys, threading

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
accepted, sent, tried, piece = 0, 0, 0, b"a line of a log that has no end, 64 bytes long, again and again\n" * 1024
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: %s\r\n\r\n"
POD = b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web"}}'


def serve(plain):
    global sent, tried
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
            stream.settimeout(0.05)
            at = 0
            while True:
                try:
                    count = stream.send(piece[at:])
                    at, sent, tried = (at + count) % len(piece), sent + count, 0
                except TimeoutError:
                    tried += 1
        elif b"/secrets" in path:
            # What a Secret holds, in each place where words can stand.
            quoted = b'{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"%s","message":"canary-said","code":422,' \
                     b'"details":{"name":"canary-said","causes":[{"message":"canary-said","field":"canary-said"}]}}'
            kind, status, body, more = b"application/json", b"422 canary-said", quoted % b"Invalid", b""
            if b"watch=" in path:
                status, body = b"200 OK", b'{"type":"ERROR","object":%s}\n' % (quoted % b"Expired")
            elif path.endswith(b"/inside"):
                status = b"200 OK"
            elif path.endswith(b"/reason"):
                body = quoted % b"canary-said, it is"
            elif path.endswith(b"/plain"):
                kind, status, body = b"text/plain", b"500 canary-said", b"canary-said"
            elif path.endswith(b"/gzip"):
                status, body, more = b"403 Forbidden", gzip.compress(body), b"Content-Encoding: gzip\r\n"
            elif path.endswith(b"/cut"):
                more = b"Content-Length: 100000\r\n"
            elif path.endswith(b"/fine"):
                status, body = b"200 OK", b'{"kind":"Secret","apiVersion":"v1","metadata":{"name":"fine"}}'
            elif path.endswith(b"/moved"):
                status, more = b"307 Temporary Redirect", b"Location: /canary-said\r\n"
            if b"/cut" not in path:
                more += b"Content-Length: %d\r\n" % len(body)
            stream.sendall(b"HTTP/1.1 %s\r\nConnection: close\r\nContent-Type: %s\r\nETag: canary-said\r\n"
                           b'Warning: 299 - "canary-said"\r\n%s\r\n%s' % (status, kind, more, body))
        elif b"watch=" in path:
            event = b'{"type":"ADDED","object":' + POD + b"}\n"
            stream.sendall(HEAD % b"application/json" + event)
            stream.recv(1)
        elif path.endswith(b"/sent"):
            stream.sendall(HEAD % b"application/json" + b"[%d,%d]" % (sent, tried))
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
