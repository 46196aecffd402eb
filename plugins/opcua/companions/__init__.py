"""Objects of types that the standards name (companion specifications), found without node ids."""
