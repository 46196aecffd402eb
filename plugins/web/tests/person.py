"""Somebody who goes from page to page by links and forms, over both sites, as a browser without JavaScript does."""

import asyncio
import re
import urllib.request
from html.parser import HTMLParser
from http.client import HTTPMessage
from http.cookiejar import CookieJar
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin


class Seen:
    """What is on the screen."""

    def __init__(self, url: str, status: int, headers: HTTPMessage, text: str) -> None:
        self.url = url
        self.status = status
        self.headers = headers
        self.text = text

    @property
    def alert(self) -> str:
        """What it says is wrong."""
        found = re.search(r'role="alert">([^<]+)<', self.text)
        return found[1] if found else ""


class Person:
    """Keeps cookies, follows redirects and what refreshes at once."""

    def __init__(self) -> None:
        self.jar = CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.jar)
        )
        self.visited: list[str] = []

    async def open(self, url: str, form: dict[str, str] | None = None) -> Seen:
        """A page."""
        seen = await asyncio.to_thread(self._opened, url, form)
        self.visited.append(seen.url)
        if refresh := seen.headers.get("refresh"):
            return await self.open(urljoin(seen.url, refresh.partition("url=")[2]))
        return seen

    def _opened(self, url: str, form: dict[str, str] | None) -> Seen:
        data = urlencode(form).encode() if form is not None else None
        try:
            answer: Any = self._opener.open(url, data, timeout=60)
        except HTTPError as error:
            answer = error
        with answer:
            return Seen(answer.url, answer.status, answer.headers, answer.read().decode())

    async def click(self, seen: Seen, link: str) -> Seen:
        """A link whose address begins so."""
        found = re.search(f'href="({re.escape(link)}[^"]*)"', seen.text)
        assert found, (link, seen.text)
        return await self.open(urljoin(seen.url, found[1].replace("&amp;", "&")))

    async def submit(self, seen: Seen, **filled_in: str) -> Seen:
        """The first form."""
        form = _Form(seen.text)
        return await self.open(urljoin(seen.url, form.action), {**form.hidden, **filled_in})


class _Form(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.action = ""
        self.hidden: dict[str, str] = {}
        self.feed(text)
        assert self.action, text

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {key: value or "" for key, value in attrs}
        if tag == "form" and not self.action:
            self.action = said["action"]
        elif tag == "input" and said.get("type") == "hidden":
            self.hidden[said["name"]] = said["value"]
