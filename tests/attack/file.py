"""Files that are not what they seem, where the configuration names them and beside them."""

import contextlib
import os
import random
import time
from collections.abc import Callable

from tests.attack.attacks import Site, beside, laid
from tests.attack.model import BOMBS, good, with_model
from tests.attack.onnx_bytes import field, model, node


@laid(with_model)
def model_is_a_fifo(site: Site) -> None:
    """The model is a FIFO that nobody writes to."""
    os.mkfifo(site.folder / "model.onnx")


@laid(with_model)
def model_is_a_link_to_zeros(site: Site) -> None:
    """The model is a link to a device of endless zeros."""
    (site.folder / "model.onnx").symlink_to("/dev/zero")


@laid(with_model)
def model_is_a_folder(site: Site) -> None:
    """The model is a folder."""
    (site.folder / "model.onnx").mkdir()


@laid(with_model)
def model_of_holes(site: Site) -> None:
    """The model is a sparse file of 200 GiB."""
    with (site.folder / "model.onnx").open("wb") as file:
        file.truncate(200 << 30)


@laid(with_model)
def candidates_of_every_kind(site: Site) -> None:
    """A good model, beside which the next version is a FIFO."""
    good(site)
    os.mkfifo(site.folder / "model.next.onnx")


@beside(with_model, prepare=good, soak=False, seconds=15.0)
def candidates_in_turn(site: Site) -> None:
    """Beside a good model the next version is, in turn, a FIFO, a link to zeros or to itself, deep, a bomb, a folder."""
    target = site.folder / "model.next.onnx"
    bombs = list(BOMBS.values())
    kinds: list[Callable[[], object]] = [
        lambda: os.mkfifo(target),
        lambda: target.symlink_to("/dev/zero"),
        lambda: target.symlink_to(target.name),
        target.mkdir,
        *(lambda content=content: target.write_bytes(content()) for content in bombs),  # type: ignore[misc]
    ]
    random.Random(4).shuffle(kinds)
    for kind in kinds:
        with contextlib.suppress(OSError):
            kind()
        time.sleep(1.0)
        with contextlib.suppress(OSError):
            target.rmdir() if target.is_dir() and not target.is_symlink() else target.unlink()


@beside(with_model, prepare=good, soak=False, seconds=8.0)
def model_replaced_without_end(site: Site) -> None:
    """The model and its next version are replaced a hundred times a second, by good ones and by half ones."""
    good = model([node("Neg", "window", "big")])
    for number in range(6000):
        for name in ("model.onnx", "model.next.onnx"):
            content = good + field(14, field(1, "n") + field(2, str(number)))
            (site.folder / name).write_bytes(content if number % 3 else content[: number % len(content)])
        time.sleep(0.01)


def with_tls(site: Site) -> str:
    return (
        '\n[[sink]]\nname = "tls"\nplugin = "mqtt"\nhost = "127.0.0.1"\n'
        f'port = {site.ports[0]}\ntls = {{ ca = "hostile/ca.pem" }}\n'
    )


@laid(with_tls)
def ca_is_a_fifo(site: Site) -> None:
    """The authority's certificate of a broker is a FIFO."""
    os.mkfifo(site.folder / "ca.pem")


@laid(with_tls)
def ca_is_a_link_to_zeros(site: Site) -> None:
    """The authority's certificate of a broker is a link to endless zeros."""
    (site.folder / "ca.pem").symlink_to("/dev/zero")


@laid(with_tls)
def ca_of_100_mb(site: Site) -> None:
    """The authority's certificate of a broker is 100 MB of the beginning of certificates."""
    (site.folder / "ca.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nMIIB\n" * 3_000_000)
