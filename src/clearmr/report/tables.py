"""HTML pieces of the report. Every text that comes from outside goes through `text`."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clearmr.report.words import number

_PROPER = {"psnr": "PSNR", "ssim": "SSIM", "nrmse": "NRMSE", "snr": "SNR", "sd": "SD", "sha256": "SHA-256"}


def text(value: Any) -> str:
    """`value` as HTML text: numbers with four digits, lists with commas, lists inside in brackets; escaped."""
    if isinstance(value, list | tuple):
        return ", ".join(f"({text(item)})" if isinstance(item, list | tuple) else text(item) for item in value)
    if isinstance(value, Mapping):
        return "; ".join(f"{text(label(key))} {text(item)}" for key, item in value.items())
    return html.escape(number(value), quote=True)


def label(name: Any) -> str:
    """A key of results.json as words, not yet escaped."""
    return " ".join(_PROPER.get(word, word) for word in str(name).replace("_", " ").split())


def items(sentences: Iterable[str]) -> str:
    """List items."""
    return "".join(f"<li>{text(sentence)}</li>" for sentence in sentences)


def pairs(values: Mapping[str, Any]) -> str:
    """A two-column table of names and values, mappings inside flattened; empty where there are none."""
    rows = "".join(f'<tr><th scope="row">{text(label(k))}</th><td>{text(v)}</td></tr>' for k, v in _flat(values))
    return f'<div class="scroll"><table class="pairs"><tbody>{rows}</tbody></table></div>' if rows else ""


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, caption: str = "") -> str:
    """A table, its first column as row heads."""
    heads = "".join(f'<th scope="col">{text(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{text(row[0])}</th>{"".join(f"<td>{text(cell)}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    return (
        f'<div class="scroll"><table>{f"<caption>{text(caption)}</caption>" if caption else ""}'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def steps(done: Sequence[Mapping[str, Any]]) -> str:
    """The steps in order, each with every scale it recorded."""
    rows = "".join(
        f'<tr><th scope="row"><span class="count">{i}</span>{text(step.get("name", "step"))}</th>'
        f"<td>{scales({k: v for k, v in step.items() if k != 'name'})}</td></tr>"
        for i, step in enumerate(done, 1)
    )
    head = '<thead><tr><th scope="col">Step</th><th scope="col">Scales</th></tr></thead>'
    return f'<div class="scroll"><table class="steps">{head}<tbody>{rows}</tbody></table></div>' if rows else ""


def scales(values: Mapping[str, Any]) -> str:
    """Names and values in a line, mappings inside flattened, each mapping of a list in brackets; a dash for none."""
    said = [f"<span><i>{text(label(key))}</i> {_list(value)}</span>" for key, value in _flat(values)]
    return f'<div class="scales">{"".join(said)}</div>' if said else "–"


def _list(value: Any) -> str:
    if isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        return " ".join(f"[{text(item)}]" for item in value)
    return text(value)


def metrics(values: Mapping[str, Any]) -> str:
    """Metrics against a reference: {name: number}, or one column for each image named."""
    images = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    if not images:
        return pairs(values)
    names = list(dict.fromkeys(name for image in images.values() for name in image))
    rows = [[label(name)] + [image.get(name) for image in images.values()] for name in names]
    return table(["Metric", *map(label, images)], rows)


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in values.items():
        flat += _flat(value, f"{prefix}{key} ") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return flat
