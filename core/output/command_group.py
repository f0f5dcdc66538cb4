"""A group of commands: errors in one sentence, exit codes, streams."""

import os
import re
import sys
from typing import Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from core.errors import InvalidConfig, MFAError
from core.output.terminal import complain, prepare_streams
from core.spelling import nearest

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130


class CommandError(Exception):
    """What went wrong, as a sentence for the user."""

    exit_code = FAILED


class Commands(TyperGroup):
    """Reports every expected error in one sentence."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        prepare_streams()
        return super().main(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = plain(error.message)
            raise
        except CommandError as error:
            complain(str(error))
            raise typer.Exit(error.exit_code) from None
        except (InvalidConfig, ValidationError) as error:
            complain(error.detail if isinstance(error, InvalidConfig) else sentence_of(error))
            raise typer.Exit(WRONG_USAGE) from None
        except MFAError as error:
            complain(error.detail)
        except BrokenPipeError:
            # Who reads the output has seen enough; what is still in the buffer must not fail at the exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit from None
        except OSError as error:
            complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        except typer.Abort as abort:
            # A question was answered with no, or with the end of the input, unless by Ctrl-C.
            if isinstance(abort.__context__, KeyboardInterrupt):
                raise interrupted() from None
            complain("Aborted.")
        except KeyboardInterrupt:
            raise interrupted() from None
        raise typer.Exit(FAILED)


def plain(mistake: str) -> str:
    """What is wrong with a value, with the choice that is nearest."""
    mistake = mistake.removeprefix("Value error, ")
    given, said, choices = mistake.partition(" is not one of ")
    near = nearest(given.strip("'"), re.findall(r"'([^']*)'", choices)) if said else None
    return f"{mistake.rstrip('.')}; did you mean {near!r}?" if near else mistake


def interrupted() -> typer.Exit:
    complain("Interrupted.")
    return typer.Exit(INTERRUPTED)


def sentence_of(error: ValidationError) -> str:
    """What is wrong with the values of a request."""
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()) + "."
