"""Which port the monitoring server listens on. Apart from the server, whose HTTP library takes its time to load."""

from collections.abc import Mapping

PORT_PREFERRED = 9464  # What exporters of metrics usually listen on.
PORT_MAX = 65_535


class BadPort(ValueError):
    """A setting that is no port; the message names it."""


class PortTaken(Exception):
    """The port that was asked for cannot be had; the message says which and what to do."""


def port_in(environment: Mapping[str, str], name: str) -> int | None:
    """The port a variable asks for, None when it is unset or empty. BadPort."""
    text = environment.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or int(text) > PORT_MAX:
        raise BadPort(f"{name} is {text!r}: set it to a port from 1 to {PORT_MAX}, or to 0 for any free one")
    return int(text)
