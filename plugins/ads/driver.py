"""The driver: what ADS has of its own. Requests, answers and time-outs on the line are `gateway.kit.LineDriver`'s."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from contextlib import aclosing, suppress
from weakref import WeakKeyDictionary

from gateway.kit import LineDriver
from gateway.kit.line import NO_ANSWER, UNSENT, Answer, AskingPace
from gateway.plugin import (
    Device,
    DeviceError,
    Discovered,
    ForeseenError,
    Found,
    LinkError,
    Readings,
    Search,
    Tag,
    Tags,
    Values,
    listed,
)

from .browsing import browse
from .config import AdsDevice, AdsTag
from .device_feed import DeviceFeed
from .feed import Feed
from .frames import READ_STATE, AdsRequest, Unit, write
from .line import AdsLine, no_route, opened
from .program import STATES, ChangedError, Item, Key, Program
from .reading import NoSumsError, ReadPlan
from .return_codes import REFUSALS
from .routes import add_route, find, identified
from .writing import wire

STATE_EVERY = 0.9
"""Seconds between two looks at the state of a PLC."""
_GOODBYE = 0.5
"""Seconds that a controller has to take its handles back."""


class Ads(LineDriver[AdsDevice, AdsTag]):
    """One connection, shared by all devices with the same host, port and own_net_id."""

    line_options = ("timeout", "max_in_flight", "request_timeout", "acquisition", "route")

    _line: AdsLine

    @classmethod
    def line_key(cls, config: AdsDevice) -> Hashable:
        return config.host, config.port, config.own_net_id

    @classmethod
    def subscribes(cls, config: AdsDevice) -> bool:
        return config.acquisition == "subscribe"

    @classmethod
    def plan(cls, device: Device) -> list[str]:
        config: AdsDevice = device.config
        scans: dict[float, set[Key]] = {}
        for tag in device.tags:
            scans.setdefault(tag.config.scan or config.scan, set()).add(tag.config.key)
        if config.acquisition == "subscribe":
            return [
                f"{_several(len(keys), 'notification')}, looked at by the controller every {scan:g} s"
                for scan, keys in sorted(scans.items())
            ]
        at_once = max(1, config.max_items - 1)  # beside the program's version
        return [
            f"{_several(len(keys), 'value')} every {scan:g} s in {_several(-(-len(keys) // at_once), 'sum read')}"
            for scan, keys in sorted(scans.items())
        ]

    @classmethod
    def doubts(cls, devices: Sequence[Device]) -> list[str]:
        said = super().doubts(devices)
        if devices[0].config.route is not None:
            said.append("route: the password for it crosses the network readable; remove it once the route is there")
        return said

    @classmethod
    def discover(cls, search: Search) -> AsyncIterator[Discovered]:
        return find(search)

    # The connection

    async def connect(self) -> None:
        self._told: dict[tuple[str, str], str] = {}
        """Device and tag → the type that was told of it."""
        self._lost_notes: Counter[str] = Counter()
        await super().connect()

    async def open(self) -> AdsLine:
        self._units = {device.name: await self._unit(device.config) for device in self.devices}
        line, config = await opened(self.config), self.config
        try:
            await self._greet(line)
        except LinkError:
            if config.route is None:
                raise
            await add_route(config.host, config.route, line.source[0], line.local)
            line = await opened(config)
            await self._greet(line)
        return line

    async def _unit(self, config: AdsDevice) -> Unit:
        net_id = await identified(config.host) if config.net_id is None else config.net_id
        return bytes(map(int, net_id.split("."))), config.ams_port

    async def _greet(self, line: AdsLine) -> None:
        """Have something answered, be it a refusal. Raises LinkError with what to do about a missing route."""
        unit = self._units[self.devices[0].name]
        pace = self.pace(self.config, 1)
        try:
            (answer,) = await line.exchange([AdsRequest(unit, READ_STATE)], pace)
        except BaseException as error:
            await line.close()
            if isinstance(error, LinkError) and not line.heard:
                raise no_route(line, unit, str(error)) from error
            raise
        if answer == NO_ANSWER:
            await line.close()
            raise no_route(line, unit, f"{self.config.host}: connected, and no answer within {pace.patience:g} s")

    def opened(self) -> None:
        self._programs = {
            device.name: Program(
                self._units[device.name], device.config.encoding, self._line, self.pace(device.config, self._scans)
            )
            for device in self.devices
        }
        self._plans: WeakKeyDictionary[Tags, ReadPlan] = WeakKeyDictionary()

    def pace(self, config: AdsDevice, scans: int) -> AskingPace:
        pace = super().pace(config, scans)
        return AskingPace(min(config.request_timeout or pace.patience, pace.patience), pace.whole)

    def named(self, config: AdsDevice) -> str:
        return f"{config.name}, AMS port {config.ams_port}"

    def words(self, config: AdsDevice, code: int) -> str:
        return REFUSALS.words(code)

    @property
    def remarks(self) -> Sequence[str]:
        said = list(super().remarks)
        for device in self.devices:
            program, whose = self._programs[device.name], f"{device.name}: " if len(self.devices) > 1 else ""
            if program.halted:
                said.append(f"{whose}the PLC does not run ({STATES[program.state]}), so its values are uncertain")
            reasons: dict[str, list[str]] = {}
            for tag in device.tags:
                if reason := program.why(tag.config):
                    reasons.setdefault(reason, []).append(tag.name)
            said += [f"{whose}{listed(names)}: {reason}" for reason, names in list(reasons.items())[:10]]
        return said

    @property
    def counts(self) -> Mapping[str, int]:
        return Counter(super().counts) + self._lost_notes

    async def close(self) -> None:
        requests = [request for program in self._programs.values() for request in program.releases()]
        with suppress(LinkError):
            await self._line.exchange(requests, AskingPace(_GOODBYE, _GOODBYE))
        await super().close()

    # Reading

    async def describe(self) -> Mapping[Tag, Found]:
        return await self._redialling(self._describe)

    async def _describe(self) -> Mapping[Tag, Found]:
        found = {}
        for device in self.devices:
            program = self._programs[device.name]
            await program.prepare([tag.config for tag in device.tags])
            for tag in device.tags:
                item = program.items.get(tag.config.key)
                self._told[device.name, tag.name] = published = _published(tag, item)
                if published and item is not None:
                    choices = ", ".join(f"{number} {name}" for name, number in list(item.type.choices.items())[:20])
                    found[tag] = Found(published, description=item.comment or choices)
        return found

    async def read(self, tags: Tags) -> Values:
        return await self._redialling(lambda: self._read(tags))

    async def stream(self) -> AsyncIterator[Readings]:
        parts = [DeviceFeed(device, self._programs[device.name]) for device in self.devices]
        feed = Feed(self._line, parts, self._fresh_plan, self.host.alive, self._lost_notes)
        async with aclosing(feed.blocks()) as blocks:
            async for readings in blocks:
                yield readings

    async def _fresh_plan(self, device: Device) -> ReadPlan:
        return await self._plan(device, device.tags, self._programs[device.name])

    async def _read(self, tags: Tags) -> Values:
        program, device = self._programs[tags.device], self.device(tags.device)
        until = self._loop.time() + program.pace.whole
        for _ in range(3):
            plan = await self._plan(device, tags, program)
            requests = list(plan.requests)
            looks = time.monotonic() >= program.state_due or not requests
            if looks:
                requests.append(AdsRequest(program.unit, READ_STATE, size=4))
            answers = await self._line.exchange(requests, program.pace, until)
            if looks:
                self._look(device, program, answers.pop())
            _raise_lost(self.named(device.config), program, answers)
            try:
                return plan.values(answers, time.time_ns())
            except ChangedError:
                self.log.info("the program was changed: its symbols are asked for anew", device=device.name)
                program.forget()
            except NoSumsError:
                program.sums = False
                program.generation += 1
        raise DeviceError(f"{self.named(device.config)}: the program is being changed")

    async def _plan(self, device: Device, tags: Tags, program: Program) -> ReadPlan:
        plan = self._plans.get(tags)
        if plan is not None and plan.generation == program.generation and not program.refused:
            return plan
        configs = [tag.config for tag in tags]
        if program.lacks(configs, time.monotonic()):
            before = set(program.refused)
            await program.prepare(configs)
            self._log_refused(device, program, before)
            self._check_types(device, program)
        plan = self._plans.get(tags)
        if plan is None or plan.generation != program.generation:
            plan = self._plans[tags] = ReadPlan(device, tags, program, device.config.max_items)
        return plan

    def _look(self, device: Device, program: Program, answer: Answer) -> None:
        """What a PLC says of its state. Raises DeviceError where it cannot be asked at all."""
        if isinstance(answer, bytes):
            state = int.from_bytes(answer[:2], "little")
            if state != program.state:
                self.log.info("the PLC has another state", device=device.name, state=STATES.get(state, state))
            program.state, program.state_due = state, time.monotonic() + STATE_EVERY
        elif answer > 0 and not REFUSALS.divisible(answer):
            raise DeviceError(f"{self.named(device.config)}: {REFUSALS.words(answer)}")

    def _check_types(self, device: Device, program: Program) -> None:
        """Raises ForeseenError where a tag is of another type than was told: it has to be told anew."""
        for tag in device.tags:
            item = program.items.get(tag.config.key)
            told = self._told.get((device.name, tag.name))
            if item is not None and told is not None and (now := _published(tag, item)) != told:
                raise ForeseenError(
                    f"{tag}: the program was changed, and it is {now or item.type.name} now"
                    + (f" in place of {told}" if told else "")
                )

    def _log_refused(self, device: Device, program: Program, before: set[Key]) -> None:
        """Say once what begins to be refused."""
        reasons: dict[str, list[str]] = {}
        for tag in device.tags:
            if tag.config.key not in before and (reason := program.why(tag.config)):
                reasons.setdefault(reason, []).append(tag.name)
        for reason, names in reasons.items():
            self.log.warning("the PLC refuses tags", device=device.name, reason=reason, tags=listed(names))

    # What is asked by people

    async def browse(self) -> AsyncIterator[tuple[str, Found]]:
        async with aclosing(browse(self._programs[self.devices[0].name], self._line)) as offers:  # type: ignore[type-var]
            async for offer in offers:
                yield offer

    async def write(self, tag: Tag, value: float | bool | int | str) -> None:
        device = self.device(tag.device)
        program, at = self._programs[device.name], tag.config.at
        if at.bit is not None:
            raise DeviceError(f"{tag}: a bit of a number is not written alone; have the program give it a BOOL")
        await self._redialling(lambda: program.renewed([tag.config]))
        item = program.items.get(tag.config.key)
        if item is None:
            raise DeviceError(f"{tag}: {program.why(tag.config)}")
        self._check_types(device, program)
        try:
            data = wire(item.type, value)
        except ValueError as error:
            raise DeviceError(f"{tag}: {error}") from error
        request = write(program.unit, item.place[0], item.place[1], data)
        await self.ask(request, device.config, "; it may have been written")


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _published(tag: Tag, item: Item | None) -> str:
    if tag.config.at.bit is not None:
        return "bool"
    return item.type.published if item is not None else ""


def _raise_lost(who: str, program: Program, answers: Sequence[Answer]) -> None:
    """Raise what nothing but lost or refused answers means for the device."""
    if not answers or any(isinstance(answer, bytes) for answer in answers):
        return
    code = next((answer for answer in answers if answer not in (NO_ANSWER, UNSENT)), None)
    if code is None:
        raise TimeoutError(f"{who}: no answer within {program.pace.patience:g} s")
    if isinstance(code, int) and not REFUSALS.divisible(code):
        raise DeviceError(f"{who}: {REFUSALS.words(code)}")
