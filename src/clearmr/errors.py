"""The one error a user's input can raise: what was expected, what was found, what to do."""


class InputError(ValueError):
    """The user's input is wrong. Its text is one line; the command line prints it and exits with 2."""

    def __init__(self, expected: str, found: str, todo: str) -> None:
        super().__init__(" ".join(f"expected {expected}; found {found}; {todo}".split()))
        self.parts = (expected, found, todo)

    def __reduce__(self) -> tuple[type["InputError"], tuple[str, str, str]]:
        """Pickled whole, so that a worker process can raise it."""
        return type(self), self.parts
