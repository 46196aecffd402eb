"""The words every other part speaks: tags, readings, quality, events, records, clock. Pure: no file, no socket."""
