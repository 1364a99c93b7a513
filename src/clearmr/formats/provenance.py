"""JSON text of provenance: what is not plain data becomes text, never an error."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clearmr.errors import InputError


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_json(meta: Mapping[str, Any]) -> str:
    """Readable JSON of `meta`; paths, arrays and the like as their text."""
    return json.dumps(dict(meta), indent=2, sort_keys=True, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def from_json(text: str, source: str) -> dict[str, Any]:
    """The object in JSON `text`. Raises InputError naming `source` where it is no JSON object."""
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"a JSON object in {source}", f"other text ({error})", "remove or correct it") from error
    if not isinstance(meta, dict):
        raise InputError(f"a JSON object in {source}", type(meta).__name__, "remove or correct it")
    return meta
