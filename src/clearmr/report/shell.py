"""One self-contained page: style, script and data inside, and a policy that lets nothing else in."""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from clearmr.report.tables import text

_HERE = Path(__file__).parent
_PAGE = Template(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="$policy">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="ClearMR">
<title>$title</title>
<style>$style</style>
</head>
<body>
$body
<script type="application/json" id="data">$data</script>
<script>$script</script>
</body>
</html>
"""
)


def shell(title: str, body: str, *, style: str, script: str, data: Mapping[str, Any]) -> str:
    """The page as text. `title` is plain text; `body` is HTML; `data` is read by `script` from the element "data"."""
    return _PAGE.substitute(
        policy=policy(style, script), title=text(title), style=style, body=body, data=json_block(data), script=script
    )


def policy(style: str, script: str) -> str:
    """Nothing may be loaded; only this very style and this very script may run."""
    style_hash, script_hash = (
        f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'" for code in (style, script)
    )
    return (
        f"default-src 'none'; img-src data:; style-src {style_hash}; script-src {script_hash}; "
        "base-uri 'none'; form-action 'none'"
    )


def json_block(data: Mapping[str, Any]) -> str:
    """`data` as JSON that cannot end the script element it stands in."""
    plain = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return plain.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def read(name: str) -> str:
    """A file of this folder as text."""
    return (_HERE / name).read_text(encoding="utf-8")
