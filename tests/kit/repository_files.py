"""The content of the repositories that `repositories.py` builds: relative path → text."""

LICENCE = {
    "LICENSE": """MIT License

Copyright (c) 2024 Ada Tester

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""
}

README = {
    "README.md": """# parcels

Prices for parcels by weight and zone.

## Install

    pip install parcels

## Use

    python -m parcels.cli 1200 remote

## Test

    pytest
"""
}

CHANGELOG = {
    "CHANGELOG.md": """# Changelog

## 0.1.0 (2024-01-05)

- Money in cents, rates by weight and zone, quotes.
"""
}

PYPROJECT = {
    "pyproject.toml": """[project]
name = "parcels"
version = "0.1.0"
description = "Prices for parcels by weight and zone."
readme = "README.md"
requires-python = ">=3.11"
license = "MIT"
dependencies = ["requests==2.32.3", "pyyaml==6.0.2"]

[project.scripts]
parcels = "parcels.cli:main"

[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[tool.pytest.ini_options]
pythonpath = ["src"]
testpaths = ["tests"]
""",
    "requirements.txt": "requests==2.32.3\npyyaml==6.0.2\n",
}

MONEY = {
    "src/parcels/__init__.py": '"""Prices for parcels."""\n',
    "src/parcels/money.py": '''"""Money is a whole number of cents."""


def cents(euros: float) -> int:
    """Euros as cents, rounded to the nearest."""
    return round(euros * 100)


def shown(amount: int) -> str:
    """An amount of cents as people read it."""
    return f"{amount // 100}.{amount % 100:02d} EUR"
''',
}

RATES = {
    "src/parcels/rates.py": '''"""What a parcel costs by weight and zone."""

import os
import json
from parcels.money import cents

STEPS = ((1000, cents(4.5)), (5000, cents(7.9)), (31500, cents(16.5)))
SURCHARGES = { "home" : 0, "near": cents(2), "remote": cents(9) }


def base(grams: int) -> int:
    """The price of the first step that takes the weight."""
    for limit, price in STEPS:
        if grams <= limit:
            return price
    raise ValueError(f"too heavy: {grams} g, limit {STEPS[-1][0]} g")


def surcharge(zone):
    return SURCHARGES[zone]
'''
}

RATES_BROKEN = {"src/parcels/rates.py": RATES["src/parcels/rates.py"].replace("return SURCHARGES[zone]", "return 0")}

QUOTES = {
    "src/parcels/quotes.py": '''"""One price for one parcel."""

from parcels.money import shown
from parcels.rates import base, surcharge


def quote(grams: int, zone: str) -> int:
    """Cents for a parcel of `grams` to `zone`."""
    return base(grams) + surcharge(zone)


def offer(grams: int, zone: str) -> str:
    label = f"Offer"
    return label + ": " + shown(quote(grams, zone))
'''
}

QUOTES_FIXED = {
    "src/parcels/quotes.py": QUOTES["src/parcels/quotes.py"].replace(
        "    return base(grams) + surcharge(zone)",
        '    if grams <= 0:\n        raise ValueError("a parcel has a weight")\n'
        "    return base(grams) + surcharge(zone)",
    )
}

CLI = {
    "src/parcels/cli.py": '''"""The command line: parcels GRAMS ZONE."""

import sys

from parcels.quotes import offer


def main() -> int:
    """Print an offer; 2 when the arguments are not a weight and a zone."""
    if len(sys.argv) != 3:
        print("usage: parcels GRAMS ZONE", file=sys.stderr)
        return 2
    print(offer(int(sys.argv[1]), sys.argv[2]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
'''
}

TESTS = {
    "tests/test_rates.py": """import pytest

from parcels.rates import base


@pytest.mark.parametrize(("grams", "price"), [(1, 450), (1000, 450), (1001, 790)])
def test_a_step_takes_its_limit(grams: int, price: int) -> None:
    assert base(grams) == price
""",
    "tests/test_quotes.py": """from parcels.money import shown
from parcels.quotes import quote


def test_remote_zone_costs_more() -> None:
    assert quote(500, "remote") - quote(500, "home") == 900


def test_money_is_shown_with_two_digits() -> None:
    assert shown(1205) == "12.05 EUR"
""",
}

JAVASCRIPT = {
    "README.md": "# slugs\n\nTurns titles into slugs.\n\n## Use\n\n    npm install slugs\n",
    "CHANGELOG.md": "# Changelog\n\n## 1.0.0\n\n- Slugs.\n",
    "package.json": """{
  "name": "slugs",
  "version": "1.0.0",
  "description": "Turns titles into slugs.",
  "license": "MIT",
  "type": "module",
  "main": "src/slug.js",
  "scripts": {"test": "node --test"}
}
""",
    "src/words.js": "export const words = (text) => text.toLowerCase().match(/[a-z0-9]+/g) ?? [];\n",
    "src/slug.js": 'import { words } from "./words.js";\n\nexport const slug = (title) => words(title).join("-");\n',
}

JAVASCRIPT_TESTS = {
    "test/slug.test.js": """import assert from "node:assert/strict";
import { test } from "node:test";

import { slug } from "../src/slug.js";

test("words are joined by dashes", () => assert.equal(slug("Hello, World!"), "hello-world"));
test("an empty title has an empty slug", () => assert.equal(slug(""), ""));
"""
}
