"""Configuration: typed declarations, and all that follows from them: parsing, plain errors, schema, reference, secrets."""
