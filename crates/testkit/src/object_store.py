"""An S3-compatible store for tests: moto's, with object lock, behind a door that can refuse everybody or let them wait."""

import threading

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

store = DomainDispatcherApplication(create_backend_app)
mode = "open"
changed = threading.Condition()
puts = []


def application(environ, start_response):
    global mode
    path = environ["PATH_INFO"]
    if path.startswith("/control/"):
        word = path.removeprefix("/control/")
        with changed:
            if word != "look":
                mode = word
            changed.notify_all()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return ["\n".join(puts).encode()]
    with changed:
        # A caller that gives up is answered into nothing; nobody waits for ever.
        changed.wait_for(lambda: mode != "hang", timeout=60)
        refused = mode == "refuse"
    if refused:
        body = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>no</Message></Error>"
        start_response("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]
    if environ["REQUEST_METHOD"] in ("PUT", "POST", "DELETE"):
        puts.append(f"{environ['REQUEST_METHOD']} {path}?{environ['QUERY_STRING']}")
    return store(environ, start_response)


server = make_server("127.0.0.1", 0, application, threaded=True)
print(f"ready on {server.server_port} ", flush=True)
server.serve_forever()
