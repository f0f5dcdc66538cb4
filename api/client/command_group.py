"""The group of all commands: errors in one sentence, exit codes, streams."""

import os
import sys
from typing import Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from api.client import display
from api.client.http import ClientError
from api.client.terminal import prepare_streams
from core.errors import InvalidConfig, MFAError

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130


class Commands(TyperGroup):
    """Reports every expected error in one sentence."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        prepare_streams()
        return super().main(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ClientError as error:
            display.complain(str(error))
            raise typer.Exit(error.exit_code) from None
        except (InvalidConfig, ValidationError) as error:
            display.complain(error.detail if isinstance(error, InvalidConfig) else sentence_of(error))
            raise typer.Exit(WRONG_USAGE) from None
        except MFAError as error:
            display.complain(error.detail)
        except BrokenPipeError:
            # Who reads the output has seen enough; what is still in the buffer must not fail at the exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            display.complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        except typer.Abort as abort:
            # A question was answered with no, or with the end of the input, unless by Ctrl-C.
            if isinstance(abort.__context__, KeyboardInterrupt):
                raise interrupted() from None
            display.complain("Aborted.")
        except KeyboardInterrupt:
            raise interrupted() from None
        raise typer.Exit(FAILED)


def interrupted() -> typer.Exit:
    display.complain("Interrupted.")
    return typer.Exit(INTERRUPTED)


def sentence_of(error: ValidationError) -> str:
    """What is wrong with the values of a request."""
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()) + "."
