"""What a check found."""

from typing import Literal

import msgspec


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One answer. `mend` is one line: what to do about it. A warning names something that may be missed, a failure
    something without which the company, or a part of it, does not work. `details` are further lines."""

    check: str
    status: Literal["ok", "warning", "failed"]
    found: str
    mend: str = ""
    details: tuple[str, ...] = ()


def ok(check: str, found: str, *details: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", found, details=details)


def warning(check: str, found: str, mend: str, *details: str) -> Finding:
    """Something may be missed."""
    return Finding(check, "warning", found, mend, details)


def failed(check: str, found: str, mend: str, *details: str) -> Finding:
    """Something does not work."""
    return Finding(check, "failed", found, mend, details)
