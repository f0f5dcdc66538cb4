"""Errors that prevent the local stack from running."""

from core import errors


class PortInUse(errors.Unavailable):
    """The gateway's port is in use; set MFA_PORT to another one."""


class AddressNotUsable(errors.Invalid):
    """The gateway cannot listen on that address; set MFA_HOST and MFA_PORT."""


class DataDirInUse(errors.Unavailable):
    """Another stack runs in this data folder; stop it or set MFA_DATA_DIR to another folder."""


class DataDirNotWritable(errors.Invalid):
    """The data folder cannot be written to; set MFA_DATA_DIR to a folder of yours."""


class ModelMissing(errors.Invalid):
    """No model is installed: run `make setup`."""


class StackFailed(errors.Unavailable):
    """The local stack stopped because one of its processes keeps failing."""


KINDS = (
    PortInUse,
    AddressNotUsable,
    DataDirInUse,
    DataDirNotWritable,
    errors.NoDiskSpace,
    ModelMissing,
    StackFailed,
)
