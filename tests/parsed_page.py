"""A page as a browser's parser sees it, and what must hold of every page."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from html.parser import HTMLParser

from conftest import PROJECT

__all__ = ["HOSTILE", "HOSTILE_KEY", "Page", "check_no_markup", "check_policy"]

HOSTILE = (
    '</script><script>window.owned = 1</script></style><img src=x onerror="window.owned = 2">\'"><b>bold</b>'
    "{{ 7 * 7 }} &lt; \u202egnp.exe \x1b[31m \x00 \x85 \u2028 end"
)
"""Text that would leave its element, attribute, script or line, and turn its direction."""
HOSTILE_KEY = "g:a b\x00\r\n\u2028\x85\u202e\"'<key>"
"""A key from data that has to come back as it is."""


class Page(HTMLParser):
    """A page, its elements, and the text of its cards."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = text
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.inside: dict[str, list[str]] = {"style": [], "script": []}
        self.cards: list[str] = []
        """The text of each card."""
        self.marks: list[str] = []
        """What each card's mark records."""
        self._open: list[str] = []
        self._card = 0
        """How many elements were open when the card began, with it; 0: none is open."""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        self._open.append(tag)
        if "card" in attributes.get("class", "").split():
            self.cards.append("")
            self.marks.append(attributes["data-mark"])
            self._card = len(self._open)
        if tag in self.inside:
            self.inside[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass
        if len(self._open) < self._card:
            self._card = 0

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in self.inside:
            self.inside[self._open[-1]][-1] += data
        elif self._card:
            self.cards[-1] += data

    def card(self, text: str) -> str:
        """The only card with this text, its white space made single spaces."""
        found = [" ".join(card.split()) for card in self.cards if text in " ".join(card.split())]
        assert len(found) == 1, [card[:200] for card in found]
        return found[0]

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def check_no_markup(page: Page) -> None:
    """No text of data became an element, an attribute that acts, or a character that misleads."""
    assert len(page.all("script")) == 1
    assert len(page.all("style")) == 2
    assert not page.all("img")
    assert not page.all("b") or all(not attributes.keys() - {"class", "dir"} for attributes in page.all("b"))
    for tag, attributes in page.elements:
        assert tag.isascii(), tag
        assert not any(name.startswith("on") or name in ("src", "style", "srcset", "action") for name in attributes), (
            tag
        )
        assert attributes.get("href", "#").startswith(("#", "data:,")), attributes
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069]", page.html)


def check_policy(page: Page, kind: str) -> None:
    """The page admits its own style and script, which are those of its files, and nothing else."""
    (policy,) = (meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))

    def hashes(texts: Sequence[str]) -> str:
        digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": hashes(page.inside["style"]),
        "script-src": hashes(page.inside["script"]),
        "base-uri": "'none'",
        "form-action": "'none'",
    }

    def files(*names: str) -> str:
        return "".join((PROJECT / "infimed_data" / "report" / name).read_text("utf-8") for name in names)

    assert page.inside["script"] == [files("review.js", f"{kind}.js")]
    assert page.inside["style"][0] == files("page.css", f"{kind}.css")
    assert "http" not in page.html.replace("http-equiv", "")
