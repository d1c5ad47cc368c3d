"""What a secret looks like: the formats that well-known services give their tokens, and assignments of random text.

A match is only ever shown masked. Formats are the services' own, from their public documentation.
"""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from protocol.tools import Severity

LINE_CHARS_MAX = 4_000  # a longer line is data or a bundle; its first part is looked at
SHOWN_CHARS = 4  # of a secret, and never more than a quarter of it
HASHED_CHARS_MIN = 20  # a shorter one could be found again from its hash by trying words
ENTROPY_BITS_MIN = 3.2  # a character, by Shannon; words and names stay below
VALUE_CHARS_MIN, VALUE_CHARS_MAX = 10, 200


class _Format(NamedTuple):
    rule: str
    pattern: re.Pattern[str]
    severity: Severity
    what: str


def _format(rule: str, pattern: str, severity: Severity, what: str) -> _Format:
    return _Format(rule, re.compile(rf"(?<![A-Za-z0-9_\-])(?P<secret>{pattern})(?![A-Za-z0-9_\-])"), severity, what)


FORMATS = (
    _format("aws-access-key", r"(?:AKIA|ASIA)[A-Z0-9]{16}", "critical", "an AWS access key id"),
    _format("github-token", r"gh[pousr]_[A-Za-z0-9]{36,251}", "critical", "a GitHub token"),
    _format("github-token", r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}", "critical", "a GitHub token"),
    _format("gitlab-token", r"glpat-[A-Za-z0-9_\-]{20,64}", "critical", "a GitLab token"),
    _format("slack-token", r"xox[abeoprs]-[A-Za-z0-9-]{10,250}", "critical", "a Slack token"),
    _format("slack-webhook", r"https://hooks\.slack\.com/services/T\w{8,12}/B\w{8,12}/\w{20,30}", "high",
            "a Slack webhook, which lets anybody post"),
    _format("stripe-key", r"[sr]k_live_[A-Za-z0-9]{16,247}", "critical", "a live Stripe key"),
    _format("stripe-test-key", r"[sr]k_test_[A-Za-z0-9]{16,247}", "medium", "a Stripe key of the test mode"),
    _format("google-api-key", r"AIza[A-Za-z0-9_\-]{35}", "high", "a Google API key (those of web clients are public)"),
    _format("openai-key", r"sk-(?:proj-|svcacct-)[A-Za-z0-9_\-]{40,200}", "critical", "an OpenAI key"),
    _format("anthropic-key", r"sk-ant-[a-z0-9]{2,10}-[A-Za-z0-9_\-]{40,200}", "critical", "an Anthropic key"),
    _format("npm-token", r"npm_[A-Za-z0-9]{36}", "critical", "an npm token"),
    _format("pypi-token", r"pypi-AgE[A-Za-z0-9_\-]{50,500}", "critical", "a PyPI token"),
    _format("sendgrid-key", r"SG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43}", "critical", "a SendGrid key"),
    _format("json-web-token", r"eyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{16,}", "high",
            "a JSON Web Token (it may have expired)"),
)  # fmt: skip

_KEY_BLOCK = re.compile(
    # The body may be in the lines of the file or, in a string, separated by \n. Headers alone are documentation.
    r"-----BEGIN (?P<kind>[A-Z ]{0,20})PRIVATE KEY(?: BLOCK)?-----(?P<body>(?:\\n|\\r|[\s\"'+>,\\]){1,20}"
    r"(?:(?:Proc-Type|DEK-Info|Version|Comment):[^\n]{0,200}(?:\\n|\s)+){0,4}[A-Za-z0-9+/=]{40})"
)
_NAME = (
    r"(?P<name>[A-Za-z0-9_.\-]{0,40}?(?:passw(?:or)?d|passphrase|secret|token|api[_\-]?key|access[_\-]?key|private[_\-]?key)"
    r"[A-Za-z0-9_\-]{0,20})"
)
_LENGTH = f"{{{VALUE_CHARS_MIN},{VALUE_CHARS_MAX}}}"
_QUOTED = re.compile(
    rf"""(?i){_NAME}["']?\]?\s*(?::=|=>|[:=])\s*[rbuf]?(?P<quote>["'`])(?P<secret>[^"'`\s]{_LENGTH})(?P=quote)"""
)
_BARE = re.compile(rf"""(?i)^\s*(?:export\s+|-\s+)?{_NAME}\s*[:=]\s*(?P<secret>[^\s"'`#;]{_LENGTH})\s*(?:#.*)?$""")
# Cheap looks first: almost no line of a repository holds any of these.
_MAYBE_FORMAT = re.compile(
    r"A[KS]IA|gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|hooks\.slack|k_(?:live|test)_|AIza|sk-|npm_|pypi-|SG\.|eyJ"
)
_MAYBE_NAME = re.compile(r"(?i)passw|passphrase|secret|token|key")
_URL = re.compile(
    r"\b[a-z][a-z0-9+]{1,15}://(?P<user>[^\s:/@\"'`]{1,64}):(?P<secret>[^\s:/@\"'`]{4,100})@(?P<host>[\w.\-]+)"
)

