"""Complaints: what is wrong in a TOML file, in sentences that name the file, the key and what is allowed."""

import difflib
from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel

NOT_TOML = (ValueError, RecursionError)
"""What tomllib raises: wrong syntax and encoding, integers of more than 4,300 digits, and arrays too deep."""


def explain(where: str, item: dict[str, Any], root: type[BaseModel]) -> str:
    """Returns a sentence for one thing that pydantic found wrong in a TOML file.

    Args:
        where: The file, or what else the sentence begins with.
        item: One of `ValidationError.errors()`.
        root: What the file was read as.
    """
    *sections, key = _dotted(item["loc"])
    section = f"[{'.'.join(sections)}] " if sections else ""
    if item["type"] == "model_type":
        return f"{where}: {section}{key} = {item['input']!r}: a section was expected, not a value."
    if item["type"] != "extra_forbidden":
        message = str(item["msg"]).removeprefix("Value error, ")
        return f"{where}: {section}{key} = {item['input']!r}: {message[:1].lower()}{message[1:]}."
    known = _known_keys(sections, root)
    return f"{where}: {section}{key} is not a key.{did_you_mean(key, known)}\nKnown keys: {', '.join(known)}."


def _dotted(location: Iterable[str | int]) -> list[str]:
    """Returns sections and key, with places in arrays as "steps[0]"."""
    parts: list[str] = []
    for part in location:
        if isinstance(part, int) and parts:
            parts[-1] += f"[{part}]"
        elif not _is_union_tag(part):
            parts.append(str(part))
    return parts or [""]


def _is_union_tag(part: object) -> bool:
    """Pydantic appends the tried type ("constrained-float", "literal['train']") to a union's location."""
    return isinstance(part, str) and (part.startswith("literal[") or part in {"float", "constrained-float"})


def _known_keys(sections: Iterable[str], root: type[BaseModel]) -> list[str]:
    part = root
    for section in sections:
        # "rules[0]" is one of several.
        field = part.model_fields.get(section.partition("[")[0])
        # A section that may be missing is a union with None.
        choices = (field.annotation, *get_args(field.annotation)) if field else ()
        parts = [choice for choice in choices if isinstance(choice, type) and issubclass(choice, BaseModel)]
        if not parts:
            return []
        part = parts[0]
    return list(part.model_fields)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns a question that names the nearest of the known words, after a space; empty if none is near."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""
