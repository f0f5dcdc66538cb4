"""Words like `-house` among the arguments of a command."""

from typing import Any, ClassVar

from typer.core import TyperCommand


class SignedWords(TyperCommand):
    """Takes no option of one letter, as which `-house` would be read; `-h` alone is help."""

    SETTINGS: ClassVar[dict[str, Any]] = {"ignore_unknown_options": True, "help_option_names": ["--help"]}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, ["--help"] if args == ["-h"] else args)
