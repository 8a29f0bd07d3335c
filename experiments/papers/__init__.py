"""The papers, one package each: `claims.py` and `studies/`. A package `why_adam` is called "why-adam"."""

import pkgutil


def names() -> list[str]:
    """Names of the papers that can be reproduced."""
    return sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__) if m.ispkg)
