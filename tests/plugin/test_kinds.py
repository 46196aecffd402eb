"""Each kind of plugins is one entry of the register, and all that goes through it knows it."""

import pytest

from gateway.config import reference, schema
from gateway.config.kinds import KINDS, PluginKind
from gateway.config.model import Config
from gateway.plugin.kinds import CONTRACTS, contract_of
from tests.config.sample_plugins import SamplePlugins


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_kind_has_a_contract_its_tables_a_schema_and_a_chapter(kind: PluginKind) -> None:
    (contract,) = (each for each in CONTRACTS if each.kind is kind)
    assert contract_of(contract.base) is contract
    assert all(hasattr(contract.base, method) for needed in contract.needs for method in needed[:1])
    (name, *_) = SamplePlugins().names(kind)
    items = schema.schema(SamplePlugins())["properties"][kind.table]["items"]
    assert items.get("then", items)["properties"][kind.key]["enum"][0] == name
    titles = [chapter.title for chapter in reference.chapters(SamplePlugins())]
    assert any(title.startswith(f"Every `[[{kind.table}]]`") for title in titles)
    assert f'`[[{kind.table}]]` with `{kind.key} = "{name}"`' in titles
    assert kind.field in Config.__dataclass_fields__
