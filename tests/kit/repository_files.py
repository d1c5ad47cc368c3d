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

TYPESCRIPT = {
    ".gitignore": "node_modules/\n",
    "README.md": "# minutes\n\nMinutes of a day as people read them.\n\n## Use\n\n    npm install minutes\n",
    "CHANGELOG.md": "# Changelog\n\n## 0.3.0\n\n- Minutes.\n",
    "package.json": """{
  "name": "minutes",
  "version": "0.3.0",
  "description": "Minutes of a day as people read them.",
  "license": "MIT",
  "type": "module",
  "main": "src/minutes.js",
  "scripts": {
    "build": "tsc --outDir dist",
    "format": "prettier --write .",
    "format:check": "prettier --check src",
    "lint": "eslint src",
    "lint:fix": "eslint --fix src",
    "test": "node --test",
    "typecheck": "tsc --noEmit"
  },
  "devDependencies": {"eslint": "^9.0.0", "prettier": "^3.0.0", "typescript": "^5.0.0"}
}
""",
    "tsconfig.json": '{\n  // Strict from the start.\n  "compilerOptions": {"strict": true, "allowJs": true},\n}\n',
    "src/minutes.js": """/** Minutes since midnight as hours and minutes. */
export const shown = (minutes) => `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}`;
""",
    "test/minutes.test.js": """import assert from "node:assert/strict";
import { test } from "node:test";

import { shown } from "../src/minutes.js";

test("minutes have two digits", () => assert.equal(shown(605), "10:05"));
""",
}

TYPESCRIPT_CLOCK = {
    "src/clock.ts": """import { shown } from "./minutes.js";

const opening: number = "nine";
var closing = 17 * 60;

export function hours(): string {
  console.log(opening);
  return shown(closing);
}
"""
}

_LINES = """#!/usr/bin/env node
const fs = require("node:fs");
const path = require("node:path");
const files = fs.readdirSync("src").sort().map((name) => path.join("src", name));
const lines = (file) => fs.readFileSync(file, "utf8").split("\\n");
"""

NODE_TOOLS = {
    "tsc": _LINES
    + """let errors = 0;
for (const file of files.filter((name) => name.endsWith(".ts"))) {
  lines(file).forEach((line, index) => {
    const column = line.search(/\\w+: number = "/);
    if (column < 0) return;
    errors += 1;
    console.log(`${file}(${index + 1},${column + 1}): error TS2322: Type 'string' is not assignable to type 'number'.`);
  });
}
process.exit(errors ? 2 : 0);
""",
    "eslint": _LINES
    + """const counts = { error: 0, warning: 0 };
for (const file of files) {
  const rows = [];
  const report = (grade, index, said, rule) => {
    counts[grade] += 1;
    rows.push(`  ${index + 1}:1  ${grade.padEnd(7)}  ${said}  ${rule}`);
  };
  lines(file).forEach((line, index) => {
    if (/^var /.test(line)) report("error", index, "Unexpected var, use let or const instead", "no-var");
    if (line.includes("console.log")) report("warning", index, "Unexpected console statement", "no-console");
  });
  if (rows.length) console.log(`\\n${path.resolve(file)}\\n${rows.join("\\n")}`);
}
const total = counts.error + counts.warning;
if (total) console.log(`\\n✖ ${total} problems (${counts.error} error, ${counts.warning} warning)\\n`);
process.exit(counts.error ? 1 : 0);
""",
    "prettier": _LINES
    + """console.log("Checking formatting...");
const tabbed = files.filter((file) => lines(file).some((line) => line.startsWith("\\t")));
tabbed.forEach((file) => console.error(`[warn] ${file}`));
if (tabbed.length) console.error("[warn] Code style issues found. Run Prettier with --write to fix.");
else console.log("All matched files use Prettier code style!");
process.exit(tabbed.length ? 1 : 0);
""",
}
