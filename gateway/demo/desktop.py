"""Whether there is somebody before a screen to whom a browser may be opened."""

from collections.abc import Mapping

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
ELSEWHERE = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY", "CI")
"""Variables of who sits at another machine, or is a machine."""


def is_desktop(environment: Mapping[str, str], is_terminal: bool) -> bool:
    """Only for a person who started it in a terminal on this machine's own screen."""
    return (
        is_terminal
        and any(environment.get(name) for name in DISPLAYS)
        and not any(environment.get(name) for name in ELSEWHERE)
    )
