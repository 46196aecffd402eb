"""Other services' applications are carried by the page, for who may."""

import pytest

from plugins.web.tests.conftest import Plant, Running
from plugins.web.tests.people import add, logged_in, token


def greeting(name: str = "hello", more: str = "") -> str:
    return f'[[service]]\nname = "{name}"\nplugin = "greeting"\n{more}\n'


async def until_offered(plant: Plant, number: int = 1) -> None:
    while sum(each["state"] == "up" for each in (await plant.site.ask("status"))["services"]) < number + 1:
        await plant.more_is_read()


async def test_an_application_of_another_service_is_carried_and_knows_who_asks(running: Running) -> None:
    async with running("", greeting()) as plant:
        await until_offered(plant)
        got = await plant.browser().get("/apps/greeting/a/b?c=d")
        assert (got.status, got.body) == (200, b"/a/b: anybody (viewer), 1 devices")
        assert "default-src 'none'" in got.headers["content-security-policy"], "as on every answer"
        assert (await plant.browser().get("/apps/greeting/", host="evil.example")).status == 421
        assert (await plant.browser().get("/apps/nothing/")).status == 404
        add(plant, "anna", "engineer")
        browser = await logged_in(plant, "anna")
        assert (await browser.get("/apps/greeting/")).body == b"/: anna (engineer), 1 devices"


async def test_what_changes_something_needs_a_login_and_its_forms_secret(running: Running) -> None:
    async with running("", greeting()) as plant:
        await until_offered(plant)
        assert (await plant.browser().post("/apps/greeting/reload", {})).status == 401
        add(plant, "anna", "engineer")
        add(plant, "otto", "operator")
        browser = await logged_in(plant, "anna")
        form, browser.form = browser.form, ""
        assert (await browser.post("/apps/greeting/reload", {})).status == 403
        browser.form = form
        assert b"'applied': True" in (await browser.post("/apps/greeting/reload", {})).body
        refused = await (await logged_in(plant, "otto")).post("/apps/greeting/reload", {})
        assert b"reload needs the role engineer" in refused.body, "with the roles of who asks, not with its own"
        assert ("config.reload", "anna (engineer)") in [(line["action"], line["who"]) for line in plant.site.audit()]


async def test_it_is_for_who_has_its_role(running: Running) -> None:
    async with running("login_to_look = true", greeting(more='role = "quality"')) as plant:
        await until_offered(plant)
        add(plant, "anna", "engineer", "quality")
        expected = {"": 401, "viewer": 403, "engineer": 403, "quality": 200}
        for role, status in expected.items():
            headers = {"authorization": f"Bearer {token(plant, 'anna', role)}"} if role else {}
            assert (await plant.browser().get("/apps/greeting/", **headers)).status == status, role
        only = token(plant, "anna", "quality", only=("status",))
        assert (await plant.browser().get("/apps/greeting/", authorization=f"Bearer {only}")).status == 403


async def test_a_bug_in_it_is_told_as_one_and_ends_nothing(running: Running) -> None:
    async with running("", greeting()) as plant:
        await until_offered(plant)
        assert (await plant.browser().get("/apps/greeting/fails")).status == 500
        assert (await plant.browser().get("/apps/greeting/")).status == 200
        await plant.more_is_read()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('path = "../x"', "a path is made of"),
        ('role = "king"', "no role king"),
        ("", "offered by service hello already"),
    ],
)
async def test_what_cannot_be_offered_is_told_in_status(running: Running, more: str, told: str) -> None:
    async with running("", greeting(), greeting("other", more)) as plant:
        await until_offered(plant)
        while told not in (found := (await plant.site.ask("status"))["services"][-1])["reason"]:
            assert found["state"] != "up", "the first is started first"
            await plant.more_is_read()


async def test_it_is_gone_with_its_service(running: Running) -> None:
    async with running("", greeting()) as plant:
        await until_offered(plant)
        config = plant.site.config.read_text()
        plant.site.config.write_text(config.replace(greeting(), ""))
        assert (await plant.site.ask("reload"))["applied"]
        assert (await plant.browser().get("/apps/greeting/")).status == 404
