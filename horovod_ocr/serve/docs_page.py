"""The OpenAPI document as one HTML page that loads nothing: no script, no font, no other host."""

import json
from collections.abc import Sequence
from html import escape
from typing import Any

DOCS_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; font-size: 1.15rem; font-family: ui-monospace, monospace; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8884; }
pre { overflow-x: auto; padding: .75rem; background: #8882; font-size: .85rem; }
summary { cursor: pointer; }
"""


def docs_page(document: dict[str, Any]) -> str:
    """HTML of every operation: its parameters, bodies and responses."""
    info = document["info"]
    parts = [f"<h1>{escape(info['title'])}</h1><p>{escape(info.get('description', ''))}</p>"]
    parts.append('<p>The same for programs: <a href="openapi.json">openapi.json</a></p>')
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.append(_operation(f"{method.upper()} {path}", operation))
    title = escape(info["title"])
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style><body>{''.join(parts)}</body></html>"
    )


def _operation(title: str, operation: dict[str, Any]) -> str:
    parts = [f"<h2>{escape(title)}</h2><p>{escape(operation.get('summary', ''))}</p>"]
    if parameters := operation.get("parameters"):
        rows = [(each["name"], each["in"], each.get("description", ""), _shown(each["schema"])) for each in parameters]
        parts.append(_table(("parameter", "in", "meaning", "schema"), rows))
    if body := operation.get("requestBody"):
        parts.append(_table(("body", "schema"), [(kind, _schema(each)) for kind, each in body["content"].items()]))
    rows_of_responses = []
    for status, response in operation["responses"].items():
        content = response.get("content", {})
        shown = "".join(_schema(each) for each in content.values()) if status == "200" else ""
        rows_of_responses.append((status, escape(response["description"]), ", ".join(map(escape, content)), shown))
    parts.append(_table(("status", "meaning", "body", "schema"), rows_of_responses, is_html=True))
    return "".join(parts)


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]], is_html: bool = False) -> str:
    shown = [
        "".join(f"<td>{each if is_html or each.startswith('<details>') else escape(each)}</td>" for each in row)
        for row in rows
    ]
    head = "".join(f"<th>{each}</th>" for each in heads)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in shown)}</table>"


def _schema(content: dict[str, Any]) -> str:
    text = json.dumps(content.get("schema", {}), indent=1, ensure_ascii=False)
    return f"<details><summary>schema</summary><pre>{escape(text)}</pre></details>"


def _shown(schema: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in schema.items() if key != "title")
