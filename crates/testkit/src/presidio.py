"""Presidio's analyzer behind HTTP, in the shape of its own service: POST /analyze.

Its recognizers by pattern, check digit and context, without a language model: nothing is fetched.
"""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import spacy
import tldextract
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import SpacyNlpEngine

# Without it the first address of e-mail would have the list of top-level domains fetched.
tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=())


class Blank(SpacyNlpEngine):
    """Cuts texts into words, and knows no names."""

    def __init__(self):
        super().__init__(models=[{"lang_code": "en", "model_name": "blank"}])
        self.nlp = {"en": spacy.blank("en")}

    def load(self):
        pass


ENGINE = AnalyzerEngine(nlp_engine=Blank(), supported_languages=["en"])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        found = ENGINE.analyze(
            text=asked["text"], language=asked["language"], score_threshold=asked.get("score_threshold")
        )
        body = json.dumps([result.to_dict() for result in found]).encode()
        self.send_response(200 if self.path == "/analyze" else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"ready on {server.server_address[1]} ", flush=True)
server.serve_forever()
