"""Say what somebody's model raised, in words that fit on a line."""

_MESSAGE_LIMIT = 200


def describe(error: BaseException) -> str:
    """Say an error of a model in one short line."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        # An error class of somebody's model may fail at this too.
        text = ""
    return f"{type(error).__name__}: {text}"[:_MESSAGE_LIMIT]
