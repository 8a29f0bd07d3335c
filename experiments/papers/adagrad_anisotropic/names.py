"""What sets are called in figures and sentences."""


def short(name: str) -> str:
    """A set without the family of its task."""
    return name.removeprefix("logistic/")
