"""A new provider package, complete: ``confkit new-provider acme``. Needs the extra ``scaffold``."""
