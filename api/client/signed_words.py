"""Words like `-house` among the arguments of a command."""

from typing import Any, ClassVar

from typer.core import TyperCommand


class SignedWords(TyperCommand):
    """Takes no option of one letter, as which `-house` would be read; `-h` alone is help."""

    SETTINGS: ClassVar[dict[str, Any]] = {"ignore_unknown_options": True, "help_option_names": ["--help"]}

    def get_help_option(self, ctx: Any) -> Any:
        """Named as it is called: `-h` is no option, but help when it stands alone."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.help = "Show this message and exit; `-h` alone does, too."
        return option

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, ["--help"] if args == ["-h"] else args)
