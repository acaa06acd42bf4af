"""Words for people."""


def counted(number: int, noun: str) -> str:
    """A number of things.

    Args:
        number: how many.
        noun: one of them; its plural ends in s.

    Example:
        >>> counted(1, "run"), counted(1200, "run")
        ('1 run', '1,200 runs')
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"
