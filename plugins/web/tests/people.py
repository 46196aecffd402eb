"""People of a plant, put into its users' file as the command does it."""

import argon2

from gateway.trust.users import User, UserFile, changed, new_token
from plugins.web.tests.browser import Browser
from plugins.web.tests.conftest import Plant

PASSWORD = "correct horse battery"
CHEAP = argon2.PasswordHasher(1, 64, 1).hash(PASSWORD)


def add(plant: Plant, name: str, *roles: str) -> None:
    """A user, who logs in with PASSWORD."""
    with UserFile(plant.site.path / "state").changing() as users:
        users.users[name] = changed(User(name, roles, CHEAP))


def change(plant: Plant, name: str, **fields: object) -> None:
    with UserFile(plant.site.path / "state").changing() as users:
        users.users[name] = changed(users.users[name], **fields)


def token(plant: Plant, name: str, *roles: str, only: tuple[str, ...] = (), until: int = 1 << 40) -> str:
    """A token of a user."""
    with UserFile(plant.site.path / "state").changing() as users:
        made, secret = new_token(name, roles, until, only)
        users.tokens[made.id] = made
    return secret


async def logged_in(plant: Plant, name: str) -> Browser:
    """A browser in which he is, with what it has to send along in `form`."""
    browser = plant.browser()
    answer = await browser.post("/api/v1/session", {"name": name, "password": PASSWORD})
    assert answer.status == 200, answer
    browser.form = answer.json()["csrf_token"]
    return browser
