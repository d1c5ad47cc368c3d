"""The personal columns of the views, in one place: what they hold is sealed text, and no aggregate is made of it.

A view that keeps a field which the protocol declares personal (see protocol/personal.py) names its column here. No
other column of any view may hold such text, and no statement may count, group, compare or order by one of these: once
a subject is forgotten nobody may be able to tell from a figure what its text was.
"""

from collections.abc import Mapping

PERSONAL_COLUMNS: Mapping[str, frozenset[str]] = {"tasks": frozenset({"contact"})}  # By table.
