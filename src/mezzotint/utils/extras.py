"""Optional libraries, which are the extras of this package."""


def missing(what: str, extra: str) -> ValueError:
    """The error where a library that is not installed is needed.

    Args:
        what: needs the library.
        extra: of this package that brings it.

    Returns:
        The error, which says what to install.
    """
    return ValueError(f"{what} needs a library: pip install 'mezzotint[{extra}]'")
