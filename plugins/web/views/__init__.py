"""The pages behind the first one: what a person opens to know more."""

from .pages import Views

__all__ = ["Views"]
