from tests.app.conftest import site  # noqa: F401 - a fixture