_PLACEHOLDER = re.compile(
    r"(?i)example|sample|dummy|placeholder|change[_\-]?me|your[_\-]|my[_\-]?(?:secret|token|pass)|x{4,}|\*{3,}|\.{3}|<[^>]*>"
    r"|\$\{|\$\(|\{\{|%\(|%s|\{[a-z_.]*\}|redacted|masked|fake|insert|todo|foobar|hunter2|abcdef|123456|qwerty|(.)\1{5,}"
)
_JWT_EXAMPLE = "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9l"  # the specimen of the format's own site
_CONFIG_SUFFIXES = frozenset(
    {".env", ".ini", ".cfg", ".conf", ".properties", ".yml", ".yaml", ".toml", ".envrc", ".npmrc"}
)
_HARMLESS_HOST = re.compile(
    # This machine, the service names of compose files, and the names that RFC 2606 keeps for examples.
    r"^(?:localhost|127\.0\.0\.1|0\.0\.0\.0|host|db|postgres|redis|(?:.*\.)?example(?:\.(?:com|net|org))?|.*\.(?:test|invalid))$"
)


@dataclass(frozen=True, slots=True)
class Match:
    """A probable secret on a line (from 1). `secret` is the text itself: it must not leave the program unmasked."""

    line: int
    rule: str
    severity: Severity
    what: str
    secret: str


def find(path: str, text: str) -> Iterator[Match]:
    """Every probable secret in a text, in the order of its lines; placeholders of known formats are `info`."""
    taken: set[tuple[int, str]] = set()
    for match in _KEY_BLOCK.finditer(text):
        encrypted = "ENCRYPTED" in match["kind"] or "ENCRYPTED" in match["body"]
        what = "an encrypted private key" if encrypted else "a private key"
        line = text.count("\n", 0, match.start()) + 1
        yield Match(
            line,
            "private-key",
            "high" if encrypted else "critical",
            what,
            match["body"].replace("\\n", " ").strip(" \n\r\t\"'+,>\\"),
        )
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw[:LINE_CHARS_MAX]
        for each in FORMATS if _MAYBE_FORMAT.search(line) else ():
            for match in each.pattern.finditer(line):
                secret = match["secret"]
                taken.add((number, secret))
                sample = is_placeholder(secret)
                what = f"{each.what}, by its text an example" if sample else each.what
                yield Match(number, each.rule, "info" if sample else each.severity, what, secret)
        for match in _assigned(path, line, number):
            if not any(line_ == number and (match.secret in known or known in match.secret) for line_, known in taken):
                yield match


def is_placeholder(secret: str) -> bool:
    """Whether a text says by itself that it is none: an example, a template, a row of the same letter."""
    return bool(_PLACEHOLDER.search(secret)) or _JWT_EXAMPLE in secret or len(set(secret)) < 5


def masked(secret: str) -> str:
    """The first letters, the length and, of a long one, the start of its SHA-256: enough to recognise, not to use."""
    shown = secret[: min(SHOWN_CHARS, len(secret) // 4)]
    text = f"{shown}… ({len(secret)} characters"
    return f"{text}, sha256 {fingerprint(secret)})" if len(secret) >= HASHED_CHARS_MIN else f"{text})"


def fingerprint(secret: str) -> str:
    """The first 8 hex digits of the SHA-256 of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()[:8]


def entropy(text: str) -> float:
    """Shannon entropy in bits a character."""
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts) if text else 0.0


def _assigned(path: str, line: str, number: int) -> Iterator[Match]:
    name = path.rsplit("/", 1)[-1]
    plain = name.startswith(".env") or any(name.endswith(suffix) for suffix in _CONFIG_SUFFIXES)
    named = bool(_MAYBE_NAME.search(line))
    matches = list(_QUOTED.finditer(line)) if named else []
    if named and plain and not matches:
        matches = list(_BARE.finditer(line))
    for match in matches:
        if _is_random(match["secret"]):
            yield Match(
                number, "assigned-secret", "medium", f"a random text assigned to `{match['name']}`", match["secret"]
            )
    for match in _URL.finditer(line) if "://" in line and "@" in line else ():
        weak = match["secret"] in (match["user"], "password", "pass", "secret", "postgres", "guest")
        if not (weak or _HARMLESS_HOST.match(match["host"]) or is_placeholder(match["secret"])):
            yield Match(number, "url-password", "medium", f"a password in a URL of {match['host']}", match["secret"])


def _is_random(value: str) -> bool:
    """Whether a value looks drawn by lot: mixed characters and entropy, no words, no name, path or address."""
    if is_placeholder(value) or "://" in value or value.startswith(("/", "./", "$", "{", "process.env", "os.environ")):
        return False
    # Words joined by marks are names of things: `client_secret_basic`, `tools.run.v1`, `X-Api-Key`.
    if all(
        re.fullmatch(r"[A-Za-z]+\d{0,2}|v?\d{1,2}", part) and len(part) < 16 for part in re.split(r"[._\-/:]", value)
    ):
        return False
    if any(letter in value for letter in "()[]{}, "):
        return False
    classes = sum(any(test(letter) for letter in value) for test in (str.islower, str.isupper, str.isdigit))
    return classes >= 2 and any(letter.isdigit() for letter in value) and entropy(value) >= ENTROPY_BITS_MIN
