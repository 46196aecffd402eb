"""Commands about the configuration: check it, apply it, describe it; each is a module here."""
