"""A helper on a system that can lock nothing: `python -m tests.support.open_helper`."""

from core.ml.audio.sandbox import helper, limits

vars(limits).update(restrict_to_open_files=lambda: "Landlock", refuse_other_calls=lambda: "seccomp")

if __name__ == "__main__":
    helper.main()
