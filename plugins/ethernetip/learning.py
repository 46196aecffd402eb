"""Looking up what stands behind the names of tags: their types, and of structures what they are made of."""

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable, Iterable, Sequence

from gateway.kit.line import Answer
from gateway.plugin import DeviceError, Tag

from .address import TagAddress, parse_address
from .frames import Reply, each, opened_reply, service, several
from .plan import Refusal, Room, unanswered, worthwhile
from .questions import LOGIX_STRING, READ_TAG, Learned, Question, learned, packs
from .status_codes import meaning, of_device
from .tag_list import TagList, UnlistedError
from .types import STRUCTURE

_FIRST_ANSWER = 40
"""Bytes of the answer to a question for a tag of which nothing is known, about."""

_TOO_LONG = (0x06, 0x11)
_ONE_READ = READ_TAG | 0x80

Ask = Callable[[bytes], Awaitable[Answer]]
"""Hands over what comes to a message. Raises TimeoutError when nothing does."""


class Knowledge:
    """What one controller tells of its tags, as long as the connection lasts."""

    def __init__(self, ask: Ask, room: Room) -> None:
        self.known: dict[TagAddress, Learned | Refusal] = {}
        """By the address without its last index."""
        self._ask, self._room = ask, room
        self._looking = asyncio.Lock()
        self.list = TagList(self._reply)

    def forget(self, addresses: Iterable[TagAddress], structures: bool) -> None:
        """They are not what they were; with `structures` all that is known of those is in doubt."""
        for at in addresses:
            self.known.pop(at, None)
        if structures:
            self.list = TagList(self._reply)

    async def look_up(self, tags: Iterable[Tag]) -> bool:
        """Look up what is not known yet. Returns whether anything was found out. Raises DeviceError where the device refuses
        for reasons that are not a tag's."""
        addresses = (parse_address(tag.config.address) for tag in tags)
        named = [at for at in addresses if isinstance(at, TagAddress)]
        wanted = dict.fromkeys([at.whole for at in named] + [base.whole for base in worthwhile(named)])
        missing = [at for at in wanted if not isinstance(self.known.get(at), Learned)]
        if not missing:
            return False
        async with self._looking:
            before = dict(self.known)
            for at, answer in await self._asked(missing):
                self.known[at] = self._told(answer)
            for at in missing:
                await self._look_structure_up(at)
            return before != self.known

    async def _asked(self, addresses: Sequence[TagAddress]) -> list[tuple[TagAddress, Answer]]:
        """What comes to a read of one element of each: of many in one message, and of what did not fit there alone."""
        by_message = {service(READ_TAG, at.path(), b"\1\0"): at for at in addresses}
        questions = [Question(message, b"", _FIRST_ANSWER) for message in by_message]
        found: list[tuple[TagAddress, Answer]] = []
        for pack in packs(questions, *self._room):
            messages = [question.message for question in pack]
            for message, part in zip(messages, await self._parts(messages), strict=True):
                at = by_message[message]
                if part is None or (part[2] in _TOO_LONG and learned(opened_reply(part)) is None):
                    found.append((at, await self._ask(message)))
                else:
                    found.append((at, part))
        return found

    async def _parts(self, messages: Sequence[bytes]) -> Sequence[bytes | None]:
        """The answer to each; None for all where the device does not take several at once."""
        if len(messages) == 1:
            return [None]
        answer = await self._ask(several(messages))
        if isinstance(answer, bytes):
            reply = opened_reply(answer)
            with contextlib.suppress(LookupError, ValueError, struct.error):
                if reply.status in (0, 0x1E):
                    return each(reply.data, len(messages))
        return [None] * len(messages)

    def _told(self, answer: Answer) -> Learned | Refusal:
        if isinstance(answer, int):
            return unanswered(answer)
        reply = opened_reply(answer)
        why = Refusal(*meaning(reply.status, reply.more))
        if of_device(reply.status):
            raise DeviceError(why.reason)
        return learned(reply) or why if answer[0] == _ONE_READ else why

    async def _look_structure_up(self, at: TagAddress) -> None:
        """What it is made of, as far as the controller tells."""
        what = self.known.get(at)
        if isinstance(what, Learned) and what.code == STRUCTURE and what.handle != LOGIX_STRING:
            with contextlib.suppress(UnlistedError):
                template = await self.list.structure(at.steps)
                if template is not None and template.handle == what.handle:
                    self.known[at] = what._replace(template=template)

    async def _reply(self, message: bytes) -> Reply:
        answer = await self._ask(message)
        if isinstance(answer, int):
            raise UnlistedError
        return opened_reply(answer)
